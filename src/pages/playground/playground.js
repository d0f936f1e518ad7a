// The page: the form, its answers, the server's state.

import {announce, byId, clock, copyText, integer, make, replace, seconds, whyNoAnswer} from "/ui/shared/dom.js";
import {scoreText} from "/ui/shared/scores.js";
import {Live} from "./live.js";
import {showResult} from "./result.js";
import * as server from "./server.js";

const SAMPLES = ["A warm and funny little film.", "Two hours I will not get back.", "Somebody just left - guess who."];
const KEPT = 20;
const LOOK = 10;  // readings of the metrics between two looks at the models
const STORE = "bertie-playground-history";

const state = {models: [], model: null, asked: null, next: null, up: null, readings: 0, history: readHistory()};

const value = id => byId(id).value;
const pairOpen = () => !byId("pair-field").hidden;
const pairText = () => pairOpen() && value("pair") !== "" ? value("pair") : null;
// The name to send; none where the server has one model.
const target = () => state.models.length > 1 ? state.model?.name : undefined;

// The server's state, by the readings of its metrics and by its answers.

function setStatus(kind, text) {
  const node = byId("status");
  if (node.textContent === text) return;
  node.className = `status push ${kind}`;
  node.textContent = text;
}

function setTrouble(text) {
  const node = byId("trouble");
  node.hidden = text === "";
  if (node.textContent !== text) node.textContent = text;
}

// Models may come and go while the server runs.
async function onAnswer() {
  const waits = state.models.length === 0 && byId("key-form").hidden;
  if (state.up === true && !waits && ++state.readings % LOOK !== 0) return;
  const back = state.up === false;
  state.up = true;
  setTrouble("");
  await loadModels();
  if (back && state.up) announce("The server is back.");
}

function onTrouble(error) {
  state.up = false;
  setStatus("bad", "Unreachable");
  setTrouble(error instanceof server.Refused ? `The server refuses: ${error.message}`
    : `${whyNoAnswer(error)} Asking again each second.`);
}

// One after the other: an answer that comes late, to a question with another key, must not count.
let loaded = Promise.resolve();
const loadModels = () => loaded = loaded.then(readModels);

async function readModels() {
  try {
    state.models = await server.models();
  } catch (error) {
    if (!(error instanceof server.Refused)) return onTrouble(error);
    state.models = [];
    if (error.status === 401) return askForKey();
    return setStatus("warn", error.type === "Loading" ? "Loading" : "Not ready");
  }
  if (state.models.length === 0) return setStatus("warn", "Loading");
  byId("key-form").hidden = true;
  setStatus("good", "Ready");
  const wanted = state.model?.name;
  state.model = state.models.find(one => one.name === wanted) ?? state.models.find(one => one.default) ?? state.models[0];
  const several = state.models.length > 1;
  byId("model-choice").hidden = !several;
  byId("model-name").hidden = several;
  replace(byId("model"), state.models.map(one => make("option", {value: one.name}, one.name)));
  byId("model").value = state.model.name;
  showModel();
}

function askForKey() {
  setStatus("warn", "Key needed");
  byId("key-form").hidden = false;
  byId("key-error").hidden = server.apiKey() === "";
  byId("key-error").textContent = server.apiKey() === "" ? "" : "The server does not know this key.";
}

async function useKey(event) {
  event.preventDefault();
  server.setApiKey(value("key").trim());
  await loadModels();
  if (!byId("key-form").hidden) return byId("key").focus();
  byId("key").value = "";
  byId("text").focus();
  announce("The key is good.");
}

function showModel() {
  const {name, labels, max_length: most} = state.model;
  byId("model-name").textContent = name;
  byId("about").textContent = `${labels.length} ${labels.length === 1 ? "label" : "labels"}, up to ${integer(most)} tokens`;
  showCurl();
}

// The form.

function showCurl() {
  byId("curl").textContent = server.curl(target(), value("text") || SAMPLES[0], pairText());
}

function setError(text) {
  const node = byId("form-error");
  node.hidden = text === "";
  node.textContent = text;
  byId("text").setAttribute("aria-invalid", String(text !== ""));
}

function setBusy(busy) {
  byId("classify").textContent = busy ? "Classifying …" : "Classify";
  byId("classify").setAttribute("aria-disabled", String(busy));
  byId("result").setAttribute("aria-busy", String(busy));
}

function inWords(error) {
  if (!(error instanceof server.Refused)) return whyNoAnswer(error);
  if (error.status === 401) return "The server asks for an API key.";
  const words = {Loading: "The model is still being loaded. Try again in a moment.",
    QueueFull: "The server has as many requests waiting as it takes. Try again in a moment.",
    ShuttingDown: "The server is shutting down."};
  return words[error.type] ?? `The server refused: ${error.message}`;
}

const sameQuestion = (one, other) => one.text === other.text && one.pair === other.pair && one.name === other.name;

async function classify() {
  const question = {text: value("text"), pair: pairText(), name: target(), model: state.model?.name ?? ""};
  if (question.text.trim() === "") {
    setError("Type a text first.");
    return byId("text").focus();
  }
  setError("");
  // Of those that come while one is answered the last one counts; the same again is no other.
  state.next = state.asked && sameQuestion(question, state.asked) ? null : question;
  if (state.asked) return;
  setBusy(true);
  while ((state.asked = state.next)) {
    state.next = null;
    setError("");
    await answer(state.asked);
  }
  setBusy(false);
}

async function answer({text, pair, name, model}) {
  try {
    const found = await server.classify(name, text, pair);
    const reading = await server.tokens(name, text, pair).catch(() => null);
    showResult(found, reading, state.models.length > 1 ? model : "");
    const best = found.labels[0];
    const score = scoreText(best.score, found.labels);
    announce(`${best.label}, ${score}, in ${seconds(found.seconds)}${found.truncated ? "; the text was truncated" : ""}`);
    remember({text, pair, model, label: best.label, score, seconds: found.seconds, at: Date.now()});
  } catch (error) {
    byId("result-body").classList.add("stale");
    setError(inWords(error));
  }
}

function showPair(open) {
  byId("pair-field").hidden = !open;
  const toggle = byId("pair-toggle");
  toggle.setAttribute("aria-expanded", String(open));
  toggle.textContent = open ? "Remove the second text" : "Add a second text";
  showCurl();
}

// The last answers.

function readHistory() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(STORE) ?? "[]");
    return Array.isArray(kept) ? kept : [];
  } catch {
    return [];
  }
}

function remember(entry) {
  state.history = [entry, ...state.history].slice(0, KEPT);
  keepHistory();
}

function keepHistory() {
  try {
    sessionStorage.setItem(STORE, JSON.stringify(state.history));
  } catch { /* full, or forbidden: then they end with the page */ }
  showHistory();
}

function recall(entry) {
  if (state.models.some(one => one.name === entry.model)) {
    byId("model").value = entry.model;
    state.model = state.models.find(one => one.name === entry.model);
    showModel();
  }
  byId("text").value = entry.text;
  byId("pair").value = entry.pair ?? "";
  showPair(entry.pair !== null);
  byId("text").focus();
  classify();
}

function showHistory() {
  byId("history-empty").hidden = state.history.length > 0;
  byId("history-clear").hidden = state.history.length === 0;
  byId("history").replaceChildren(...state.history.map(entry => make("li", null,
    make("button", {type: "button", onclick: () => recall(entry)},
      make("span", {class: "said"}, entry.text + (entry.pair === null ? "" : ` ⏐ ${entry.pair}`)),
      make("span", {class: "got"}, `${entry.label} ${entry.score}`),
      make("span", {class: "when number"}, `${seconds(entry.seconds)}, ${clock(new Date(entry.at))}`)))));
}

function begin() {
  byId("form").addEventListener("submit", event => { event.preventDefault(); classify(); });
  byId("form").addEventListener("keydown", event => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); classify(); }
  });
  byId("key-form").addEventListener("submit", useKey);
  for (const id of ["text", "pair"]) byId(id).addEventListener("input", () => { setError(""); showCurl(); });
  byId("pair-toggle").addEventListener("click", () => {
    showPair(!pairOpen());
    byId(pairOpen() ? "pair" : "text").focus();
  });
  byId("model").addEventListener("change", () => {
    state.model = state.models.find(one => one.name === value("model"));
    showModel();
  });
  byId("curl-copy").addEventListener("click", event => copyText(byId("curl").textContent, event.currentTarget));
  byId("history-clear").addEventListener("click", () => {
    state.history = [];
    keepHistory();
    byId("history-title").closest("section").querySelector("h2").setAttribute("tabindex", "-1");
    byId("history-title").focus();
    announce("Cleared.");
  });
  byId("samples").append(...SAMPLES.map(text => make("button", {type: "button", onclick: () => {
    byId("text").value = text;
    showCurl();
    classify();
  }}, text)));
  showHistory();
  showCurl();
  new Live(onAnswer, onTrouble);
}

begin();
