// The live view in the browser's address bar and history: each selection of a room or session is an entry that Back returns to.

import { readRoute, routeAddress } from "../model/route.js";
import { Selection } from "../model/selection.js";
import { address, read } from "../model/settings.js";

/** Whether an address names the live view, alone or as the list of events. */
const LIVE = new Set(["live", "events"]);

export class AddressBar {
  /** `returned(selection)`: Back or Forward was pressed. `base`: the path of the hub that served the page. */
  constructor(returned, base) {
    this.base = base;
    this.live = this.#isLive();
    this.hub = read(location.href).hub;
    this.typing = false; // whether the newest entry was made while a room was being typed
    history.replaceState(history.state ?? {}, "");
    addEventListener("popstate", ({ state }) => {
      const before = this.live;
      this.live = this.#isLive();
      const { hub, room, session } = read(location.href);
      // An entry without a state is an address that was typed.
      if (state === null || hub !== this.hub) return location.reload();
      this.typing = false;
      if (before && this.live) returned(new Selection({ room, session, key: state.key }));
    });
    addEventListener("hashchange", () => history.state === null && location.reload());
    addEventListener("pageshow", (event) => event.persisted && location.reload());
  }

  #isLive() {
    return LIVE.has(readRoute(location.href, this.base).view);
  }

  /** The settings in the address, and the selection. */
  read() {
    const { room, session, ...settings } = read(location.href);
    return { settings, selection: new Selection({ room, session, key: history.state?.key }) };
  }

  /** Write settings and selection. `push`: as a new entry; `typing`: one letter after the other makes one entry. */
  write(settings, { room, session, key }, { push = false, typing = false } = {}) {
    this.hub = settings.hub;
    this.live = this.#isLive();
    if (!this.live) return this.#writeTheme(settings.theme);
    const href = address(location.href, { ...settings, room, session });
    if (push && !(typing && this.typing)) history.pushState({ key }, "", href);
    else if (href !== location.href || history.state?.key !== key) history.replaceState({ key }, "", href);
    if (push) this.typing = typing;
  }

  // Other views have fields of their own.
  #writeTheme(theme = "") {
    const { view, id, fields } = readRoute(location.href, this.base);
    if ((fields.theme ?? "") !== theme) history.replaceState(history.state, "", routeAddress(location.href, { view, id, fields: { ...fields, theme } }, this.base));
  }
}
