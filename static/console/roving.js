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
