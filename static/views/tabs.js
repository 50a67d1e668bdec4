// The tabs of a narrow page: the conversation or the log.

import { byId } from "./dom.js";

const NAMES = ["conversation", "log"];

export class Tabs {
  /** `choose(name)`: a tab was clicked. */
  constructor(choose) {
    for (const name of NAMES) {
      byId(`tab-${name}`).onclick = () => choose(name);
      byId(`tab-${name}`).onkeydown = (event) => {
        if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
        const other = NAMES.find((tab) => tab !== name);
        byId(`tab-${other}`).click();
        byId(`tab-${other}`).focus();
      };
    }
  }

  show(name) {
    document.body.dataset.view = name;
    for (const tab of NAMES) {
      byId(`tab-${tab}`).ariaSelected = String(tab === name);
      byId(`tab-${tab}`).tabIndex = tab === name ? 0 : -1;
    }
  }
}
