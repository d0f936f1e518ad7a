// Line charts over time, drawn as SVG at the width they have. A chart shows a title, a key with the
// latest values, and the lines; lines differ by dashes too. The pointer, or Left and Right where the
// plot has the focus, reads off values.

import {make, svg} from "./dom.js";

const FEW = 24;  // values that get dots
const RIGHT = 8, TOP = 8, BOTTOM = 20, LETTER = 6.4;  // pixels; a letter's of the axes is the widest

// At most so many round values from 0, or from the lowest, to the highest.
export function ticks(low, high, most) {
  if (!(high > low)) high = low + (low === 0 ? 1 : Math.abs(low));
  const raw = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(factor => factor * power).find(value => value >= raw * 0.999);
  const values = [];
  for (let at = Math.floor(low / step); (at - 1) * step < high * 0.99999 && values.length < 20; ++at) {
    values.push(Number((at * step).toPrecision(12)));
  }
  return values;
}

// options: title; series [{name, format(value)}], at most four; window: seconds shown up to the
// newest point, or 0 for all; x(value): how a place on the x axis is written; floor: the lowest top
// of the y axis; fromZero: false where values are compared with each other, not with 0; connect: lines
// go on over points that have no value of theirs, and few values get dots.
export class Chart {
  constructor(options) {
    this.options = {window: 0, floor: 0, fromZero: true, connect: false, ...options};
    this.points = [];  // {x, values: [number or null, one a series]}
    this.at = null;    // the index that is read off
    this.plot = svg("svg", {class: "plot", role: "img", tabindex: "0"});
    this.readout = make("p", {class: "readout number", "aria-live": "polite"});
    this.keys = this.options.series.map((series, i) => {
      const value = make("b", {class: "number"}, "–");
      const line = svg("svg", {viewBox: "0 0 20 8", "aria-hidden": "true"},
        svg("path", {d: "M0 4H20", class: `trace tone-${i + 1}`}));
      return {value, node: make("span", {class: "key"}, line, `${series.name} `, value)};
    });
    this.node = make("figure", {class: "chart"},
      make("figcaption", null, make("span", {class: "title"}, this.options.title), this.keys.map(key => key.node)),
      this.plot, this.readout);
    this.plot.addEventListener("pointermove", event => this.point(event));
    this.plot.addEventListener("pointerleave", () => this.read(null));
    this.plot.addEventListener("blur", () => this.read(null));
    this.plot.addEventListener("keydown", event => this.key(event));
    new ResizeObserver(() => this.draw()).observe(this.plot);
  }

  add(x, values) {
    this.points.push({x, values});
    const {window} = this.options;
    if (window > 0) while (this.points[0].x < x - window) this.points.shift();
    this.draw();
  }

  set(points) {
    this.points = points;
    this.draw();
  }

  text(series, value) {
    return value === null || value === undefined ? "–" : this.options.series[series].format(value);
  }

  key(event) {
    const last = this.points.length - 1;
    const from = this.at ?? last + 1;
    const to = {ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: last, Escape: -1}[event.key];
    if (to === undefined || last < 0) return;
    event.preventDefault();
    this.read(event.key === "Escape" ? null : Math.min(Math.max(to, 0), last));
  }

  point(event) {
    if (!this.scale || this.points.length === 0) return;
    const box = this.plot.getBoundingClientRect();
    const x = this.scale.valueAt(event.clientX - box.left);
    let best = 0;
    this.points.forEach((point, i) => {
      if (Math.abs(point.x - x) < Math.abs(this.points[best].x - x)) best = i;
    });
    this.read(best);
  }

  read(index) {
    if (this.at === index) return;
    this.at = index;
    this.draw();
  }

  draw() {
    const width = this.plot.clientWidth, height = this.plot.clientHeight;
    if (width === 0) return;
    const {points, options} = this;
    const newest = points.at(-1);
    this.keys.forEach((key, i) => { key.value.textContent = this.text(i, newest?.values[i]); });
    this.scale = this.makeScale(width, height);
    const parts = this.axes(width);
    options.series.forEach((series, i) => parts.push(...this.line(i, height)));
    if (this.at !== null && this.at < points.length) parts.push(...this.cross(height));
    this.plot.replaceChildren(...parts.filter(Boolean));
    this.describe();
  }

  makeScale(width, height) {
    const {points, options} = this;
    const values = points.flatMap(point => point.values).filter(value => value !== null && Number.isFinite(value));
    const high = Math.max(options.floor, ...values);
    const low = options.fromZero || values.length === 0 ? 0 : Math.min(...values);
    const marks = ticks(low, high > low ? high : low + 1, 4);
    const bottom = marks[0], top = marks.at(-1);
    const lastX = points.at(-1)?.x ?? 0;
    const firstX = options.window > 0 ? lastX - options.window : points[0]?.x ?? 0;
    const spanX = Math.max(lastX - firstX, 1e-9);
    const left = 12 + LETTER * Math.max(...marks.map(mark => options.series[0].format(mark).length));
    return {
      marks, firstX, lastX, left,
      x: value => left + (value - firstX) / spanX * (width - left - RIGHT),
      y: value => height - BOTTOM - (value - bottom) / (top - bottom || 1) * (height - TOP - BOTTOM),
      valueAt: x => firstX + (x - left) / (width - left - RIGHT) * spanX,
    };
  }

  axes(width) {
    const {marks, firstX, lastX, left, x, y} = this.scale;
    const {series, x: xText} = this.options;
    const parts = marks.flatMap(mark => [
      svg("line", {class: "grid", x1: left, x2: width - RIGHT, y1: y(mark), y2: y(mark)}),
      svg("text", {x: left - 6, y: y(mark) + 4, "text-anchor": "end"}, series[0].format(mark))]);
    const bottom = y(marks[0]) + 15;
    if (this.points.length > 0 || this.options.window > 0) {
      const middle = (firstX + lastX) / 2;
      parts.push(svg("text", {x: left, y: bottom}, xText(firstX, lastX)),
        svg("text", {x: width - RIGHT, y: bottom, "text-anchor": "end"}, xText(lastX, lastX)));
      if (width > 260 && lastX > firstX) {
        parts.push(svg("text", {x: x(middle), y: bottom, "text-anchor": "middle"}, xText(middle, lastX)));
      }
    }
    return parts;
  }

  // The series' places in runs: broken where there is no value, unless they are to be connected.
  runs(series) {
    const runs = [];
    let whole = false;
    for (const point of this.points) {
      const value = point.values[series];
      if (value === null || value === undefined || !Number.isFinite(value)) {
        whole = whole && this.options.connect;
        continue;
      }
      if (!whole) runs.push([]);
      whole = true;
      runs.at(-1).push([this.scale.x(point.x).toFixed(1), this.scale.y(value).toFixed(1)]);
    }
    return runs;
  }

  line(series, height) {
    const runs = this.runs(series);
    if (runs.length === 0) return [];
    const tone = `tone-${series + 1}`;
    const path = run => `M${run.map(place => place.join(" ")).join("L")}`;
    const parts = [svg("path", {class: `trace ${tone}`, d: runs.map(path).join("")})];
    if (this.options.series.length === 1 && this.options.fromZero) {
      const base = height - BOTTOM;
      const area = runs.map(run => `${path(run)}L${run.at(-1)[0]} ${base}L${run[0][0]} ${base}Z`).join("");
      parts.unshift(svg("path", {class: `area ${tone}`, d: area}));
    }
    const dots = this.options.connect && runs.flat().length <= FEW ? runs.flat() : runs.filter(run => run.length === 1).flat();
    return [...parts, ...dots.map(([cx, cy]) => svg("circle", {class: `dot ${tone}`, cx, cy, r: 3}))];
  }

  cross(height) {
    const {x, y} = this.scale;
    const point = this.points[this.at];
    return [svg("line", {class: "cross", x1: x(point.x), x2: x(point.x), y1: TOP, y2: height - BOTTOM}),
      ...point.values.map((value, i) => Number.isFinite(value) && value !== null &&
        svg("circle", {class: `dot tone-${i + 1}`, cx: x(point.x), cy: y(value), r: 4}))];
  }

  describe() {
    const {points, options} = this;
    const named = values => options.series.map((series, i) => `${series.name} ${this.text(i, values[i])}`).join(", ");
    if (this.at !== null && this.at < points.length) {
      const point = points[this.at];
      this.readout.textContent = `${options.x(point.x, points.at(-1).x)}: ${named(point.values)}`;
    } else {
      this.readout.textContent = "";
    }
    const highest = options.series.map((series, i) => {
      const values = points.map(point => point.values[i]).filter(value => Number.isFinite(value) && value !== null);
      return values.length > 0 ? Math.max(...values) : null;
    });
    this.plot.setAttribute("aria-label", points.length === 0 ? `${options.title}: no values yet`
      : `${options.title}. Latest: ${named(points.at(-1).values)}. Highest: ${named(highest)}. ` +
        "Left and Right read off values.");
  }
}

// How long ago, for the x axis of a chart of the last minutes; x in seconds.
export function ago(x, newest) {
  const past = Math.round(newest - x);
  if (past <= 0) return "now";
  if (past < 60) return `${past} s ago`;
  return past % 60 === 0 ? `${past / 60} min ago` : `${Math.floor(past / 60)} min ${past % 60} s ago`;
}
