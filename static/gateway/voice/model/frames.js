// The frames that the gateway sends to this page. What does not have its fields is not used. Pure.

const text = (value) => typeof value === "string";
const messages = (value) => Array.isArray(value) && value.every((each) => text(each?.role) && text(each.content));
const number = (value) => Number.isFinite(value);

const ENDPOINTS = {
  replies: {
    start: { request_id: text },
    chunk: { request_id: text, content: text },
    end: { request_id: text, final_response: text },
    audio: { request_id: text, data: text, content_type: text },
    state: { session_id: text, history: messages },
  },
  transcription: {
    ready: { sample_rate: number },
    speech_started: {},
    partial: { text, utterance: text },
    final: { text, utterance: text },
    speech_ended: {},
    reconnecting: { message: text },
    end: {},
  },
  recording: {
    recording_started: { session_id: text },
    recording_saved: { file: text, url: text },
    recording_empty: { message: text },
  },
};

/** A frame with all its fields, or null. Errors have `message` and `code` on every endpoint. */
export function check(frame, endpoint) {
  if (frame === null || typeof frame !== "object" || Array.isArray(frame)) return null;
  if (frame.type === "error") return { ...frame, message: text(frame.message) ? frame.message : text(frame.error) ? frame.error : "The gateway reports an error without saying which." };
  const fields = Object.hasOwn(ENDPOINTS[endpoint], frame.type) ? ENDPOINTS[endpoint][frame.type] : null;
  return fields && Object.entries(fields).every(([name, valid]) => valid(frame[name])) ? frame : null;
}
