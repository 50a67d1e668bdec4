// A session on one time axis: when it was, what each side said, what each answer waited for. Pure.

const LEAST = 10; // s that the axis has at least

/** The parts of a turn's wait in the order in which they happen, each with its place: `[{name, start, seconds}]`, in epoch seconds. */
export function waterfall({ user, agent, began, latency }) {
  if (!latency) return [];
  const from = user?.stopped ?? (agent?.started !== undefined && latency.total !== undefined ? agent.started - latency.total : began);
  if (from === undefined) return [];
  let at = from;
  const rest = latency.unaccounted > 0 ? [{ name: "unaccounted", seconds: latency.unaccounted }] : [];
  return [...latency.parts, ...rest].filter(({ seconds }) => seconds > 0).map(({ name, seconds }) => {
    const part = { name, start: at, seconds };
    at += seconds;
    return part;
  });
}

/** When a turn begins and ends, in epoch seconds; the end of the newest one may be unknown. */
export function extent({ began, user, agent }) {
  const starts = [began, user?.started, agent?.started].filter(Number.isFinite);
  const ends = [user?.started, user?.stopped, agent?.started, agent?.stopped, began].filter(Number.isFinite);
  return [Math.min(...starts), Math.max(...ends)];
}

/** The axis of a session document, from and until in epoch seconds. `now`: for a live session; null if it has ended. */
export function span({ started, updated, ended, recording, turns }, now = null) {
  const times = turns.flatMap((turn) => extent(turn)).filter(Number.isFinite);
  const from = Math.min(...[recording?.started, started, ...times.slice(0, 2)].filter(Number.isFinite));
  const sound = Number.isFinite(recording?.started) ? recording.started + recording.duration : null;
  const until = Math.max(...[now ?? ended ?? updated, sound, ...times.slice(-4)].filter(Number.isFinite));
  if (!Number.isFinite(from)) return null;
  return { from, until: Math.max(until, from + LEAST) };
}

/** The turn that is heard at a time: the last one that has begun; null before the first. */
export function turnAt(turns, at) {
  let low = 0;
  let high = turns.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (extent(turns[middle])[0] <= at + 0.05) low = middle + 1;
    else high = middle;
  }
  return turns[low - 1] ?? null;
}

/** The turns that overlap a stretch; turns are in order. */
export function within(turns, from, until) {
  return turns.filter((turn) => {
    const [begin, end] = extent(turn);
    const bars = waterfall(turn);
    const last = bars.length ? bars.at(-1).start + bars.at(-1).seconds : end;
    return begin <= until && Math.max(end, last) >= from;
  });
}

const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];

/** Seconds between two marks of an axis that has so many pixels a second. */
export const markStep = (scale) => STEPS.find((step) => step * scale >= 70) ?? 3600;

/** Seconds since the start as `1:23`, `1:02:03`, with tenths if `fine`. */
export function offset(seconds, fine = false) {
  const sign = seconds < 0 ? "−" : "";
  const total = Math.abs(fine ? Math.round(seconds * 10) / 10 : Math.floor(seconds));
  const [h, m, s] = [Math.floor(total / 3600), Math.floor((total % 3600) / 60), total % 60];
  const rest = fine ? s.toFixed(1).padStart(4, "0") : String(Math.floor(s)).padStart(2, "0");
  return `${sign}${h ? `${h}:${String(m).padStart(2, "0")}` : m}:${rest}`;
}

/** The tool calls of a turn, with their arguments and outputs from the conversation. */
export function callsOf({ tools = [] }, conversation) {
  return tools.map((tool) => ({ ...conversation.find((item) => item.kind === "tool" && item.call_id === tool.call_id), ...tool }));
}

/** What of a list with `at` belongs to a turn: from its beginning until the next one begins. */
export function during(list, turns, turn) {
  const index = turns.indexOf(turn);
  const from = index ? extent(turn)[0] : -Infinity;
  const until = index + 1 < turns.length ? extent(turns[index + 1])[0] : Infinity;
  return list.filter(({ at }) => at >= from && at < until);
}
