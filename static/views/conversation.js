// The conversation: the state's items as list items that are updated in place, so that only the newest ones move.

import { parts, speaker, unsaid } from "../model/agent-text.js";
import { byId, button, el, Follow, link, text } from "./dom.js";
import { clock, day, duration, fullTime, number, plural } from "../words/format.js";
import { latencies } from "../words/event-notes.js";

const LONG = 3000; // characters of a complete text that are shown without a click

const json = (value) => (typeof value === "string" ? value : value === undefined ? "" : JSON.stringify(value));
const where = (session) => (session ? [session.room ?? "no room", session.name].filter(Boolean).join(" · ") : "");

function bars() {
  const made = el("i", "bars", el("b"), el("b"), el("b"));
  made.setAttribute("aria-hidden", "true");
  return made;
}

/** A text; of a long one its beginning, with a button that shows the rest. */
function shortened(value, whole, expand) {
  if (whole || value.length <= LONG) return [value];
  return [`${value.slice(0, LONG)}…`, button(`Show all ${number(value.length)} characters`, expand, "")];
}

// A note's text with its address as a link, in place if the text names it.
function linked({ text: words, address }, show) {
  if (!address) return show(words);
  const at = words.length > LONG ? -1 : words.indexOf(address);
  const made = link(address, address);
  return at < 0 ? [...show(words), " ", made] : [words.slice(0, at), made, words.slice(at + address.length)];
}

export class Conversation {
  constructor() {
    this.list = byId("conversation");
    this.shown = new Map(); // item → its list item
    this.whole = new WeakSet(); // items whose long text is shown in full
    this.follow = new Follow(byId("conversation-scroll"), byId("newest"));
    this.wants = () => true;
  }

  get empty() {
    return this.list.childElementCount === 0;
  }

  /** Show those of `items` that match `wants`. `keep`: keep the scroll position, measured from the end. */
  reset(items, wants, keep = false) {
    const { scroller } = this.follow;
    const toEnd = scroller.scrollHeight - scroller.scrollTop;
    this.wants = wants;
    this.list.replaceChildren();
    this.shown.clear();
    for (const item of items) this.#add(item);
    if (!keep || this.follow.atEnd) this.follow.go();
    else scroller.scrollTop = scroller.scrollHeight - toEnd;
  }

  /** Say how many of the oldest items were dropped. */
  note(dropped) {
    const note = byId("forgotten");
    note.hidden = dropped === 0;
    text(note, `The oldest ${plural(dropped, "entry was", "entries were")} dropped from this page; the hub still has the events.`);
  }

  render({ added, changed, removed, placed }) {
    for (const item of removed) this.#remove(item);
    for (const item of added) if (!item.gone) this.#add(item);
    for (const item of placed) this.#place(item);
    for (const item of changed) if (this.shown.has(item)) this.#fill(item);
    this.follow.keep();
  }

  #add(item) {
    if (!this.wants(item) || this.shown.has(item)) return;
    const li = el("li");
    li.item = item;
    const who = el("div", "who");
    const side = el("div", "side", el("span", "took"), el("time"));
    const body = el("p", "text");
    body.dir = "auto";
    li.append(who, body, side);
    this.shown.set(item, { li, who, side, body });
    this.#fill(item);
    this.#insert(li);
  }

  // An utterance stands where it began, although its first event may come late.
  #insert(li) {
    let next = null;
    for (let last = this.list.lastElementChild; last && last.item.rank > li.item.rank; last = last.previousElementSibling) next = last;
    this.list.insertBefore(li, next);
    this.#head(li);
    if (next) this.#head(next);
  }

  #place(item) {
    const { li } = this.shown.get(item) ?? {};
    if (!li) return;
    const next = li.nextElementSibling;
    li.remove();
    if (next) this.#head(next);
    this.#insert(li);
  }

  #remove(item) {
    const { li } = this.shown.get(item) ?? {};
    if (!li) return;
    const next = li.nextElementSibling;
    li.remove();
    this.shown.delete(item);
    if (next) this.#head(next);
  }

  // Above the first of several items of a room stands a heading with the room, and with the day unless it is today.
  #head(li) {
    const { item } = li;
    let before = li.previousElementSibling?.item;
    while (before && !before.session) before = this.shown.get(before)?.li.previousElementSibling?.item;
    const words = item.session && before?.session !== item.session ? where(item.session) : "";
    const on = day(item.at);
    const heading = [words, on === day(before?.at ?? Date.now() / 1000) ? "" : on].filter(Boolean).join(" · ");
    const there = li.firstElementChild.className === "where" ? li.firstElementChild : null;
    if (!heading) there?.remove();
    else if (there) text(there, heading);
    else li.prepend(el("div", "where", heading));
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
    const figures = item.metrics && latencies(item.metrics);
    if (figures) {
      text(took, figures.short);
      took.title = figures.long;
    }
    const growing = item.interim || item.generating;
    const show = (value) => (growing ? [value.length > LONG ? `…${value.slice(-LONG)}` : value] : shortened(value, this.whole.has(item), expand));
    if (item.kind === "said" && item.role === "agent") this.#agent(item, li, name, body, show);
    else if (item.kind === "said") {
      li.className = `item said ${item.role === "user" ? "user" : "other"}${item.interim ? " interim" : ""}`;
      text(name, speaker(item));
      name.title = speaker(item);
      body.replaceChildren(...show(item.text));
      if (item.unconfirmed) body.append(" ", el("span", "mark", "no final transcript"));
    } else if (item.kind === "tool") {
      li.className = `item tool${item.running ? " running" : ""}${item.failed ? " failed" : ""}`;
      text(name, "tool");
      text(took, Number.isFinite(item.duration) ? duration(item.duration) : "");
      const call = `${json(item.name)}(${item.given === undefined || item.given === null ? "" : json(item.given)})`;
      const output = item.finished ? `${item.failed ? "failed: " : ""}${item.output === null ? "no output" : json(item.output) || "no output"}` : "";
      body.replaceChildren(...show(call), el("span", "output", " → ", ...show(output)));
      if (!item.finished && !item.running) body.lastChild.replaceChildren(" → no result");
    } else {
      li.className = `item ${item.kind}`;
      text(name, item.title);
      name.title = item.title;
      body.replaceChildren(...linked(item, show));
    }
  }

  #agent(item, li, name, body, show) {
    const { spoken, rest } = parts(item);
    const never = unsaid(item);
    const cut = (item.interrupted || never) && !item.generating;
    const kinds = ["item", "said", "agent", item.generating && "generating", cut && "cutoff"];
    li.className = kinds.filter(Boolean).join(" ");
    text(name, speaker(item));
    name.title = json(item.participant ?? "");
    body.replaceChildren(...(item.speaking ? [bars()] : []), el("span", "spoken", ...show(spoken)));
    if (rest) body.append(rest.match(/^\s*/)[0], el(cut ? "s" : "span", "rest", ...show(rest.trimStart())));
    if (cut) {
      const after = Number.isFinite(item.position) ? ` after ${duration(item.position)}` : "";
      body.append(" ", el("span", "mark", never ? "not said" : `cut off${after}`));
    }
    if (item.short) body.append(" ", el("span", "lost", "the rest of this text is too long to show"));
    if (item.lost) body.append(" ", el("span", "lost", `${plural(item.lost, "character")} missing`));
  }
}
