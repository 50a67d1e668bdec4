import { useEffect, useRef, useState } from "react";

const OF_THE_HUB = ["stream_opened", "heartbeat", "stream_closing"];
const SILENCE = 45_000; // three heartbeats' time without a sign of life: the connection is dead
const RENDER_EVERY = 50; // ms: 200 events a second are 20 renders

/**
 * The newest `limit` events of the hub, oldest first, each with its `id`, once, also when the connection was away.
 * `room`, `type`, `session`: a pattern or an array of them. `since` ("5m", "all") or `replay` (20): begin in the past.
 * `stream`: where the stream is, if not on the hub itself: "/api/agent-proxy".
 * `gap` is null, or the last stream_gap: events that are gone; those before it and those after do not join up.
 */
export function useAgentStream({ hub = "http://localhost:5000", stream = `${hub}/api/stream`, limit = 1000, ...query } = {}) {
  const [events, setEvents] = useState([]);
  const [gap, setGap] = useState(null);
  const [isConnected, setIsConnected] = useState(false);
  const url = `${stream}?${search(query)}`;
  const seen = useRef({}); // outlives a remount, so that StrictMode and <Activity> go on where they were

  useEffect(() => {
    let source, opening, rendering;
    let waiting = [];

    if (seen.current.url !== url) {
      seen.current = { url, last: "" };
      forget();
      setGap(null);
    }

    function open() {
      source?.close();
      setIsConnected(false);
      const { last } = seen.current;
      source = new EventSource(last ? `${url}&last_event_id=${encodeURIComponent(last)}` : url);
      source.onopen = () => setIsConnected(true);
      source.onmessage = take;
      source.onerror = () => {
        setIsConnected(false);
        // After a network error it comes back by itself; after an answer that is no stream (a 503) it never does.
        if (source.readyState === EventSource.CLOSED) openIn(2000 + 2000 * Math.random());
      };
      openIn(SILENCE);
    }

    function openIn(milliseconds) {
      clearTimeout(opening);
      opening = setTimeout(open, milliseconds);
    }

    function take({ data, lastEventId }) {
      openIn(SILENCE);
      const event = JSON.parse(data);
      if (event.type === "stream_gap" && event.reason === "too_slow") {
        seen.current.last = event.from; // who comes back with the id before the gap gets it from the history
        open();
        return;
      }
      seen.current.last = lastEventId;
      if (event.type === "stream_gap") {
        setGap(event);
        if (event.reason !== "retention") forget(); // the hub's history is another one: its events follow from the start
      } else if (!OF_THE_HUB.includes(event.type)) {
        waiting.push({ ...event, id: lastEventId });
        rendering ??= setTimeout(render, RENDER_EVERY); // no animation frame: those stand still in a hidden tab
      }
    }

    function forget() {
      waiting = [];
      setEvents([]);
    }

    function render() {
      rendering = undefined;
      const more = waiting;
      waiting = [];
      setEvents((before) => [...before, ...more].slice(-limit));
    }

    open();
    return () => {
      source.close();
      clearTimeout(opening);
      clearTimeout(rendering);
      render();
      setIsConnected(false);
    };
  }, [url, limit]);

  return { events, isConnected, gap };
}

function search(query) {
  const pairs = Object.entries(query).filter(([, value]) => value != null);
  return new URLSearchParams(pairs.flatMap(([name, value]) => [value].flat().map((one) => [name, one])));
}
