// What the page says of access: who is signed in, what is shared, and why a sign-in is needed.

import { clock } from "./format.js";

const ENDED = {
  token_expired: "Your access has expired.",
  access_revoked: "Your access was revoked.",
};

/** Whether the hub requires a credential that this page does not have. */
export const lacking = (access) => access?.auth === "required" && access.subscribe?.length === 0 && access.session === null;

/** Why a sign-in is needed. `ended`: the reason of the stream's end, if it had begun; `held`: whether the tab has a credential. */
export function whySignIn(ended, held) {
  if (ENDED[ended]) return ENDED[ended];
  return held ? "This link or key is not valid any more." : "This hub requires a key.";
}

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
