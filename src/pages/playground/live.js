// The server's metrics, asked for each second, as charts.

import {Chart, ago} from "/ui/shared/chart.js";
import {byId, bytes, figure, repeat, seconds} from "/ui/shared/dom.js";
import * as server from "./server.js";

const WINDOW = 120;  // seconds shown
const LATENCY = 10;  // seconds whose requests the percentiles are of
// Routes of pages like this one, of health checks, and what is on no route: no model's refusals.
const ASIDE = /^(\/|\/ui.*|\/ping|\/health|\/readyz|\/livez|\/metrics|\/docs|other)$/;

// [{name, labels: {}, value}]
export function parseMetrics(text) {
  const samples = [];
  for (const [, name, labels, value] of text.matchAll(/^(\w+)(?:\{(.*)\})? (\S+)$/gm)) {
    const pairs = [...(labels ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)];
    samples.push({name, labels: Object.fromEntries(pairs.map(([, key, of]) => [key, of])), value: Number(value)});
  }
  return samples;
}

const sum = values => values.reduce((total, value) => total + value, 0);

// What the charts need of one reading: counts since the server's start, and gauges.
function digest(samples) {
  const of = (name, wanted = () => true) =>
    samples.filter(sample => sample.name === name && wanted(sample.labels)).map(sample => sample.value);
  const asked = labels => !ASIDE.test(labels.route ?? "");
  const durations = new Map();
  for (const {name, labels, value} of samples) {
    if (name !== "bertie_request_duration_seconds_bucket") continue;
    const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
    durations.set(bound, (durations.get(bound) ?? 0) + value);
  }
  return {
    at: performance.now() / 1000,
    answered: sum(of("bertie_requests_total", labels => labels.model !== undefined && Number(labels.code) < 400)),
    refused: sum(of("bertie_requests_total", labels => asked(labels) && Number(labels.code) >= 400)),
    durations: [...durations].sort((a, b) => a[0] - b[0]),
    batches: sum(of("bertie_batch_sequences_count")),
    sequences: sum(of("bertie_batch_sequences_sum")),
    queue: sum(of("bertie_queue_depth")),
    memory: sum(of("process_resident_memory_bytes")),
  };
}

// Of what came between two readings of a histogram, by its bounds; nulls where nothing came.
export function percentiles(before, after, parts) {
  const old = new Map(before);
  const counts = after.map(([bound, count]) => [bound, count - (old.get(bound) ?? 0)]);
  const all = counts.at(-1)?.[1] ?? 0;
  if (all <= 0) return parts.map(() => null);
  return parts.map(part => {
    const rank = part * all;
    let low = 0, below = 0;
    for (const [bound, count] of counts) {
      if (count >= rank) {
        return bound === Infinity ? low : low + (bound - low) * (rank - below) / Math.max(count - below, 1e-9);
      }
      [low, below] = [bound, count];
    }
    return low;
  });
}

const rate = value => `${figure(value)}/s`;

export class Live {
  // onAnswer(), onTrouble(error): after each reading, and where there was none. The next reading
  // waits for onAnswer's end.
  constructor(onAnswer, onTrouble) {
    this.readings = [];
    this.paused = false;
    this.onAnswer = onAnswer;
    this.onTrouble = onTrouble;
    const chart = (title, series, more) => new Chart({title, series, window: WINDOW, x: ago, ...more});
    this.charts = {
      requests: chart("Requests", [{name: "answered", format: rate}, {name: "refused", format: rate}], {floor: 1}),
      latency: chart("Latency", [{name: "p50", format: seconds}, {name: "p99", format: seconds}], {floor: 0.002}),
      queue: chart("Queue depth", [{name: "waiting", format: figure}], {floor: 4}),
      batch: chart("Batch size", [{name: "texts", format: figure}], {floor: 4}),
      memory: chart("Memory", [{name: "resident", format: bytes}]),
    };
    byId("charts").append(...Object.values(this.charts).map(one => one.node));
    byId("live-pause").addEventListener("click", () => this.togglePause());
    repeat(1000, () => this.read());
  }

  togglePause() {
    this.paused = !this.paused;
    const button = byId("live-pause");
    button.setAttribute("aria-pressed", String(this.paused));
    button.textContent = this.paused ? "Go on" : "Pause";
  }

  async read() {
    try {
      const reading = digest(parseMetrics(await server.metrics()));
      const last = this.readings.at(-1);
      // Counts that fall are a new server's.
      if (last && reading.answered + reading.refused < last.answered + last.refused) this.readings = [];
      this.readings.push(reading);
      while (this.readings[0].at < reading.at - LATENCY - 0.5) this.readings.shift();
      if (!this.paused && this.readings.length > 1) this.show();
    } catch (error) {
      this.readings = [];
      if (!this.paused) this.gap();
      return this.onTrouble(error);
    }
    await this.onAnswer();
  }

  show() {
    const [before, after] = this.readings.slice(-2);
    const time = Math.max(after.at - before.at, 1e-3);
    const batches = after.batches - before.batches;
    const {requests, latency, queue, batch, memory} = this.charts;
    requests.add(after.at, [(after.answered - before.answered) / time, (after.refused - before.refused) / time]);
    latency.add(after.at, percentiles(this.readings[0].durations, after.durations, [0.5, 0.99]));
    queue.add(after.at, [after.queue]);
    batch.add(after.at, [batches > 0 ? (after.sequences - before.sequences) / batches : null]);
    memory.add(after.at, [after.memory]);
  }

  gap() {
    for (const chart of Object.values(this.charts)) {
      if (chart.points.length > 0) chart.add(performance.now() / 1000, chart.options.series.map(() => null));
    }
  }
}
