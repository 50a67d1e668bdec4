// One chart on a time axis that it shares with others: lines or stacked bars, a readout at the pointer, a stretch by dragging.

import { lonely } from "../model/trends.js";
import { el } from "../views/dom.js";
import { stretch, ticks } from "../words/stretches.js";
import { readByKeys } from "./chart-keys.js";

const LEAST = 6; // CSS pixels: what is shorter is a click
const AXIS = 54; // CSS pixels for the numbers, the same in all charts, so that times lie below one another
const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7, 2e7, 5e7, 1e8, 2e8, 5e8, 1e9];

export class Chart {
  #plot = null; // uPlot's
  #shape = "";
  #drawn = null;
  #pointer = false; // the pointer is on it
  #keys = false; // it is read with the keyboard

  /**
   * `sync`: the name of the shared cursor. `selected(since, until)`: a stretch was dragged. `left()`: the pointer has left the
   * chart; `over` says whether it is there. `height`: CSS pixels.
   */
  constructor(UPlot, { title, sync, selected, left, height }) {
    Object.assign(this, { UPlot, sync, selected, height });
    this.title = el("h3", "", title);
    this.head = el("div", "head", this.title);
    this.canvas = el("div", "canvas");
    this.canvas.style.height = `${height}px`;
    this.none = el("p", "none");
    this.tip = el("div", "tip");
    this.tip.hidden = true;
    this.element = el("section", "chart", this.head, el("div", "stage", this.canvas, this.none, this.tip));
    this.element.ariaLabel = title;
    this.canvas.onpointerenter = () => (this.#pointer = true);
    this.canvas.onpointerleave = () => {
      this.#pointer = false;
      this.tip.hidden = true;
      left();
    };
    readByKeys(this.canvas, {
      label: title,
      count: () => this.#drawn?.starts.length ?? 0,
      words: (index) => this.#words(index),
      point: (from, to) => this.#point(from, to),
      choose: (from, to) => this.#choose(from, to + 1),
      leave: () => {
        if (this.#keys) this.#plot.setCursor({ left: -10, top: -10 });
        this.#keys = false;
        this.tip.hidden = true;
        this.#unselect();
        left();
      },
    });
    new ResizeObserver(() => this.#resize()).observe(this.canvas);
  }

  /** Whether it is being read, with the pointer or the keyboard. */
  get over() {
    return this.#pointer || this.#keys;
  }

  /**
   * `starts`, `step`, `since`, `until`: the axis, in epoch seconds. `series`: `{label, colour, values, dash, bars, fill}` in the
   * order of drawing; `colour`: a CSS variable. `format(value)`: for the axis. `readout(index)`: `[colour, label, text]` of what is
   * at the pointer. `whole`: only whole numbers. `limits`: `[value, CSS variable]` of lines across. `none`, `nothing`: what to say
   * without data, and without any at the pointer.
   */
  draw(plot) {
    const { starts, step, series } = plot;
    this.#drawn = plot;
    const empty = series.every(({ values }) => values.every((value) => value === null || (plot.whole && value === 0)));
    this.none.textContent = empty ? plot.none : "";
    const shape = JSON.stringify([series.map(({ label, colour, dash, bars, fill }) => [label, colour, dash, bars, fill]), plot.whole]);
    const data = [starts.map((start) => start + step / 2), ...series.map(({ values }) => values)];
    if (this.#plot && shape === this.#shape) {
      this.#plot.setData(data, true);
      return;
    }
    this.#plot?.destroy();
    this.#shape = shape;
    this.#plot = new this.UPlot(this.#options(plot), data, this.canvas);
  }

  /** Take it off the page. */
  remove() {
    this.#plot?.destroy();
    this.element.remove();
  }

  /** The theme has changed. */
  redraw() {
    this.#plot?.redraw(false, false);
  }

  #resize() {
    const width = this.canvas.clientWidth;
    if (width && this.#plot && width !== this.#plot.width) this.#plot.setSize({ width, height: this.height });
  }

  #colour(name, alpha = 1) {
    this.probe ??= this.element.appendChild(el("i", "unseen"));
    this.probe.style.color = `var(${name})`;
    const colour = getComputedStyle(this.probe).color;
    return alpha === 1 ? colour : colour.replace(/^rgb\((.*)\)$/, (_, parts) => `rgba(${parts}, ${alpha})`);
  }

  #options({ series, whole }) {
    const axis = { stroke: () => this.#colour("--quiet"), font: "11px system-ui, sans-serif", ticks: { show: false } };
    const grid = { stroke: () => this.#colour("--line"), width: 1 };
    return {
      width: Math.max(200, this.canvas.clientWidth),
      height: this.height,
      legend: { show: false },
      padding: [8, 18, 0, 0],
      cursor: {
        y: false,
        sync: { key: this.sync },
        drag: { x: true, y: false, setScale: false },
        points: series[0]?.bars ? { show: false } : { size: 7, width: 0, fill: (_, index) => this.#colour(series[index - 1].colour) },
      },
      select: { show: true },
      scales: {
        x: { time: true, range: () => [this.#drawn.starts[0], this.#drawn.starts.at(-1) + this.#drawn.step] },
        y: { range: (_, __, most) => [0, this.#top(most, whole)] },
      },
      axes: [
        { ...axis, size: 36, space: 70, grid: { ...grid, show: false }, values: (_, splits, __, ___, step) => ticks(splits, step) },
        { ...axis, size: AXIS, space: 34, grid, ...(whole ? { incrs: STEPS } : {}), values: (_, splits) => splits.map((value) => this.#drawn.format(value)) },
      ],
      series: [{}, ...series.map((own) => this.#series(own))],
      hooks: {
        setSelect: [(plot) => this.#select(plot)],
        setCursor: [(plot) => this.#read(plot)],
        draw: [(plot) => this.#limits(plot)],
      },
    };
  }

  #top(most, whole) {
    if (!(most > 0)) return whole ? 4 : 1;
    return whole ? Math.max(4, most * 1.1) : most * 1.1;
  }

  #series({ label, colour, dash, bars, fill }) {
    const stroke = () => this.#colour(colour);
    if (bars) return { label, stroke, fill: stroke, width: 0, paths: this.UPlot.paths.bars({ size: [0.75, 40, 1], align: 0, gap: 1 }), points: { show: false } };
    return {
      label, stroke, width: dash ? 1.25 : 2, dash: dash ? [5, 4] : undefined, spanGaps: false,
      fill: fill ? () => this.#colour(colour, 0.08) : undefined,
      points: { show: true, size: 5, width: dash ? 1.25 : 0, stroke, fill: dash ? () => this.#colour("--ground") : stroke, filter: (plot, index) => lonely(plot.data[index]) },
    };
  }

  // A stretch was dragged; it ends where buckets do.
  #select(plot) {
    const { left, width } = plot.select;
    if (!this.#pointer || width < LEAST) return;
    const { starts, step } = this.#drawn;
    const [from, to] = [left, left + width].map((at) => (plot.posToVal(at, "x") - starts[0]) / step);
    this.#choose(Math.floor(from), Math.ceil(to));
  }

  #choose(from, to) {
    this.#unselect();
    const { starts, step } = this.#drawn;
    this.selected(starts[0] + from * step, starts[0] + to * step);
  }

  #unselect() {
    for (const plot of this.UPlot.sync(this.sync).plots) plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
  }

  #point(from, to) {
    const { starts, step } = this.#drawn;
    const plot = this.#plot;
    this.#keys = true;
    plot.setCursor({ left: plot.valToPos(starts[to] + step / 2, "x"), top: 10 }, true, true);
    const [left, right] = [Math.min(from, to), Math.max(from, to) + 1].map((index) => plot.valToPos(starts[0] + index * step, "x"));
    plot.setSelect(from === to ? { left: 0, width: 0, top: 0, height: 0 } : { left, width: right - left, top: 0, height: plot.over.clientHeight }, false);
  }

  #words(index) {
    const { starts, step, readout, nothing } = this.#drawn;
    const rows = readout(index).map(([, label, words]) => `${label}: ${words}`);
    return [stretch(starts[index], starts[index] + step), ...(rows.length ? rows : [nothing])].join("; ");
  }

  #read(plot) {
    const { idx, left } = plot.cursor;
    const there = this.over && left >= 0 && idx !== null && idx !== undefined;
    this.tip.hidden = !there;
    if (!there) return;
    const { starts, step, readout } = this.#drawn;
    const rows = readout(idx).map(([colour, label, words]) => {
      const swatch = el("i", "swatch");
      swatch.style.background = `var(${colour})`;
      return el("p", "", swatch, el("span", "", label), el("b", "", words));
    });
    if (!rows.length) rows.push(el("p", "", el("span", "", this.#drawn.nothing)));
    this.tip.replaceChildren(el("h4", "", stretch(starts[idx], starts[idx] + step)), ...rows);
    const x = AXIS + left;
    const right = x > this.canvas.clientWidth / 2;
    this.tip.style.left = right ? "" : `${x + 14}px`;
    this.tip.style.right = right ? `${this.canvas.clientWidth - x + 14}px` : "";
  }

  #limits(plot) {
    const { ctx, bbox } = plot;
    for (const [value, colour] of this.#drawn.limits ?? []) {
      const y = plot.valToPos(value, "y", true);
      if (y < bbox.top || y > bbox.top + bbox.height) continue;
      ctx.save();
      ctx.strokeStyle = this.#colour(colour);
      ctx.globalAlpha = 0.6;
      ctx.lineWidth = devicePixelRatio;
      ctx.setLineDash([2 * devicePixelRatio, 4 * devicePixelRatio]);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
      ctx.restore();
    }
  }
}
