import { useAgentStream } from "../lib/useAgentStream";

export default function Home() {
  const { events, isConnected, gap } = useAgentStream({ stream: "/api/agent-proxy" });
  return (
    <>
      <p>
        <b id="state">{isConnected ? "connected" : "disconnected"}</b>
        {gap && <em>, some events are missing ({gap.reason})</em>}
      </p>
      <ol>
        {events.map(({ id, ...event }) => (
          <li key={id}>{JSON.stringify(event)}</li>
        ))}
      </ol>
    </>
  );
}
