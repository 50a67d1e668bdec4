// The agents of the hub, in the page's head: a button that says how they are, and a sheet that lists, starts and stops them.

import { AgentLog } from "./agent-log.js";
import { ending, facts, live, refusal, summary, troubled } from "./agent-words.js";
import { button, byId, el, text, toast } from "./dom.js";
import { fullTime } from "./format.js";

const OVER = 3; // agents that are over, of those that are listed without a click
const TAIL = 6; // lines of a crashed agent's log that are shown without a click

export class AgentsPanel {
  /** `agents`: the `Agents` to show. */
  constructor(agents) {
    this.agents = agents;
    this.button = byId("agents");
    this.sheet = byId("agents-sheet");
    this.list = byId("agents-list");
    this.entries = new Map(); // agent_id → its parts
    this.open = false;
    this.all = false; // whether all that are over are shown
    this.more = byId("agents-more");
    this.more.onclick = () => {
      const first = [...this.entries.values()].find(({ li }) => li.hidden);
      this.all = true;
      this.render();
      first?.look.focus(); // what was pressed is gone
    };
    this.sheet.addEventListener("toggle", ({ newState }) => this.#toggled(newState === "open"));
    this.sheet.addEventListener("keydown", (event) => this.#key(event));
    addEventListener("resize", () => this.open && this.#place());
    document.addEventListener("visibilitychange", () => this.#follow()); // a hidden page follows no log
    byId("agent-form").onsubmit = (event) => {
      event.preventDefault();
      this.#start();
    };
    byId("agent-mode").onchange = () => this.#mode();
    this.#mode();
    agents.watch(() => this.render());
    this.render();
  }

  /** A live event has come over the stream: a crash is told, for the sheet may be closed. */
  take(event) {
    if (event.type !== "agent_process_exited" || this.open) return;
    const sentence = ending(event);
    if (sentence) toast(sentence);
  }

  render() {
    const { list, error, available, known } = this.agents;
    this.button.hidden = !available;
    if (!available) return void (this.open && this.sheet.hidePopover());
    const { label, tone } = summary(list);
    text(this.button.lastElementChild, label);
    this.button.firstElementChild.className = `dot ${tone}`;
    const away = byId("agents-away");
    away.hidden = !error;
    text(away, error ? `${error.replace(/[.]$/, "")}. What is below was so before.` : "");
    byId("agents-none").hidden = !known || list.length > 0;
    const there = new Set(list.map((one) => one.agent_id));
    for (const [id, entry] of this.entries) {
      if (there.has(id)) continue;
      entry.log?.close();
      entry.li.remove();
      this.entries.delete(id);
    }
    const over = list.filter((one) => !live(one));
    const old = this.all ? [] : over.slice(OVER).filter((one) => !this.entries.get(one.agent_id)?.seen);
    this.more.hidden = old.length === 0;
    text(this.more, `Show ${old.length} older`);
    list.forEach((one, n) => {
      const entry = this.entries.get(one.agent_id) ?? this.#entry(one.agent_id);
      this.#fill(entry, one);
      entry.li.hidden = old.includes(one);
      if (this.list.children[n] !== entry.li) this.list.insertBefore(entry.li, this.list.children[n] ?? null);
    });
  }

  // -- one agent --------------------------------------------------------------------------------------------------------

  #entry(id) {
    const named = (name, act) => {
      const made = button(name, act);
      made.setAttribute("aria-label", `${name} of ${id}`);
      return made;
    };
    const entry = {
      state: el("b"), dot: el("i", "dot"), mode: el("span"), room: el("span", "room"), facts: el("p", "facts"),
      says: el("p", "says"), error: el("p", "bad"), failed: el("p", "bad"), tail: el("pre"), log: null, status: null, seen: false,
      look: named("Log", () => this.#log(id)), stop: named("Stop", () => this.#stop(id)),
    };
    entry.stop.setAttribute("aria-label", `Stop ${id}`);
    entry.look.setAttribute("aria-expanded", "false");
    entry.dot.ariaHidden = "true";
    entry.failed.setAttribute("role", "alert");
    const head = el("div", "head", entry.dot, entry.state, entry.mode, entry.room, entry.look, entry.stop);
    entry.li = el("li", "entry", head, entry.facts, entry.says, entry.error, entry.failed, entry.tail);
    this.entries.set(id, entry);
    return entry;
  }

  #fill(entry, one) {
    if (entry.status !== one.status) {
      const changed = entry.status !== null || (live(one) && this.open);
      if (changed) text(byId("announce"), `Agent ${one.agent_id} is ${one.status}`);
      if (entry.status !== null) text(entry.failed, "");
      entry.status = one.status;
      entry.log?.look();
    }
    if (this.open && live(one)) entry.seen = true; // what one has seen running does not vanish when it ends
    entry.li.className = `entry ${one.status}${live(one) ? "" : " over"}`;
    entry.dot.className = `dot ${one.status}`;
    text(entry.state, one.status);
    text(entry.mode, one.mode);
    text(entry.room, one.room ?? "");
    text(entry.facts, facts(one));
    entry.facts.title = Number.isFinite(one.started) ? `started ${fullTime(one.started)}` : "";
    show(entry.says, live(one) ? [one.message, one.note, one.hint].filter(Boolean).join(" ") : "");
    show(entry.error, one.error ?? "");
    entry.failed.hidden = !entry.failed.textContent;
    show(entry.tail, troubled(one) && !entry.log ? (one.log ?? []).slice(-TAIL).join("\n") : "");
    if (!live(one) && document.activeElement === entry.stop) entry.look.focus();
    entry.stop.hidden = !live(one);
    entry.stop.ariaDisabled = String(one.status === "stopping");
  }

  async #stop(id) {
    const entry = this.entries.get(id);
    if (entry.stop.ariaDisabled === "true") return;
    entry.stop.ariaDisabled = "true"; // a button that is disabled loses the focus
    show(entry.failed, "");
    try {
      await this.agents.stop(id);
    } catch (error) {
      show(entry.failed, refusal(error));
      entry.stop.ariaDisabled = "false";
    }
  }

  #log(id) {
    const entry = this.entries.get(id);
    if (entry.log) {
      entry.log.close();
      entry.log = null;
    } else {
      const going = () => this.open && !document.hidden && this.agents.list.some((one) => one.agent_id === id && live(one));
      entry.log = new AgentLog(this.agents.hub, id, going);
      entry.li.append(entry.log.element);
    }
    entry.look.setAttribute("aria-expanded", String(entry.log !== null));
    this.render();
  }

  // -- starting one -----------------------------------------------------------------------------------------------------

  #mode() {
    byId("agent-room").required = byId("agent-mode").value === "room";
  }

  async #start() {
    const given = { mode: byId("agent-mode").value, room: byId("agent-room").value.trim(), instructions: byId("agent-instructions").value.trim() };
    const wanted = Object.fromEntries(Object.entries(given).filter(([, value]) => value));
    const start = byId("agent-start");
    if (start.ariaDisabled === "true") return;
    start.ariaDisabled = "true";
    show(byId("agent-refused"), "");
    this.#point(null);
    try {
      const { agent_id: id } = await this.agents.start(wanted);
      this.entries.get(id)?.li.scrollIntoView({ block: "nearest" });
    } catch (error) {
      show(byId("agent-refused"), refusal(error));
      if (error.problem?.agent) await this.agents.refresh();
      this.#point(error.problem?.agent?.agent_id);
    }
    start.ariaDisabled = "false";
  }

  // Which agent is meant.
  #point(id) {
    for (const [one, { li }] of this.entries) {
      li.toggleAttribute("data-meant", one === id);
      if (one === id) li.scrollIntoView({ block: "nearest" });
    }
  }

  // -- the sheet --------------------------------------------------------------------------------------------------------

  #toggled(open) {
    this.open = open;
    this.all = false;
    if (!open) return;
    for (const entry of this.entries.values()) entry.seen = false;
    this.#place();
    this.agents.refresh();
    this.#follow();
  }

  #follow() {
    if (!this.open || document.hidden) return;
    for (const { log } of this.entries.values()) log?.look();
  }

  #place() {
    const { bottom, right } = this.button.getBoundingClientRect();
    const left = Math.max(8, Math.min(right - this.sheet.offsetWidth, innerWidth - this.sheet.offsetWidth - 8));
    this.sheet.style.left = `${left}px`;
    this.sheet.style.top = `${bottom + 6}px`;
    this.sheet.style.maxHeight = `calc(100dvh - ${bottom + 14}px)`;
  }

  // A popover gives the focus back to its button only where that has not been clicked with a mouse in every browser.
  #key(event) {
    if (event.key !== "Escape") return;
    event.preventDefault();
    this.sheet.hidePopover();
    this.button.focus();
  }
}

function show(element, value) {
  text(element, value);
  element.hidden = !value;
}
