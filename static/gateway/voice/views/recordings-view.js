// The files that the gateway has saved.

import { byId, el } from "../../../views/dom.js";
import { recordingFacts } from "../words/sentences.js";

const SHOWN = 20;

export class RecordingsView {
  /** `link(path)`: the address of a file on the gateway. */
  constructor(link) {
    this.link = link;
    this.list = byId("recording-list");
  }

  /** Show a `recording_saved`. */
  add(frame) {
    const href = this.link(frame.url);
    const name = frame.file.split(/[\\/]/).pop();
    const item = el("li", "", href ? Object.assign(el("a", "", name), { href, download: "" }) : name, el("span", "aside", recordingFacts(frame)));
    if (typeof frame.message === "string") item.append(el("span", "aside", frame.message));
    if (href) {
      const player = Object.assign(el("audio"), { controls: true, preload: "none", src: href });
      player.setAttribute("aria-label", `Recording ${name}`);
      item.append(player);
    }
    this.list.prepend(item);
    if (this.list.children.length > SHOWN) this.list.lastElementChild.remove();
    byId("recordings").hidden = false;
  }
}
