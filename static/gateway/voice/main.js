// The voice page.

import { byId, text } from "../../views/dom.js";
import { ReconnectingSocket } from "../socket.js";
import { Session } from "./model/session.js";
import { Address } from "./model/address.js";
import { Microphone } from "./transport/microphone.js";
import { Recording } from "./transport/recording.js";
import { ConnectionsView } from "./views/connections-view.js";
import { Controls } from "./views/controls.js";
import { ConversationView } from "./views/conversation-view.js";
import { RecordingsView } from "./views/recordings-view.js";
import { VoiceAgent } from "./voice-agent.js";
import { microphoneSentence } from "./words/sentences.js";

const TOKEN = "gateway-token";

/** A random UUID; `crypto.randomUUID` exists only in secure contexts. */
function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  [bytes[6], bytes[8]] = [(bytes[6] & 0x0f) | 0x40, (bytes[8] & 0x3f) | 0x80];
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

function stored(name) {
  try {
    return sessionStorage.getItem(name) ?? "";
  } catch {
    return "";
  }
}

const address = new Address(location.href, stored(TOKEN));
const session = new Session(() => sessionStorage, uuid);

/** Open a socket to the gateway. Handlers: `opened()`, `frame(object)`, `state(state, detail)`. */
function connect(path, { opened = () => {}, frame, state }) {
  return new ReconnectingSocket(address.ws(path, { session_id: session.id }), { onopen: opened, onframe: frame, onstate: state });
}

/** Tell screen readers what was understood, and replies that are not spoken. */
function announce(turn) {
  const place = byId("announced");
  const said = turn.spoken && !turn.announced ? `You said: ${turn.text}` : "";
  const replied = turn.state === "done" && (turn.voice === "none" || turn.speech === "failed") && !turn.read ? `Agent: ${turn.reply}` : "";
  turn.announced = true;
  turn.read ||= Boolean(replied);
  if (said || replied) text(place, said || replied);
}

const shown = {
  turn(turn) {
    conversation.turn(turn);
    announce(turn);
    controls.render();
  },
  draft() {
    conversation.drafts();
    controls.render();
  },
  cleared: () => conversation.clear(),
  phase: () => controls.render(),
  level: (rms) => controls.level(rms),
  problem: (sentence) => controls.problem(sentence),
  unsent: (words) => controls.unsent(words),
  recording: (frame) => recordings.add(frame),
  connection(name, state, detail = {}) {
    connections.set(name, state, detail);
    if (detail.code === 4401) byId("token-form").hidden = false;
  },
};

const agent = new VoiceAgent({ connect, address, session, uuid, shown });
const connections = new ConnectionsView();
const recordings = new RecordingsView((path) => address.http(path));
const conversation = new ConversationView(agent.conversation, {
  play: (turn) => agent.player.play(turn.id),
  stop: () => agent.player.stop(),
  again: (turn) => agent.again(turn),
});
byId("keep").disabled = !Recording.possible();
const controls = new Controls(agent);

for (const link of document.querySelectorAll("header nav a:not([aria-current])")) link.href = address.http(link.dataset.page);

byId("token-form").onsubmit = (event) => {
  event.preventDefault();
  address.token = byId("token").value.trim();
  try {
    sessionStorage.setItem(TOKEN, address.token);
  } catch {
    // asked for again after a reload
  }
  byId("token-form").hidden = true;
  agent.reconnect();
};

// A page that the browser keeps for Back has been released: it begins again.
addEventListener("pagehide", () => agent.close());
addEventListener("pageshow", (event) => event.persisted && location.reload());

const obstacle = Microphone.obstacle();
if (obstacle) controls.problem(microphoneSentence(obstacle));
agent.open();
