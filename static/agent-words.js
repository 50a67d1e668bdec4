// What the page says of agents that the hub has started, from what the hub's status says. Pure.

import { clock, plural } from "./format.js";

const LIVE = new Set(["starting", "ready", "stopping", "restarting"]);

/** Whether something can still happen to it. */
export const live = ({ status }) => LIVE.has(status);

/** Whether something is about to happen to it. */
export const moving = ({ status }) => LIVE.has(status) && status !== "ready";

const URGENT = ["restarting", "stopping", "starting", "ready"];

/** What the button says: `{label, tone}`; the tone is a state, or "" where no agent runs. `agents`: newest first. */
export function summary(agents) {
  const running = agents.filter(live);
  if (running.length > 1) {
    const tone = URGENT.find((status) => running.some((one) => one.status === status));
    return { label: `${running.length} agents`, tone };
  }
  const [one] = running.length ? running : agents.filter(({ status }, n) => n === 0 && status === "crashed");
  return one ? { label: `Agent: ${one.status}`, tone: one.status } : { label: "Agents", tone: "" };
}

const SIGNALS = { 1: "SIGHUP", 2: "SIGINT", 6: "SIGABRT", 9: "SIGKILL", 11: "SIGSEGV", 15: "SIGTERM" };

/** One line of what is known of an agent. */
export function facts({ agent_id: id, pid, since, restarts, exit_code: code, found }) {
  return [
    id,
    pid && `pid ${pid}`,
    since && `since ${clock(since)}`,
    restarts && `started again ${plural(restarts, "time")}`,
    code && (code < 0 ? `ended by ${SIGNALS[-code] ?? `signal ${-code}`}` : `exit code ${code}`),
    found && "started by an earlier hub",
  ].filter(Boolean).join(" · ");
}

/** Whether the last lines of its log say what is wrong with it. */
export const troubled = ({ status, error }) => status === "crashed" || status === "restarting" || Boolean(error && status === "stopped");

/** The first sentence of a text. */
export const firstSentence = (text) => /^.*?[.!?:](?=\s|$)/s.exec(text)?.[0].replace(/:$/, ".") ?? text;

/** What an `agent_process_exited` is to tell to who does not look; "" where it ended as it should. */
export function ending({ agent, reason, status, error }) {
  if (reason === "stopped" || reason === "killed" || !(error || reason === "crashed")) return "";
  const what = status === "restarting" ? "has crashed and is started again" : status === "crashed" ? "has crashed" : "has ended";
  return `Agent ${agent} ${what}${error ? `: ${firstSentence(String(error))}` : ""}`;
}

const ADVISED = new Set(["forbidden_origin", "too_many_agents", "unknown_agent"]);

/** Why a hub has refused something, in its own words; else why it could not be asked. */
export function refusal({ problem, message }) {
  if (!problem) return ended(message);
  const advice = ADVISED.has(problem.code) ? ` ${problem.advice}` : "";
  const detail = problem.detail.replace('start with {"mode": "scripted"}', "start one in the mode scripted");
  return ended(detail.replace(/^[a-z](?=[a-z]* )/, (first) => first.toUpperCase())) + advice;
}

/** The same for who wants to talk: no scripted agent hears anybody. */
export const refusalToTalk = (error) => refusal(error).replace("start one in the mode scripted", "set AGENT_PROVIDERS=local");

const ended = (text) => (/[.!?]$/.test(text) ? text : `${text}.`);

/** Whether one of these agents will come to a LiveKit room when somebody joins it. */
export const comes = (agents, room) => agents.some((one) => one.status === "ready" && takes(one, room));

/** The agent that is on its way to where it would, if there is one. */
export const coming = (agents, room) => agents.find((one) => (one.status === "starting" || one.status === "restarting") && takes(one, room));

const takes = ({ mode, room: own }, room) => mode === "worker" || (mode === "room" && own === room);
