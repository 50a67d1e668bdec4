// The page put together: what comes in goes into the store and the state; once a frame, what changed is drawn.

import { Captions } from "./captions.js";
import { Conversation } from "./conversation.js";
import { Seen } from "./cursor.js";
import { Detail } from "./detail.js";
import { byId, copy, el, text, toast } from "./dom.js";
import { Empty } from "./empty.js";
import { openFeed } from "./feed.js";
import { number, plural } from "./format.js";
import { Log } from "./log.js";
import { Poster } from "./post.js";
import { Rooms } from "./rooms.js";
import * as settings from "./settings.js";
import { history } from "./source.js";
import { State } from "./state.js";
import { Status } from "./status.js";
import { Store } from "./store.js";

const { hub, own } = window.eventHub;
const PAST = 1000; // events of the history that a new page begins with, and that "Load older" adds
const OFF = 60; // seconds that a publisher's clock may be off before the log says so

const view = { ...settings.read(location.href) };
const store = new Store();
const seen = new Seen();
let state = new State();

let ready = false; // the history is there; until then what is live waits
let held = []; // events that wait: for the history, or for "Resume"
let paused = false;
let before = null; // where older events begin, in the history
let skew = 0; // s that the hub's clock is ahead of this one
let changed = true;
let logged = 0; // store.forgotten when the log was last drawn

// -- views --------------------------------------------------------------------------------------------------------------

const status = new Status(hub);
const conversation = new Conversation();
const captions = new Captions((on) => set({ captions: on ? "" : "off" }));
const rooms = new Rooms((session) => set({ room: session?.room ?? "", session: session?.name ?? "", chosen: session?.key }));
const detail = new Detail(hub, () => {
  log.choose(null);
  byId("log").focus();
});
const log = new Log(() => store.shown, (one) => detail.show(one));
const poster = new Poster(hub);
const empty = new Empty(hub);

/** The session that was chosen, or that the settings name; null for all. */
function chosen() {
  if (view.chosen !== undefined && state.sessions.has(view.chosen)) return state.sessions.get(view.chosen);
  if (!view.room && !view.session) return null;
  const fits = (one) => (!view.session || one.name === view.session) && (!view.room || one.room === view.room);
  return [...state.sessions.values()].reverse().find(fits) ?? null;
}

function wants(item) {
  if (!item.session) return true;
  if (view.session) return item.session.name === view.session;
  if (view.room) return item.session.room === view.room;
  return view.chosen === undefined || item.session.key === view.chosen;
}

function draw() {
  cancel();
  const changes = state.take();
  conversation.render(changes, state.forgotten);
  captions.render(changes, wants);
  if (changes.sessions.size || changed) rooms.render(new Set(state.sessions.values()), chosen());
  const dropped = store.forgotten - logged;
  logged = store.forgotten;
  log.render(dropped);
  count();
  empty.render(conversation.list.childElementCount === 0 && ready, status.status.config, store.all.length === 0);
  changed = false;
}

let cancel = () => {}; // what is to be drawn soon
let waiting = false;

function soon() {
  if (waiting) return;
  // A hidden tab has no frames, but what has changed must not pile up for as long as it is hidden.
  const drawn = document.hidden ? setTimeout(draw, 1000) : requestAnimationFrame(draw);
  const forget = document.hidden ? clearTimeout : cancelAnimationFrame;
  waiting = true;
  cancel = () => {
    forget(drawn);
    waiting = false;
  };
}

function count() {
  const { all, shown, forgotten, types } = store;
  const some = `${shown.length === all.length ? "" : `${number(shown.length)} of `}${plural(all.length, "event")}`;
  const gone = forgotten ? ` · ${number(forgotten)} older ones let go, the hub has them` : "";
  text(byId("count"), all.length ? some + gone : "no events yet");
  text(byId("tab-count"), all.length ? number(all.length) : "");
  byId("older").hidden = before === null;
  suggest("types", [...types.keys()]);
  suggest("rooms", [...new Set([...state.sessions.values()].map((one) => one.room).filter(Boolean))]);
}

function suggest(id, names) {
  const list = byId(id);
  if (list.childElementCount === names.length) return;
  list.replaceChildren(...names.map((name) => Object.assign(el("option"), { value: name })));
}

function redraw() {
  changed = true;
  state.take(); // all of it is drawn now
  conversation.reset(state.items, wants);
  captions.reset();
  captions.render({ added: state.items.slice(-50), changed: [], removed: [] }, wants);
  soon();
}

// -- settings -----------------------------------------------------------------------------------------------------------

function set(some) {
  Object.assign(view, some);
  if ("room" in some && !("chosen" in some)) view.chosen = undefined;
  settings.write(view);
  apply();
}

function apply() {
  const fields = { "filter-text": view.text, "filter-type": view.type, "filter-room": view.room };
  for (const [id, value] of Object.entries(fields)) {
    if (byId(id).value !== (value ?? "")) byId(id).value = value ?? "";
    byId(id).classList.toggle("on", Boolean(value));
  }
  byId("filter-heartbeats").checked = view.heartbeats === "on";
  store.filter(view);
  captions.show(view.captions !== "off");
  theme(view.theme);
  show(view.view === "log" ? "log" : "conversation");
  redraw();
}

function theme(name = "") {
  document.documentElement.dataset.theme = name;
  byId("theme").textContent = `Theme: ${name || "auto"}`;
}

function show(name) {
  document.body.dataset.view = name;
  for (const tab of ["conversation", "log"]) {
    byId(`tab-${tab}`).ariaSelected = String(tab === name);
    byId(`tab-${tab}`).tabIndex = tab === name ? 0 : -1;
  }
}

// -- what comes in ------------------------------------------------------------------------------------------------------

function take(id, data, live) {
  let event;
  try {
    event = JSON.parse(data);
  } catch {
    return;
  }
  const { type, room, session, timestamp: at } = event;
  const one = { id, data, type, room, session, at };
  if (type === "heartbeat") {
    if (view.heartbeats === "on") store.add(one);
    return;
  }
  if (type === "stream_gap") seen.gap(event);
  else if (!seen.take(id)) return;
  const off = at - (Date.now() / 1000 + skew);
  if (live && Math.abs(off) > OFF) one.off = off;
  store.add(one);
  state.apply(event);
}

function intake(events) {
  if (!ready || paused) {
    held = held.concat(events);
    if (held.length > store.limits.events) {
      store.forgotten += held.length - store.limits.events;
      held = held.slice(-store.limits.events);
    }
    status.paused = paused ? held.length : null;
    return status.render();
  }
  for (const [id, data, live] of events) take(id, data, live);
  soon();
}

function release() {
  const events = held;
  held = [];
  intake(events);
}

let loading = false;

/** What was before: the newest events of the history, then on from there with what has come meanwhile. */
async function begin() {
  if (ready || loading) return;
  loading = true;
  try {
    const page = await history(hub, { limit: PAST });
    for (const [id, data] of page.events) take(id, data, false);
    seen.take(page.after);
    before = page.more ? page.before : null;
  } catch (error) {
    toast(`The history could not be loaded: ${error.message}`);
  }
  ready = true;
  changed = true;
  const wasPaused = paused;
  paused = false;
  release();
  paused = wasPaused;
}

async function older() {
  byId("older").disabled = true;
  try {
    const page = await history(hub, { limit: PAST, before });
    const events = page.events.map(([id, data]) => {
      const { type, room, session, timestamp: at } = JSON.parse(data);
      return { id, data, type, room, session, at };
    });
    const taken = store.prepend(events);
    before = page.more && taken === events.length ? page.before : null;
    // What was said earlier changes how what came later is read: the state is made anew, from all of it.
    state = new State();
    for (const { data } of store.all) state.apply(JSON.parse(data));
    log.box.scrollTop += store.shown.findIndex((one) => one.id === events.at(-1)?.id) * 22;
    redraw();
  } catch (error) {
    toast(error.message);
  }
  byId("older").disabled = false;
}

openFeed(hub, (message) => {
  if (message.events) return intake(message.events);
  status.status = message.status;
  skew = message.status.skew ?? skew;
  status.render();
  if (message.status.state === "live") begin();
  soon();
}).then((feed) => {
  status.feed = feed;
  status.render();
});

// -- what people do -----------------------------------------------------------------------------------------------------

function pause(on) {
  paused = on;
  byId("pause").ariaPressed = String(on);
  byId("pause").textContent = on ? "Resume" : "Pause";
  status.paused = on ? held.length : null;
  status.render();
  if (!on && ready) release();
}

function clear() {
  store.clear();
  held = [];
  logged = 0;
  before = null;
  state = new State();
  log.choose(null);
  redraw();
}

byId("pause").onclick = () => pause(!paused);
byId("clear").onclick = clear;
byId("post").onclick = () => poster.open(status.status.config, view.room);
byId("theme").onclick = () => set({ theme: { "": "dark", dark: "light", light: "" }[view.theme ?? ""] });
byId("older").onclick = older;
byId("copy-shown").onclick = () => copy(store.shown.map((one) => one.data).join("\n"), plural(store.shown.length, "event is", "events are"));
byId("filters").onsubmit = (event) => event.preventDefault();
byId("filter-heartbeats").onchange = (event) => set({ heartbeats: event.target.checked ? "on" : "" });
for (const name of ["text", "type", "room"]) {
  byId(`filter-${name}`).oninput = (event) => {
    clearTimeout(event.target.timer);
    event.target.timer = setTimeout(() => set(name === "room" ? { room: event.target.value, session: "" } : { [name]: event.target.value }), 120);
  };
}
for (const name of ["conversation", "log"]) {
  byId(`tab-${name}`).onclick = () => set({ view: name === "log" ? "log" : "" });
  byId(`tab-${name}`).onkeydown = (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    const other = name === "log" ? "conversation" : "log";
    byId(`tab-${other}`).click();
    byId(`tab-${other}`).focus();
  };
}
addEventListener("popstate", () => location.reload());
addEventListener("hashchange", () => location.reload());
addEventListener("pageshow", (event) => event.persisted && location.reload());
document.addEventListener("visibilitychange", () => {
  cancel();
  soon();
});
document.body.classList.remove("bare");
if (hub !== own) view.hub = hub;
apply();
status.render();
