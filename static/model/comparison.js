// Two sides of a comparison: sessions or versions of agents. Pure.

const MEDIAN_NEEDS = 20; // measured turns on each side
const P95_NEEDS = 100; // with fewer, the 95th percentile depends on a handful of turns
const CERTAIN = 2; // standard errors
const Z95 = 1.645; // the 95th percentile of a normal distribution, in standard deviations
const DENSITY = 0.1031; // the density of the normal distribution there
const UNIT = 1e-9; // seconds, against a division by zero

const escaped = (text) => text.replaceAll("%", "%25").replaceAll("@", "%40");
const unescaped = (text) => text.replaceAll("%40", "@").replaceAll("%25", "%");

/**
 * What a side of the address names: `{kind: "session", id, room}` or `{kind: "agent", agent, version}`; null if it is neither.
 * A room, an agent or a version that is not named is null.
 */
export function readSide(text = "") {
  const [, kind, rest] = /^(session|agent):(.+)$/s.exec(text) ?? [];
  if (!kind) return null;
  const at = rest.lastIndexOf("@");
  const [name, more] = (at < 0 ? [rest, ""] : [rest.slice(0, at), rest.slice(at + 1)]).map(unescaped);
  if (kind === "session") return name ? { kind, id: name, room: more || null } : null;
  return { kind, agent: name || null, version: more || null };
}

/** The address's text for a side. */
export function sideField(side) {
  if (side === null) return "";
  const [name, more] = side.kind === "session" ? [side.id, side.room] : [side.agent, side.version];
  return `${side.kind}:${escaped(name ?? "")}${more === null ? "" : `@${escaped(more)}`}`;
}

/** A side's figures from the API's answer for a session. */
export function ofSession(session) {
  const { counts, latency, usage = [], cost = null, turns = [], duration = null } = session;
  const sum = (name) => usage.reduce((total, model) => total + (model[name] ?? 0), 0);
  const slim = (name) => counts[name] ?? 0;
  return {
    sessions: 1, duration, turns: slim("turns"), errors: slim("errors"), tool_errors: slim("tool_errors"), interruptions: slim("interruptions"),
    input_tokens: sum("input_tokens"), output_tokens: sum("output_tokens"), cost, latency: { ...latency, ...toolTimes(turns) }, list: turns, exact: true,
  };
}

/** A side's figures from the total of a group of /api/series, whose percentiles are upper bounds of buckets. */
export const ofTotal = (total) => ({ ...total, duration: null, list: null, exact: false, cost: total.cost ?? null });

// The API has no figure for the tools of a session: the parts of its turns have the times.
function toolTimes(turns) {
  const times = turns.flatMap(({ latency }) => (latency?.parts ?? []).filter(({ name }) => name === "tools").map(({ seconds }) => seconds)).sort((a, b) => a - b);
  if (!times.length) return {};
  const nearest = (share) => times[Math.max(0, Math.ceil(share * times.length) - 1)];
  return { tools: { count: times.length, median: nearest(0.5), p95: nearest(0.95) } };
}

/** The figure that is the wait on both sides; null if there is none in common. */
export const commonWait = (a, b) => ["e2e_latency", "response_time"].find((name) => a.latency[name]?.count > 0 && b.latency[name]?.count > 0) ?? null;

/**
 * How B's percentile compares with A's: `{difference, share, verdict}`. `difference`: B's minus A's, in seconds; `share`: of A's.
 * `verdict`: `few` (too few turns to tell), `same` (no more than chance and the width of the buckets explain), `faster` or `slower`.
 *
 * Waits are about log-normally distributed, so their spread follows from median and p95, and from it and the number of turns
 * the standard error of either percentile. `resolution`: the width of the buckets that the percentiles were rounded up to, as a
 * share; the difference of two such errors has a triangular distribution.
 */
export function judge(a, b, percentile, resolution = 0) {
  const difference = b[percentile] - a[percentile];
  const share = a[percentile] > 0 ? difference / a[percentile] : null;
  const needed = percentile === "p95" ? P95_NEEDS : MEDIAN_NEEDS;
  const error = Math.hypot(standardError(a, percentile), standardError(b, percentile), Math.log(1 + resolution) / Math.sqrt(6));
  const ratio = Math.abs(Math.log(Math.max(UNIT, b[percentile]) / Math.max(UNIT, a[percentile])));
  const tellable = ratio > CERTAIN * error;
  const verdict = Math.min(a.count, b.count) < needed ? "few" : tellable ? (difference < 0 ? "faster" : "slower") : "same";
  return { difference, share, verdict, needed };
}

function standardError({ median, p95, count }, percentile) {
  const spread = Math.max(0, Math.log(Math.max(UNIT, p95) / Math.max(UNIT, median))) / Z95;
  const factor = percentile === "p95" ? Math.sqrt(0.05 * 0.95) / DENSITY : Math.sqrt(Math.PI / 2);
  return (factor * spread) / Math.sqrt(Math.max(1, count));
}

/** How wide the buckets of /api/series are, as a share; 0 if both sides have measured values. */
export const resolutionOf = (a, b) => (a.exact && b.exact ? 0 : 0.07);

/** The turns of two sessions, by number: `{number, a, b}`; a side without that turn is null. */
export function aligned(a, b) {
  const sides = [a, b].map((turns) => new Map(turns.map((turn) => [turn.number, turn])));
  const numbers = [...new Set(sides.flatMap((side) => [...side.keys()]))].sort((x, y) => x - y);
  return numbers.map((number) => ({ number, a: sides[0].get(number) ?? null, b: sides[1].get(number) ?? null }));
}
