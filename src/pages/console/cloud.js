// What the page asks of the cloud: the same requests that boto3 makes. Every function throws Refused
// where the cloud says no, and the fetch's own errors where it does not answer.

import {canSign, encodePath, presign, queryText, sha256, sign} from "./sigv4.js";

const TIMEOUT = 70000;
const STORE = "bertie-console-keys";
const UNSIGNED = "UNSIGNED-PAYLOAD";

export class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }

  // Whether a key pair, or another one, would help.
  get wantsKeys() {
    return /MissingAuthenticationToken|UnrecognizedClient|InvalidClientTokenId|InvalidAccessKeyId|SignatureDoesNotMatch|InvalidSignature|ExpiredToken|IncompleteSignature/
      .test(this.code) || (this.status === 403 && this.code === "AccessDenied" && !keys());
  }
}

// The key pair, kept for as long as the tab is open.

export function keys() {
  try {
    return JSON.parse(sessionStorage.getItem(STORE));
  } catch {
    return null;
  }
}

export function setKeys(pair) {
  if (pair === null) sessionStorage.removeItem(STORE);
  else sessionStorage.setItem(STORE, JSON.stringify(pair));
}

export {canSign};

// Requests.

async function headersFor(service, method, path, query, headers, body) {
  const pair = keys();
  if (pair === null) return headers;
  const payload = body instanceof Blob ? UNSIGNED : await sha256(body ?? "");
  return sign(pair, service, {method, path, query, headers, payload});
}

async function refusal(answer) {
  const text = await answer.text();
  if (text.startsWith("<")) {
    const xml = new DOMParser().parseFromString(text, "application/xml");
    const part = name => xml.getElementsByTagName(name)[0]?.textContent ?? "";
    return new Refused(answer.status, part("Code"), part("Message"));
  }
  try {
    const body = JSON.parse(text);
    const code = answer.headers.get("x-amzn-errortype") ?? body.__type ?? "";
    return new Refused(answer.status, code.split("#").at(-1).split(":")[0], body.message ?? body.Message ?? text.slice(0, 300));
  } catch {
    return new Refused(answer.status, "", text.slice(0, 300) || `The cloud answered ${answer.status}.`);
  }
}

async function send(service, method, path, {pairs = [], headers = {}, body, timeout = TIMEOUT} = {}) {
  const query = queryText(pairs);
  const all = await headersFor(service, method, path, query, headers, body);
  const address = query === "" ? path : `${path}?${query}`;
  const answer = await fetch(address, {method, headers: all, body, cache: "no-store", signal: AbortSignal.timeout(timeout)});
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

async function operation(service, target, version, request) {
  const headers = {"content-type": `application/x-amz-json-${version}`, "x-amz-target": target};
  const answer = await send(service, "POST", "/", {headers, body: JSON.stringify(request)});
  const text = await answer.text();
  return text === "" ? {} : JSON.parse(text);
}

export const sagemaker = (name, request = {}) => operation("sagemaker", `SageMaker.${name}`, "1.1", request);
export const logs = (name, request) => operation("logs", `Logs_20140328.${name}`, "1.1", request);
export const cloudwatch = (name, request) => operation("monitoring", `GraniteServiceVersion20100801.${name}`, "1.0", request);

export async function account() {
  const answer = await send("sts", "POST", "/", {headers: {"content-type": "application/x-www-form-urlencoded"},
    body: "Action=GetCallerIdentity&Version=2011-06-15"});
  return new DOMParser().parseFromString(await answer.text(), "application/xml").getElementsByTagName("Account")[0].textContent;
}

// {status, body, variant, seconds}
export async function invoke(endpoint, variant, body) {
  const headers = {"content-type": "application/json", accept: "application/json",
    ...(variant ? {"x-amzn-sagemaker-target-variant": variant} : {})};
  const begin = performance.now();
  const answer = await send("sagemaker", "POST", encodePath(`/endpoints/${endpoint}/invocations`), {headers, body: JSON.stringify(body)});
  const text = await answer.text();
  return {body: text, variant: answer.headers.get("x-amzn-invoked-production-variant") ?? "",
    truncated: answer.headers.has("x-bertie-truncated"), seconds: (performance.now() - begin) / 1000};
}

// S3.

// Browsers take a part of an address that is "." or ".." for a way to another object.
function pathOf(bucket, key) {
  if (key.split("/").some(part => part === "." || part === "..")) {
    throw new Refused(0, "", `No browser can ask for ${key}, which has a part "." or "..": use boto3 or the aws command.`);
  }
  return `/${bucket}/${key}`;
}

async function s3(method, path, options = {}) {
  const answer = await send("s3", method, encodePath(path), options);
  const text = await answer.text();
  return text === "" ? null : new DOMParser().parseFromString(text, "application/xml");
}

const all = (node, name) => [...node.getElementsByTagName(name)];
const first = (node, name) => node.getElementsByTagName(name)[0]?.textContent ?? "";

export async function buckets() {
  return all(await s3("GET", "/"), "Bucket").map(node => ({name: first(node, "Name"), created: new Date(first(node, "CreationDate"))}));
}

export const createBucket = name => s3("PUT", `/${name}`);
export const deleteBucket = name => s3("DELETE", `/${name}`);
export const deleteObject = async (bucket, key) => s3("DELETE", pathOf(bucket, key));

// {folders: [prefix], objects: [{key, size, modified}], next}; at most 100 at once.
export async function list(bucket, prefix, token) {
  const pairs = [["list-type", "2"], ["delimiter", "/"], ["prefix", prefix], ["max-keys", "100"], ["encoding-type", "url"],
    ...(token ? [["continuation-token", token]] : [])];
  const xml = await s3("GET", `/${bucket}`, {pairs});
  const plain = text => decodeURIComponent(text.replaceAll("+", " "));
  return {
    folders: all(xml, "CommonPrefixes").map(node => plain(first(node, "Prefix"))),
    objects: all(xml, "Contents").map(node => ({key: plain(first(node, "Key")), size: Number(first(node, "Size")),
      modified: new Date(first(node, "LastModified"))})),
    next: first(xml, "NextContinuationToken"),
  };
}

// Where the browser itself can fetch the object, as a file to keep.
export async function downloadAddress(bucket, key) {
  const path = encodePath(pathOf(bucket, key));
  const name = key.split("/").at(-1).replace(/["\\]/g, "_");
  const pairs = [["response-content-disposition", `attachment; filename*=UTF-8''${encodeURIComponent(name)}`]];
  const pair = keys();
  return `${path}?${pair ? await presign(pair, path, pairs) : queryText(pairs)}`;
}

// progress(share): while the file goes up.
export async function upload(bucket, key, file, progress) {
  const path = encodePath(pathOf(bucket, key));
  const headers = {"content-type": file.type || "binary/octet-stream"};
  const signed = await headersFor("s3", "PUT", path, "", headers, file);
  await new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", path);
    for (const [name, value] of Object.entries(signed)) request.setRequestHeader(name, value);
    request.upload.onprogress = event => progress(event.loaded / Math.max(event.total, 1));
    request.onerror = () => reject(new TypeError("no answer"));
    request.onload = () => {
      if (request.status < 300) return resolve();
      refusal(new Response(request.responseText, {status: request.status})).then(reject);
    };
    request.send(file);
  });
}
