// The hub's agents: a button in the header with their state, and a sheet that lists, starts and stops them.

import { AgentLog } from "./agent-log.js";
import { exitMessage, facts, failed, links, live, refusal, summary } from "../words/agents.js";
import { button, byId, el, link, text, toast } from "./dom.js";
import { fullTime } from "../words/format.js";

const ENDED = 3; // agents that have ended and are listed without a click
const TAIL = 6; // last lines of a crashed agent's log that are shown without a click

export class AgentsPanel {
  /** `agents`: the `Agents` to show. */
  constructor(agents, api) {
    this.agents = agents;
    this.api = api;
    this.button = byId("agents");
    this.sheet = byId("agents-sheet");
    this.list = byId("agents-list");
    this.entries = new Map(); // agent_id → its parts
    this.open = false;
    this.all = false; // whether all that have ended are shown
    this.more = byId("agents-more");
    this.more.onclick = () => {
      const first = [...this.entries.values()].find(({ li }) => li.hidden);
      this.all = true;
      this.render();
      first?.logButton.focus(); // the button that was pressed is gone
    };
    this.sheet.addEventListener("toggle", ({ newState }) => this.#toggled(newState === "open"));
    this.sheet.addEventListener("keydown", (event) => this.#key(event));
    addEventListener("resize", () => this.open && this.#place());
    document.addEventListener("visibilitychange", () => this.#follow()); // a hidden page does not update logs
    byId("agent-form").onsubmit = (event) => {
      event.preventDefault();
      this.#start();
    };
    byId("agent-mode").onchange = () => this.#mode();
    this.#mode();
    agents.watch(() => this.render());
    this.render();
  }

  /** Take a live event: a crash is announced even if the sheet is closed. */
  take(event) {
    if (event.type !== "agent_process_exited" || this.open) return;
    const message = exitMessage(event);
    if (message) toast(message);
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
    text(away, error ? `${error.replace(/[.]$/, "")}. The list below may be out of date.` : "");
    byId("agents-none").hidden = !known || list.length > 0;
    const listed = new Set(list.map((agent) => agent.agent_id));
    for (const [id, entry] of this.entries) {
      if (listed.has(id)) continue;
      entry.log?.close();
      entry.li.remove();
      this.entries.delete(id);
    }
    const ended = list.filter((agent) => !live(agent));
    const old = this.all ? [] : ended.slice(ENDED).filter((agent) => !this.entries.get(agent.agent_id)?.seen);
    this.more.hidden = old.length === 0;
    text(this.more, `Show ${old.length} older`);
    list.forEach((agent, n) => {
      const entry = this.entries.get(agent.agent_id) ?? this.#entry(agent.agent_id);
      this.#fill(entry, agent);
      entry.li.hidden = old.includes(agent);
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
      says: el("p", "says"), links: el("p", "links"), error: el("p", "bad"), failed: el("p", "bad"), tail: el("pre"), log: null, status: null, seen: false,
      logButton: named("Log", () => this.#log(id)), stop: named("Stop", () => this.#stop(id)),
    };
    entry.stop.setAttribute("aria-label", `Stop ${id}`);
    entry.logButton.setAttribute("aria-expanded", "false");
    entry.dot.ariaHidden = "true";
    entry.failed.setAttribute("role", "alert");
    const head = el("div", "head", entry.dot, entry.state, entry.mode, entry.room, entry.logButton, entry.stop);
    entry.li = el("li", "entry", head, entry.facts, entry.says, entry.links, entry.error, entry.failed, entry.tail);
    this.entries.set(id, entry);
    return entry;
  }

  #fill(entry, agent) {
    if (entry.status !== agent.status) {
      const changed = entry.status !== null || (live(agent) && this.open);
      if (changed) text(byId("announce"), `Agent ${agent.agent_id} is ${agent.status}`);
      if (entry.status !== null) text(entry.failed, "");
      entry.status = agent.status;
      entry.log?.load();
    }
    if (this.open && live(agent)) entry.seen = true; // an agent that was seen running stays listed when it ends
    entry.li.className = `entry ${agent.status}${live(agent) ? "" : " ended"}`;
    entry.dot.className = `dot ${agent.status}`;
    text(entry.state, agent.status);
    text(entry.mode, agent.mode);
    text(entry.room, agent.room ?? "");
    text(entry.facts, facts(agent));
    entry.facts.title = Number.isFinite(agent.started) ? `started ${fullTime(agent.started)}` : "";
    show(entry.says, live(agent) ? [agent.message, agent.note, agent.hint].filter(Boolean).join(" ") : "");
    this.#link(entry, live(agent) ? links(agent) : []);
    show(entry.error, agent.error ?? "");
    entry.failed.hidden = !entry.failed.textContent;
    show(entry.tail, failed(agent) && !entry.log ? (agent.log ?? []).slice(-TAIL).join("\n") : "");
    if (!live(agent) && document.activeElement === entry.stop) entry.logButton.focus();
    entry.stop.hidden = !live(agent);
    entry.stop.ariaDisabled = String(agent.status === "stopping");
  }

  #link(entry, wanted) {
    const shown = [...entry.links.children];
    if (shown.length === wanted.length && shown.every(({ href }, n) => href === wanted[n].url)) return; // keeps the focus
    entry.links.replaceChildren(...wanted.map(({ label, url }) => link(label, url)));
    entry.links.hidden = wanted.length === 0;
  }

  async #stop(id) {
    const entry = this.entries.get(id);
    if (entry.stop.ariaDisabled === "true") return;
    entry.stop.ariaDisabled = "true"; // a disabled button would lose the focus
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
      const active = () => this.open && !document.hidden && this.agents.list.some((agent) => agent.agent_id === id && live(agent));
      entry.log = new AgentLog(this.api, id, active);
      entry.li.append(entry.log.element);
    }
    entry.logButton.setAttribute("aria-expanded", String(entry.log !== null));
    this.render();
  }

  // -- starting an agent --------------------------------------------------------------------------------------------------

  #mode() {
    const mode = byId("agent-mode").value;
    byId("agent-room").required = mode === "room";
    for (const id of ["agent-room", "agent-instructions"]) byId(id).disabled = mode === "gateway";
  }

  async #start() {
    const value = (id) => (byId(id).disabled ? "" : byId(id).value.trim());
    const given = { mode: value("agent-mode"), room: value("agent-room"), instructions: value("agent-instructions") };
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

  // Outline the agent that an error is about.
  #point(id) {
    for (const [agent, { li }] of this.entries) {
      li.toggleAttribute("data-meant", agent === id);
      if (agent === id) li.scrollIntoView({ block: "nearest" });
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
    for (const { log } of this.entries.values()) log?.load();
  }

  #place() {
    const { bottom, right } = this.button.getBoundingClientRect();
    const left = Math.max(8, Math.min(right - this.sheet.offsetWidth, innerWidth - this.sheet.offsetWidth - 8));
    this.sheet.style.left = `${left}px`;
    this.sheet.style.top = `${bottom + 6}px`;
    this.sheet.style.maxHeight = `calc(100dvh - ${bottom + 14}px)`;
  }

  // Not every browser returns the focus to the button if it was clicked with a mouse.
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
