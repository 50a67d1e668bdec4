// Says in every view that the hub is away: a banner, the title, the icon. What is shown is greyed (page.css), for it is from before.

import { byId, text } from "./dom.js";
import { clock } from "../words/format.js";

const GRACE = 2000; // ms of an interruption that is not worth a word

export class Away {
  #live = 0; // when the stream was last live, ms
  #timer = 0;

  /** `icons`: addresses of the icon, and of the one while the hub is away; `changed()`: the title is another. */
  constructor({ icons, changed }) {
    Object.assign(this, { icons, changed });
    this.banner = byId("away");
    this.away = false;
  }

  /** Call this with each status of the connection. */
  render({ state }) {
    clearTimeout(this.#timer);
    if (state === "live") {
      this.#live = Date.now();
      this.#show(false);
    } else if (this.#live) this.#timer = setTimeout(() => this.#show(true), GRACE); // before, the page has nothing that could be old
  }

  #show(away) {
    if (away === this.away) return;
    this.away = away;
    document.body.classList.toggle("away", away);
    this.banner.hidden = !away;
    text(this.banner, away ? `The hub does not answer since ${clock(this.#live / 1000)}. What you see is from before.` : "");
    byId("icon").href = this.icons[Number(away)];
    this.changed();
  }
}
