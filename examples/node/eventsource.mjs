// The browser's EventSource, in Node: node eventsource.mjs [http://localhost:5000/api/stream?room=demo]
import { EventSource } from "eventsource";

const url = new URL(process.argv[2] ?? "http://localhost:5000/api/stream");

function connect() {
  const source = new EventSource(url);

  source.onmessage = ({ data, lastEventId }) => {
    url.searchParams.set("last_event_id", lastEventId);
    const event = JSON.parse(data);
    if (!["stream_opened", "heartbeat", "stream_closing"].includes(event.type)) console.log(lastEventId, data);
  };

  source.onerror = ({ code, message }) => {
    console.error(`${message ?? code ?? "the stream ended"}: trying again`);
    // After a network error it comes back by itself; after an answer that is no stream (a 503) it never does.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
  };
}

connect();
setInterval(() => {}, 60_000); // while the package waits to come back it keeps no program running: this does
