// What the page shows, as its address says it: a view can be shared by its link. Pure but for `write`.

const NAMES = ["hub", "room", "session", "type", "text", "view", "panel", "theme", "captions", "heartbeats"];

/** The settings in an address: those of its query, then those of its fragment. */
export function read(href) {
  const { search, hash } = new URL(href);
  const given = { ...Object.fromEntries(new URLSearchParams(search)), ...Object.fromEntries(new URLSearchParams(hash.slice(1))) };
  return Object.fromEntries(NAMES.filter((name) => given[name]).map((name) => [name, given[name]]));
}

/** The address `href` with `settings` in it: in the query, or where a file has none of its own, in the fragment. */
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

export function write(settings) {
  const href = address(location.href, settings);
  if (href !== location.href) history.replaceState(null, "", href);
}
