// Parts that several views have in common.

import {announce, byId, clock, make, moment, replace, whyNoAnswer} from "/ui/shared/dom.js";
import * as cloud from "./cloud.js";

const KINDS = {Completed: "good", InService: "good", Failed: "bad", Stopped: "warn", Stopping: "warn", Deleting: "warn",
  RollingBack: "warn", OutOfService: "bad"};

export const pill = status => make("span", {class: `status ${KINDS[status] ?? ""}`}, status);

export const time = seconds => new Date(seconds * 1000);
export const stamp = date => make("time", {datetime: date.toISOString()}, moment(date));
export const when = seconds => seconds === undefined ? "–" : stamp(time(seconds));
export const duration = (begin, end) => begin === undefined ? undefined : (end ?? Date.now() / 1000) - begin;

export function inWords(error) {
  if (!(error instanceof cloud.Refused)) return whyNoAnswer(error);
  return error.message || `The cloud refused: ${error.code || error.status}`;
}

// The head of a view; path: [[text, address], ...] of what it lies in.
export function title(text, {path = [], aside = []} = {}) {
  return make("div", {class: "place"},
    path.length > 0 && make("nav", {"aria-label": "Place"}, make("ol", {class: "crumbs"},
      path.map(([name, address]) => make("li", null, make("a", {href: address}, name))))),
    make("div", {class: "title"}, make("h1", {id: "view-title", tabindex: "-1"}, text), ...aside));
}

export const empty = (text, more) => make("div", {class: "empty"}, make("p", null, text), more && make("p", {class: "small"}, more));

// columns: [{name, cell(item), right, actions}]; the first names the row. Narrow screens show each row
// as a list.
export function table(caption, columns, items) {
  const cell = (column, i, item) => make("td", {"data-name": column.name,
    class: i === 0 ? "name" : column.actions ? "actions right" : column.right ? "right" : null}, column.cell(item));
  return make("div", {class: "scroll", role: "region", tabindex: "0", "aria-label": caption}, make("table", {class: "fold"},
    make("caption", {class: "hidden-text"}, caption),
    make("thead", null, make("tr", null, columns.map(column => make("th", {scope: "col", class: column.right || column.actions ? "right" : null},
      column.actions ? make("span", {class: "hidden-text"}, column.name) : column.name)))),
    make("tbody", null, items.map(item => make("tr", null, columns.map((column, i) => cell(column, i, item)))))));
}

// Of a listing whose first page is shown.
export const moreNote = page => page.NextToken && make("p", {class: "soft small"}, "The latest 100 are shown.");

export const facts = pairs => make("dl", {class: "facts"}, pairs.filter(([, value]) => value !== undefined && value !== "")
  .flatMap(([name, value]) => [make("dt", null, name), make("dd", null, value)]));

export function card(heading, ...children) {
  const id = `card-${heading.toLowerCase().replaceAll(/\W+/g, "-")}`;
  return make("section", {class: "card", "aria-labelledby": id}, make("h2", {id}, heading), ...children);
}

// An address in S3 leads to the bucket's view.
export function objectLink(uri) {
  const found = /^s3:\/\/([^/]+)\/(.*)$/.exec(uri ?? "");
  if (!found) return uri;
  const [, bucket, key] = found;
  return make("a", {href: bucketAddress(bucket, key.slice(0, key.lastIndexOf("/") + 1)), class: "mono"}, uri);
}

export const bucketAddress = (bucket, prefix = "") =>
  `#/buckets/${[bucket, ...prefix.split("/")].map(encodeURIComponent).join("/")}`;

// Asks, does it, and says what went wrong where it did. Resolves to whether it was done.
export function confirm({heading, text, yes, action, done}) {
  const dialog = byId("confirm"), error = byId("confirm-error");
  const from = document.activeElement;
  byId("confirm-title").textContent = heading;
  byId("confirm-text").textContent = text;
  error.hidden = true;
  const button = byId("confirm-yes");
  button.textContent = yes;
  button.disabled = false;
  return new Promise(resolve => {
    let finished = false;
    button.onclick = async () => {
      button.disabled = true;
      try {
        await action();
        finished = true;
        dialog.close();
        announce(done);
      } catch (failure) {
        error.textContent = inWords(failure);
        error.hidden = false;
        button.disabled = false;
      }
    };
    byId("confirm-no").onclick = () => dialog.close();
    dialog.onclose = () => {
      if (from?.isConnected) from.focus();
      resolve(finished);
    };
    dialog.showModal();
    byId("confirm-no").focus();
  });
}

const LINES = 1000;  // of a log that are kept

// The end of the log streams of a group, as it grows. tick(): reads on.
export class LogTail {
  constructor(group, prefix) {
    this.group = group;
    this.prefix = prefix;
    this.stream = null;
    this.select = make("select", {id: "log-stream", "aria-label": "Stream", hidden: true, onchange: () => {
      this.begin(this.select.value);
      this.tick();
    }});
    this.lines = make("pre", {class: "log", tabindex: "0", role: "region", "aria-label": "Log lines", id: "log"});
    this.node = make("section", {class: "card", "aria-labelledby": "log-title"},
      make("div", {class: "head logs-head"}, make("h2", {id: "log-title"}, "Log"), this.select), this.lines);
    this.say("Reading the log …");
  }

  say(text) {
    this.count = 0;
    replace(this.lines, make("span", {class: "soft"}, text));
  }

  begin(stream) {
    this.stream = stream;
    this.token = null;
    this.say("No line yet.");
  }

  async tick() {
    try {
      const {logGroups} = await cloud.logs("DescribeLogGroups", {logGroupNamePrefix: this.group});
      if (!logGroups.some(one => one.logGroupName === this.group)) return this.count === 0 && this.say("No log yet.");
      const {logStreams} = await cloud.logs("DescribeLogStreams", {logGroupName: this.group, ...(this.prefix ? {logStreamNamePrefix: this.prefix} : {}), limit: 50});
      const names = logStreams.map(one => one.logStreamName);
      if (names.length === 0) return this.say("No line yet.");
      this.offer(names);
      await this.read();
    } catch (error) {
      if (!(error instanceof cloud.Refused)) throw error;
      if (this.count === 0) this.say(error.code === "ResourceNotFoundException" ? "No log yet." : inWords(error));
    }
  }

  offer(names) {
    const shown = [...this.select.options].map(option => option.value);
    if (shown.join("\n") !== names.join("\n")) {
      this.select.replaceChildren(...names.map(name => make("option", {value: name}, name)));
      this.select.hidden = names.length < 2;
    }
    if (!names.includes(this.stream)) this.begin(names[0]);
    this.select.value = this.stream;
  }

  async read() {
    const {stream, token} = this;
    const page = await cloud.logs("GetLogEvents", {logGroupName: this.group, logStreamName: stream, limit: token ? 1000 : 300,
      ...(token ? {nextToken: token, startFromHead: true} : {})});
    if (stream !== this.stream || token !== this.token) return;  // another one was chosen, or it was read, meanwhile
    this.token = page.nextForwardToken;
    if (page.events.length === 0) return;
    const atEnd = this.lines.scrollTop + this.lines.clientHeight >= this.lines.scrollHeight - 4;
    if (this.count === 0) this.lines.replaceChildren();
    for (const event of page.events) {
      this.lines.append(make("span", {class: "line"}, make("span", {class: "when"}, `${clock(new Date(event.timestamp))} `), `${event.message}\n`));
    }
    this.count += page.events.length;
    while (this.lines.childNodes.length > LINES) this.lines.firstChild.remove();
    if (atEnd) this.lines.scrollTop = this.lines.scrollHeight;
  }
}
