// The rooms and sessions there are, to choose from, and what is going on in those that are shown.

import { byId, el, text } from "./dom.js";
import { plural } from "./format.js";

/** What a session is doing, in a word or two, and whose colour it has. */
export function doing(session) {
  if (session.ended) return ["ended", ""];
  if (session.agentSpeaking) return ["agent speaking", "agent"];
  if (session.userSpeaking) return ["user speaking", "user"];
  if (session.agentState === "speaking") return ["agent speaking", "agent"];
  if (session.agentState === "thinking") return ["thinking", "agent"];
  if (session.userState === "speaking") return ["user speaking", "user"];
  if (session.userState === "away") return ["user away", ""];
  return [session.agentState ?? "", ""];
}

const all = Symbol("all rooms");

export class Rooms {
  constructor(choose) {
    this.rail = byId("rail");
    this.states = byId("what");
    this.entries = new Map();
    this.choose = choose;
    this.#entry(all, () => choose(null)).name.textContent = "All rooms";
  }

  #entry(key, act) {
    const parts = { name: el("span", "name"), id: el("span"), doing: el("span", "doing") };
    const button = el("button", "", parts.name, el("span", "what", parts.id, parts.doing));
    button.type = "button";
    button.onclick = act;
    const entry = { ...parts, button };
    this.entries.set(key, entry);
    return entry;
  }

  /** `sessions`: those there are; `chosen`: one of them, or null for all. */
  render(sessions, chosen) {
    const newest = [...sessions].sort((a, b) => Number(a.ended) - Number(b.ended) || b.serial - a.serial);
    const wanted = [all, ...newest];
    for (const [key, entry] of this.entries) {
      if (key !== all && !sessions.has(key)) {
        entry.button.remove();
        this.entries.delete(key);
      }
    }
    const focused = document.activeElement;
    wanted.forEach((key, n) => {
      const entry = this.entries.get(key) ?? this.#entry(key, () => this.choose(key));
      if (key === all) text(entry.id, sessions.size ? plural(sessions.size, "session") : "none yet");
      else this.#fill(entry, key);
      entry.button.setAttribute("aria-current", String((chosen ?? all) === key));
      if (this.rail.children[n] !== entry.button) this.rail.insertBefore(entry.button, this.rail.children[n] ?? null);
    });
    if (focused !== document.activeElement && this.rail.contains(focused)) focused.focus(); // moving it took the focus away
    this.#what(newest, chosen);
  }

  #fill(entry, session) {
    text(entry.name, session.room ?? "no room");
    text(entry.id, session.name ?? "");
    const [word, who] = doing(session);
    text(entry.doing, word);
    entry.doing.className = `doing ${who}`;
    entry.button.className = session.ended ? "ended" : "";
    entry.button.title = [session.room ?? "no room", session.name, session.agent].filter(Boolean).join(" · ");
  }

  // The line over the conversation: of the session that is shown, its agent's and its user's state.
  #what(sessions, chosen) {
    const live = sessions.filter((one) => !one.ended);
    const one = chosen ?? (live.length === 1 ? live[0] : null);
    const speaking = (chosen ? [chosen] : sessions).filter((session) => session.agentSpeaking);
    byId("speaking").hidden = speaking.length === 0;
    const lines = [];
    const line = (who, state, on) => {
      const made = el("span", `${who} ${on ? "on" : ""}`, el("b", "", who), ` ${state}`);
      made.id = `${who}-state`;
      lines.push(made);
    };
    if (one?.ended) lines.push(el("span", "", "session ended"));
    else if (one) {
      const agent = one.agentSpeaking ? "speaking" : (one.agentState ?? "–");
      const user = one.userSpeaking ? "speaking" : (one.userState ?? "–");
      line("agent", agent, agent === "speaking" || agent === "thinking");
      line("user", user, user === "speaking");
      const used = (one.usage ?? []).map((model) => [model?.model, tokens(model)].filter(Boolean).join(" "));
      if (used.length) lines.push(Object.assign(el("span", "used", used.join(" · ")), { title: used.join("\n") }));
    } else if (sessions.length) lines.push(el("span", "", `${plural(sessions.length, "session")}, ${live.length} live`));
    else lines.push(el("span", "", "no session yet"));
    this.states.replaceChildren(...lines);
  }
}

function tokens(model) {
  const sum = (model?.input_tokens ?? 0) + (model?.output_tokens ?? 0);
  return sum ? `${sum} tokens` : "";
}
