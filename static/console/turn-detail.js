// One turn of a session: what its answer waited for, the tools, the agent's log, the notes.

import { button, el, text } from "../views/dom.js";
import { clock, duration, plural } from "../words/format.js";
import { explain, leftOut, parts } from "../words/sessions.js";
import { money, slowness } from "../words/trends.js";
import { callsOf, during } from "../model/timeline.js";
import { jsonTree } from "./json-tree.js";

const LINES = 100;

export class TurnDetail {
  /** `annotate(fields)`: add a note. `publish()`: whether the reader may. */
  constructor({ annotate, publish }) {
    Object.assign(this, { annotate, publish });
    this.title = el("h3");
    this.body = el("div");
    this.notes = el("div", "notes");
    this.form = this.#makeForm();
    this.element = el("aside", "detail", this.title, this.body, el("h4", "", "Notes"), this.notes, this.form);
    this.element.ariaLabel = "Turn";
  }

  /** `logs`: the agent's lines; `spans`: of its trace; null while they are not known. */
  show({ session, turn, logs, spans, slow }) {
    this.turn = turn;
    text(this.title, turn ? `Turn ${turn.number}` : "Session");
    this.#notes(session, turn);
    this.form.hidden = !this.publish();
    if (!turn) {
      this.body.replaceChildren(el("p", "aside", "Choose a turn to see what its answer waited for."));
      return;
    }
    const calls = callsOf(turn, session.conversation);
    this.body.replaceChildren(
      ...this.#wait(turn, slow), ...(calls.length ? [el("h4", "", plural(calls.length, "tool call")), ...calls.map((call) => this.#call(call))] : []),
      ...this.#usage(turn), ...this.#errors(session, turn), ...this.#spans(session, turn, spans), ...this.#logs(session, turn, logs),
    );
  }

  #wait(turn, slow) {
    const { latency } = turn;
    if (!latency) return [el("p", "aside", "How long the user waited is not known.")];
    const rows = parts(turn).map(({ name, label, seconds }) => {
      const swatch = el("i", `part swatch ${name}`);
      return el("tr", "", el("th", "", swatch, label), el("td", "", duration(seconds)), el("td", "", latency.total ? `${Math.round((100 * seconds) / latency.total)} %` : ""));
    });
    const total = latency.total === undefined ? [] : [el("tr", "sum", el("th", "", "waited"), el("td", slowness(latency.total, slow), duration(latency.total)), el("td", "", latency.measured === "events" ? "by events" : ""))];
    const overlap = latency.overlap > 0 ? [el("tr", "", el("th", "", "parts overlapped"), el("td", "", `−${duration(latency.overlap)}`), el("td"))] : [];
    const table = el("table", "parts", el("caption", "unseen", "What the answer waited for"), el("tbody", "", ...rows, ...overlap, ...total));
    table.title = explain(turn);
    const omitted = leftOut(turn);
    return [table, ...(omitted ? [el("p", "aside", omitted)] : [])];
  }

  #call({ name, arguments: given, output, duration: lasted, is_error: failed, status }) {
    const head = el("div", "call-head", el("b", "", name ?? "tool"), el("span", failed ? "bad" : "quiet", [failed ? "failed" : (status ?? ""), Number.isFinite(lasted) ? duration(lasted) : "running"].filter(Boolean).join(", ")));
    const values = [["arguments", given], ["output", output]].filter(([, value]) => value !== undefined && value !== null && value !== "");
    return el("div", "call", head, ...values.map(([label, value]) => el("div", "json", jsonTree(value, label))));
  }

  #usage({ usage, cost }) {
    const models = (Array.isArray(usage) ? usage : usage ? [usage] : []).map((model) => [model.model, ["input_tokens", "output_tokens"].filter((name) => model[name]).map((name) => `${model[name]} ${name.replace("_tokens", "")}`).join(", ")].filter(Boolean).join(": "));
    const price = cost?.amount > 0 ? money(cost.amount, cost.currency) : "";
    return models.length || price ? [el("h4", "", "Usage"), el("p", "", [...models, price].filter(Boolean).join(" · "))] : [];
  }

  #errors({ turns, conversation }, turn) {
    if (!turn.errors) return [];
    const found = during(conversation.filter(({ kind, event }) => kind === "event" && event?.type === "agent_error"), turns, turn);
    return [el("h4", "", plural(turn.errors, "error")), ...found.map(({ event }) => el("p", "bad", [event.source, event.message].filter(Boolean).join(": ")))];
  }

  #spans({ turns }, turn, spans) {
    if (!spans?.length) return [];
    const own = during(spans.map((span) => ({ ...span, at: span.start })), turns, turn).filter(({ end }) => Number.isFinite(end)).slice(0, LINES);
    if (!own.length) return [];
    const from = Math.min(...own.map(({ start }) => start));
    const length = Math.max(0.001, ...own.map(({ end }) => end - from));
    const rows = own.map(({ name, start, end }) => {
      const bar = el("i", "span-bar");
      Object.assign(bar.style, { marginLeft: `${((100 * (start - from)) / length).toFixed(2)}%`, width: `${Math.max(0.5, (100 * (end - start)) / length).toFixed(2)}%` });
      return el("tr", "", el("th", "", name), el("td", "track", bar), el("td", "", `+${duration(start - from) || "0"}`), el("td", "", duration(end - start)));
    });
    const made = el("details", "more", el("summary", "", plural(own.length, "span")), el("table", "spans", el("caption", "unseen", "Spans: name, start, duration"), el("tbody", "", ...rows)));
    return [made];
  }

  #logs({ turns }, turn, logs) {
    const own = logs ? during(logs, turns, turn).slice(0, LINES) : [];
    if (!own.length) return [];
    const lines = own.map(({ at, level, message }) => el("div", `log-line ${level}`, el("time", "", clock(at, true)), el("span", "level", level), el("span", "", message)));
    return [el("details", "more", el("summary", "", `${plural(own.length, "line")} of the agent's log`), el("div", "log-lines", ...lines))];
  }

  // -- notes -----------------------------------------------------------------------------------------------------------

  #notes({ annotations = [] }, turn) {
    const own = annotations.filter((note) => (turn ? note.turn === turn.number : true));
    const made = own.map((note) => {
      const thumb = { up: "Good.", down: "Bad." }[note.rating] ?? "";
      const tag = note.tag ? el("span", "tag", note.removed ? `${note.tag} removed` : note.tag) : null;
      const where = !turn && note.turn ? `turn ${note.turn}` : "";
      return el("p", "note", thumb, thumb && " ", note.text ?? "", note.text && " ", tag, el("span", "quiet", ` ${[note.author, where, clock(note.at).slice(0, 5)].filter(Boolean).join(", ")}`));
    });
    this.notes.replaceChildren(...(made.length ? made : [el("p", "quiet", turn ? "None on this turn." : "None.")]));
  }

  #makeForm() {
    const words = Object.assign(el("input"), { type: "text", placeholder: "Add a note", ariaLabel: "Note", maxLength: 4000, autocomplete: "off" });
    const tag = Object.assign(el("input", "tag-field"), { type: "text", placeholder: "Tag", ariaLabel: "Tag", maxLength: 256, autocomplete: "off" });
    const rate = (rating, label, title) => {
      const made = button(label, () => this.#send({ rating }), title);
      return made;
    };
    const form = el("form", "annotate", words, tag, Object.assign(el("button", "", "Add"), { type: "submit" }), rate("up", "Good", "Rate it as good"), rate("down", "Bad", "Rate it as bad"));
    form.onsubmit = async (event) => {
      event.preventDefault();
      const fields = { ...(words.value.trim() ? { text: words.value.trim() } : {}), ...(tag.value.trim() ? { tag: tag.value.trim() } : {}) };
      if (Object.keys(fields).length && (await this.#send(fields))) words.value = tag.value = "";
    };
    return form;
  }

  #send(fields) {
    return this.annotate({ ...fields, ...(this.turn ? { turn: this.turn.number } : {}) });
  }
}
