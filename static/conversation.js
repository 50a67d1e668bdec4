// The conversation: items of the state as list items that change in place. Nothing that is shown moves, but the newest.

import { parts, speaker } from "./agent-text.js";
import { byId, button, el, Follow, text } from "./dom.js";
import { clock, duration, fullTime, number, plural } from "./format.js";
import { latencies } from "./notes.js";

const LONG = 3000; // characters that are shown at once of a text that is complete

const json = (value) => (typeof value === "string" ? value : value === undefined ? "" : JSON.stringify(value));
const where = (session) => (session ? [session.room ?? "no room", session.name].filter(Boolean).join(" · ") : "");

function bars() {
  const made = el("i", "bars", el("b"), el("b"), el("b"));
  made.setAttribute("aria-hidden", "true");
  return made;
}

/** A text; where it is long and complete, its beginning, and a button for the rest. */
function shortened(value, whole, expand) {
  if (whole || value.length <= LONG) return [value];
  return [`${value.slice(0, LONG)}…`, button(`Show all ${number(value.length)} characters`, expand, "")];
}

export class Conversation {
  constructor() {
    this.list = byId("conversation");
    this.shown = new Map(); // item → its list item
    this.whole = new WeakSet(); // items whose long text was asked for
    this.follow = new Follow(byId("conversation-scroll"), byId("newest"));
    this.last = null;
    this.wants = () => true;
  }

  /** Show the items that `wants` takes, of all of them. */
  reset(items, wants) {
    this.wants = wants;
    this.list.replaceChildren();
    this.shown.clear();
    this.last = null;
    for (const item of items) this.#add(item);
    this.follow.go();
  }

  render({ added, changed, removed }, forgotten) {
    for (const item of removed) {
      this.shown.get(item)?.li.remove();
      this.shown.delete(item);
    }
    for (const item of added) if (!item.gone) this.#add(item);
    for (const item of changed) if (this.shown.has(item)) this.#fill(item);
    const note = byId("forgotten");
    note.hidden = forgotten === 0;
    text(note, `The oldest ${plural(forgotten, "entry is", "entries are")} no longer shown here; the hub has them.`);
    this.follow.keep();
  }

  #add(item) {
    if (!this.wants(item)) return;
    const li = el("li");
    const who = el("div", "who");
    const side = el("div", "side", el("span", "took"), el("time"));
    const body = el("p", "text");
    body.dir = "auto";
    if (this.last !== item.session && item.session) li.append(el("div", "where", where(item.session)));
    this.last = item.session ?? this.last;
    li.append(who, body, side);
    this.shown.set(item, { li, who, side, body });
    this.#fill(item);
    this.list.append(li);
  }

  #fill(item) {
    const { li, who: name, side, body } = this.shown.get(item);
    const [took, time] = side.children;
    if (item.at !== null) {
      text(time, clock(item.at));
      time.title = fullTime(item.at);
    }
    const expand = () => {
      this.whole.add(item);
      this.#fill(item);
    };
    const show = (value) => shortened(value, this.whole.has(item) || item.interim || item.generating, expand);
    if (item.kind === "said" && item.role === "agent") this.#agent(item, li, name, took, body, show);
    else if (item.kind === "said") {
      li.className = `item said ${item.role === "user" ? "user" : "other"}${item.interim ? " interim" : ""}`;
      text(name, speaker(item));
      body.replaceChildren(...show(item.text));
    } else if (item.kind === "tool") {
      li.className = `item tool${item.running ? " running" : ""}${item.failed ? " failed" : ""}`;
      text(name, "tool");
      text(took, Number.isFinite(item.duration) ? duration(item.duration) : "");
      const call = `${json(item.name)}(${item.given === undefined || item.given === null ? "" : json(item.given)})`;
      const output = item.finished ? `${item.failed ? "failed: " : ""}${json(item.output) || "no output"}` : "";
      body.replaceChildren(...show(call), el("span", "output", " → ", ...show(output)));
      if (!item.finished && !item.running) body.lastChild.replaceChildren(" → no answer seen");
    } else {
      li.className = `item ${item.kind}`;
      text(name, item.title);
      body.replaceChildren(...show(item.text));
    }
  }

  #agent(item, li, name, took, body, show) {
    const { spoken, rest } = parts(item);
    const cut = item.interrupted && !item.generating;
    const kinds = ["item", "said", "agent", item.generating && "generating", cut && "cutoff"];
    li.className = kinds.filter(Boolean).join(" ");
    text(name, speaker(item));
    name.title = json(item.participant ?? "");
    const figures = item.metrics && latencies(item.metrics);
    text(took, figures?.short ?? "");
    took.title = figures?.long ?? "";
    body.replaceChildren(...(item.speaking ? [bars()] : []), el("span", "spoken", ...show(spoken)));
    if (rest) body.append(rest.match(/^\s*/)[0], el(cut ? "s" : "span", "rest", ...show(rest.trimStart())));
    if (cut) {
      const after = Number.isFinite(item.position) ? ` after ${duration(item.position)}` : "";
      body.append(" ", el("span", "mark", `cut off${after}`));
    }
    if (item.lost) body.append(" ", el("span", "lost", `${plural(item.lost, "character")} missing`));
  }
}
