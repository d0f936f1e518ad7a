// Scores of labels as bars: the best ones, and on request all of them.

import {figure, make} from "./dom.js";

const FEW = 10;  // labels shown at first

const percent = score => score >= 0.9995 || score === 0 ? `${(100 * score).toFixed(0)} %`
  : score >= 0.001 ? `${(100 * score).toFixed(1)} %` : "< 0.1 %";

// Scores that are no shares, a regression's, are written as they are.
export const scoreText = (score, all) => all.every(one => one.score >= 0 && one.score <= 1) ? percent(score) : figure(score);

function bars(labels) {
  const top = Math.max(...labels.map(one => Math.abs(one.score)), 1e-9);
  const shares = labels.every(one => one.score >= 0 && one.score <= 1);
  return labels.map(one => {
    const fill = make("i");
    fill.style.width = `${100 * Math.abs(one.score) / (shares ? 1 : top)}%`;
    return make("li", null, make("span", {class: "label"}, one.label),
      make("span", {class: "bar", "aria-hidden": "true"}, fill),
      make("span", {class: "value"}, scoreText(one.score, labels)));
  });
}

// [{label, score}], best first.
export function scoreBars(labels) {
  const list = make("ol", {class: "bars", id: "bars", "aria-label": "Scores, best first"}, bars(labels.slice(0, FEW)));
  if (labels.length <= FEW) return [list];
  const filter = make("input", {type: "search", id: "label-filter", placeholder: "Filter labels", "aria-label": "Filter labels", hidden: true});
  const more = make("button", {type: "button", class: "slim", "aria-expanded": "false", "aria-controls": "bars"}, `Show all ${labels.length} labels`);
  let all = false;
  const show = () => {
    const wanted = filter.value.trim().toLowerCase();
    const found = labels.filter(one => one.label.toLowerCase().includes(wanted));
    list.replaceChildren(...bars(all ? found : labels.slice(0, FEW)));
    if (all && found.length === 0) list.append(make("li", null, make("span", {class: "soft"}, "No such label")));
  };
  filter.addEventListener("input", show);
  more.addEventListener("click", () => {
    all = !all;
    filter.hidden = !all;
    list.classList.toggle("many", all);
    if (all) list.setAttribute("tabindex", "0"); else list.removeAttribute("tabindex");
    more.setAttribute("aria-expanded", String(all));
    more.textContent = all ? `Show the best ${FEW}` : `Show all ${labels.length} labels`;
    show();
  });
  return [filter, list, more];
}
