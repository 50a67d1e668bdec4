// JSON as a tree that unfolds.

import { el } from "../views/dom.js";

const OPEN = 300; // characters up to which a value is open at first

/** A value as elements. Text that is JSON, as models write arguments, is read as JSON. */
export function jsonTree(value, name = "") {
  const read = parsed(value);
  const label = name === "" ? [] : [el("span", "key", name), ": "];
  if (read === null || typeof read !== "object") return el("div", "leaf", ...label, el("span", typeof read, typeof read === "string" ? read : JSON.stringify(read)));
  const entries = Object.entries(read);
  const brief = Array.isArray(read) ? `[${entries.length}]` : `{${entries.map(([key]) => key).join(", ").slice(0, 60)}}`;
  if (!entries.length) return el("div", "leaf", ...label, brief);
  const made = el("details", "tree", el("summary", "", ...label, el("span", "brief", brief)), ...entries.map(([key, each]) => jsonTree(each, key)));
  made.open = JSON.stringify(read).length <= OPEN;
  return made;
}

function parsed(value) {
  if (typeof value !== "string" || !/^\s*[[{]/.test(value)) return value;
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}
