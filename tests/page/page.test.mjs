import assert from "node:assert/strict";
import { test } from "node:test";

import { HeldEvents } from "../../static/model/held-events.js";
import { HistoryLoader } from "../../static/model/history-loader.js";
import { PageModel, isReset } from "../../static/model/page-model.js";
import { Selection } from "../../static/model/selection.js";
import { Store } from "../../static/model/store.js";

const user = (room, session, text = "Hello") => ({ type: "transcript", role: "user", text, room, session });
const entry = (n, more = {}) => ({ id: `e-${n}`, data: "x", type: "t", at: 0, ...more });
const pair = (n, event) => [`e-${n}`, JSON.stringify(event)];

/** A model with these events, `e-1` the first. */
function model(events, selection = new Selection()) {
  const made = new PageModel((item) => !selection.everything && selection.includes(item));
  events.forEach((event, n) => made.take(`e-${n + 1}`, JSON.stringify(event)));
  return made;
}

test("a room includes all of its sessions, a session only itself", () => {
  const { state } = model([user("a", "1"), user("a", "2"), user("b", "3"), { type: "stream_gap", reason: "retention" }]);
  const included = (selection) => state.items.filter((item) => selection.includes(item)).map(({ session }) => session?.name ?? "gap");
  assert.deepEqual(included(new Selection()), ["1", "2", "3", "gap"]);
  assert.deepEqual(included(new Selection({ room: "a" })), ["1", "2", "gap"]);
  assert.deepEqual(included(new Selection({ session: "2" })), ["2", "gap"]);
  assert.deepEqual(included(new Selection({ room: "b", session: "2" })), ["gap"]);
  assert.equal(new Selection({ room: "a" }).find(state.sessions).name, "2");
  assert.equal(new Selection({ room: "c" }).find(state.sessions), null);
  assert.equal(new Selection().find(state.sessions), null);
});

test("a session without a name is selected by its key, in the log, too", () => {
  const made = model([user("a"), user("a", "1"), { type: "transcript", text: "x" }]);
  const [inRoom, , alone] = [...made.state.sessions.values()].sort((a, b) => a.serial - b.serial);
  const shown = (selection) => {
    made.store.filter(selection.filter);
    return made.store.shown.map(({ id }) => id);
  };
  assert.deepEqual(shown(Selection.of(inRoom)), ["e-1"]);
  assert.deepEqual(shown(Selection.of(alone)), ["e-3"]);
  assert.ok(Selection.of(inRoom).equals(Selection.of(inRoom)));
  assert.deepEqual(Selection.of(alone).query, null); // the API has no filter for it
});

test("items that were dropped are counted for the selection that they belonged to", () => {
  const busy = Array.from({ length: 1300 }, (_, n) => user("busy", "1", `${n}`));
  const made = model([user("quiet", "2"), user("quiet", "2"), ...busy], new Selection({ room: "quiet" }));
  assert.equal(made.droppedOf(new Selection({ room: "quiet" })), 0);
  assert.equal(made.droppedOf(new Selection({ room: "busy" })), 302);
  assert.equal(made.droppedOf(new Selection()), 302);
});

test("held events: released in order, and bounded by number and by size", () => {
  const held = new HeldEvents({ events: 100, characters: 1000 });
  for (let n = 0; n < 3; n += 1) held.add(`e-${n}`, "x", NaN);
  assert.deepEqual([held.trim(), held.size, held.release().map(([id]) => id), held.size], [0, 3, ["e-0", "e-1", "e-2"], 0]);
  for (let n = 0; n < 150; n += 1) held.add(`e-${n}`, "x", NaN);
  assert.deepEqual([held.trim(), held.size], [52, 98]);
  assert.equal(held.release().at(-1)[0], "e-149");
  for (let n = 0; n < 20; n += 1) held.add(`e-${n}`, "x".repeat(100), NaN);
  assert.equal(held.trim(), 11);
  held.dropThrough((data) => data.length === 100);
  assert.equal(held.size, 0);
});

test("a reset is a gap after which the history goes on in another epoch", () => {
  const gap = (reason, to) => JSON.stringify({ type: "stream_gap", reason, to });
  assert.deepEqual([gap("unknown_epoch", "e-1"), gap("unknown_epoch", "f-1"), gap("too_slow", "e-1"), "{}"].map((data) => isReset(data, "e")), [true, false, false, false]);
});

test("recalled events are shown before the others, are the first to go, and are counted", () => {
  const store = new Store({ events: 5 });
  store.filter({ room: "a" });
  for (const n of [8, 9]) store.add(entry(n, { room: "a" }));
  store.recall([1, 2, 3, 4].map((n) => entry(n, { room: "a" })));
  assert.deepEqual(store.shown.map(({ id }) => id), ["e-2", "e-3", "e-4", "e-8", "e-9"]);
  assert.deepEqual([store.size, store.characters], [5, 5]);
  store.add(entry(10, { room: "b" }));
  assert.deepEqual(store.shown.map(({ id }) => id), ["e-8", "e-9"]);
  assert.deepEqual([store.size, store.characters, store.forgotten, store.hidden], [3, 3, 3, 3]);
});

/** A hub whose history has `events`, `e-1` the first. Answers like `/api/events`; `looks`: events examined per page. */
function hub(events, looks = Infinity) {
  const asked = [];
  const fetchPage = async ({ limit, before, past, room }) => {
    asked.push({ limit, before, past, room });
    let at = before ? Number(before.slice(2)) - 1 : events.length;
    const end = Math.max(0, at - looks);
    const found = [];
    for (; at > end && found.length < limit; at -= 1) if (!room || events[at - 1].room === room) found.unshift(pair(at, events[at - 1]));
    const earlier = past ? events.slice(0, at).flatMap((event, n) => (!room || event.room === room ? [pair(n + 1, event)] : [])) : [];
    return { events: found, more: at > 0, after: `e-${events.length}`, before: `e-${at + 1}`, past: earlier.slice(-past), past_more: false };
  };
  return { asked, fetchPage };
}

const old = [user("old", "1", "first"), user("old", "1", "second")];
const noise = Array.from({ length: 3000 }, () => ({ type: "n", room: "noise" }));

async function opened({ fetchPage }) {
  const made = new PageModel(() => false);
  const loader = new HistoryLoader(fetchPage, made);
  await loader.begin(() => true, () => {});
  return { made, loader };
}

test("a room that is older than the log is fetched when it is selected, and let go with the selection", async () => {
  const server = hub([...old, ...noise], 1000);
  const { made, loader } = await opened(server);
  const selection = new Selection({ room: "old" });
  made.store.filter(selection.filter);
  assert.deepEqual(made.store.shown, []);
  assert.ok(await loader.recall(selection));
  assert.deepEqual(made.store.shown.map(({ id }) => id), ["e-1", "e-2"]);
  assert.ok(!loader.more(selection));
  assert.ok(loader.more(new Selection()));
  await loader.recall(new Selection());
  assert.deepEqual([made.store.recalled, made.store.all.length], [[], 500]);
});

test("a room with many older events is loaded a page at a time", async () => {
  const { made, loader } = await opened(hub([...old, ...noise]));
  const selection = new Selection({ room: "noise" });
  made.store.filter(selection.filter);
  assert.ok(!(await loader.recall(selection))); // the log has enough of it
  assert.ok(loader.more(selection));
  await loader.loadOlder(selection);
  assert.deepEqual([made.store.shown.length, made.store.shown[0].id], [1500, "e-1503"]);
  await loader.loadOlder(selection);
  await loader.loadOlder(selection);
  assert.deepEqual([made.store.shown.length, made.store.shown[0].id, loader.more(selection)], [3000, "e-3", false]);
});

test("of two selections in a row the second one counts", async () => {
  const { made, loader } = await opened(hub([...old, user("other", "2"), ...noise], 1000));
  const both = await Promise.all([loader.recall(new Selection({ room: "old" })), loader.recall(new Selection({ room: "other" }))]);
  assert.deepEqual(both, [false, true]);
  assert.deepEqual(made.store.recalled.map(({ room }) => room), ["other"]);
});

test("what is loading when the page is cleared does not appear", async () => {
  const server = hub([...old]);
  const made = new PageModel(() => false);
  const loader = new HistoryLoader(server.fetchPage, made);
  const settled = [];
  const loading = loader.begin(() => true, (page) => settled.push(page));
  loader.clear();
  await loading;
  assert.deepEqual([made.store.all, settled, loader.more(new Selection())], [[], [], false]);
});
