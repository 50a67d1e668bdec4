// A chart that is read with the keyboard: a slider over its buckets.

const MOVES = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1, PageDown: -10, PageUp: 10 };

/**
 * Make `place` a slider: the arrow keys move from bucket to bucket, with Shift they select a stretch, Enter chooses it.
 * `count()`: the number of buckets; `words(index)`: what a bucket shows; `point(from, to)`: show bucket `to`, and what is selected;
 * `choose(from, to)`: the stretch of these buckets; `leave()`: the keyboard is no longer here.
 */
export function readByKeys(place, { label, count, words, point, choose, leave }) {
  let [anchor, at] = [null, null];
  place.tabIndex = 0;
  place.setAttribute("role", "slider");
  place.ariaLabel = label;
  const describe = () => {
    const known = at !== null && at < count();
    place.ariaValueMin = "0";
    place.ariaValueMax = String(Math.max(0, count() - 1));
    place.ariaValueNow = String(known ? at : 0);
    place.ariaValueText = known ? words(at) : "Arrow keys read the chart, with Shift they select, Enter shows what is selected";
  };
  place.addEventListener("keydown", (event) => {
    const { key, shiftKey } = event;
    const last = count() - 1;
    const from = at ?? (key === "ArrowLeft" || key === "ArrowDown" ? last + 1 : -1);
    const to = key === "Home" ? 0 : key === "End" ? last : MOVES[key] === undefined ? null : from + MOVES[key];
    if (key === "Enter" && at !== null) choose(Math.min(anchor ?? at, at), Math.max(anchor ?? at, at));
    else if (to === null || last < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    else {
      anchor = shiftKey ? (anchor ?? at) : null;
      at = Math.min(last, Math.max(0, to));
      point(anchor ?? at, at);
      describe();
    }
    event.preventDefault();
  });
  place.addEventListener("blur", () => {
    [anchor, at] = [null, null];
    describe();
    leave();
  });
  describe();
}
