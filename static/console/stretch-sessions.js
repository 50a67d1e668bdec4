// The sessions of a stretch of time, the one with the slowest turn first.

import { sessionPlace } from "../model/route.js";
import { el } from "../views/dom.js";
import { duration, number, plural } from "../words/format.js";
import { moment, said } from "../words/stretches.js";
import { seconds, slowness } from "../words/trends.js";
import { keepingFocus, roving } from "./roving.js";
import { cell, head } from "./totals-table.js";

const SHOWN = 25;

export class StretchSessions {
  #run = 0;
  #asked = "";

  constructor(api, router) {
    Object.assign(this, { api, router });
    this.heading = el("h3");
    this.list = el("span");
    this.table = el("div", "wide");
    this.settle = roving(this.table, "a");
    this.problem = el("p", "bad");
    this.problem.setAttribute("role", "alert");
    this.element = el("section", "sessions-of-stretch", el("div", "head", this.heading, this.list), this.problem, this.table);
    this.element.hidden = true;
  }

  stop() {
    this.#run += 1;
    this.#asked = "";
    this.element.hidden = true;
  }

  /** Show the sessions of `stretch` that match the room, agent and version of `fields`. */
  async show({ room = "", agent = "", version = "" }, stretch, slow) {
    const { since, until } = stretch;
    const filters = Object.fromEntries(Object.entries({ room, agent, version }).filter(([, value]) => value));
    const asked = JSON.stringify([filters, since, until]);
    this.element.hidden = false;
    if (asked !== this.#asked) {
      this.table.replaceChildren(el("p", "aside", "Loading …"));
      this.heading.textContent = `Sessions, ${said(stretch)}`;
      this.list.replaceChildren(this.router.link("Open as list", "sessions", { fields: { ...filters, since: since ?? "", until: until ?? "", sort: "slowest" } }));
    }
    this.#asked = asked;
    this.#run += 1;
    const run = this.#run;
    try {
      const { found, more } = await this.#find({ ...filters, ...(since === null ? {} : { since }), ...(until === null ? {} : { until }), sort: "slowest", limit: SHOWN });
      if (run !== this.#run) return;
      this.problem.textContent = "";
      this.#draw(found, more, slow);
    } catch (error) {
      if (run !== this.#run) return;
      this.problem.textContent = error.message;
      this.table.replaceChildren();
    }
  }

  async #find(query) {
    const { sessions, more } = await this.api.get(`/api/sessions?${new URLSearchParams(query)}`);
    return { found: sessions, more };
  }

  #draw(found, more, slow) {
    if (!found.length) {
      this.table.replaceChildren(el("p", "aside", "No sessions in this stretch."));
      return;
    }
    const top = el("tr", "", ...["Session", "Began", "Agent"].map((label) => head(label, "col", "words")), ...["Turns", "Slowest turn", "Median", "p95", "Errors"].map((label) => head(label)));
    const rows = found.map((session) => this.#row(session, slow));
    const table = el("table", "figures sessions", el("caption", "unseen", "Sessions, slowest turn first"), el("thead", "", top), el("tbody", "", ...rows));
    keepingFocus(this.table, () => this.table.replaceChildren(table, ...(more ? [el("p", "aside", `The ${plural(found.length, "session")} with the slowest turns.`)] : [])));
    this.settle();
  }

  #row(found, slow) {
    const { room, session, started, agent, version, counts, latency, slowest } = found;
    const title = el("th", "", this.router.link([room, session].filter(Boolean).join(" · ") || "no room", "session", sessionPlace(found)));
    title.scope = "row";
    const wait = latency.e2e_latency ?? latency.response_time;
    const turn = slowest ? this.router.link(`${duration(slowest.seconds)}, turn ${slowest.turn}`, "session", sessionPlace(found, slowest.turn)) : "";
    const errors = (counts.errors ?? 0) + (counts.tool_errors ?? 0);
    return el("tr", "", title, el("td", "words", moment(started)), el("td", "words", [agent, version].filter(Boolean).join(" ") || "–"), cell(number(counts.turns)),
      cell(turn, slowness(slowest?.seconds, slow)), cell(seconds(wait?.median), slowness(wait?.median, slow)), cell(seconds(wait?.p95), slowness(wait?.p95, slow)), cell(number(errors), errors ? "worse" : ""));
  }
}
