// What the page says of access: who is signed in, what is shared, and why a sign-in is needed. Pure.

import { clock, duration } from "./format.js";

const ENDED = {
  token_expired: "Your access has expired.",
  access_revoked: "Your access was revoked.",
};

/** Whether the hub requires a credential that this page does not have. */
export const lacking = (access) => access?.auth === "required" && access.subscribe?.length === 0 && access.session === null;

/** Whether a page with `access` shows the same events as one with `other`. */
export const sameView = (access, other) => view(access) === view(other);

const view = ({ kind, label, subscribe, session }) => JSON.stringify([kind, label, subscribe, session]);

/**
 * Why a sign-in is needed. `access`: what the hub says of this page; `ended`: the reason of the stream's end, if it had begun;
 * `held`: whether the tab has a credential.
 */
export function whySignIn(access, ended, held) {
  if (access.kind !== "anonymous") return `${access.label} may not see events. Sign in with another key.`;
  if (ENDED[ended]) return ENDED[ended];
  return held ? "This link or key is not valid any more." : "This hub requires a key.";
}

/** Why a key was refused: `error` is the `HubError`. */
export function refusedKey({ message, problem, retryAfter }) {
  if (problem?.code === "bad_credential") return "That is not a key of this hub.";
  if (problem?.status !== 429) return message;
  const what = problem.code === "too_many_failures" ? "wrong keys" : "requests";
  return `There were too many ${what} from your address. Try again in ${duration(Math.ceil(retryAfter / 1000))}.`;
}

/** Whether a shared link shows one room or session, so that there is nothing to choose from. */
export const sharesOne = (access) => access.kind === "share" && (access.session !== null || (access.subscribe.length === 1 && !access.subscribe[0].includes("*")));

/** What a shared link shows, in a sentence; "" if this is none. */
export function sharedView(access) {
  if (access?.kind !== "share") return "";
  const rooms = access.subscribe.map((room) => `“${room}”`).join(", ");
  const what = access.session !== null ? `session “${access.session}”` : `room${access.subscribe.length > 1 ? "s" : ""} ${rooms}`;
  return `Shared view of ${what}, until ${until(access.expires_at)}`;
}

function until(seconds) {
  const end = new Date(seconds * 1000);
  const today = end.toDateString() === new Date().toDateString();
  return today ? clock(seconds).slice(0, 5) : end.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}
