// Holds the stream that all tabs of a browser share, since HTTP/1.1 browsers open at most six connections to a server.
// A SharedWorker named after the hub. It closes the stream when the last tab is closed.

import { Source } from "./source.js";

const tabs = new Set();
const hub = self.name.split(" ")[0];
let source = null;

function leave(port) {
  tabs.delete(port);
  if (tabs.size) return;
  source?.close();
  source = null;
}

self.onconnect = ({ ports: [port] }) => {
  tabs.add(port);
  port.onmessage = ({ data }) => {
    if (data.retry) source?.retry(data.retry);
    if (data.bye) leave(port);
    // A tab that crashes says no goodbye, but releases its lock.
    if (data.lock) navigator.locks?.request(data.lock, () => leave(port));
  };
  source ??= new Source(hub, (message) => tabs.forEach((tab) => tab.postMessage(message)));
  port.postMessage({ status: source.status });
};
