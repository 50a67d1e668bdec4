// The page's words about agents, from the hub's agent status. Pure.

import { clock, isWebAddress, plural } from "./format.js";

const LIVE = new Set(["starting", "ready", "stopping", "restarting"]);

/** Whether an agent has not ended. */
export const live = ({ status }) => LIVE.has(status);

/** Whether its state is about to change. */
export const changing = ({ status }) => LIVE.has(status) && status !== "ready";

const URGENT = ["restarting", "stopping", "starting", "ready"];

/** The label of the agents button, and its tone: a state, or "" if no agent runs. `agents`: newest first. */
export function summary(agents) {
  const running = agents.filter(live);
  if (running.length > 1) {
    const tone = URGENT.find((status) => running.some((agent) => agent.status === status));
    return { label: `${running.length} agents`, tone };
  }
  const [agent] = running.length ? running : agents.filter(({ status }, n) => n === 0 && status === "crashed");
  return agent ? { label: `Agent: ${agent.status}`, tone: agent.status } : { label: "Agents", tone: "" };
}

const SIGNALS = { 1: "SIGHUP", 2: "SIGINT", 6: "SIGABRT", 9: "SIGKILL", 11: "SIGSEGV", 15: "SIGTERM" };

/** An agent's details on one line. */
export function facts({ agent_id: id, pid, since, restart, restarts, exit_code: code, found }) {
  return [
    id,
    pid && `pid ${pid}`,
    since && `since ${clock(since)}`,
    restart === "always" && "always runs",
    restarts && `restarted ${plural(restarts, "time")}`,
    code && (code < 0 ? `killed by ${SIGNALS[-code] ?? `signal ${-code}`}` : `exit code ${code}`),
    found && "started by a previous hub process",
  ].filter(Boolean).join(" · ");
}

/** The links to what a service serves: `{label, url}`. Only http and https addresses are links. */
export function links({ mode, address }) {
  if (!isWebAddress(address)) return [];
  const base = new URL(address);
  const pages = mode === "gateway" ? [["Voice", "voice.html"], ["Text chat", "websocket_client.html"], ["LLM chat", "chat_client.html"]] : [];
  return [{ label: address, url: base.href }, ...pages.map(([label, page]) => ({ label, url: new URL(page, base).href }))];
}

/** Whether it failed, so that the last lines of its log are worth showing. */
export const failed = ({ status, error }) => status === "crashed" || status === "restarting" || Boolean(error && status === "stopped");

/** The first sentence of a text. */
export const firstSentence = (text) => /^.*?[.!?:](?=\s|$)/s.exec(text)?.[0].replace(/:$/, ".") ?? text;

/** The message about an `agent_process_exited`; "" if the agent was stopped or finished. */
export function exitMessage({ agent, reason, status, error }) {
  if (reason === "stopped" || reason === "killed" || !(error || reason === "crashed")) return "";
  const what = status === "restarting" ? "crashed and is restarting" : status === "crashed" ? "crashed" : "ended";
  return `Agent ${agent} ${what}${error ? `: ${firstSentence(String(error))}` : ""}`;
}

const ADVISED = new Set(["forbidden_origin", "too_many_agents", "unknown_agent"]);

/** Why a request failed: in the hub's own words if it refused, otherwise why it could not be reached. */
export function refusal({ problem, message }) {
  if (!problem) return sentence(message);
  const advice = ADVISED.has(problem.code) ? ` ${problem.advice}` : "";
  const detail = problem.detail.replace('start with {"mode": "scripted"}', "start one in scripted mode");
  return sentence(detail.replace(/^[a-z](?=[a-z]* )/, (first) => first.toUpperCase())) + advice;
}

/** The same for a caller: a scripted agent does not listen, so it is no advice. */
export const refusalToTalk = (error) => refusal(error).replace("start one in scripted mode", "set AGENT_PROVIDERS=local");

const sentence = (text) => (/[.!?]$/.test(text) ? text : `${text}.`);

/** Whether one of these agents joins a LiveKit room when a caller does. */
export const willJoin = (agents, room) => agents.some((agent) => agent.status === "ready" && serves(agent, room));

/** The agent that will join it once it has started, if any. */
export const startingFor = (agents, room) => agents.find((agent) => (agent.status === "starting" || agent.status === "restarting") && serves(agent, room));

const serves = ({ mode, room: own }, room) => mode === "worker" || (mode === "room" && own === room);
