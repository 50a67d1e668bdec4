import assert from "node:assert/strict";
import { test } from "node:test";

import { lacking, refusedKey, sameView, sharedView, sharesOne, whySignIn } from "../../static/words/access.js";

const anonymous = { auth: "required", kind: "anonymous", label: "anonymous", publish: [], subscribe: [], session: null, control: false, expires_at: null };
const local = { ...anonymous, auth: "open", kind: "local", publish: null, subscribe: null, control: true };
const robot = { ...anonymous, kind: "key", label: "robot", publish: ["a"] };
const desk = { ...anonymous, kind: "key", label: "desk", subscribe: ["support-*"] };
const share = { ...anonymous, kind: "share", label: "a shared link", subscribe: ["support-1"], expires_at: 4_000_000_000 };
const session = { ...share, subscribe: [], session: "s-1" };

test("a sign-in is needed by those who may see nothing", () => {
  assert.deepEqual([anonymous, robot, local, desk, share, session].map(lacking), [true, true, false, false, false, false]);
  assert.equal(lacking(undefined), false); // a hub from before access
});

test("why a sign-in is needed", () => {
  assert.equal(whySignIn(anonymous, "", false), "This hub requires a key.");
  assert.equal(whySignIn(anonymous, "", true), "This link or key is not valid any more.");
  assert.equal(whySignIn(anonymous, "token_expired", true), "Your access has expired.");
  assert.equal(whySignIn(anonymous, "access_revoked", false), "Your access was revoked.");
  assert.equal(whySignIn(anonymous, "shutdown", false), "This hub requires a key.");
  assert.equal(whySignIn(robot, "token_expired", false), "robot may not see events. Sign in with another key.");
});

test("why a key was refused, and how long to wait", () => {
  const refused = (code, status, retryAfter) => refusedKey({ message: "as the hub says", problem: { code, status }, retryAfter });
  assert.equal(refused("bad_credential", 401), "That is not a key of this hub.");
  assert.equal(refused("too_many_failures", 429, 12_000), "There were too many wrong keys from your address. Try again in 12 s.");
  assert.equal(refused("rate_limited", 429, 999), "There were too many requests from your address. Try again in 1 s.");
  assert.equal(refused("forbidden_origin", 403), "as the hub says");
  assert.equal(refusedKey({ message: "No hub answers" }), "No hub answers");
});

test("what a shared link shows", () => {
  assert.equal(sharedView(desk), "");
  assert.equal(sharedView(undefined), "");
  assert.match(sharedView(share), /^Shared view of room “support-1”, until .*2096/);
  assert.match(sharedView({ ...share, subscribe: ["a", "<b>"] }), /^Shared view of rooms “a”, “<b>”, until /);
  assert.match(sharedView(session), /^Shared view of session “s-1”, until /);
  const soon = Date.now() / 1000 + 1;
  if (new Date(soon * 1000).getDate() === new Date().getDate()) assert.match(sharedView({ ...share, expires_at: soon }), /until \d\d:\d\d$/);
});

test("one room or session leaves nothing to choose from", () => {
  assert.deepEqual([share, session].map(sharesOne), [true, true]);
  assert.deepEqual([desk, local, { ...share, subscribe: ["a", "b"] }, { ...share, subscribe: ["a*"] }].map(sharesOne), [false, false, false, false]);
});

test("what was loaded with other rights is not the same view", () => {
  assert.ok(sameView(desk, { ...desk, expires_at: 1, control: true }));
  for (const other of [local, share, { ...desk, subscribe: null }, { ...desk, label: "wall" }]) assert.ok(!sameView(desk, other));
  assert.ok(!sameView(session, { ...session, session: "s-2" }));
});
