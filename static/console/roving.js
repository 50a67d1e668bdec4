// One tab stop for a list of controls: the arrow keys move within it.

const KEYS = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 };

/** Make the elements within `place` that match `selector` one tab stop. Call the returned function after they have changed. */
export function roving(place, selector) {
  let current = null;
  const all = () => [...place.querySelectorAll(selector)];
  const settle = () => {
    const items = all();
    if (!items.includes(current)) current = items[0] ?? null;
    for (const item of items) item.tabIndex = item === current ? 0 : -1;
  };
  place.addEventListener("focusin", ({ target }) => {
    const item = target.closest(selector);
    if (!item || item === current) return;
    current = item;
    settle();
  });
  place.addEventListener("keydown", (event) => {
    const items = all();
    const index = items.indexOf(event.target);
    if (index < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    const to = event.key === "Home" ? 0 : event.key === "End" ? items.length - 1 : KEYS[event.key] ? index + KEYS[event.key] : -1;
    if (!items[to]) return;
    event.preventDefault();
    items[to].focus();
  });
  settle();
  return settle;
}

/** Draw within `place`, and keep the focus on the link or the button that has it, by its address or its place among the others. */
export function keepingFocus(place, draw) {
  const items = () => [...place.querySelectorAll("a, button")];
  const index = items().indexOf(document.activeElement);
  const { href } = document.activeElement ?? {};
  draw();
  if (index < 0 || place.contains(document.activeElement)) return;
  const after = items();
  (after.find((item) => href && item.href === href) ?? after[Math.min(index, after.length - 1)])?.focus({ preventScroll: true });
}
