// The page: views by address, the key pair, the cloud's state.

import {announce, byId, make, repeat, replace} from "/ui/shared/dom.js";
import {showBucket, showBuckets} from "./buckets.js";
import * as cloud from "./cloud.js";
import {endpointTable, noEndpoints, showEndpoint, showEndpoints} from "./endpoints.js";
import {jobTable, noJobs, showJob, showJobs} from "./jobs.js";
import {showModel, showModels} from "./models.js";
import {card, empty, inWords, title} from "./parts.js";

const VIEWS = {jobs: [showJobs, showJob, "Training jobs"], endpoints: [showEndpoints, showEndpoint, "Endpoints"],
  models: [showModels, showModel, "Models"], buckets: [showBuckets, showBucket, "Buckets"]};

const SOON = 1000;  // until a cloud that does not answer is asked again

let stop = () => {};
let up = null;

function setState(reachable, text, trouble = "") {
  byId("status").className = `status ${reachable ? "good" : "bad"}`;
  if (byId("status").textContent !== text) byId("status").textContent = text;
  byId("trouble").hidden = trouble === "";
  if (byId("trouble").textContent !== trouble) byId("trouble").textContent = trouble;
  if (up === false && reachable) announce("The cloud is back.");
  up = reachable;
}

async function overview(view, _, turn) {
  const counts = make("div", {class: "counts"}), jobs = make("div"), endpoints = make("div");
  replace(view, title("Overview"), counts, make("div", {class: "columns"}, card("Latest jobs", jobs), card("Latest endpoints", endpoints)));
  return turn(3000, async () => {
    const [{TrainingJobSummaries: latest}, {TrainingJobSummaries: running}, {Endpoints: serving}, {Models: models}, buckets] = await Promise.all([
      cloud.sagemaker("ListTrainingJobs", {MaxResults: 5}), cloud.sagemaker("ListTrainingJobs", {MaxResults: 100, StatusEquals: "InProgress"}),
      cloud.sagemaker("ListEndpoints", {MaxResults: 100}), cloud.sagemaker("ListModels", {MaxResults: 100}), cloud.buckets()]);
    const inService = serving.filter(one => one.EndpointStatus === "InService").length;
    const count = (address, number, text) => make("a", {href: address, id: `count-${address.slice(2)}`}, make("b", null, number), text);
    const many = items => items.length >= 100 ? "100 or more" : String(items.length);
    replace(counts, count("#/jobs", many(running), "jobs in progress"), count("#/endpoints", String(inService), "endpoints in service"),
      count("#/models", many(models), "models"), count("#/buckets", String(buckets.length), "buckets"));
    replace(jobs, latest.length === 0 ? noJobs() : jobTable(latest));
    replace(endpoints, serving.length === 0 ? noEndpoints() : endpointTable(serving.slice(0, 5)));
  });
}

// Runs a view's part again and again, and says what goes wrong with it.
function turning(view) {
  let first = true;
  return (milliseconds, action) => {
    const end = repeat(milliseconds, async () => {
      try {
        const done = await action();
        setState(true, "Connected");
        first = false;
        if (done === true) end();
      } catch (error) {
        onError(error, view, first, () => end());
        if (!up) return SOON;
      }
    });
    return end;
  };
}

function onError(error, view, first, end) {
  if (!(error instanceof cloud.Refused)) {
    if (!(error instanceof TypeError) && error.name !== "TimeoutError") console.error(error);
    return setState(false, "Unreachable", `${inWords(error)} Asking again.`);
  }
  setState(true, "Connected");
  if (error.wantsKeys) {
    end();
    return askForKeys(cloud.keys() ? inWords(error) : "");
  }
  if (first || /ValidationException|NoSuchBucket/.test(error.code)) {
    end();
    replace(view, title("Not here"), empty(inWords(error), "It may have been deleted."));
  } else {
    setState(true, "Connected", inWords(error));
  }
}

function markPlace(part) {
  for (const link of byId("nav").querySelectorAll("a")) {
    if (link.getAttribute("href") === `#/${part}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function plain(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

async function route() {
  if (location.hash === "#main") return;
  stop();
  if (byId("confirm").open) byId("confirm").close();
  const [part = "", ...rest] = location.hash.replace(/^#\/?/, "").split("/").map(plain);
  const [all, one, name] = VIEWS[part] ?? [overview, overview, "Overview"];
  const view = make("div", {class: "stack"});
  replace(byId("view"), view);
  markPlace(part);
  document.title = `${rest[0] ? `${rest[0]} · ` : ""}${name} · bertie console`;
  const moved = document.activeElement !== document.body;
  stop = await (rest[0] ? one : all)(view, rest, turning(view));
  if (moved) byId("view-title")?.focus();
}

// The key pair.

function askForKeys(why) {
  const error = byId("keys-error");
  if (!cloud.canSign()) {
    return setState(true, "Not signed in", "This cloud takes signed requests alone, and browsers let a page sign only at https or on localhost: "
      + `open it as http://localhost:${location.port}/.`);
  }
  error.textContent = why;
  error.hidden = why === "";
  byId("status").className = "status warn";
  byId("status").textContent = "Not signed in";
  if (!byId("keys").open) byId("keys").showModal();
}

async function signIn(event) {
  event.preventDefault();
  const value = id => byId(id).value.trim();
  cloud.setKeys({id: value("key-id"), secret: value("key-secret"), token: value("key-token")});
  try {
    await showAccount();
  } catch (error) {
    cloud.setKeys(null);
    byId("keys-error").textContent = inWords(error);
    byId("keys-error").hidden = false;
    return;
  }
  for (const id of ["key-id", "key-secret", "key-token"]) byId(id).value = "";
  byId("keys").close();
  announce("Signed in.");
  route();
}

async function showAccount() {
  byId("account").textContent = `Account ${await cloud.account()}`;
  byId("keys-forget").hidden = cloud.keys() === null;
}

function begin() {
  byId("keys-form").addEventListener("submit", signIn);
  byId("keys-forget").addEventListener("click", () => {
    cloud.setKeys(null);
    byId("account").textContent = "";
    byId("keys-forget").hidden = true;
    route();
  });
  byId("skip").addEventListener("click", event => { event.preventDefault(); byId("main").focus(); });
  window.addEventListener("hashchange", route);
  showAccount().catch(() => {});
  route();
}

begin();
