// The browser's address bar and history: each selection of a room or session is an entry that Back returns to.

import { Selection } from "../model/selection.js";
import { address, read } from "../model/settings.js";

export class AddressBar {
  /** `returned(selection)`: Back or Forward was pressed. */
  constructor(returned) {
    this.hub = read(location.href).hub;
    this.typing = false; // whether the newest entry was made while a room was being typed
    history.replaceState(history.state ?? {}, "");
    addEventListener("popstate", ({ state }) => {
      const { hub, room, session } = read(location.href);
      // An entry without a state is an address that was typed.
      if (state === null || hub !== this.hub) return location.reload();
      this.typing = false;
      returned(new Selection({ room, session, key: state.key }));
    });
    addEventListener("hashchange", () => history.state === null && location.reload());
    addEventListener("pageshow", (event) => event.persisted && location.reload());
  }

  /** The settings in the address, and the selection. */
  read() {
    const { room, session, ...settings } = read(location.href);
    return { settings, selection: new Selection({ room, session, key: history.state?.key }) };
  }

  /** Write settings and selection. `push`: as a new entry; `typing`: one letter after the other makes one entry. */
  write(settings, { room, session, key }, { push = false, typing = false } = {}) {
    this.hub = settings.hub;
    const href = address(location.href, { ...settings, room, session });
    if (push && !(typing && this.typing)) history.pushState({ key }, "", href);
    else if (href !== location.href || history.state?.key !== key) history.replaceState({ key }, "", href);
    if (push) this.typing = typing;
  }
}
