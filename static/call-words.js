// What is said of a call: why it ended, what is the matter with the microphone, why somebody cannot talk. Pure.

// LiveKit's DisconnectReason, by its number.
const REASONS = {
  __proto__: null,
  2: "somebody else has joined with the same identity",
  3: "the LiveKit server is shutting down",
  4: "you were removed from the room",
  5: "the room was deleted",
  6: "LiveKit has lost the call's state: try again",
  7: "LiveKit did not let you into the room",
  9: "the connection to LiveKit is gone",
  10: "the room was closed",
  14: "the connection to LiveKit has timed out",
  15: "no audio could get through to LiveKit",
};

/** Why a call is over, as a sentence; "" where its caller has left. */
export function over(reason) {
  if (reason === 1) return "";
  return `The call is over: ${REASONS[reason] ?? "the connection to LiveKit is gone"}.`;
}

/** What is the matter with the microphone, as a sentence, from the error that a browser gives. */
export function microphone(error, secure = true) {
  const goes = "You can listen and type.";
  if (!secure) return `A browser gives no microphone to a page at an http address elsewhere: open it as http://localhost:…, or with https. ${goes}`;
  switch (error?.name) {
    case "NotAllowedError":
    case "SecurityError":
      return `The browser does not let this page use the microphone: allow it beside the address, then press Unmute. ${goes}`;
    case "NotFoundError":
    case "OverconstrainedError":
      return `No microphone was found: plug one in, then press Unmute. ${goes}`;
    case "NotReadableError":
    case "AbortError":
      return `The microphone cannot be read, another program may have it. ${goes}`;
    default:
      return `The microphone does not work: ${error?.message ?? "nobody knows why"}. ${goes}`;
  }
}

/** Why LiveKit could not be joined, as a sentence. */
export function unreached(error, address) {
  const why = error?.message ? ` (${String(error.message).replace(/[.\s]+$/, "")})` : "";
  if (error?.status === 401 || /invalid (API key|token)|unauthorized/i.test(error?.message ?? ""))
    return `LiveKit at ${address} does not take the hub's token${why}: compare LIVEKIT_API_KEY and LIVEKIT_API_SECRET with the server's keys.`;
  return `LiveKit at ${address} cannot be joined${why}: is it running, and can this browser reach that address?`;
}

/** Why this page cannot talk, as `{title, sentences}`; null where it can. `config`: the hub's. */
export function unable(config) {
  const features = new Set(config?.features ?? []);
  if (!features.has("token")) {
    const missing = config?.livekit_missing?.length ? config.livekit_missing : ["LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"];
    return {
      title: "To talk, the hub needs a LiveKit server",
      sentences: [
        `${list(missing)} ${missing.length === 1 ? "is" : "are"} not set: set ${missing.length === 1 ? "it" : "them"} in the environment or in .env and restart the hub.`,
        "A server of your own is one command, livekit-server --dev; LiveKit Cloud has one, too. How to get it and what to set is in docs/talking.md.",
      ],
    };
  }
  if (!features.has("talk")) {
    return {
      title: "To talk, the page needs livekit-client",
      sentences: [
        "It is LiveKit's own library, which the hub does not bring along. make run fetches it where npm is; it needs Node with npm.",
        "In the hub's folder, this gets it now; then open this dialog again:",
      ],
      command: ".venv/bin/python -m tools.livekit_client",
    };
  }
  return null;
}

const list = (names) => (names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`);

/** Who is in a room beside the caller: `[{name, agent, state}]` as text, and what to say of it. */
export function company(people) {
  if (!people.length) return "nobody else is here yet";
  return people.map(({ name, agent, state }) => (agent ? `agent${state ? ` ${state}` : ""}` : name)).join(", ");
}

/** What to do where no agent is in the room. `met`: one was. */
export function lonely({ met }) {
  const what = met ? "The agent has left." : "No agent has come.";
  return `${what} LiveKit sends a worker to new rooms only: start one for this room, or leave and talk in another room.`;
}
