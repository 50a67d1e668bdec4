// The page's settings in its address, so that a view can be shared as a link. Pure.

const NAMES = ["hub", "room", "session", "type", "text", "view", "panel", "theme", "captions", "heartbeats"];

/** The settings in an address: in its query, or in its fragment, which takes precedence. */
export function read(href) {
  const { search, hash } = new URL(href);
  const given = { ...Object.fromEntries(new URLSearchParams(search)), ...Object.fromEntries(new URLSearchParams(hash.slice(1))) };
  return Object.fromEntries(NAMES.filter((name) => given[name]).map((name) => [name, given[name]]));
}

/** The address `href` with these settings: in its query, or for a file, which cannot have one, in its fragment. */
export function address(href, settings) {
  const url = new URL(href);
  const text = new URLSearchParams(NAMES.filter((name) => settings[name]).map((name) => [name, settings[name]])).toString();
  if (url.protocol === "file:") url.hash = text;
  else {
    url.search = text;
    url.hash = "";
  }
  return url.href;
}
