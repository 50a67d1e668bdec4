// The views of the page and their addresses. Pure.
//
// On a hub, the view is the path: /sessions/<id>?turn=12. A page from disk has it in the fragment: #/sessions/<id>?turn=12; there,
// a fragment without a slash (#room=demo) is the live view.

/** View → the path below the hub. A session's path is followed by its id. */
const PATHS = { live: "", sessions: "sessions", compare: "compare", trends: "trends", errors: "errors", events: "events", agents: "agents", talk: "talk" };
const KEPT = ["hub", "theme"]; // fields that stay when another view is chosen

/** What an address shows: `{view, id, fields}`. `base`: the path of the hub, without a slash at its end. */
export function readRoute(href, base = "") {
  const url = new URL(href);
  const disk = url.protocol === "file:";
  const fragment = url.hash.slice(1);
  const [path, query] = disk ? split(fragment.startsWith("/") ? fragment.slice(1) : `?${fragment}`) : [url.pathname.slice(base.length + 1), url.search];
  const [head, id] = path.split("/");
  const fields = Object.fromEntries(new URLSearchParams(query));
  if (head === "sessions" && id) return { view: "session", id: decode(id), fields };
  const view = Object.keys(PATHS).find((name) => name !== "live" && PATHS[name] === head) ?? "live";
  return { view, id: null, fields };
}

/** The address of a view, from any address of the same page. `fields` without a value are left out. */
export function routeAddress(href, { view, id = null, fields = {} }, base = "") {
  const url = new URL(href);
  const path = view === "session" ? `sessions/${encodeURIComponent(id)}` : PATHS[view];
  const some = Object.entries({ ...kept(href, base), ...fields }).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const query = new URLSearchParams(some.flatMap(([name, value]) => [value].flat().map((item) => [name, item]))).toString();
  if (url.protocol === "file:") url.hash = view === "live" ? query : `/${path}${query && `?${query}`}`;
  else {
    url.pathname = `${base}/${path}`;
    url.search = query;
    url.hash = "";
  }
  return url.href;
}

/** The place of a session of the API, for `Router.link` and `Router.go`; with a turn, of that turn. */
export function sessionPlace({ id, room, session }, turn = null) {
  return { id, fields: { ...(session !== null && room !== null ? { room } : {}), ...(turn ? { turn } : {}) } };
}

function kept(href, base) {
  const { fields } = readRoute(href, base);
  return Object.fromEntries(KEPT.filter((name) => fields[name]).map((name) => [name, fields[name]]));
}

function split(text) {
  const at = text.indexOf("?");
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at)];
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
