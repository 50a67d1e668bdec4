// How a tab gets the stream: through a worker that all tabs share; without one, through a tab elected to hold the stream;
// and if tabs cannot talk to each other (a page opened from disk), through a stream of its own.

import { Source } from "./source.js";

const VERSION = 5; // tabs with different versions of these modules do not share
const TIMEOUT = 5000; // ms for a worker's first message

/**
 * `take({events})` and `take({status})`, as `Source` emits them. `credential`: the tab's own, which it shares with no other.
 * Returns `{how, retry({force}), close()}`.
 */
export async function openFeed(hub, take, credential = "") {
  if (credential) return own(hub, take, credential);
  for (const way of [shared, elected]) {
    try {
      return await way(hub, take);
    } catch {
      // not available here: try the next way
    }
  }
  return own(hub, take);
}

async function shared(hub, take) {
  const worker = new SharedWorker(new URL("worker.js", import.meta.url), { type: "module", name: `${hub} ${VERSION}` });
  const { port } = worker;
  const say = (what) => port.postMessage(what);
  try {
    await new Promise((resolve, reject) => {
      worker.onerror = reject;
      setTimeout(reject, TIMEOUT);
      port.onmessage = ({ data }) => {
        resolve();
        take(data);
      };
    });
  } catch (error) {
    port.onmessage = null;
    say({ bye: true });
    port.close();
    throw error;
  }
  const lock = `tab ${crypto.randomUUID?.() ?? Math.random()}`;
  navigator.locks?.request(lock, () => {
    say({ lock });
    return new Promise(() => {});
  });
  const close = () => {
    say({ bye: true });
    port.close();
  };
  addEventListener("pagehide", close);
  return { how: "shared", retry: (options = {}) => say({ retry: options }), close };
}

async function elected(hub, take) {
  const name = `event hub ${VERSION} ${hub}`;
  await navigator.locks.query(); // throws if the page may not use locks
  const channel = new BroadcastChannel(name);
  let source = null;
  let last = ""; // the last id received, to resume after when this tab takes over
  let leave = () => {};
  const closed = new Promise((done) => (leave = done));
  channel.onmessage = ({ data }) => {
    last = data.events?.at(-1)[0] ?? data.status?.last ?? last;
    if (data.events || data.status) take(data);
    else if (source && data.hello) channel.postMessage({ status: source.status });
    else if (source && data.retry) source.retry(data.retry);
  };
  const lead = () => {
    source = new Source(hub, (message) => {
      channel.postMessage(message);
      take(message);
    }, last);
    return closed.then(() => source.close());
  };
  navigator.locks.request(name, lead);
  channel.postMessage({ hello: true });
  const close = () => {
    leave();
    source?.close();
    channel.close();
  };
  addEventListener("pagehide", close);
  const retry = (options = {}) => (source ? source.retry(options) : channel.postMessage({ retry: options }));
  return { how: "elected", retry, close };
}

function own(hub, take, credential = "") {
  const source = new Source(hub, take, "", credential);
  addEventListener("pagehide", () => source.close());
  return { how: "own", retry: (options) => source.retry(options), close: () => source.close() };
}
