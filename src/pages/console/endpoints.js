// Endpoints.

import {Chart, ago} from "/ui/shared/chart.js";
import {announce, figure, make, replace, seconds} from "/ui/shared/dom.js";
import {scoreBars} from "/ui/shared/scores.js";
import * as cloud from "./cloud.js";
import {LogTail, card, confirm, empty, facts, inWords, moreNote, pill, table, title, when} from "./parts.js";

const SPACE = "AWS/SageMaker";
const WINDOW = 300, PERIOD = 5;  // seconds of the charts, and of a point

export function endpointTable(endpoints) {
  return table("Endpoints", [
    {name: "Name", cell: one => make("a", {href: `#/endpoints/${one.EndpointName}`}, one.EndpointName)},
    {name: "Status", cell: one => pill(one.EndpointStatus)},
    {name: "Created", cell: one => when(one.CreationTime)},
  ], endpoints);
}

export const noEndpoints = () => empty("No endpoint yet.", "An estimator's deploy and boto3's create_endpoint start them.");

export async function showEndpoints(view, _, turn) {
  const body = make("section", {class: "card"});
  replace(view, title("Endpoints"), body);
  return turn(3000, async () => {
    const page = await cloud.sagemaker("ListEndpoints", {MaxResults: 100});
    replace(body, page.Endpoints.length === 0 ? noEndpoints() : endpointTable(page.Endpoints), moreNote(page));
  });
}

// All variants together: sums of counts, and the slowest variant's latencies.
class Traffic {
  constructor(name) {
    this.name = name;
    const rate = value => `${figure(value)}/s`;
    const chart = (heading, series, more) => new Chart({title: heading, series, window: WINDOW, x: ago, ...more});
    this.requests = chart("Requests", [{name: "all", format: rate}, {name: "4xx", format: rate}, {name: "5xx", format: rate}], {floor: 1});
    this.latency = chart("Model latency", [{name: "p50", format: seconds}, {name: "p99", format: seconds}], {floor: 0.002, connect: true});
    this.node = card("Traffic", make("div", {class: "charts wide-charts"}, this.requests.node, this.latency.node));
  }

  async tick(variants) {
    const end = Math.floor(Date.now() / 1000 / PERIOD) * PERIOD;  // the running period would look like a fall
    const queries = [];
    const ask = (variant, metric, stat) => queries.push({Id: `q${queries.length}`, Label: `${metric} ${stat}`, MetricStat: {Period: PERIOD, Stat: stat,
      Metric: {Namespace: SPACE, MetricName: metric, Dimensions: [{Name: "EndpointName", Value: this.name}, {Name: "VariantName", Value: variant}]}}});
    for (const variant of variants) {
      for (const metric of ["Invocations", "Invocation4XXErrors", "Invocation5XXErrors"]) ask(variant, metric, "Sum");
      for (const stat of ["p50", "p99"]) ask(variant, "ModelLatency", stat);
    }
    if (queries.length === 0) return;
    const {MetricDataResults: results} = await cloud.cloudwatch("GetMetricData", {StartTime: end - WINDOW, EndTime: end, MetricDataQueries: queries});
    const at = (label, moment) => results.filter(one => one.Label === label)
      .map(one => one.Values[one.Timestamps.indexOf(moment)]).filter(value => value !== undefined);
    const requests = [], latency = [];
    for (let moment = end - WINDOW; moment < end; moment += PERIOD) {
      const rate = metric => at(`${metric} Sum`, moment).reduce((sum, value) => sum + value, 0) / PERIOD;
      const slowest = stat => { const values = at(`ModelLatency ${stat}`, moment); return values.length > 0 ? Math.max(...values) / 1e6 : null; };
      requests.push({x: moment, values: [rate("Invocations"), rate("Invocation4XXErrors"), rate("Invocation5XXErrors")]});
      latency.push({x: moment, values: [slowest("p50"), slowest("p99")]});
    }
    this.requests.set(requests);
    this.latency.set(latency);
  }
}

// A box to try a sentence.
class Trial {
  constructor(name) {
    this.name = name;
    this.text = make("textarea", {id: "try-text", rows: "2", placeholder: "Type or paste a text …", autocomplete: "off"});
    this.variant = make("select", {id: "try-variant"}, make("option", {value: ""}, "by weight"));
    this.variantField = make("div", {hidden: true}, make("label", {for: "try-variant"}, "Variant"), this.variant);
    this.error = make("p", {class: "note bad", role: "alert", hidden: true});
    this.result = make("div", {class: "stack-small", id: "try-result"});
    this.send = make("button", {type: "submit", class: "primary"}, "Classify");
    const form = make("form", {class: "stack-small", onsubmit: event => { event.preventDefault(); this.ask(); },
      onkeydown: event => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); this.ask(); } }},
    make("div", null, make("label", {for: "try-text"}, "Text"), this.text), this.variantField, this.error, make("div", {class: "row"}, this.send));
    this.node = card("Try a sentence", form, this.result);
  }

  offer(variants) {
    this.variantField.hidden = variants.length < 2;
    const names = ["", ...variants];
    if ([...this.variant.options].map(option => option.value).join() === names.join()) return;
    this.variant.replaceChildren(...names.map(name => make("option", {value: name}, name || "by weight")));
  }

  say(text) {
    this.error.textContent = text;
    this.error.hidden = text === "";
  }

  async ask() {
    if (this.text.value.trim() === "") {
      this.say("Type a text first.");
      return this.text.focus();
    }
    this.say("");
    this.send.setAttribute("aria-disabled", "true");
    try {
      this.show(await cloud.invoke(this.name, this.variant.value, {inputs: this.text.value, parameters: {top_k: null}}));
    } catch (error) {
      this.say(inWords(error));
    } finally {
      this.send.removeAttribute("aria-disabled");
    }
  }

  show(answer) {
    let labels = null;
    try {
      const body = JSON.parse(answer.body);
      if (Array.isArray(body) && body.every(one => typeof one.score === "number")) labels = body;
    } catch { /* shown as it came */ }
    replace(this.result, labels ? scoreBars(labels) : make("pre", {class: "code"}, answer.body),
      answer.truncated && make("p", {class: "note warn"}, "The text was truncated to the model's length."),
      make("p", {class: "small soft number"}, `${seconds(answer.seconds)}, answered by ${answer.variant}`));
    announce(labels ? `${labels[0].label} ${figure(labels[0].score)}` : "Answered.");
  }
}

function variantTable(variants) {
  return table("Variants that run", [
    {name: "Variant", cell: one => one.VariantName},
    {name: "Weight", right: true, cell: one => figure(one.CurrentWeight ?? 0)},
    {name: "Instances", right: true, cell: one => one.CurrentInstanceCount === one.DesiredInstanceCount ? one.CurrentInstanceCount ?? 0
      : `${one.CurrentInstanceCount ?? 0} of ${one.DesiredInstanceCount}`},
  ], variants);
}

export async function showEndpoint(view, [name], turn) {
  const state = make("span"), reason = make("p", {class: "note bad", hidden: true}), about = make("div"), list = make("div");
  const remove = make("button", {type: "button", class: "danger slim", onclick: async () => {
    const done = await confirm({heading: `Delete ${name}?`, text: "Requests under way are answered, then its servers end. The model and the configuration stay.",
      yes: "Delete the endpoint", done: "The endpoint is being deleted.", action: () => cloud.sagemaker("DeleteEndpoint", {EndpointName: name})});
    if (done) location.hash = "#/endpoints";
  }}, "Delete");
  const trial = new Trial(name), traffic = new Traffic(name), log = new LogTail(`/aws/sagemaker/Endpoints/${name}`, "");
  replace(view, title(name, {path: [["Endpoints", "#/endpoints"]], aside: [state, make("span", {class: "row push"}, remove)]}), reason,
    make("div", {class: "columns"}, trial.node, make("div", {class: "stack"}, card("Endpoint", about), card("Variants", list))), traffic.node, log.node);
  let last = null;
  return turn(2000, async () => {
    const endpoint = await cloud.sagemaker("DescribeEndpoint", {EndpointName: name});
    const status = endpoint.EndpointStatus;
    if (last !== status) {
      replace(state, pill(status));
      if (last !== null) announce(`The endpoint is ${status}.`);
      last = status;
    }
    const variants = endpoint.ProductionVariants ?? [];
    const names = variants.map(one => one.VariantName);
    reason.hidden = !endpoint.FailureReason;
    reason.textContent = endpoint.FailureReason ?? "";
    replace(about, facts([["Configuration", endpoint.EndpointConfigName], ["Created", when(endpoint.CreationTime)],
      ["Changed", when(endpoint.LastModifiedTime)], ["ARN", make("span", {class: "mono"}, endpoint.EndpointArn)]]));
    replace(list, variants.length === 0 ? make("p", {class: "soft"}, "None runs.") : variantTable(variants));
    trial.offer(names);
    await Promise.all([traffic.tick(names), log.tick()]);
  });
}
