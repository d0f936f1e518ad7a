// Small helpers that both pages use. Text is always set as text, never as HTML.

export const byId = id => document.getElementById(id);

// make("p", {class: "soft", onclick: f}, "text", node, ...): null and false children are left out.
export function make(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function svg(name, attributes, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat().filter(child => child !== null && child !== undefined && child !== false));
  return node;
}

// What tells a node from its neighbours once it is made anew.
const mark = node => [node.tagName, node.id, node.getAttribute("href"), node.getAttribute("aria-label"), node.textContent].join("\n");

// Puts the nodes in the place of what is there, unless they say the same: selections and scrolled
// places stay. The focus goes to the node that says what the one said that had it.
export function replace(parent, ...nodes) {
  const box = make("div", null, nodes.flat());
  if (box.innerHTML === parent.innerHTML) return;
  const focused = parent.contains(document.activeElement) && parent !== document.activeElement ? mark(document.activeElement) : null;
  parent.replaceChildren(...box.childNodes);
  if (focused === null) return;
  [...parent.querySelectorAll("a, button, input, select, textarea, [tabindex]")].find(node => mark(node) === focused)?.focus({preventScroll: true});
}

// Says it to those who do not see the page.
export function announce(text) {
  const region = byId("announcer");
  region.textContent = "";
  setTimeout(() => { region.textContent = text; }, 30);
}

export async function copyText(text, button) {
  const before = button.textContent;
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Clipboards are for secure contexts; elsewhere the old way still works.
    const area = make("textarea", {readonly: true, class: "hidden-text"});
    area.value = text;
    document.body.append(area);
    area.select();
    done = document.execCommand("copy");
    area.remove();
    button.focus();
  }
  button.textContent = done ? "Copied" : "Select and copy it by hand";
  announce(button.textContent);
  setTimeout(() => { button.textContent = before; }, 1500);
}

const grouped = new Intl.NumberFormat("en");
export const integer = value => grouped.format(Math.round(value));

// Three figures at most.
export function figure(value) {
  if (Math.abs(value) >= 1000) return integer(value);
  return String(Number(value.toPrecision(3)));
}

export function seconds(value) {
  if (value >= 100) return `${integer(value)} s`;
  if (value >= 1) return `${figure(value)} s`;
  if (value >= 0.0001 || value === 0) return `${figure(value * 1e3)} ms`;
  return `${figure(value * 1e6)} µs`;
}

export function bytes(value) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) { value /= 1000; ++unit; }
  return `${unit === 0 ? integer(value) : figure(value)} ${units[unit]}`;
}

export function duration(value) {
  const whole = Math.max(0, Math.round(value));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor(whole / 60) % 60} min`;
}

export const clock = date => date.toLocaleTimeString([], {timeStyle: "medium", hourCycle: "h23"});

// Today's times of day; else the date with it.
export const moment = date => date.toDateString() === new Date().toDateString() ? clock(date)
  : date.toLocaleString([], {dateStyle: "medium", timeStyle: "short", hourCycle: "h23"});

// Calls the function now and then every so many milliseconds after it has ended, or as many as it
// returns, but not while the page is hidden. Returns what ends it.
export function repeat(milliseconds, action) {
  let timer = 0, ended = false, running = false;
  async function turn() {
    clearTimeout(timer);
    if (ended || running || document.hidden) return;
    running = true;
    let wait = milliseconds;
    try {
      wait = await action() ?? milliseconds;
    } finally {
      running = false;
      if (!ended) timer = setTimeout(turn, wait);
    }
  }
  document.addEventListener("visibilitychange", turn);
  turn();
  return () => {
    ended = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", turn);
  };
}

// What happened to a request that got no answer, in words.
export function whyNoAnswer(error) {
  if (error.name === "TimeoutError") return "The server did not answer in time.";
  if (error.name === "AbortError") return "The request was given up.";
  return "The server cannot be reached. Is it still running?";
}
