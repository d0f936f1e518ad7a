// One answer: scores, time, tokens.

import {byId, integer, make, replace, seconds} from "/ui/shared/dom.js";
import {scoreBars, scoreText} from "/ui/shared/scores.js";

// The server's phases, and what is left of the time that the browser measured.
function time(answer) {
  const {tokenize = 0, queue = 0, compute = 0} = answer.phases;
  const parts = [["tokenize", tokenize], ["queue", queue], ["compute", compute],
    ["network and browser", Math.max(0, answer.seconds - tokenize - queue - compute)]];
  const line = make("div", {class: "timeline", "aria-hidden": "true"}, parts.map(([, value], i) => {
    const piece = make("i", {class: `p${i + 1}`});
    piece.style.flexGrow = String(value / answer.seconds);
    return piece;
  }));
  return make("div", null, make("div", {class: "head"}, make("h3", null, "Time"),
    make("p", {class: "small soft", id: "total-time"}, make("b", {class: "number"}, seconds(answer.seconds)), " from click to answer")),
  line, make("ul", {class: "phases"}, parts.map(([name, value], i) =>
    make("li", null, make("i", {class: `p${i + 1}`, "aria-hidden": "true"}), `${name} `, make("b", null, seconds(value))))));
}

function chip(token) {
  const kind = [token.special && "special", !token.kept && "cut", token.second && "second",
    token.token.startsWith("##") && "piece"].filter(Boolean).join(" ");
  return make("li", {class: kind, title: `id ${token.id}`}, token.token,
    !token.kept && make("span", {class: "hidden-text"}, " (cut off)"));
}

function tokenList(reading, windows) {
  const cut = reading.count - reading.kept;
  const legend = make("p", {class: "small soft", id: "token-legend"}, windows > 1 ? `${integer(reading.count)}, read in ${integer(windows)} windows`
    : `${integer(reading.kept)} of at most ${integer(reading.max_length)}`, cut > 0 && `, ${integer(cut)} cut off`);
  const list = make("ol", {class: "tokens", id: "tokens", "aria-label": "Tokens", tabindex: "0"},
    reading.tokens.map(chip),
    reading.count > reading.tokens.length && make("li", {class: "special"}, `and ${integer(reading.count - reading.tokens.length)} more`));
  const kinds = [["special", "[CLS]", "added by the tokenizer"], ["piece", "##s", "goes on with a word"],
    cut > 0 && ["cut", "word", "cut off: the model did not read it"]].filter(Boolean);
  return make("div", {id: "token-part"}, make("div", {class: "head"}, make("h3", null, "Tokens"), legend), list,
    make("p", {class: "legend small soft"}, kinds.map(([kind, text, meaning]) =>
      make("span", null, make("span", {class: "tokens"}, make("span", {class: `chip ${kind}`}, text)), ` ${meaning}`))));
}

function cutNote(reading) {
  const cut = reading.count - reading.kept;
  return make("p", {class: "note warn", id: "cut-note"}, make("span", null, make("strong", null, "Truncated. "),
    `The model takes ${integer(reading.max_length)} tokens; the last ${integer(cut)} were cut off and did not count.`));
}

// As the server reads texts in windows: nothing is cut off.
const whole = reading => ({...reading, kept: reading.count, tokens: reading.tokens.map(token => ({...token, kept: true}))});

// answer: server.classify's; found: server.tokens', or null where there is none.
export function showResult(answer, found, modelName) {
  const reading = found && answer.windows > 1 ? whole(found) : found;
  byId("result-empty").hidden = true;
  byId("result-model").textContent = modelName;
  const body = byId("result-body");
  body.hidden = false;
  body.classList.remove("stale");
  const best = answer.labels[0];
  const short = reading !== null && reading.kept < reading.count;
  replace(body,
    make("p", {class: "best", id: "best"}, make("b", null, best.label), " ", make("span", {class: "number"}, scoreText(best.score, answer.labels))),
    short ? cutNote(reading) : answer.truncated && make("p", {class: "note warn", id: "cut-note"}, "The text was truncated to the model's length."),
    make("div", {class: "stack"}, scoreBars(answer.labels)), time(answer), reading && tokenList(reading, answer.windows));
}
