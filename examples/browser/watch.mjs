// Calls handle(event, id) for every event that matches, in order, each once, until the function it returns is called.
// `filter` is what URLSearchParams takes: { room: "demo" }, or [["room", "demo"], ["room", "test-*"], ["since", "5m"]].
// A `stream_gap` is handed on like an event: what follows it does not continue what was seen.
export function watch(hub, filter, handle, silence = 45_000) {
  let source, timer;
  let last = "";

  function open() {
    source?.close();
    const query = new URLSearchParams(filter);
    if (last) query.set("last_event_id", last);
    source = new EventSource(`${hub}/api/stream?${query}`);
    source.onmessage = take;
    // After a network error EventSource comes back by itself; after an answer that is no stream (a 503) it never does.
    source.onerror = () => source.readyState === EventSource.CLOSED && openIn(2000 + 2000 * Math.random());
    openIn(silence); // three heartbeats' time without a sign of life: the connection is dead
  }

  function openIn(milliseconds) {
    clearTimeout(timer);
    timer = setTimeout(open, milliseconds);
  }

  function take({ data, lastEventId }) {
    openIn(silence);
    const event = JSON.parse(data);
    if (event.type === "stream_gap" && event.reason === "too_slow") {
      last = event.from; // who comes back with the id before the gap gets it from the history, and then what follows
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
