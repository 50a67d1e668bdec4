// The page's words about errors. Pure.

/** Whether sessions went on after an error. */
export const recovery = (recoverable) => (recoverable === true ? "yes" : recoverable === false ? "no" : "unknown");

/** A share of a whole in percent: `0 %`, `0.4 %`, `12 %`; "" of nothing. */
export function percent(part, whole) {
  if (!(whole > 0)) return "";
  const share = (100 * part) / whole;
  if (share > 0 && share < 0.05) return "< 0.1 %";
  return `${share < 10 ? Number(share.toFixed(1)) : Math.round(share)} %`;
}

/** The identity of a group: errors have a source and a message, tools a name. */
export const keyOf = ({ source, message, name }) => (name === undefined ? JSON.stringify([source, message]) : JSON.stringify(name));

/** How long ago something was: `12 s ago`, `3 min ago`, `2 h ago`, `5 days ago`. */
export function ago(seconds, now) {
  const past = Math.max(0, now - seconds);
  if (!Number.isFinite(past)) return "";
  if (past < 60) return `${Math.round(past)} s ago`;
  if (past < 3600) return `${Math.round(past / 60)} min ago`;
  if (past < 172_800) return `${Math.round(past / 3600)} h ago`;
  return `${Math.round(past / 86_400)} days ago`;
}
