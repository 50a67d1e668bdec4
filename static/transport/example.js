// An example conversation, to try the page without an agent. It is posted to the hub like any other, in a room named
// `example`, so that all subscribers see it and the history stores it.

const user = (utterance, text, final = true) => ({ type: "transcript", role: "user", participant: "caller_1", utterance, text, final });
const agent = (type, utterance, more = {}) => ({ type, utterance, ...more });
const state = (old_state, new_state) => ({ type: "agent_state_changed", old_state, new_state });

/** The events of an agent's utterance, each with seconds from its start. `heard`: what was said before an interruption. */
function* says(utterance, text, { heard = text, metrics } = {}) {
  const words = text.match(/\S+\s*/g);
  let offset = 0;
  yield [0, state("thinking", "speaking")];
  for (const [n, delta] of words.entries()) {
    yield [n * 0.07, agent("agent_text_delta", utterance, { delta, offset })];
    if (n === 2) yield [0.2, agent("agent_speech_started", utterance)];
    offset += delta.length;
  }
  yield [words.length * 0.07, agent("agent_text_complete", utterance, { text })];
  const interrupted = heard !== text;
  const position = Number((heard.length * 0.045).toFixed(2));
  const end = Math.max(words.length * 0.07, position) + 0.25;
  yield [end, agent("agent_speech_finished", utterance, { interrupted, position })];
  yield [end, { type: "transcript", role: "agent", participant: "agent", utterance, text: heard, final: true, interrupted }];
  yield [end + 0.05, state("speaking", "listening")];
  if (metrics) yield [end + 0.1, { type: "turn_metrics", utterance, ...metrics }];
}

function* hears(utterance, text) {
  const words = text.match(/\S+\s*/g);
  yield [0, { type: "user_speech_started", participant: "caller_1" }];
  for (let n = 2; n < words.length; n += 2) yield [n * 0.22, user(utterance, words.slice(0, n).join("").trimEnd(), false)];
  yield [words.length * 0.22, { type: "user_speech_finished", participant: "caller_1" }];
  yield [words.length * 0.22 + 0.25, user(utterance, text)];
  yield [words.length * 0.22 + 0.3, state("listening", "thinking")];
}

/** The events of the example, each with the seconds to wait before it. */
export function* conversation() {
  let now = 0;
  let last = 0;
  function* at(part) {
    let end = now;
    for (const [offset, event] of part) {
      const when = now + offset;
      yield [Math.max(0, when - last), event];
      last = Math.max(last, when);
      end = last;
    }
    now = end + 0.4;
  }
  const call = { call_id: "call_1", name: "lookup_weather" };
  yield* at([[0, { type: "session_started", mode: "example", agent: "Weather" }], [0.1, { type: "agent_ready", message: "An example, posted by the page" }]]);
  yield* at(says("a1", "Hello, this is the weather desk. Which place would you like to know about?"));
  yield* at(hears("u1", "What will the weather be like in Oslo tomorrow?"));
  yield* at([[0, { type: "tool_call_started", ...call, arguments: { location: "Oslo", day: "tomorrow" } }], [0.7, { type: "tool_call_finished", ...call, output: "sunny, 20 °C, wind 3 m/s", is_error: false, duration: 0.7 }]]);
  yield* at(says("a2", "In Oslo it will be sunny tomorrow, with twenty degrees and a light wind from the south. In the evening there may be a few clouds over the fjord.", { heard: "In Oslo it will be sunny tomorrow, with twenty degrees", metrics: { transcription_delay: 0.21, end_of_turn_delay: 0.38, llm_node_ttft: 0.41, tts_node_ttfb: 0.17, e2e_latency: 1.12 } }));
  yield* at(hears("u2", "Thanks, that is all."));
  yield* at(says("a3", "You are welcome. Goodbye!", { metrics: { llm_node_ttft: 0.33, tts_node_ttfb: 0.15, e2e_latency: 0.84 } }));
  yield* at([[0.3, { type: "usage_updated", model_usage: [{ provider: "example", model: "example-llm", input_tokens: 412, output_tokens: 71 }] }], [0.4, { type: "session_ended", reason: "user_initiated" }]]);
}

/** Play it. `publish(json)` posts an event; if it throws, so does this. */
export async function play(publish) {
  const session = `example-${Date.now().toString(36)}`;
  for (const [wait, event] of conversation()) {
    if (wait > 0.01) await new Promise((resolve) => setTimeout(resolve, wait * 1000));
    const { type, ...rest } = event;
    await publish(JSON.stringify({ type, room: "example", session, timestamp: Date.now() / 1000, ...rest }));
  }
}
