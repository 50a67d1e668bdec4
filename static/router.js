// Which view the address names. Views are loaded when they are first shown; the live view always runs, since it has the stream.

import { readRoute, routeAddress } from "./model/route.js";
import { byId, el, toast } from "./views/dom.js";

const MODULES = {
  sessions: () => import("./console/sessions-view.js"),
  session: () => import("./console/session-view.js"),
  compare: () => import("./console/compare-view.js"),
  trends: () => import("./console/trends-view.js"),
  errors: () => import("./console/errors-view.js"),
};
const TITLES = { live: "Live", sessions: "Sessions", session: "Session", compare: "Compare", trends: "Trends", errors: "Errors", events: "Events", agents: "Agents", talk: "Talk" };
const SHEETS = ["agents", "talk"]; // the live view with this sheet open; its button has the same id
const PARENTS = { session: "sessions", compare: "sessions" }; // view → the entry of the navigation that is marked

/**
 * The console's views. A view is a class with
 *   constructor({ api, router, status })  status(): the newest status of the connection, with the hub's `config` once known
 *   element                               its root, shown and hidden by the router
 *   show({ id, fields })                  the address names this view: with other fields, or again
 *   hide()                                another view is shown
 *   take(event)                           a live event, only while it is shown
 *   title                                 for the document's title; optional
 */
export class Router {
  #views = new Map(); // name → view
  #run = 0;

  /** `page`: the controller of the live view. */
  constructor({ base }, page) {
    this.page = page;
    this.base = base;
    this.place = readRoute(location.href, this.base);
    page.away.changed = () => this.retitle();
    page.taken = (event) => this.#views.get(this.place.view)?.take(event);
    addEventListener("popstate", () => this.#show());
    document.addEventListener("click", (event) => this.#click(event));
    this.#show();
  }

  /** The address of a view. */
  href(view, { id, fields } = {}) {
    return routeAddress(location.href, { view, id, fields }, this.base);
  }

  /** A link to a view, which opens in this tab unless the reader wants another. */
  link(label, view, place) {
    const made = Object.assign(el("a", "", label), { href: this.href(view, place) });
    made.dataset.to = view;
    return made;
  }

  /** Show a view. `replace`: without a new entry in the browser's history. */
  go(view, place = {}, { replace = false } = {}) {
    const href = this.href(view, place);
    if (href === location.href) return;
    history[replace ? "replaceState" : "pushState"]({ view }, "", href);
    this.#show();
  }

  // A plain click on a link to a view of this page.
  #click(event) {
    const target = event.target.closest?.("a[data-to]");
    if (!target || target.target || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    if (target.closest("#views")) target.href = this.href(target.dataset.to); // with the theme of now
    if (target.href === location.href) return;
    history.pushState({ view: target.dataset.to }, "", target.href);
    this.#show();
  }

  async #show() {
    const before = this.place;
    this.place = readRoute(location.href, this.base);
    const { view } = this.place;
    this.#run += 1;
    const run = this.#run;
    document.body.dataset.page = view;
    for (const entry of document.querySelectorAll("#views a")) {
      entry.href = this.href(entry.dataset.to);
      if (entry.dataset.to === (PARENTS[view] ?? view)) entry.setAttribute("aria-current", "page");
      else entry.removeAttribute("aria-current");
    }
    if (before.view !== view) this.#views.get(before.view)?.hide();
    for (const [name, made] of this.#views) made.element.hidden = name !== view;
    const own = view in MODULES;
    document.querySelector("main").hidden = own;
    byId("console").hidden = !own;
    this.page.shown(view);
    if (SHEETS.includes(view)) whenShown(byId(view), () => run === this.#run && byId(view).click());
    if (own) {
      try {
        const made = this.#views.get(view) ?? (await this.#load(view));
        if (run !== this.#run) return;
        made.element.hidden = false;
        made.show(this.place);
      } catch (error) {
        if (run === this.#run) toast(`This view cannot be loaded: ${error.message}`);
      }
    }
    this.retitle();
  }

  async #load(view) {
    const module = await MODULES[view]();
    if (this.#views.has(view)) return this.#views.get(view);
    const made = new module.default({ api: this.page.api, router: this, status: () => this.page.status.status });
    this.#views.set(view, made);
    byId("console").append(made.element);
    return made;
  }

  /** Set the document's title, after the view's own has changed. */
  retitle() {
    const { view } = this.place;
    const own = this.#views.get(view)?.title;
    const title = view === "live" ? "LiveKit Event Hub" : `${own || TITLES[view]} · LiveKit Event Hub`;
    document.title = this.page.away.away ? `⚠ ${title}` : title;
  }
}

/** Act once a button is shown: what the reader may do is known when the hub has answered. */
function whenShown(button, act) {
  if (!button.hidden && document.body.dataset.connection === "live") return act();
  const look = new MutationObserver(() => {
    if (button.hidden || document.body.dataset.connection !== "live") return;
    look.disconnect();
    act();
  });
  look.observe(document.body, { attributes: true, attributeFilter: ["data-connection", "hidden"], subtree: true });
}
