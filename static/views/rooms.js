// The rooms and their sessions, to choose from, and what happens in them. A room is one entry; if it has several sessions,
// each has an entry below it. A room that is chosen stays chosen when its next session begins.

import { Selection } from "../model/selection.js";
import { byId, el, text } from "./dom.js";
import { duration, plural } from "../words/format.js";
import { isSilent } from "../words/session-list.js";
import { slowness } from "../words/trends.js";

/** What a session is doing, in a word or two, and the colour for it. */
export function activity(session) {
  if (session.ended) return ["ended", ""];
  if (session.agentSpeaking) return ["agent speaking", "agent"];
  if (session.userSpeaking) return ["user speaking", "user"];
  if (session.agentState === "speaking") return ["agent speaking", "agent"];
  if (session.agentState === "thinking") return ["thinking", "agent"];
  if (session.userState === "speaking") return ["user speaking", "user"];
  if (session.userState === "away") return ["user away", ""];
  return [session.agentState ?? "", ""];
}

/** Rooms with their sessions: live ones first, then the newest. A session without a room stands alone. */
function group(sessions) {
  const newest = [...sessions].sort((a, b) => Number(a.ended) - Number(b.ended) || b.serial - a.serial);
  const rooms = new Map();
  for (const session of newest) {
    const key = session.room === null ? session.key : `room ${session.room}`;
    rooms.set(key, [...(rooms.get(key) ?? []), session]);
  }
  return rooms;
}

const COUNT = 200; // ms between two looks at the running waits

export class Rooms {
  /** `choose(selection)`: an entry was clicked. */
  constructor(choose) {
    this.rail = byId("rail");
    this.states = byId("what");
    this.entries = new Map(); // key → its parts
    this.choose = choose;
    this.waiting = new Map(); // the element of a running wait → since when, the hub's epoch seconds
    setInterval(() => this.#count(), COUNT);
  }

  /** `selection`: what the page shows; `session`: its newest session, null if there is none or all are shown. */
  render(sessions, selection, session, { now, slow }) {
    Object.assign(this, { now, slow });
    const focused = document.activeElement;
    const keys = [this.#all(sessions, selection)];
    for (const [key, members] of group(sessions)) {
      keys.push(this.#room(key, members, selection));
      if (members.length > 1) keys.push(...members.map((member) => this.#session(member, selection)));
    }
    const shown = new Set(keys);
    for (const [key, entry] of this.entries) {
      if (shown.has(key)) continue;
      entry.button.remove();
      this.entries.delete(key);
    }
    keys.forEach((key, n) => {
      const { button } = this.entries.get(key);
      if (this.rail.children[n] !== button) this.rail.insertBefore(button, this.rail.children[n] ?? null);
    });
    if (focused !== document.activeElement && this.rail.contains(focused)) focused.focus(); // moving it took the focus away
    this.#header(sessions, selection, session);
  }

  #entry(key, { name, id, status = ["", ""], title = "", kind = "", selection, current, session = null }) {
    let entry = this.entries.get(key);
    if (!entry) {
      entry = { name: el("span", "name"), id: el("span"), status: el("span", "doing"), said: el("span", "said"), waits: el("span", "waits") };
      entry.button = el("button", "", entry.name, el("span", "what", entry.id, entry.status), el("span", "what", entry.said, entry.waits));
      entry.button.type = "button";
      entry.button.onclick = () => this.choose(entry.selection);
      this.entries.set(key, entry);
    }
    const [word, tone] = status;
    text(entry.name, name);
    text(entry.id, id);
    text(entry.status, word);
    entry.status.className = `doing ${tone}`;
    entry.button.className = kind;
    entry.button.title = title;
    entry.button.setAttribute("aria-current", String(current));
    entry.selection = selection;
    this.#talk(entry, session);
    return key;
  }

  // The last words of a live session, and its wait: the one that is running, or else the 95th percentile so far.
  #talk({ said, waits }, session) {
    const live = session && !session.ended;
    said.parentElement.hidden = !live;
    text(said, live ? session.said.slice(0, 120) : "");
    this.waiting.delete(waits);
    if (live && session.waiting !== null && !isSilent(session.waiting, this.now())) this.waiting.set(waits, session.waiting);
    else {
      const sorted = live ? [...session.waits].sort((a, b) => a - b) : [];
      const p95 = sorted[Math.ceil(0.95 * sorted.length) - 1];
      text(waits, p95 === undefined ? "" : `p95 ${duration(p95)}`);
      waits.className = `waits ${slowness(p95, this.slow())}`;
    }
    this.#count();
  }

  #count() {
    for (const [element, since] of this.waiting) {
      const passed = Math.max(0, this.now() - since);
      text(element, `waits ${passed.toFixed(1)} s`);
      element.className = `waits ${slowness(passed, this.slow())}`;
    }
  }

  #activity(session) {
    const silent = !session.ended && isSilent(session.at, this.now());
    return silent ? [`silent for ${duration(this.now() - session.at)}`, "silent"] : activity(session);
  }

  #all(sessions, selection) {
    const id = sessions.size ? plural(sessions.size, "session") : "none yet";
    return this.#entry("all", { name: "All rooms", id, selection: new Selection(), current: selection.everything });
  }

  #room(key, members, chosen) {
    const [newest] = members;
    const { room, name } = newest;
    const several = members.length > 1;
    const selection = room === null ? Selection.of(newest) : new Selection({ room });
    const alone = !several && chosen.includes({ session: newest }) && !chosen.everything;
    return this.#entry(key, {
      name: room ?? "no room",
      id: several ? plural(members.length, "session") : (name ?? ""),
      status: several ? undefined : this.#activity(newest), // then each session shows its own
      session: several ? null : newest,
      title: [room ?? "no room", several ? "" : name, newest.agent].filter(Boolean).join(" · "),
      kind: newest.ended ? "ended" : "",
      selection,
      current: alone || chosen.equals(selection),
    });
  }

  #session(session, chosen) {
    const selection = Selection.of(session);
    const { name, agent, ended, key } = session;
    return this.#entry(`session ${key}`, {
      name: name ?? "no session name",
      id: "",
      status: this.#activity(session),
      session,
      title: [session.room, name, agent].filter(Boolean).join(" · "),
      kind: `session${ended ? " ended" : ""}`,
      selection,
      current: chosen.equals(selection) || (chosen.session !== "" && chosen.includes({ session })),
    });
  }

  // The line above the conversation: the agent's and the user's state in the session that is shown.
  #header(sessions, selection, shown) {
    const live = [...sessions].filter((session) => !session.ended && !isSilent(session.at, this.now()));
    const session = shown ?? (selection.everything && live.length === 1 ? live[0] : null);
    const speaking = [...sessions].filter((other) => other.agentSpeaking && selection.includes({ session: other }));
    byId("speaking").hidden = speaking.length === 0;
    const lines = [];
    const line = (who, state, on) => {
      const made = el("span", `${who} ${on ? "on" : ""}`, el("b", "", who), ` ${state}`);
      made.id = `${who}-state`;
      lines.push(made);
    };
    if (session?.ended) lines.push(el("span", "", "session ended"));
    else if (session) {
      const agent = session.agentSpeaking ? "speaking" : (session.agentState ?? "–");
      const user = session.userSpeaking ? "speaking" : (session.userState ?? "–");
      line("agent", agent, agent === "speaking" || agent === "thinking");
      line("user", user, user === "speaking");
      const used = (session.usage ?? []).map((model) => [model?.model, tokens(model)].filter(Boolean).join(" "));
      if (used.length) lines.push(Object.assign(el("span", "used", used.join(" · ")), { title: used.join("\n") }));
    } else if (sessions.size && selection.everything) lines.push(el("span", "", `${plural(sessions.size, "session")}, ${live.length} live`));
    else lines.push(el("span", "", "no session yet"));
    this.states.replaceChildren(...lines);
  }
}

function tokens(model) {
  const sum = (model?.input_tokens ?? 0) + (model?.output_tokens ?? 0);
  return sum ? `${sum} tokens` : "";
}
