// The page's rules for utterances are the hub's: one table for both (tests/unit/test_utterances.py).

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { Utterances } from "../../static/model/utterances.js";

const cases = JSON.parse(readFileSync(new URL("../utterances.json", import.meta.url), "utf8"));
const fates = (settled) => settled.map(({ utterance, fate }) => `(${utterance.number} ${fate})`);

for (const { name, events, steps, settled, utterances } of cases) {
  test(name, () => {
    const made = new Utterances();
    const seen = new Map();
    const found = events.map((event) => {
      const resolved = made.take(event);
      if (resolved === null) return null;
      const { utterance } = resolved;
      seen.set(utterance.number, utterance);
      const flags = ["opens", "closes", "drops"].filter((flag) => resolved[flag]);
      return [utterance.number, utterance.role, ...flags, ...fates(resolved.settled)].join(" ");
    });
    assert.deepEqual(found, steps);
    assert.deepEqual(fates(made.settle()), settled);
    const all = [...seen.values()].sort((a, b) => a.number - b.number);
    assert.deepEqual(all.map(({ number, began, heard }) => ({ number, began, heard })), utterances);
  });
}
