// Errors (to come).

import { el } from "../views/dom.js";

export default class ErrorsView {
  constructor() {
    this.element = el("section", "view scroll", el("p", "aside", "To come."));
  }

  show() {}

  hide() {}

  take() {}
}
