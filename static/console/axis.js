// The time axis of a session: the waveform of both sides, their speech, and the waterfall of each answer. Only the visible part is
// drawn, so that two hours scroll as smoothly as two minutes. It is a picture; the list of turns has the same in text.

import { el } from "../views/dom.js";
import { duration } from "../words/format.js";
import { extent, markStep, offset, turnAt, waterfall, within } from "../model/timeline.js";
import { parts } from "../words/sessions.js";

const MOST = 400; // pixels a second
const FINE = 30; // pixels a second from which the marks have tenths
const WAVE = 44; // pixels of height of each side

export class Axis {
  #drawn = false;
  #session = null;
  #peaks = null;
  #span = { from: 0, until: 1 };
  #scale = 10; // pixels a second
  #whole = true; // the axis fits into the window
  #at = null; // of the playhead, epoch seconds
  #turn = null;
  #following = true;

  /** `play(at)`: a place was clicked, epoch seconds; `choose(turn)`: a turn was. */
  constructor({ play, choose }) {
    Object.assign(this, { play, choose });
    this.canvas = el("canvas");
    this.layer = el("div", "layer");
    this.head = el("i", "playhead");
    this.inner = el("div", "inner", this.canvas, this.layer, this.head);
    this.scroller = el("div", "axis scroll", this.inner);
    this.scroller.ariaHidden = "true";
    this.element = this.scroller;
    this.scroller.addEventListener("scroll", () => this.#request(), { passive: true });
    this.scroller.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    this.scroller.addEventListener("pointerdown", () => (this.#following = false));
    this.inner.onclick = (event) => this.#click(event);
    new ResizeObserver(() => (this.#whole ? this.fit() : this.#request())).observe(this.scroller);
  }

  /** Show a session document, from and until the epoch seconds of `span`. */
  show(session, span) {
    const grown = this.#session?.id === session.id && span.until > this.#span.until;
    this.#session = session;
    this.#span = span;
    if (this.#whole) this.fit();
    else this.#place();
    if (grown && this.#following && !this.#whole) this.scroller.scrollLeft = this.inner.offsetWidth;
    this.#request();
  }

  /** The waveform: the API's peaks, and when the recording began; null if there is none. */
  wave(peaks) {
    this.#peaks = peaks;
    this.#request();
  }

  /** Where the sound is, epoch seconds. `follow`: keep it in view. */
  playing(at, follow) {
    this.#at = at;
    this.#place();
    if (!follow || at === null) return;
    const x = this.#x(at);
    const { scrollLeft, clientWidth } = this.scroller;
    if (x < scrollLeft || x > scrollLeft + 0.9 * clientWidth) this.scroller.scrollLeft = x - 0.2 * clientWidth;
  }

  /** Mark a turn, and bring it into view. */
  mark(turn, { show = true } = {}) {
    this.#turn = turn;
    if (turn && show && !this.#whole) {
      const [from, until] = extent(turn);
      const { scrollLeft, clientWidth } = this.scroller;
      if (this.#x(from) < scrollLeft || this.#x(until) > scrollLeft + clientWidth) this.scroller.scrollLeft = this.#x(from) - 0.2 * clientWidth;
    }
    this.#request();
  }

  /** All of it fits into the window. */
  fit() {
    this.#whole = true;
    this.#scale = Math.min(MOST, this.scroller.clientWidth / (this.#span.until - this.#span.from));
    this.#place();
    this.#request();
  }

  /** Show a turn as large as possible. */
  zoomTo(turn) {
    const [from, until] = extent(turn);
    this.#zoom(Math.min(MOST, (0.8 * this.scroller.clientWidth) / Math.max(2, until - from)));
    this.scroller.scrollLeft = this.#x(from) - 0.1 * this.scroller.clientWidth;
  }

  /** Zoom by a factor, around the middle, or the pointer at `x` pixels of the window. */
  zoomBy(factor, x = this.scroller.clientWidth / 2) {
    const at = this.#time(this.scroller.scrollLeft + x);
    this.#zoom(this.#scale * factor);
    this.scroller.scrollLeft = this.#x(at) - x;
  }

  #zoom(scale) {
    const least = this.scroller.clientWidth / (this.#span.until - this.#span.from);
    this.#whole = scale <= least;
    this.#scale = Math.min(MOST, Math.max(least, scale));
    this.#place();
    this.#request();
  }

  #x(at) {
    return (at - this.#span.from) * this.#scale;
  }

  #time(x) {
    return this.#span.from + x / this.#scale;
  }

  #place() {
    this.inner.style.width = `${Math.floor((this.#span.until - this.#span.from) * this.#scale)}px`;
    this.head.hidden = this.#at === null;
    if (this.#at !== null) this.head.style.transform = `translateX(${this.#x(this.#at)}px)`;
  }

  #wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    this.zoomBy(Math.exp(-event.deltaY / 200), event.clientX - this.scroller.getBoundingClientRect().left);
  }

  #click(event) {
    const at = this.#time(event.clientX - this.inner.getBoundingClientRect().left);
    const turn = turnAt(this.#session.turns, at);
    if (turn) this.choose(turn);
    this.play(at);
  }

  #request() {
    if (this.#drawn) return;
    this.#drawn = true;
    requestAnimationFrame(() => {
      this.#drawn = false;
      if (this.#session && this.scroller.clientWidth) this.#draw();
    });
  }

  #draw() {
    const { scrollLeft, clientWidth } = this.scroller;
    const [from, until] = [this.#time(scrollLeft), this.#time(scrollLeft + clientWidth)];
    this.#wave(scrollLeft, clientWidth);
    const marks = [];
    const step = markStep(this.#scale);
    for (let at = Math.ceil((from - this.#span.from) / step) * step; at <= until - this.#span.from; at += step) {
      marks.push(this.#box("tick", this.#span.from + at, 0, offset(at, this.#scale >= FINE && step < 1)));
    }
    const turns = within(this.#session.turns, from, until);
    const boxes = turns.flatMap((turn) => this.#turnBoxes(turn));
    this.layer.replaceChildren(...marks, ...boxes);
  }

  #turnBoxes(turn) {
    const { user, agent } = turn;
    const [from, until] = extent(turn);
    const made = [];
    const whole = this.#box(`turn${turn === this.#turn ? " chosen" : ""}`, from, Math.max(until - from, 0.2), this.#scale * (until - from) > 18 ? String(turn.number) : "");
    made.push(whole);
    if (Number.isFinite(user?.started)) made.push(this.#box("speech user", user.started, (user.stopped ?? until) - user.started, user.text));
    if (Number.isFinite(agent?.started)) made.push(this.#box(`speech agent${agent.interrupted ? " cut" : ""}`, agent.started, (agent.stopped ?? this.#span.until) - agent.started, agent.text));
    const labels = new Map(parts(turn).map(({ name, label }) => [name, label]));
    for (const { name, start, seconds } of waterfall(turn)) {
      const width = seconds * this.#scale;
      const label = labels.get(name) ?? name;
      const words = width > 34 + 7 * label.length ? `${label} ${duration(seconds)}` : width > 40 ? duration(seconds) : "";
      const bar = this.#box(`part ${name}`, start, seconds, words);
      bar.title = `${label}: ${duration(seconds)}`;
      made.push(bar);
    }
    const { total } = turn.latency ?? {};
    const end = waterfall(turn).at(-1);
    if (total !== undefined && end) made.push(this.#box("total", end.start + end.seconds, 0, duration(total)));
    return made;
  }

  #box(name, at, seconds, words) {
    const made = el("span", name, words);
    made.style.left = `${this.#x(at).toFixed(1)}px`;
    if (seconds) made.style.width = `${Math.max(1, seconds * this.#scale).toFixed(1)}px`;
    return made;
  }

  #wave(left, width) {
    const ratio = devicePixelRatio || 1;
    const height = 2 * WAVE;
    Object.assign(this.canvas, { width: width * ratio, height: height * ratio });
    Object.assign(this.canvas.style, { width: `${width}px`, height: `${height}px`, transform: `translateX(${left}px)` });
    const pen = this.canvas.getContext("2d");
    pen.scale(ratio, ratio);
    for (const [channel, name] of ["--user", "--agent"].entries()) {
      const middle = (channel + 0.5) * WAVE;
      pen.fillStyle = this.#colour("--line");
      pen.fillRect(0, middle, width, 1);
      const { peaks, per_second: rate, started } = this.#peaks ?? {};
      const values = peaks?.[channel];
      if (!values) continue;
      pen.fillStyle = this.#colour(name);
      for (let x = 0; x < width; x += 2) {
        const [first, last] = [x, x + 2].map((edge) => Math.floor((this.#time(left + edge) - started) * rate));
        let peak = 0;
        for (let index = Math.max(0, first); index <= Math.min(values.length - 1, Math.max(first, last - 1)); index += 1) peak = Math.max(peak, values[index]);
        const tall = peak * (WAVE - 4);
        if (tall > 0.5) pen.fillRect(x, middle - tall / 2, 1.4, tall);
      }
    }
  }

  // A canvas cannot resolve light-dark(): an element can.
  #colour(name) {
    this.head.style.color = `var(${name})`;
    const { color } = getComputedStyle(this.head);
    this.head.style.color = "";
    return color;
  }
}
