// What the page asks of the server. Every function throws Refused where the server says no, and the
// fetch's own errors where it does not answer.

const TIMEOUT = 65000;  // above the server's own

export class Refused extends Error {
  constructor(status, type, message) {
    super(message);
    this.status = status;
    this.type = type;
  }
}

// The API key, where the server asks for one, kept for as long as the tab is open.
const STORE = "bertie-playground-key";

export const apiKey = () => sessionStorage.getItem(STORE) ?? "";

export function setApiKey(key) {
  sessionStorage.setItem(STORE, key);
}

async function ask(path, options = {}, timeout = TIMEOUT) {
  const headers = {...options.headers, ...(apiKey() ? {Authorization: `Bearer ${apiKey()}`} : {})};
  const answer = await fetch(path, {cache: "no-store", ...options, headers, signal: AbortSignal.timeout(timeout)});
  if (answer.ok) return answer;
  const text = await answer.text();
  let type = "", message = text.slice(0, 300) || `The server answered ${answer.status}.`;
  try {
    ({type, message} = JSON.parse(text));
  } catch { /* a refusal in another form */ }
  throw new Refused(answer.status, type, message);
}

function post(path, body, headers = {}) {
  return ask(path, {method: "POST", body: JSON.stringify(body), headers: {"Content-Type": "application/json", ...headers}});
}

export const metrics = async () => (await ask("/metrics", {}, 5000)).text();

// [{name, version, labels, max_length, default}], of each name the version that answers.
export const models = async () => (await (await ask("/ui/models", {}, 5000)).json()).models;

// The request to classify, as fetch and curl send it.
export function request(model, text, pair) {
  return {
    path: "/invocations",
    headers: model ? {"X-Amzn-SageMaker-Target-Model": model} : {},
    body: {inputs: pair === null ? text : {text, text_pair: pair}, parameters: {top_k: null}},
  };
}

// "tokenize;dur=0.1, queue;dur=0" -> {tokenize: 0.0001, ...}, seconds.
function phasesIn(field) {
  const found = [...(field ?? "").matchAll(/(\w+);dur=([\d.e+-]+)/g)];
  return Object.fromEntries(found.map(([, name, milliseconds]) => [name, milliseconds / 1000]));
}

export async function classify(model, text, pair) {
  const {path, headers, body} = request(model, text, pair);
  const begin = performance.now();
  const answer = await post(path, body, headers);
  const labels = await answer.json();
  return {
    labels,
    seconds: (performance.now() - begin) / 1000,
    truncated: answer.headers.has("x-bertie-truncated"),
    windows: Number(answer.headers.get("x-bertie-windows") ?? 1),
    phases: phasesIn(answer.headers.get("server-timing")),
  };
}

// {tokens: [{token, id, special, second, kept}], count, kept, max_length}; the first 2048.
export async function tokens(model, text, pair) {
  const body = {text, ...(pair === null ? {} : {text_pair: pair}), ...(model ? {model} : {})};
  return (await post("/ui/tokens", body)).json();
}

const quoted = text => `'${text.replaceAll("'", `'\\''`)}'`;

export function curl(model, text, pair) {
  const {path, headers, body} = request(model, text, pair);
  const fields = Object.entries({"Content-Type": "application/json", ...headers});
  // The key itself is not shown.
  const key = apiKey() ? [`-H "Authorization: Bearer $BERTIE_API_KEY"`] : [];
  return [`curl ${location.origin}${path}`, ...key, ...fields.map(([name, value]) => `-H ${quoted(`${name}: ${value}`)}`),
    `-d ${quoted(JSON.stringify(body))}`].join(" \\\n  ");
}
