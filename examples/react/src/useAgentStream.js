import { useEffect, useRef, useState } from "react";

const HUB_ONLY = ["stream_opened", "heartbeat", "stream_closing"];
const SILENCE = 45_000; // three heartbeats: without data for that long, the connection is dead
const RENDER_EVERY = 50; // milliseconds: at most 20 renders a second, however many events arrive

/**
 * Returns the newest `limit` events, oldest first, each exactly once and with its `id`, across reconnects.
 * `room`, `type`, `session`: a pattern or an array of them. `since` ("5m", "all") or `replay` (20): past events first.
 * `stream`: the URL of the stream if it is not the hub's own, such as "/api/agent-proxy".
 * `gap`: the last stream_gap, or null. Events are missing between those before it and those after it.
 */
export function useAgentStream({ hub = "http://localhost:5000", stream = `${hub}/api/stream`, limit = 1000, ...query } = {}) {
  const [events, setEvents] = useState([]);
  const [gap, setGap] = useState(null);
  const [isConnected, setIsConnected] = useState(false);
  const url = `${stream}?${search(query)}`;
  const seen = useRef({}); // survives remounts, so that StrictMode and <Activity> resume

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
        // EventSource reconnects after a network error, but not after an answer that is not a stream, such as a 503.
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
        seen.current.last = event.from; // reconnect with the id before the gap: the hub replays the missed events
        open();
        return;
      }
      seen.current.last = lastEventId;
      if (event.type === "stream_gap") {
        setGap(event);
        if (event.reason !== "retention") forget(); // the history was reset: its events follow from the start
      } else if (!HUB_ONLY.includes(event.type)) {
        waiting.push({ ...event, id: lastEventId });
        rendering ??= setTimeout(render, RENDER_EVERY); // not requestAnimationFrame, which pauses in a hidden tab
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
  return new URLSearchParams(pairs.flatMap(([name, value]) => [value].flat().map((item) => [name, item])));
}
