// The page's sentences: what is wrong and what to do about it. Pure.

const MICROPHONE = {
  insecure: "Browsers allow the microphone only on https pages and on localhost. Open this page at http://localhost, or serve it over https. You can type instead.",
  unsupported: "This browser cannot capture audio: it has no AudioWorklet. Use a current Chrome, Edge, Firefox or Safari. You can type instead.",
  denied: "This page may not use the microphone. Allow it in the browser's site settings (the icon beside the address), then press Start Recording again. You can type instead.",
  missing: "No microphone found. Connect one, then press Start Recording again. You can type instead.",
  busy: "The microphone cannot be opened: another program may be using it. Close that program, then press Start Recording again.",
  lost: "The microphone was disconnected, so the recording has ended. What was said until then is used.",
};

const ERRORS = { NotAllowedError: "denied", SecurityError: "denied", NotFoundError: "missing", OverconstrainedError: "missing", NotReadableError: "busy", AbortError: "busy" };

/** Why the microphone cannot be used. `failure`: one of the reasons above, or what `getUserMedia` threw. */
export function microphoneSentence(failure) {
  const reason = typeof failure === "string" ? failure : ERRORS[failure?.name];
  return MICROPHONE[reason] ?? `The microphone cannot be used (${failure?.message || failure?.name || failure}). You can type instead.`;
}

/** What a socket's state means, as `{ word, sentence }`; `sentence` says what to do, if there is something. */
export function connectionWords(state, detail = {}, now = 0) {
  const refused = {
    4401: "The gateway wants a token: enter it under Connections.",
    4403: "The gateway does not accept this page's origin: open the page that the gateway itself serves, or add the origin to GATEWAY_ORIGINS.",
    4404: "The gateway does not have this endpoint: it is older than this page, or another program answers at this address.",
  }[detail.code];
  if (refused) return { word: "refused", sentence: refused };
  if (state === "open") return { word: "connected", sentence: "" };
  if (state === "connecting") return { word: "connecting …", sentence: "" };
  if (state === "reconnecting") {
    const seconds = Math.max(1, Math.ceil(((detail.at ?? now) - now) / 1000));
    const word = detail.attempt > 1 ? `no connection; attempt ${detail.attempt} in ${seconds} s` : `connection lost; trying again in ${seconds} s`;
    return { word, sentence: detail.attempt > 2 ? "Is the gateway running? Start it with “python -m agent.gateway”. This page connects by itself as soon as it can." : "" };
  }
  if (state === "closing") return { word: "closing …", sentence: "" };
  return { word: "not in use", sentence: "" };
}

/** What the page is doing. `phase`: of the microphone; `turn`: the newest one, if there is any. */
export function statusSentence({ phase, handsFree, draft, turn, speaking }) {
  if (phase === "starting") return "Opening the microphone …";
  if (phase === "finishing") return "Finishing the transcript …";
  if (phase === "recording") {
    if (draft) return handsFree ? "Listening. A pause sends what you said." : "Listening. Press Stop Recording when you have finished.";
    if (speaking) return "The agent is speaking. Speak to interrupt it.";
    return "Listening. Say something.";
  }
  if (turn?.state === "waiting") return "Waiting for the reply …";
  if (turn?.state === "replying") return "The agent is replying …";
  if (speaking) return "The agent is speaking.";
  return "Press Start Recording and ask a question, or type it.";
}

/** The mark beside a reply, or "". */
export function replyMark(turn) {
  return { waiting: "waiting", interrupted: "interrupted", failed: "not answered" }[turn.state] ?? "";
}

const UNITS = ["bytes", "KiB", "MiB"];

/** A recording's facts, such as "3.2 s, 48 KiB, WAV". */
export function recordingFacts({ bytes, duration, format }) {
  const power = Math.min(2, Math.floor(Math.log2(Math.max(1, bytes || 0)) / 10));
  const size = Number.isFinite(bytes) ? `${(bytes / 1024 ** power).toFixed(power && bytes < 10 * 1024 ** power ? 1 : 0)} ${UNITS[power]}` : "";
  const length = Number.isFinite(duration) ? `${duration.toFixed(1)} s` : "";
  return [length, size, typeof format === "string" ? format.toUpperCase() : ""].filter(Boolean).join(", ");
}
