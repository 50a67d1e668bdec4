// GET /api/agent-proxy?room=demo: passes on the hub's stream without revealing the hub's address and key.
// Anyone who can reach this route sees every event: start by checking who is asking.
import { once } from "node:events";

export default async function handler(req, res) {
  if (req.method !== "GET") {
    res.setHeader("Allow", "GET");
    return res.status(405).json({ detail: "This is a stream: only GET." });
  }

  const hub = (process.env.HUB_URL ?? "http://localhost:5000").replace(/\/+$/, "");
  const connection = new AbortController();
  const timer = setTimeout(() => connection.abort(new Error("no answer within 10 s")), 10_000);
  res.on("close", () => connection.abort()); // the browser disconnected

  let stream;
  try {
    stream = await fetch(`${hub}/api/stream${new URL(req.url, "http://here").search}`, {
      headers: {
        ...(req.headers["last-event-id"] && { "Last-Event-ID": req.headers["last-event-id"] }),
        ...(process.env.HUB_KEY && { Authorization: `Bearer ${process.env.HUB_KEY}` }),
      },
      cache: "no-store",
      signal: connection.signal,
    });
  } catch (error) {
    console.error(`agent-proxy: no answer from the hub at ${hub}: ${error.cause?.message || error.message}`);
    return res.status(502).json({ detail: "The hub does not answer. Is it running, and is HUB_URL right?" });
  } finally {
    clearTimeout(timer);
  }
  if (!stream.ok) return res.status(stream.status).json(await stream.json().catch(() => ({ detail: stream.statusText })));

  res.writeHead(200, {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform", // no-transform: Next's compression would delay events
    "X-Accel-Buffering": "no", // so would buffering in nginx
  });
  res.flushHeaders();
  try {
    // Pass the bytes on unchanged, no faster than the browser reads them.
    for await (const chunk of stream.body) {
      if (!res.write(chunk)) await once(res, "drain", { signal: connection.signal });
    }
    res.end();
  } catch {
    res.destroy(); // if one side disconnects, disconnect the other
  }
}
