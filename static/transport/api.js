// The hub's HTTP API: JSON requests whose errors say in a sentence what went wrong. Runs in a page or in a worker.

import { exact } from "../words/format.js";
import { withCredential } from "./credential.js";

const TIMEOUT = 15_000; // ms for a response
const RETRY_REFUSED = 30_000; // ms, where asking again soon does not help
const RETRY_FOREIGN = 10_000;
const RETRY_BUSY = 2000;

/** A request to the hub that failed. */
export class HubError extends Error {
  /** `kind`: unreachable, refused, foreign, closing or silent. `retryAfter`: milliseconds to wait, if known. */
  constructor(kind, message, retryAfter) {
    super(message);
    this.kind = kind;
    this.retryAfter = retryAfter;
  }
}

/** Fetch JSON. Throws a `HubError` that says what is wrong; if the hub refused, with its `problem`. */
export async function ask(url, options, reviver) {
  const hub = url.replace(/\/api\/.*$/, "");
  let response;
  try {
    response = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT), ...options });
  } catch (error) {
    throw new HubError("unreachable", error.name === "TimeoutError" ? `${hub} did not respond in time` : `No hub answers at ${hub}`);
  }
  const type = response.headers.get("Content-Type") ?? "no content type";
  if (/^application\/(json|problem\+json)/.test(type)) {
    const body = await response.text().then((text) => JSON.parse(text, reviver)).catch(() => null);
    if (response.ok && body !== null) return body;
    if (body?.detail) throw refused(response, body);
  }
  throw new HubError("foreign", `${hub} is not a hub: it responds with ${response.status} and ${type.split(";")[0]}`, RETRY_FOREIGN);
}

/** The `HubError` for a response whose body is the problem document `problem`. */
export function refused(response, problem) {
  const wait = Number(response.headers.get("Retry-After")) * 1000;
  const advice = problem.advice ? ` ${problem.advice}` : "";
  const message = `The hub refused: ${problem.detail}.${advice}`.replace("..", ".");
  return Object.assign(new HubError("refused", message, problem.retry ? wait || RETRY_BUSY : RETRY_REFUSED), { problem });
}

/** The API of one hub. `credential`: this tab's, "" if it has none; a request may have another. */
export class Api {
  constructor(hub, credential = "") {
    this.hub = hub;
    this.credential = credential;
    this.guarded = false; // whether the hub requires credentials
    this.denied = () => {}; // called if the page's credential is refused: it has expired, or was removed
  }

  get(path, { credential } = {}) {
    return this.#ask(path, { headers: { Accept: "application/json" } }, credential);
  }

  /** `body`: an object, or JSON that is already text. */
  post(path, body, { credential } = {}) {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    return this.#ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: text }, credential);
  }

  /** Throws the `HubError` that says why `path`, which is not JSON, cannot be had. */
  async check(path) {
    try {
      await this.#ask(path, { headers: { Range: "bytes=0-0" } });
    } catch (error) {
      if (error.kind !== "foreign") throw error;
    }
  }

  async #ask(path, options, credential, reviver) {
    try {
      const headers = { ...options.headers, ...bearer(credential ?? this.credential) };
      return await ask(this.hub + path, { ...options, headers }, reviver);
    } catch (error) {
      if (error.problem?.status === 401 && credential === undefined) this.denied();
      throw error;
    }
  }

  /** The address of `path` for EventSource and for links, which cannot send headers. */
  address(path) {
    return withCredential(this.hub + path, this.credential);
  }

  /** Publish one event or several. */
  publish(body) {
    return this.post("/api/agent/data", body);
  }

  /** A page of the history: as `/api/events` returns it, but with `events` and `past` as `[id, data]`, numbers as written. */
  async history(query) {
    const pairs = Object.entries(query).flatMap(([name, value]) => [value].flat().map((each) => [name, each]));
    const page = await this.#ask(`/api/events?${new URLSearchParams(pairs)}`, {}, undefined, exact);
    const written = ({ id, event }) => [id, JSON.stringify(event)];
    return { ...page, events: page.events.map(written), past: (page.past ?? []).map(written) };
  }
}

const bearer = (credential) => (credential ? { Authorization: `Bearer ${credential}` } : {});
