import { Activity, useState } from "react";
import { useAgentStream } from "./useAgentStream.js";

// Open /?hub=http://localhost:5001 to use another hub.
const hub = new URLSearchParams(location.search).get("hub") ?? undefined;

export function App() {
  const [room, setRoom] = useState("");
  const [shown, setShown] = useState(true);
  return (
    <>
      <form action={(form) => setRoom(form.get("room"))}>
        <input name="room" key={room} defaultValue={room} placeholder="all rooms" /> <button>Watch</button>
      </form>
      <button id="show" onClick={() => setShown(!shown)}>{shown ? "Hide" : "Show"}</button>
      {/* While hidden, Events has no connection; once shown again, it resumes. */}
      <Activity mode={shown ? "visible" : "hidden"}>
        <Events room={room || undefined} />
      </Activity>
    </>
  );
}

function Events({ room }) {
  const { events, isConnected, gap } = useAgentStream({ hub, room });
  return (
    <>
      <p>
        <b id="state">{isConnected ? "connected" : "disconnected"}</b>, {events.length} events
        {gap && <em id="gap">, some events are missing ({gap.reason})</em>}
      </p>
      <ol>
        {events.map(({ id, ...event }) => (
          <li key={id}>{JSON.stringify(event)}</li>
        ))}
      </ol>
    </>
  );
}
