// The credential of this tab: the token of a shared link, or a key that was typed into a page of another origin. A browser
// that has signed in needs none, because it has a cookie.

const NAME = "event-hub-credential";
const PARAMETER = "access_token";

/** Take the token out of the page's address, where others could read it. Returns this tab's credential for `hub`, or "". */
export function takeCredential(hub) {
  const url = new URL(location.href);
  const fields = new URLSearchParams(url.hash.slice(1));
  const given = url.searchParams.get(PARAMETER) ?? fields.get(PARAMETER);
  if (given !== null) {
    url.searchParams.delete(PARAMETER);
    if (fields.has(PARAMETER)) {
      fields.delete(PARAMETER);
      url.hash = fields;
    }
    history.replaceState(history.state, "", url.href);
    keepCredential(hub, given);
  }
  return given ?? stored(hub);
}

/** Keep a credential for as long as the tab is open; "" forgets it. Where the browser stores nothing, until the page is left. */
export function keepCredential(hub, text) {
  try {
    if (text) sessionStorage.setItem(`${NAME} ${hub}`, text);
    else sessionStorage.removeItem(`${NAME} ${hub}`);
  } catch {
    // storage is turned off
  }
}

function stored(hub) {
  try {
    return sessionStorage.getItem(`${NAME} ${hub}`) ?? "";
  } catch {
    return "";
  }
}

/** `address` with the credential in its query, for what cannot send headers: EventSource and links. */
export function withCredential(address, text) {
  return text ? `${address}${address.includes("?") ? "&" : "?"}${PARAMETER}=${encodeURIComponent(text)}` : address;
}
