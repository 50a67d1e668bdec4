// The page's controller: it passes events from the hub to the model, draws the model once a frame, and does what the
// reader asks for.

import { Agents } from "./model/agents.js";
import { HeldEvents } from "./model/held-events.js";
import { HistoryLoader } from "./model/history-loader.js";
import { PageModel, isReset } from "./model/page-model.js";
import { Selection } from "./model/selection.js";
import { parse } from "./model/cursor.js";
import { Api } from "./transport/api.js";
import { openFeed } from "./transport/feed.js";
import { AddressBar } from "./views/address-bar.js";
import { AgentsPanel } from "./views/agents-panel.js";
import { Away } from "./views/away.js";
import { Captions } from "./views/captions.js";
import { Conversation } from "./views/conversation.js";
import { Detail } from "./views/detail.js";
import { byId, toast } from "./views/dom.js";
import { Empty } from "./views/empty.js";
import { Filters } from "./views/filters.js";
import { FrameScheduler } from "./views/frame-scheduler.js";
import { Log } from "./views/log.js";
import { LogHead } from "./views/log-head.js";
import { Poster } from "./views/post.js";
import { Rooms } from "./views/rooms.js";
import { SessionPanel } from "./views/session-panel.js";
import { SignIn } from "./views/sign-in.js";
import { Status } from "./views/status.js";
import { Tabs } from "./views/tabs.js";
import { Talk } from "./views/talk.js";

const AGAIN = 10_000; // ms between two questions about access
const RELOAD = 500; // ms, in which the reader sees why
const THEMES = { "": "dark", dark: "light", light: "" }; // theme → the next one

export class PageController {
  #ready = false; // until the history was asked for, live events are held
  #paused = false;
  #cleared = false;
  #skew = 0; // s by which the hub's clock is ahead of this one
  #redraw = true; // everything is to be drawn again
  #keepPlace = false; // and the conversation is to stay where it is being read
  #typed = false; // whether the selection is a name that is still being typed
  #asked = 0; // when a refused request last made the page ask about access
  #hidden = 0; // store.hidden when the log was last drawn

  /** `hub`: its address; `own`: the address of the hub that served the page, `base`: its path; `credential`: this tab's, if it has one. */
  constructor({ hub, own, base, disk }, credential) {
    this.taken = () => {}; // called with each live event
    this.api = new Api(hub, credential);
    this.foreign = disk || hub !== own;
    this.address = new AddressBar((selection) => this.#show(selection), base);
    const { settings, selection } = this.address.read();
    this.settings = hub === own ? settings : { ...settings, hub };
    this.selection = selection;
    this.model = new PageModel((item) => !this.selection.everything && this.selection.includes(item));
    this.held = new HeldEvents(this.model.store.limits);
    this.history = new HistoryLoader((query) => this.api.history(query), this.model);
    this.frames = new FrameScheduler(() => this.#draw());
    this.#build();
    this.#apply();
    if (settings.hub !== this.settings.hub) this.address.write(this.settings, selection);
  }

  #build() {
    const { api, model } = this;
    this.status = new Status(api.hub);
    this.away = new Away({ icons: [byId("icon").href, byId("icon").href.replace("icon.svg", "icon-away.svg")], changed: () => {} });
    api.denied = () => this.#askAgain();
    this.signIn = new SignIn(api, { foreign: this.foreign, retry: (options) => this.status.feed?.retry(options) });
    this.conversation = new Conversation();
    this.captions = new Captions((on) => this.set({ captions: on ? "" : "off" }));
    this.rooms = new Rooms((selection) => this.select(selection));
    this.filters = new Filters((some) => this.set(some), (room, done) => this.select(new Selection({ room }), { typing: !done }));
    this.tabs = new Tabs((name) => this.set({ view: name === "log" ? "log" : "" }));
    this.detail = new Detail(api, () => {
      this.log.choose(null);
      byId("log").focus();
    });
    this.log = new Log(() => model.store.shown, (event) => this.detail.show(event));
    this.logHead = new LogHead(model.store, () => this.#loadOlder());
    this.sessionPanel = new SessionPanel(api, (on) => this.set({ panel: on ? "session" : "" }));
    this.agents = new Agents(api);
    this.agentsPanel = new AgentsPanel(this.agents, api);
    this.talk = new Talk(api, this.agents, { room: () => this.#roomToTalkIn(), show: (room) => this.select(new Selection({ room })) });
    this.empty = new Empty(api, this.agents, { showAll: () => this.select(new Selection()), talk: () => this.talk.open() });
    this.poster = new Poster(api, () => this.empty.play());
  }

  /** Open the stream. */
  async connect() {
    this.status.render();
    this.status.feed = await openFeed(this.api.hub, (message) => this.#receive(message), this.api.credential);
    this.status.render();
  }

  // A request was refused: the configuration says whether to sign in.
  #askAgain() {
    if (this.signIn.needed || Date.now() - this.#asked < AGAIN) return;
    this.#asked = Date.now();
    this.status.feed?.retry({ force: true });
  }

  // -- events -----------------------------------------------------------------------------------------------------------

  #receive({ events, status }) {
    if (events) return this.#intake(events);
    this.status.status = status;
    this.api.guarded = status.config?.access?.auth === "required";
    this.agents.connection(status);
    this.signIn.render(status);
    this.#skew = status.skew ?? this.#skew;
    this.status.render();
    this.away.render(status);
    if (status.state === "live") this.history.begin(() => this.status.status.state === "live", (page) => this.#loaded(page));
    this.frames.request();
  }

  #intake(events) {
    const now = Date.now() / 1000;
    for (const [id, data, live] of events) {
      const arrived = live ? now : NaN;
      if (this.#ready && !this.#paused) this.#take(id, data, arrived);
      else if (!data.startsWith('{"type":"heartbeat"')) this.held.add(id, data, arrived);
    }
    this.model.store.forgotten += this.held.trim();
    if (this.#paused) this.#showHeld();
    this.frames.request();
  }

  #take(id, data, arrived) {
    const event = this.model.take(id, data, { arrived: arrived + this.#skew, heartbeats: this.settings.heartbeats === "on" });
    if (event === null || Number.isNaN(arrived)) return;
    if (event.type === "events_erased") this.#reload();
    for (const view of [this.agents, this.agentsPanel, this.sessionPanel]) view.take(event);
    this.taken(event);
  }

  // What was erased is still in this page's memory.
  #reload() {
    toast("Events were erased: loading the rest");
    setTimeout(() => location.reload(), RELOAD);
  }

  #release() {
    for (const [id, data, arrived] of this.held.release()) this.#take(id, data, arrived);
    this.frames.request();
  }

  #showHeld() {
    this.status.paused = this.#paused ? this.held.size : null;
    this.status.render();
  }

  // -- history ----------------------------------------------------------------------------------------------------------

  async #loaded(page) {
    if (page) {
      this.#drawAll({ keepPlace: true });
      await this.#recall();
      const { epoch } = parse(page.after) ?? {};
      this.held.dropThrough((data) => isReset(data, epoch)); // events of an earlier history do not belong to this one
    }
    if (!this.#ready) this.#begin();
    this.frames.request();
  }

  #begin() {
    this.#ready = true;
    this.conversation.follow.go();
    if (this.#paused) this.#showHeld();
    else this.#release();
  }

  /** Load the history of the selection, if it is older than what the page has. */
  async #recall() {
    if (!this.history.loaded) return;
    const { shown } = this.model.store;
    const before = shown.length;
    try {
      if (!(await this.history.recall(this.selection))) return;
      this.log.render(before - this.model.store.shown.length);
      this.#drawAll({ keepPlace: true });
    } catch (error) {
      toast(error.message);
    }
  }

  async #loadOlder() {
    const before = this.model.store.shown.length;
    const { text = "", type = "" } = this.settings;
    const rebuilt = await this.history.loadOlder(this.selection, { text, type });
    if ((text || type) && this.model.store.shown.length === before) toast(this.history.more(this.selection, this.settings) ? "Nothing found so far: “Load older” goes on" : "Nothing older matches");
    this.log.render(before - this.model.store.shown.length);
    if (rebuilt) this.#drawAll({ keepPlace: true });
    else this.frames.request();
  }

  // -- selection and settings -------------------------------------------------------------------------------------------

  /** Show a room or a session. `typing`: its name is being typed, so its history is not loaded yet. */
  select(selection, { typing = false } = {}) {
    if (this.selection.equals(selection)) {
      if (this.#typed && !typing) this.#recall();
      this.#typed = typing;
      return;
    }
    this.#typed = typing;
    this.address.write(this.settings, selection, { push: true, typing });
    this.#show(selection, { recall: !typing });
  }

  #show(selection, { recall = true } = {}) {
    this.selection = selection;
    this.address.write(this.settings, selection);
    this.#apply();
    this.#drawAll();
    if (recall) this.#recall();
  }

  /** Change settings. */
  set(some) {
    if (some.heartbeats === "") this.model.store.drop("heartbeat");
    if ("text" in some || "type" in some) this.history.refilter();
    Object.assign(this.settings, some);
    this.address.write(this.settings, this.selection);
    this.#apply();
  }

  /** Another view of the page is shown: `view` is its name. */
  shown(view) {
    const before = this.view;
    this.view = view;
    if (!["live", "events", "agents", "talk"].includes(view)) return;
    if (before !== undefined && before !== view) {
      const { settings, selection } = this.address.read();
      this.settings = { ...settings, hub: this.settings.hub };
      this.#show(selection);
    } else this.#apply();
  }

  #apply() {
    const { settings, selection } = this;
    this.filters.show({ ...settings, room: selection.room });
    this.model.store.filter({ ...settings, ...selection.filter });
    this.captions.show(settings.captions !== "off");
    document.documentElement.dataset.theme = settings.theme ?? "";
    byId("theme").textContent = `Theme: ${settings.theme || "auto"}`;
    this.tabs.show(this.view === "events" || settings.view === "log" ? "log" : "conversation");
    this.sessionPanel.show(settings.panel === "session", true);
    this.frames.request();
  }

  get #session() {
    return this.selection.find(this.model.state.sessions);
  }

  #roomToTalkIn() {
    const session = this.#session;
    return session?.ended ? "" : (session?.room ?? this.selection.room);
  }

  // -- drawing ----------------------------------------------------------------------------------------------------------

  #drawAll({ keepPlace = false } = {}) {
    this.#keepPlace = this.#redraw ? this.#keepPlace && keepPlace : keepPlace;
    this.#redraw = true;
    this.frames.request();
  }

  #draw() {
    this.frames.cancel();
    const { history, model, selection, status } = this;
    const { state, store } = model;
    if (store.forgotten) history.forgot();
    const changes = state.take();
    if (changes.moved) this.#rekey();
    const wants = (item) => selection.includes(item);
    const all = this.#redraw || (changes.moved && !selection.everything);
    this.conversation.note(model.droppedOf(selection));
    if (all) {
      this.conversation.reset(state.items, wants, this.#keepPlace);
      this.captions.reset(state.items.filter(wants));
    } else {
      this.conversation.render(changes);
      this.captions.render(changes, wants);
    }
    const sessions = new Set(state.sessions.values());
    const session = this.#session;
    if (changes.sessions.size || all) this.rooms.render(sessions, selection, session, { now: () => Date.now() / 1000 + this.#skew, slow: () => status.status.config?.slow ?? [1.5, 3] });
    this.sessionPanel.render(session ?? (sessions.size === 1 ? [...sessions][0] : null));
    this.log.render(store.hidden - this.#hidden);
    this.#hidden = store.hidden;
    this.logHead.render(history.more(selection, this.settings), [...new Set([...sessions].map(({ room }) => room).filter(Boolean))]);
    this.empty.render(this.#ready && this.conversation.empty, { config: status.status.config, events: store.all.length, room: selection.name, cleared: this.#cleared, failed: history.error });
    this.#redraw = this.#keepPlace = false;
  }

  // A session that got its room or its name has another key.
  #rekey() {
    const { key, room, session } = this.selection;
    if (key !== undefined && !this.model.state.sessions.has(key)) this.selection = new Selection({ room, session });
  }

  // -- what the reader asks for -----------------------------------------------------------------------------------------

  togglePause() {
    this.#paused = !this.#paused;
    byId("pause").textContent = this.#paused ? "Resume" : "Pause";
    this.#showHeld();
    if (!this.#paused && this.#ready) this.#release();
  }

  clear() {
    this.model.clear();
    this.history.clear();
    this.held.clear();
    this.#hidden = 0;
    this.#cleared = true;
    this.log.choose(null);
    this.#showHeld();
    if (!this.#ready) this.#begin();
    this.#drawAll();
  }

  post() {
    this.poster.open(this.status.status.config, this.selection.room);
  }

  nextTheme() {
    this.set({ theme: THEMES[this.settings.theme ?? ""] });
  }
}
