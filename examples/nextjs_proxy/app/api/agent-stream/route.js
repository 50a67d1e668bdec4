// The app router's version of pages/api/agent-proxy.js: GET /api/agent-stream?room=demo
// Anyone who can reach this route sees every event: start by checking who is asking.
export async function GET(request) {
  const hub = (process.env.HUB_URL ?? "http://localhost:5000").replace(/\/+$/, "");
  const connection = new AbortController();
  const timer = setTimeout(() => connection.abort(new Error("no answer within 10 s")), 10_000);
  request.signal.addEventListener("abort", () => connection.abort()); // the browser disconnected

  const headers = new Headers();
  if (request.headers.has("last-event-id")) headers.set("Last-Event-ID", request.headers.get("last-event-id"));
  if (process.env.HUB_KEY) headers.set("Authorization", `Bearer ${process.env.HUB_KEY}`);

  let stream;
  try {
    const url = `${hub}/api/stream${new URL(request.url).search}`;
    stream = await fetch(url, { headers, cache: "no-store", signal: connection.signal });
  } catch (error) {
    console.error(`agent-stream: no answer from the hub at ${hub}: ${error.cause?.message || error.message}`);
    return Response.json({ detail: "The hub does not answer. Is it running, and is HUB_URL right?" }, { status: 502 });
  } finally {
    clearTimeout(timer);
  }

  return new Response(stream.body, {
    status: stream.status,
    headers: {
      "Content-Type": stream.headers.get("content-type"),
      "Cache-Control": "no-cache, no-transform", // compression on the way would delay events
      "X-Accel-Buffering": "no", // so would buffering in nginx
    },
  });
}
