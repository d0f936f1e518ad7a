// AWS Signature Version 4 by the browser's own cryptography, for the page's requests.

const REGION = "us-east-1";  // of the signature alone: the cloud takes any
const utf8 = new TextEncoder();

export const canSign = () => globalThis.crypto?.subtle !== undefined;

const hex = buffer => [...new Uint8Array(buffer)].map(byte => byte.toString(16).padStart(2, "0")).join("");

export async function sha256(body) {
  return hex(await crypto.subtle.digest("SHA-256", typeof body === "string" ? utf8.encode(body) : body));
}

async function hmac(key, text) {
  const imported = await crypto.subtle.importKey("raw", key, {name: "HMAC", hash: "SHA-256"}, false, ["sign"]);
  return crypto.subtle.sign("HMAC", imported, utf8.encode(text));
}

async function signatureOf(secret, scope, text) {
  let key = utf8.encode(`AWS4${secret}`);
  for (const part of scope.split("/")) key = await hmac(key, part);
  return hex(await hmac(key, text));
}

// As Amazon encodes: all but A-Z a-z 0-9 - . _ ~
export const encode = text => encodeURIComponent(text)
  .replace(/[!'()*]/g, letter => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`);

export const encodePath = path => path.split("/").map(encode).join("/");

// [["name", "value"], ...] as it stands in the address and in what is signed.
export const queryText = pairs => pairs.map(([name, value]) => `${encode(name)}=${encode(value)}`).sort().join("&");

const timestamp = () => new Date().toISOString().replace(/[-:]|\.\d+/g, "");

function toSign(method, path, query, headers, payload, time, scope) {
  const names = Object.keys(headers).sort();
  const canonical = [method, path, query, ...names.map(name => `${name}:${headers[name].trim()}`), "", names.join(";"), payload];
  return sha256(canonical.join("\n")).then(hash => ["AWS4-HMAC-SHA256", time, scope, hash].join("\n"));
}

// The headers to send with the request. path: encoded; headers: with names in lower case; payload:
// the body's hash, or UNSIGNED-PAYLOAD of S3.
export async function sign(keys, service, {method, path, query, headers, payload}) {
  const time = timestamp();
  const scope = `${time.slice(0, 8)}/${REGION}/${service}/aws4_request`;
  const signed = {...headers, host: location.host, "x-amz-date": time};
  if (service === "s3") signed["x-amz-content-sha256"] = payload;
  if (keys.token) signed["x-amz-security-token"] = keys.token;
  const signature = await signatureOf(keys.secret, scope, await toSign(method, path, query, signed, payload, time, scope));
  const names = Object.keys(signed).sort().join(";");
  signed.authorization = `AWS4-HMAC-SHA256 Credential=${keys.id}/${scope}, SignedHeaders=${names}, Signature=${signature}`;
  delete signed.host;  // the browser's to send
  return signed;
}

// The query of an address that is good for some minutes.
export async function presign(keys, path, pairs) {
  const time = timestamp();
  const scope = `${time.slice(0, 8)}/${REGION}/s3/aws4_request`;
  const query = queryText([...pairs, ["X-Amz-Algorithm", "AWS4-HMAC-SHA256"], ["X-Amz-Credential", `${keys.id}/${scope}`],
    ["X-Amz-Date", time], ["X-Amz-Expires", "900"], ["X-Amz-SignedHeaders", "host"],
    ...(keys.token ? [["X-Amz-Security-Token", keys.token]] : [])]);
  const text = await toSign("GET", path, query, {host: location.host}, "UNSIGNED-PAYLOAD", time, scope);
  return `${query}&X-Amz-Signature=${await signatureOf(keys.secret, scope, text)}`;
}
