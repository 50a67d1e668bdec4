// Print every event, with Node's own fetch and no packages: node fetch.mjs [http://localhost:5000/api/stream?room=demo]
const url = process.argv[2] ?? "http://localhost:5000/api/stream";
const key = process.env.HUB_KEY; // if the hub requires one
const hubOnly = ["stream_opened", "heartbeat", "stream_closing"];

for await (const { id, event } of events(url)) console.log(id, JSON.stringify(event));

async function* events(url) {
  let last = "";
  for (;;) {
    try {
      for await (const frame of frames(url, last)) {
        if (frame.event.type === "stream_gap" && frame.event.reason === "too_slow") {
          last = frame.event.from; // reconnect with the id before the gap: the hub replays the missed events
          break;
        }
        last = frame.id;
        if (!hubOnly.includes(frame.event.type)) yield frame;
      }
    } catch (error) {
      if (error.final) throw error;
      console.error(`${error.cause?.message || error.message}: reconnecting`); // the hub or the network is down
    }
    await new Promise((resolve) => setTimeout(resolve, 1000 + 1000 * Math.random()));
  }
}

// Yields the frames of one connection until it ends or fails.
async function* frames(url, last) {
  const connection = new AbortController();
  const startTimer = () => setTimeout(() => connection.abort(new Error("no data for 45 s")), 45_000);
  let timer = startTimer();
  try {
    const headers = { ...(last && { "Last-Event-ID": last }), ...(key && { Authorization: `Bearer ${key}` }) };
    const response = await fetch(url, { headers, signal: connection.signal });
    if (!response.ok) {
      const { status } = response;
      throw Object.assign(new Error(`${status} ${await response.text()}`), { final: status >= 400 && status < 429 });
    }
    let rest = "";
    for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
      clearTimeout(timer);
      timer = startTimer();
      const complete = (rest + text).split("\n\n");
      rest = complete.pop();
      for (const frame of complete) {
        const field = (name) => frame.split("\n").find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
        if (field("data")) yield { id: field("id"), event: JSON.parse(field("data")) };
      }
    }
  } finally {
    clearTimeout(timer);
    connection.abort();
  }
}
