// The page's words about calls: why one ended, what is wrong with the microphone, what is missing to talk. Pure.

// LiveKit's DisconnectReason, by its number.
const REASONS = {
  __proto__: null,
  2: "another participant joined with the same identity",
  3: "the LiveKit server is shutting down",
  4: "you were removed from the room",
  5: "the room was deleted",
  6: "LiveKit lost the state of the call: try again",
  7: "LiveKit did not admit you to the room",
  9: "the connection to LiveKit was lost",
  10: "the room was closed",
  14: "the connection to LiveKit timed out",
  15: "the media connection to LiveKit failed",
};

/** Why a call ended, as a sentence; "" if the caller left. */
export function endReason(reason) {
  if (reason === 1) return "";
  return `The call has ended: ${REASONS[reason] ?? "the connection to LiveKit was lost"}.`;
}

/** What is wrong with the microphone, as a sentence, from the browser's error. */
export function microphoneProblem(error, secure = true) {
  const still = "You can listen and type.";
  if (!secure) return `Browsers allow the microphone only on https pages and on localhost. ${still}`;
  switch (error?.name) {
    case "NotAllowedError":
    case "SecurityError":
      return `This page may not use the microphone: allow it in the address bar, then press Unmute. ${still}`;
    case "NotFoundError":
    case "OverconstrainedError":
      return `No microphone found: connect one, then press Unmute. ${still}`;
    case "NotReadableError":
    case "AbortError":
      return `The microphone cannot be opened; another program may be using it. ${still}`;
    default:
      return `The microphone does not work: ${error?.message ?? "unknown error"}. ${still}`;
  }
}

/** Why joining LiveKit failed, as a sentence. */
export function connectionProblem(error, address) {
  const why = error?.message ? ` (${String(error.message).replace(/[.\s]+$/, "")})` : "";
  if (error?.status === 401 || /invalid (API key|token)|unauthorized/i.test(error?.message ?? ""))
    return `LiveKit at ${address} rejected the hub's token${why}: compare LIVEKIT_API_KEY and LIVEKIT_API_SECRET with the server's keys.`;
  return `Cannot connect to LiveKit at ${address}${why}. Is it running, and can this browser reach that address?`;
}

const GUIDE = { page: "talking", title: "Talking to an agent: the guide" };

/** What is missing to talk, as `{title, sentences, command?, guide}`; null if nothing is. `config`: the hub's. */
export function cannotTalk(config) {
  const features = new Set(config?.features ?? []);
  if (!features.has("token")) {
    const missing = config?.livekit_missing?.length ? config.livekit_missing : ["LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"];
    return {
      title: "Talking needs a LiveKit server",
      sentences: [
        `${list(missing)} ${missing.length === 1 ? "is" : "are"} not set: set ${missing.length === 1 ? "it" : "them"} in the environment or in .env and restart the hub.`,
        "Run your own with livekit-server --dev, or use LiveKit Cloud.",
      ],
      guide: GUIDE,
    };
  }
  if (!features.has("talk")) {
    return {
      title: "Talking needs livekit-client",
      sentences: [
        "This is LiveKit's library for browsers, which is not part of the hub. make run fetches it if npm is installed.",
        "To get it now, install Node with npm, run this in the hub's folder, and open this dialog again:",
      ],
      command: ".venv/bin/python -m tools.livekit_client",
      guide: GUIDE,
    };
  }
  return null;
}

const list = (names) => (names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`);

/** Who else is in the room. `people`: `[{name, agent, state}]`. */
export function companyText(people) {
  if (!people.length) return "waiting for others to join";
  return people.map(({ name, agent, state }) => (agent ? `agent${state ? ` ${state}` : ""}` : name)).join(", ");
}

/** What to do when there is no agent in the room. `met`: whether there was one. */
export function noAgentText({ met }) {
  const what = met ? "The agent has left." : "No agent has joined.";
  return `${what} LiveKit sends workers only to new rooms: start one for this room, or leave and talk in another room.`;
}
