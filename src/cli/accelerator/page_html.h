// The page of an accelerator: its text, which asks /status.json once a second.
#pragma once

namespace bertie::cli {

// Colours are told apart by most who tell few apart, and lines carry their names; the table below
// the chart says the same as the chart.
inline constexpr const char* kAcceleratorPage = R"html(<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>bertie accelerator</title>
<style>
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1d2733; --soft: #586573;
  --line: #d8dee5; --band: #f4f6f8;
  --c0: #0b6bcb; --c1: #c4460a; --c2: #7a3fb5; --c3: #1c7c4a; --c4: #9a6700; --c5: #a5265e; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14181d; --ink: #dfe5ec; --soft: #9aa7b4; --line: #323a44; --band: #1c2229;
    --c0: #66b2ff; --c1: #ff9a5c; --c2: #c79bff; --c3: #6fd39b; --c4: #e3b341; --c5: #ff8fb8; } }
* { box-sizing: border-box; }
body { background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif;
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p { margin: .25rem 0; } .soft { color: var(--soft); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(8rem, 1fr)); gap: .6rem;
  margin: 1rem 0; }
.figures div { background: var(--band); border-radius: .4rem; padding: .5rem .75rem; }
.figures dt { color: var(--soft); font-size: .85rem; }
.figures dd { margin: 0; font-size: 1.15rem; font-weight: 600; font-variant-numeric: tabular-nums; }
svg { display: block; width: 100%; height: auto; font-size: 12px; }
svg text { fill: var(--ink); font-family: system-ui, sans-serif; }
.grid { stroke: var(--line); } .area { stroke: var(--paper); stroke-width: 1; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: left; }
th { font-weight: 600; } .n { text-align: right; white-space: nowrap; }
.key { display: inline-block; width: .8rem; height: .8rem; border-radius: .2rem; margin-right: .4rem; }
a { color: var(--c0); } #trouble { color: var(--c1); font-weight: 600; min-height: 1.5rem; }
</style>
</head>
<body>
<main>
<h1>bertie accelerator</h1>
<p class="soft" id="about">Reading its state …</p>
<p id="trouble" role="status"></p>
<noscript><p>The chart needs JavaScript. <code>bertie accelerator status</code> and
<a href="status.json">status.json</a> say the same.</p></noscript>
<dl class="figures">
<div><dt>units reserved</dt><dd id="units">–</dd></div>
<div><dt>memory reserved</dt><dd id="memory">–</dd></div>
<div><dt>busy</dt><dd id="busy">–</dd></div>
<div><dt>sentences/s</dt><dd id="rate">–</dd></div>
<div><dt>waiting batches</dt><dd id="queue">–</dd></div>
</dl>
<h2 id="chart-title">Who computes</h2>
<p class="soft">Each endpoint's part of the accelerator's time, second by second; the table has the
same of the last 10 s.</p>
<svg id="chart" viewBox="0 0 800 260" role="img" aria-labelledby="chart-title chart-text">
<desc id="chart-text">No endpoint has computed yet.</desc></svg>
<h2>Endpoints</h2>
<div class="scroll" tabindex="0" role="region" aria-label="Endpoints"><table>
<thead><tr><th scope="col">endpoint</th><th scope="col">type</th><th scope="col">model</th>
<th scope="col" class="n">share</th><th scope="col" class="n">batches</th>
<th scope="col" class="n">sentences</th><th scope="col" class="n">failures</th>
<th scope="col" class="n">queue p99</th><th scope="col" class="n">total p50</th>
<th scope="col" class="n">total p99</th></tr></thead>
<tbody id="endpoints"><tr><td colspan="10">None is attached.</td></tr></tbody></table></div>
<h2>Models in memory</h2>
<div class="scroll" tabindex="0" role="region" aria-label="Models"><table>
<thead><tr><th scope="col">model</th><th scope="col">precision</th>
<th scope="col" class="n">memory</th><th scope="col" class="n">endpoints</th></tr></thead>
<tbody id="models"><tr><td colspan="4">None.</td></tr></tbody></table></div>
<p class="soft"><a href="status.json">status.json</a> · <a href="metrics">metrics</a></p>
</main>
<script>
"use strict";
const SECONDS = 120, LEFT = 44, RIGHT = 10, TOP = 10, BOTTOM = 28, WIDTH = 800, HEIGHT = 260;
const COLOURS = 6, history = [], colours = new Map();
let last = null;
const byId = id => document.getElementById(id);
const gigabytes = bytes => (bytes / 2 ** 30).toFixed(bytes % 2 ** 30 ? 2 : 0) + " GB";
const percent = part => (100 * part).toFixed(1) + " %";
const ms = value => value.toFixed(2) + " ms";
function colour(name) {
  if (!colours.has(name)) colours.set(name, colours.size % COLOURS);
  return `var(--c${colours.get(name)})`;
}
function svg(name, attributes, text) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}
function row(cells, numbersFrom, key) {
  const line = document.createElement("tr");
  cells.forEach((cell, i) => {
    const node = document.createElement("td");
    if (i >= numbersFrom) node.className = "n";
    if (i === 0 && key) {
      const mark = document.createElement("span");
      mark.className = "key";
      mark.style.background = key;
      node.append(mark);
    }
    node.append(cell);
    line.append(node);
  });
  return line;
}
function fill(id, rows, columns, none) {
  const body = byId(id);
  if (rows.length === 0) {
    const empty = row([none], columns);
    empty.firstChild.colSpan = columns;
    rows = [empty];
  }
  body.replaceChildren(...rows);
}
function draw() {
  const chart = byId("chart");
  chart.querySelectorAll(":scope > :not(desc)").forEach(node => node.remove());
  const width = WIDTH - LEFT - RIGHT, height = HEIGHT - TOP - BOTTOM;
  const x = i => LEFT + width * (SECONDS - history.length + i) / (SECONDS - 1);
  const y = part => TOP + height * (1 - part);
  for (const part of [0, .25, .5, .75, 1]) {
    chart.append(svg("line", {class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(part), y2: y(part)}));
    chart.append(svg("text", {x: LEFT - 6, y: y(part) + 4, "text-anchor": "end"}, `${100 * part} %`));
  }
  for (const ago of [120, 90, 60, 30, 0]) {
    chart.append(svg("text", {x: LEFT + width * (1 - ago / 120), y: HEIGHT - 8,
      "text-anchor": ago === 120 ? "start" : ago ? "middle" : "end"}, ago ? `${ago} s ago` : "now"));
  }
  const names = [...colours.keys()].filter(name => history.some(at => at.get(name) > 0));
  const below = history.map(() => 0);
  for (const name of names) {
    const lower = below.map((part, i) => `${x(i).toFixed(1)},${y(part).toFixed(1)}`);
    history.forEach((at, i) => { below[i] = Math.min(1, below[i] + (at.get(name) || 0)); });
    const upper = below.map((part, i) => `${x(i).toFixed(1)},${y(part).toFixed(1)}`);
    const area = svg("polygon", {class: "area", fill: colour(name),
      points: upper.concat(lower.reverse()).join(" ")});
    area.append(svg("title", {}, name));
    chart.append(area);
  }
}
function show(now) {
  const seconds = last ? Math.max(.001, now.uptime_seconds - last.uptime_seconds) : 1;
  byId("about").textContent = `bertie ${now.version}${now.capacity ? ", " + now.capacity : ""}, ` +
    `${now.processor}, ${now.threads} thread${now.threads === 1 ? "" : "s"}, ` +
    `up ${Math.floor(now.uptime_seconds / 60)} min`;
  byId("units").textContent = `${+now.units_used.toFixed(3)} of ${+now.units.toFixed(3)}`;
  byId("memory").textContent = `${gigabytes(now.memory_used)} of ${gigabytes(now.memory_bytes)}`;
  byId("queue").textContent = now.queued_batches;
  if (last) {
    byId("busy").textContent = percent(Math.min(1, (now.busy_seconds - last.busy_seconds) / seconds));
    byId("rate").textContent = Math.round((now.sentences - last.sentences) / seconds);
  }
  const at = new Map(), before = new Map();
  // The time of one second is in proportion to the tokens of each endpoint, within one model.
  for (const e of last ? last.endpoints : []) before.set(e.name + e.peer, e.busy_seconds);
  for (const e of now.endpoints) {
    colour(e.name);
    const busy = before.has(e.name + e.peer) ? e.busy_seconds - before.get(e.name + e.peer) : 0;
    at.set(e.name, (at.get(e.name) || 0) + Math.max(0, busy) / seconds);
  }
  if (last) history.push(at);
  while (history.length > SECONDS) history.shift();
  draw();
  byId("chart-text").textContent = now.endpoints.length === 0 ? "No endpoint is attached." :
    now.endpoints.map(e => `${e.name}: ${percent(e.share)}`).join(", ") + " of the last 10 seconds.";
  fill("endpoints", now.endpoints.map(e => row([e.name, e.accelerator_type,
    e.content_hash.slice(0, 12), percent(e.share), e.batches, e.sentences, e.failures,
    ms(e.queue_p99_ms), ms(e.total_p50_ms), ms(e.total_p99_ms)].map(String), 3, colour(e.name))),
    10, "None is attached.");
  fill("models", now.models.map(m => row([m.content_hash.slice(0, 12), m.precision,
    gigabytes(m.memory_bytes), m.sessions].map(String), 2)), 4, "None.");
  last = now;
}
async function tick() {
  try {
    const answer = await fetch("status.json", {cache: "no-store"});
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    show(await answer.json());
    if (byId("trouble").textContent) byId("trouble").textContent = "";
  } catch (error) {
    byId("trouble").textContent = "The accelerator does not answer.";
  }
  setTimeout(tick, 1000);
}
draw();
tick();
</script>
</body>
</html>
)html";

}  // namespace bertie::cli
