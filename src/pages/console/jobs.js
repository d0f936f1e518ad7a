// Training jobs.

import {Chart} from "/ui/shared/chart.js";
import {announce, clock, duration as span, figure, make, replace} from "/ui/shared/dom.js";
import * as cloud from "./cloud.js";
import {LogTail, card, confirm, duration, empty, facts, objectLink, pill, table, time, title, when} from "./parts.js";

const GROUP = "/aws/sagemaker/TrainingJobs";
const ended = status => status !== "InProgress" && status !== "Stopping";

export function jobTable(jobs) {
  return table("Training jobs", [
    {name: "Name", cell: job => make("a", {href: `#/jobs/${job.TrainingJobName}`}, job.TrainingJobName)},
    {name: "Status", cell: job => pill(job.TrainingJobStatus)},
    {name: "Created", cell: job => when(job.CreationTime)},
    {name: "Took", right: true, cell: job => span(duration(job.CreationTime, job.TrainingEndTime))},
  ], jobs);
}

export const noJobs = () => empty("No training job yet.", "SageMaker's estimators and boto3's create_training_job start them.");

export async function showJobs(view, _, turn) {
  let most = 20;
  const body = make("section", {class: "card"});
  replace(view, title("Training jobs"), body);
  return turn(3000, async () => {
    const jobs = [];
    let token;
    do {
      const page = await cloud.sagemaker("ListTrainingJobs", {MaxResults: Math.min(100, most - jobs.length), ...(token ? {NextToken: token} : {})});
      jobs.push(...page.TrainingJobSummaries);
      token = page.NextToken;
    } while (token && jobs.length < most);
    const more = make("button", {type: "button", id: "more", onclick: () => { most += 50; }}, "Show more");
    replace(body, jobs.length === 0 ? noJobs() : jobTable(jobs), token && make("div", {class: "row"}, more));
  });
}

// Metrics into charts: losses together, shares of right answers together, any other by itself.
function groupMetrics(names) {
  const groups = new Map();
  for (const name of names) {
    const kind = /loss/i.test(name) ? "Loss" : /acc|f1|mcc|precision|recall|auc/i.test(name) ? "Accuracy" : name;
    const full = (groups.get(kind)?.length ?? 0) >= 4;
    const key = full ? name : kind;
    groups.set(key, [...groups.get(key) ?? [], name]);
  }
  return groups;
}

const PERIODS = [1, 5, 10, 20, 30, 60, 300, 900, 3600];

class Curves {
  constructor(job) {
    this.job = job;
    this.charts = new Map();
    this.box = make("div", {class: "charts wide-charts"});
    this.none = empty("No metric yet.", "They are what the job's metric definitions find in its log.");
    this.node = card("Metrics", this.box, this.none);
  }

  async tick(description) {
    const {Metrics: metrics} = await cloud.cloudwatch("ListMetrics", {Namespace: GROUP, Dimensions: [{Name: "TrainingJobName", Value: this.job}]});
    const names = metrics.map(metric => metric.MetricName);
    this.none.hidden = names.length > 0;
    if (names.length === 0) return;
    const begin = description.TrainingStartTime ?? description.CreationTime;
    const end = (description.TrainingEndTime ?? Date.now() / 1000) + 1;
    const period = PERIODS.find(one => (end - begin) / one <= 400) ?? PERIODS.at(-1);
    const {MetricDataResults: results} = await cloud.cloudwatch("GetMetricData", {StartTime: begin - period, EndTime: end + period, ScanBy: "TimestampAscending",
      MetricDataQueries: metrics.map((metric, i) => ({Id: `m${i}`, MetricStat: {Metric: metric, Period: period, Stat: "Average"}}))});
    const series = new Map(results.map((result, i) => [names[i], result]));
    for (const [group, members] of groupMetrics(names)) this.draw(group, members, series, begin);
  }

  draw(group, members, series, begin) {
    const points = new Map();
    members.forEach((name, i) => series.get(name).Timestamps.forEach((at, k) => {
      const x = Math.max(0, at - begin);
      if (!points.has(x)) points.set(x, {x, values: members.map(() => null)});
      points.get(x).values[i] = series.get(name).Values[k];
    }));
    if (points.size === 0 && !this.charts.has(group)) return;
    const key = members.join();
    if (this.charts.get(group)?.key !== key) {
      const chart = new Chart({title: group, series: members.map(name => ({name, format: figure})), connect: true,
        fromZero: group !== "Accuracy", x: x => span(x)});
      this.charts.get(group)?.chart.node.remove();
      this.charts.set(group, {key, chart});
      this.box.append(chart.node);
    }
    this.charts.get(group).chart.set([...points.values()].sort((a, b) => a.x - b.x));
  }
}

function describe(job) {
  return facts([
    ["Image", job.AlgorithmSpecification?.TrainingImage],
    ["Instances", `${job.ResourceConfig?.InstanceCount ?? 1} × ${job.ResourceConfig?.InstanceType ?? "any"}`],
    ["Created", when(job.CreationTime)],
    ["Ended", job.TrainingEndTime ? when(job.TrainingEndTime) : undefined],
    ["Trained for", job.TrainingStartTime ? span(duration(job.TrainingStartTime, job.TrainingEndTime)) : undefined],
    ["Data", (job.InputDataConfig ?? []).map(channel => make("div", null, `${channel.ChannelName}: `, objectLink(channel.DataSource?.S3DataSource?.S3Uri)))],
    ["Model", job.ModelArtifacts?.S3ModelArtifacts ? objectLink(job.ModelArtifacts.S3ModelArtifacts) : undefined],
    ["ARN", make("span", {class: "mono"}, job.TrainingJobArn)],
  ]);
}

const steps = job => make("ol", {class: "steps"}, (job.SecondaryStatusTransitions ?? []).map(step =>
  make("li", null, make("time", null, clock(time(step.StartTime))), make("span", null, step.StatusMessage || step.Status))));

function hyperparameters(job) {
  const pairs = Object.entries(job.HyperParameters ?? {}).sort();
  return pairs.length === 0 ? make("p", {class: "soft"}, "None were given.")
    : facts(pairs.map(([name, value]) => [name, make("span", {class: "mono"}, value)]));
}

export async function showJob(view, [name], turn) {
  const state = make("span"), reason = make("p", {class: "note bad", hidden: true});
  const stop = make("button", {type: "button", class: "danger slim", hidden: true, onclick: () => confirm({heading: `Stop ${name}?`,
    text: "Its processes are asked to end; what is in the model folder by then is kept.", yes: "Stop the job", done: "The job is being stopped.",
    action: () => cloud.sagemaker("StopTrainingJob", {TrainingJobName: name})})}, "Stop");
  const remove = make("button", {type: "button", class: "danger slim", hidden: true, onclick: async () => {
    const done = await confirm({heading: `Delete ${name}?`, text: "The job and its logs go. What it wrote to buckets stays.", yes: "Delete the job",
      done: "The job is deleted.", action: () => cloud.sagemaker("DeleteTrainingJob", {TrainingJobName: name})});
    if (done) location.hash = "#/jobs";
  }}, "Delete");
  const about = make("div"), parameters = make("div"), progress = make("div");
  const curves = new Curves(name), log = new LogTail(GROUP, `${name}/`);
  replace(view, title(name, {path: [["Training jobs", "#/jobs"]], aside: [state, make("span", {class: "row push"}, stop, remove)]}), reason, curves.node,
    make("div", {class: "columns"}, card("Job", about), make("div", {class: "stack"}, card("Progress", progress), card("Hyperparameters", parameters))), log.node);
  let last = null;
  return turn(2000, async () => {
    const job = await cloud.sagemaker("DescribeTrainingJob", {TrainingJobName: name});
    const status = job.TrainingJobStatus;
    if (last !== status) {
      replace(state, pill(status));
      if (last !== null) announce(`The job is ${status}.`);
    }
    replace(about, describe(job));
    replace(progress, steps(job));
    replace(parameters, hyperparameters(job));
    stop.hidden = status !== "InProgress";
    remove.hidden = !ended(status);
    reason.hidden = !job.FailureReason;
    reason.textContent = job.FailureReason ?? "";
    await Promise.all([curves.tick(job), log.tick()]);
    const over = ended(status) && last === status;
    last = status;
    return over;  // nothing changes any more
  });
}
