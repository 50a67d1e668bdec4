// Reads lines `{"all": [event, …], "condensed": [event, …]}`, and answers each with the page's sessions and items of both.

import { createInterface } from "node:readline";

import { parts } from "../../static/model/agent-text.js";
import { State } from "../../static/model/state.js";

function seen(events) {
  const state = new State();
  for (const event of events) state.apply(event);
  const sessions = [...state.sessions.values()].map(({ room, name, agent, agentState, userState, agentSpeaking, userSpeaking, ended, usage }) => ({
    room, name, agent, agentState, userState, agentSpeaking, userSpeaking, ended, usage,
  }));
  const items = state.items.map(({ kind, session, at, role, participant, agent, text, interim, generated, said, interrupted, position, generating, speaking, lost, name, given, running, finished, output, failed, duration, title, metrics, ...item }) => ({
    kind, at, role, participant, agent, text, interim, said, interrupted, position, generating, speaking, lost, name, given, running, finished, output, failed, duration, title, metrics,
    where: session && [session.room, session.name],
    unsaid: item.reply?.unsaid === true,
    shown: role === "agent" ? parts({ ...item, generated, said, interrupted, position, interim }) : null,
  }));
  return { sessions: sessions.sort((a, b) => JSON.stringify([a.room, a.name]).localeCompare(JSON.stringify([b.room, b.name]))), items };
}

for await (const line of createInterface({ input: process.stdin })) {
  const { all, condensed } = JSON.parse(line);
  console.log(JSON.stringify([seen(all), seen(condensed)]));
}
