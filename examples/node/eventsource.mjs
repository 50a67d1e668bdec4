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
    console.error(`${message ?? code ?? "the stream ended"}: reconnecting`);
    // EventSource reconnects after a network error, but gives up after an answer that is not a stream, such as a 503.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
  };
}

connect();
setInterval(() => {}, 60_000); // keeps Node running while the package waits to reconnect
