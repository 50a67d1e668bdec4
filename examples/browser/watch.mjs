// Calls handle(event, id) for every matching event, in order and exactly once, until you call the function it returns.
// `filter` is what URLSearchParams takes: { room: "demo" }, or [["room", "demo"], ["room", "test-*"], ["since", "5m"]].
// A `stream_gap` is passed to `handle` as well: events are missing between the one before it and the one after it.
export function watch(hub, filter, handle, silence = 45_000) {
  let source, timer;
  let last = "";

  function open() {
    source?.close();
    const query = new URLSearchParams(filter);
    if (last) query.set("last_event_id", last);
    source = new EventSource(`${hub}/api/stream?${query}`);
    source.onmessage = take;
    // EventSource reconnects after a network error, but gives up after an answer that is not a stream, such as a 503.
    source.onerror = () => source.readyState === EventSource.CLOSED && openIn(2000 + 2000 * Math.random());
    openIn(silence); // without data for three heartbeats, the connection is dead
  }

  function openIn(milliseconds) {
    clearTimeout(timer);
    timer = setTimeout(open, milliseconds);
  }

  function take({ data, lastEventId }) {
    openIn(silence);
    const event = JSON.parse(data);
    if (event.type === "stream_gap" && event.reason === "too_slow") {
      last = event.from; // reconnect with the id before the gap: the hub replays the missed events
      open();
      return;
    }
    last = lastEventId;
    if (!["stream_opened", "heartbeat", "stream_closing"].includes(event.type)) handle(event, lastEventId);
  }

  open();
  return () => {
    clearTimeout(timer);
    source.close();
  };
}
