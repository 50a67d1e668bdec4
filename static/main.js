// The page put together: what comes in goes into the store and the state; once a frame, what changed is drawn.

import { AgentsPanel } from "./agents-panel.js";
import { Agents } from "./agents.js";
import { Captions } from "./captions.js";
import { Conversation } from "./conversation.js";
import { Seen, parse } from "./cursor.js";
import { Detail } from "./detail.js";
import { byId, copy, el, text, toast } from "./dom.js";
import { Empty } from "./empty.js";
import { openFeed } from "./feed.js";
import { number, plural } from "./format.js";
import { Log } from "./log.js";
import { Past } from "./past.js";
import { Poster } from "./post.js";
import { Rooms } from "./rooms.js";
import { SessionPanel } from "./session-panel.js";
import * as settings from "./settings.js";
import { history } from "./source.js";
import { State } from "./state.js";
import { Status } from "./status.js";
import { Store } from "./store.js";
import { Tabs } from "./tabs.js";
import { Talk } from "./talk.js";

const { hub, own } = window.eventHub;
const OLDER = 1000; // events that "Load older" adds to the log
const OFF = 60; // seconds that a publisher's clock may be off before the log says so

const view = { ...settings.read(location.href) };
const store = new Store();
const seen = new Seen();
const past = new Past(hub);
let state = fresh();

let ready = false; // the history is there, or could not be had; until then what is live waits
let held = []; // events that wait: for the history, or for "Resume"
let heldCharacters = 0;
let paused = false;
let older = null; // whether the hub has older events than the page: null until that is known
let mixed = false; // events of another history came first: nothing older can be put before them
let failed = null; // why the history could not be loaded
let cleared = false;
let skew = 0; // s that the hub's clock is ahead of this one
let changed = true;
let logged = 0; // store.hidden when the log was last drawn

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
const agents = new Agents(hub);
const panel = new AgentsPanel(agents);
const talk = new Talk(hub, agents, { room: () => (chosen()?.ended ? "" : (chosen()?.room ?? view.room ?? "")), show: (room) => set({ room, session: "" }) });
const empty = new Empty(hub, () => set({ room: "", session: "" }), agents, () => talk.open());
const tabs = new Tabs((name) => set({ view: name === "log" ? "log" : "" }));
const sheet = new SessionPanel(hub, (on) => set({ panel: on ? "session" : "" }));
const poster = new Poster(hub, () => empty.play());

/** The session that was chosen, or that the settings name; null for all. */
function chosen() {
  if (view.chosen !== undefined && state.sessions.has(view.chosen)) return state.sessions.get(view.chosen);
  if (!view.room && !view.session) return null;
  const fits = (one) => (!view.session || one.name === view.session) && (!view.room || one.room === view.room);
  return [...state.sessions.values()].reverse().find(fits) ?? null;
}

// What is chosen stays, whatever happens elsewhere.
function fresh() {
  return new State({}, (item) => Boolean(view.room || view.session) && wants(item));
}

function wants(item) {
  if (!item.session) return true;
  if (view.session) return item.session.name === view.session && (!view.room || item.session.room === view.room);
  if (view.room) return item.session.room === view.room;
  return view.chosen === undefined || item.session.key === view.chosen;
}

function draw() {
  cancel();
  if (store.forgotten > 0 && older !== null) older = !mixed;
  const changes = state.take();
  if (changes.moved && (view.room || view.session)) redraw();
  else {
    conversation.render(changes, state.forgotten);
    captions.render(changes, wants);
  }
  if (changes.sessions.size || changed) rooms.render(new Set(state.sessions.values()), chosen());
  sheet.render(chosen() ?? (state.sessions.size === 1 ? [...state.sessions.values()][0] : null));
  log.render(store.hidden - logged);
  logged = store.hidden;
  count();
  const quiet = conversation.list.childElementCount === 0;
  empty.render(quiet && ready, { config: status.status.config, events: store.all.length, room: view.room || view.session, cleared, failed });
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
  const gone = forgotten ? ` · ${number(forgotten)} older ones let go here` : "";
  text(byId("count"), all.length ? some + gone : "no events yet");
  text(byId("tab-count"), all.length ? number(all.length) : "");
  byId("older").hidden = !older || mixed;
  suggest("types", [...types.keys()]);
  suggest("rooms", [...new Set([...state.sessions.values()].map((one) => one.room).filter(Boolean))]);
}

function suggest(id, names) {
  const list = byId(id);
  const key = names.join("\n");
  if (list.names === key) return;
  list.names = key;
  list.replaceChildren(...names.map((name) => Object.assign(el("option"), { value: name })));
}

/** Draw all of it anew: other rooms, or another state. `keep`: the conversation stays where it is read. */
function redraw(keep = false) {
  changed = true;
  state.take(); // all of it is drawn now
  conversation.reset(state.items, wants, keep);
  captions.reset(state.items.filter(wants));
  soon();
}

// -- settings -----------------------------------------------------------------------------------------------------------

function set(some) {
  const where = () => JSON.stringify([view.room, view.session, view.chosen]);
  const was = where();
  if (some.heartbeats === "") store.drop("heartbeat");
  Object.assign(view, some);
  if ("room" in some && !("chosen" in some)) view.chosen = undefined;
  settings.write(view);
  apply();
  if (where() !== was) redraw();
}

function apply() {
  const fields = { "filter-text": view.text, "filter-type": view.type, "filter-room": view.room };
  for (const [id, value] of Object.entries(fields)) {
    if (byId(id).value !== (value ?? "")) byId(id).value = value ?? "";
    byId(id).classList.toggle("on", Boolean(value));
  }
  byId("filter-heartbeats").checked = view.heartbeats === "on";
  store.filter({ ...view, nameless: view.chosen !== undefined && !view.room && !view.session });
  captions.show(view.captions !== "off");
  theme(view.theme);
  tabs.show(view.view === "log" ? "log" : "conversation");
  sheet.show(view.panel === "session", true);
  soon();
}

function theme(name = "") {
  document.documentElement.dataset.theme = name;
  byId("theme").textContent = `Theme: ${name || "auto"}`;
}

// -- what comes in ------------------------------------------------------------------------------------------------------

const AFRESH = new Set(["unknown_epoch", "unknown_cursor", "future_cursor"]);

function entry(id, data, event) {
  const { type, room, session, timestamp: at } = event;
  return { id, data, type, room, session, at };
}

/** Take one event. `arrived`: epoch seconds when it came, for those that are live. */
function take(id, data, arrived) {
  let event;
  try {
    event = JSON.parse(data);
  } catch {
    return;
  }
  const one = entry(id, data, event);
  if (one.type === "heartbeat") {
    if (view.heartbeats === "on") store.add(one);
    return;
  }
  if (one.type === "stream_gap") {
    seen.gap(event);
    if (AFRESH.has(event.reason)) mixed = store.all.length > 0;
  } else if (!seen.take(id)) return;
  const off = one.at - (arrived + skew);
  if (Math.abs(off) > OFF) one.off = off;
  store.add(one);
  state.apply(event);
  if (arrived) for (const see of [agents, panel, sheet]) see.take(event);
}

function intake(events) {
  const now = Date.now() / 1000;
  for (const [id, data, live] of events) {
    const arrived = live ? now : NaN;
    if (ready && !paused) take(id, data, arrived);
    else if (!data.startsWith('{"type":"heartbeat"')) {
      held.push([id, data, arrived]);
      heldCharacters += data.length;
    }
  }
  if (held.length > store.limits.events || heldCharacters > store.limits.characters) shorten();
  if (paused) hold();
  soon();
}

// What waits is bounded like what is shown.
function shorten() {
  let count = Math.max(0, held.length - Math.floor(store.limits.events * 0.98));
  heldCharacters -= held.slice(0, count).reduce((sum, [, data]) => sum + data.length, 0);
  for (; heldCharacters > store.limits.characters * 0.98; count += 1) heldCharacters -= held[count][1].length;
  held.splice(0, count);
  store.forgotten += count;
}

function hold() {
  status.paused = paused ? held.length : null;
  status.render();
}

function release() {
  const events = held;
  held = [];
  heldCharacters = 0;
  for (const [id, data, arrived] of events) take(id, data, arrived);
  soon();
}

/** Load a page of the history before the oldest event that there is. */
async function load() {
  const oldest = () => store.all.find((one) => !/^(heartbeat|stream_)/.test(one.type))?.id;
  const before = oldest();
  const page = before ? await history(hub, { limit: OLDER, before }) : await past.newest();
  const first = parse(oldest()); // what came live meanwhile may be on the page, too
  const wanted = page.events.filter(([id]) => !first || parse(id).epoch !== first.epoch || parse(id).offset < first.offset);
  const was = store.shown.length;
  const taken = store.prepend(wanted.map(([id, data]) => entry(id, data, JSON.parse(data))));
  seen.take(page.after);
  older = page.more && taken === wanted.length;
  // What was said earlier changes how what came later is read: the state is made anew, from all of it.
  relive();
  log.render(was - store.shown.length);
  redraw(true);
  return page;
}

function relive() {
  state = fresh();
  const before = store.forgotten ? [] : past.before(store.all.find((one) => parse(one.id))?.id);
  for (const data of before) state.apply(JSON.parse(data));
  for (const { data } of store.all) state.apply(JSON.parse(data));
}

/** The room or session that was asked for, where it is older than all that: from the history, too. */
async function recall() {
  if (chosen() || !(view.room || view.session) || mixed) return;
  const wanted = Object.fromEntries(["room", "session"].filter((name) => view[name]).map((name) => [name, view[name]]));
  await past.recall(wanted);
  relive();
  redraw();
}

let loading = false;

/** What was before: the newest events of the history, then on from there with what has come meanwhile. */
async function begin() {
  if ((ready && failed === null) || loading) return;
  loading = true;
  try {
    const page = await load();
    if (page.past_more || page.more) await recall();
    failed = null;
    // Held events from before the history began anew are no part of it; those after are all in it.
    const end = parse(page.after)?.epoch;
    const fresh = held.findLastIndex(([, data]) => isAfresh(data, end));
    held.splice(0, fresh + 1);
  } catch (error) {
    failed = error.message;
    setTimeout(() => status.status.state === "live" && begin(), error.again ?? 3000);
  }
  loading = false;
  if (!ready) {
    ready = true;
    conversation.follow.go();
    if (paused) hold();
    else release();
  }
  soon();
}

function isAfresh(data, epoch) {
  if (!data.startsWith('{"type":"stream_gap"')) return false;
  const gap = JSON.parse(data);
  return AFRESH.has(gap.reason) && parse(gap.to)?.epoch === epoch;
}

openFeed(hub, (message) => {
  if (message.events) return intake(message.events);
  status.status = message.status;
  agents.connection(message.status);
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
  byId("pause").textContent = on ? "Resume" : "Pause";
  hold();
  if (!on && ready) release();
}

function clear() {
  store.clear();
  held = [];
  heldCharacters = 0;
  logged = 0;
  older = null;
  mixed = false;
  cleared = true;
  failed = null; // what could not be loaded is not wanted any more
  state = fresh();
  past.clear();
  log.choose(null);
  hold();
  redraw();
}

async function loadOlder() {
  byId("older").disabled = true;
  await load().catch((error) => toast(error.message));
  byId("older").disabled = false;
}

byId("pause").onclick = () => pause(!paused);
byId("clear").onclick = clear;
byId("post").onclick = () => poster.open(status.status.config, view.room);
byId("theme").onclick = () => set({ theme: { "": "dark", dark: "light", light: "" }[view.theme ?? ""] });
byId("older").onclick = loadOlder;
byId("copy-shown").onclick = () => copy(store.shown.map((one) => one.data).join("\n"), plural(store.shown.length, "event is", "events are"));
byId("filters").onsubmit = (event) => event.preventDefault();
byId("filter-heartbeats").onchange = (event) => set({ heartbeats: event.target.checked ? "on" : "" });
for (const name of ["text", "type", "room"]) {
  byId(`filter-${name}`).oninput = (event) => {
    clearTimeout(event.target.timer);
    event.target.timer = setTimeout(() => set(name === "room" ? { room: event.target.value, session: "" } : { [name]: event.target.value }), 120);
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
redraw();
status.render();
