#include "cloud/sigv4.h"

#include <algorithm>
#include <cstdlib>
#include <span>
#include <utility>

#include "base/ascii.h"
#include "base/digest.h"
#include "base/encoding.h"
#include "base/hmac.h"
#include "cloud/uri.h"

namespace bertie::cloud {
namespace {

constexpr Milliseconds kMaxSkew = 15 * 60 * 1000;
constexpr int64_t kMaxExpires = 7 * 24 * 3600;
constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";

std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

AuthError Incomplete(std::string message) { return {AuthFault::kIncomplete, std::move(message)}; }

// "KEY/DATE/REGION/SERVICE/aws4_request"; the key may hold slashes, the rest not.
bool ReadCredential(std::string_view text, Signature& signature) {
  auto parts = Split(text, '/');
  if (parts.size() < 5 || parts.back() != "aws4_request") return false;
  const size_t n = parts.size();
  signature.service = parts[n - 2];
  signature.region = parts[n - 3];
  signature.date = parts[n - 4];
  signature.access_key = parts[0];
  for (size_t i = 1; i + 4 < n; ++i) signature.access_key += "/" + parts[i];
  return true;
}

std::variant<Signature, AuthError> ReadAuthorization(const http::RequestHead& head,
                                                     std::string_view text) {
  Signature signature;
  if (!text.starts_with(kAlgorithm) || text.size() == kAlgorithm.size() ||
      text[kAlgorithm.size()] != ' ') {
    return Incomplete("Authorization is not of the form AWS4-HMAC-SHA256 Credential=...");
  }
  for (const std::string& part : Split(text.substr(kAlgorithm.size() + 1), ',')) {
    const std::string_view item = Trim(part);
    const size_t equals = item.find('=');
    const std::string_view name = item.substr(0, equals);
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view() : item.substr(equals + 1);
    if (name == "Credential") {
      if (!ReadCredential(value, signature)) {
        return Incomplete("Credential is not KEY/yyyymmdd/REGION/SERVICE/aws4_request");
      }
    } else if (name == "SignedHeaders") {
      signature.signed_headers = Split(value, ';');
    } else if (name == "Signature") {
      signature.signature = value;
    } else {
      return Incomplete("Authorization has a part other than Credential, SignedHeaders, Signature");
    }
  }
  if (signature.access_key.empty() || signature.signed_headers.empty() ||
      signature.signature.empty()) {
    return Incomplete("Authorization lacks Credential, SignedHeaders or Signature");
  }
  if (const std::string* date = head.Find("x-amz-date")) {
    signature.timestamp = *date;
  } else if (const std::string* http_date = head.Find("date")) {
    if (auto time = ParseHttpTime(*http_date)) signature.timestamp = BasicTime(*time);
  }
  if (const std::string* token = head.Find("x-amz-security-token")) signature.token = *token;
  return signature;
}

std::variant<Signature, AuthError> ReadPresigned(const Query& query) {
  Signature signature;
  signature.presigned = true;
  if (query.Get("X-Amz-Algorithm") != kAlgorithm) {
    return Incomplete("X-Amz-Algorithm is not AWS4-HMAC-SHA256");
  }
  if (!ReadCredential(query.Get("X-Amz-Credential"), signature)) {
    return Incomplete("X-Amz-Credential is not KEY/yyyymmdd/REGION/SERVICE/aws4_request");
  }
  const std::string expires = query.Get("X-Amz-Expires");
  const bool digits =
      !expires.empty() && expires.size() <= 6 &&
      std::all_of(expires.begin(), expires.end(), [](char c) { return c >= '0' && c <= '9'; });
  signature.expires_s = digits ? std::atoll(expires.c_str()) : 0;
  if (signature.expires_s < 1 || signature.expires_s > kMaxExpires) {
    return Incomplete("X-Amz-Expires is not a number from 1 to 604800");
  }
  signature.signed_headers = Split(query.Get("X-Amz-SignedHeaders"), ';');
  signature.signature = query.Get("X-Amz-Signature");
  signature.timestamp = query.Get("X-Amz-Date");
  signature.token = query.Get("X-Amz-Security-Token");
  if (signature.signature.empty()) return Incomplete("X-Amz-Signature is missing");
  return signature;
}

// RFC 3986 5.2.4, and repeated slashes as one.
std::string Normalize(std::string_view path) {
  std::vector<std::string> kept;
  for (std::string& segment : Split(path, '/')) {
    if (segment.empty() || segment == ".") continue;
    if (segment == "..") {
      if (!kept.empty()) kept.pop_back();
    } else {
      kept.push_back(std::move(segment));
    }
  }
  std::string out;
  for (const std::string& segment : kept) out += "/" + segment;
  const bool folder = path.ends_with('/') || path.ends_with("/.") || path.ends_with("/..");
  if (out.empty() || folder) out += '/';
  return out;
}

std::string CanonicalPath(std::string_view path, const CanonicalOptions& options) {
  const std::string normal = options.normalize_path ? Normalize(path) : std::string(path);
  if (options.encode_twice) return PercentEncode(normal, "/");
  const auto decoded = PercentDecode(normal);
  return PercentEncode(decoded ? *decoded : normal, "/");
}

std::string CanonicalQuery(std::string_view text) {
  const auto query = Query::Parse(text);
  std::vector<std::pair<std::string, std::string>> pairs;
  if (query) {
    for (const Parameter& parameter : query->parameters()) {
      if (parameter.name == "X-Amz-Signature") continue;
      pairs.emplace_back(PercentEncode(parameter.name), PercentEncode(parameter.value));
    }
  }
  std::sort(pairs.begin(), pairs.end());
  std::string out;
  for (const auto& [name, value] : pairs) {
    out += (out.empty() ? "" : "&") + name + "=" + value;
  }
  return out;
}

// All fields of that name, joined; blanks trimmed and runs of them one. nullopt: there is none.
std::optional<std::string> CanonicalValue(const http::RequestHead& head, std::string_view name) {
  std::optional<std::string> out;
  for (const http::Field& field : head.fields) {
    if (!http::EqualsIgnoreCase(field.name, name)) continue;
    if (out) {
      *out += ',';
    } else {
      out.emplace();
    }
    bool blank = false;
    for (const char c : Trim(field.value)) {
      const bool is_blank = c == ' ' || c == '\t';
      if (!is_blank) {
        *out += c;
      } else if (!blank) {
        *out += ' ';
      }
      blank = is_blank;
    }
  }
  return out;
}

std::optional<AuthError> CheckSignedHeaders(const http::RequestHead& head,
                                            const Signature& signature) {
  const auto& names = signature.signed_headers;
  if (std::find(names.begin(), names.end(), "host") == names.end()) {
    return AuthError{AuthFault::kMismatch, "the Host field must be signed"};
  }
  for (const std::string& name : names) {
    if (name != AsciiLower(name) || !CanonicalValue(head, name)) {
      return AuthError{AuthFault::kMismatch, "a signed header is missing from the request"};
    }
  }
  if (!std::is_sorted(names.begin(), names.end())) {
    return AuthError{AuthFault::kMismatch, "SignedHeaders is not sorted"};
  }
  for (const http::Field& field : head.fields) {
    const std::string name = AsciiLower(field.name);
    if (name.starts_with("x-amz-") && std::find(names.begin(), names.end(), name) == names.end()) {
      return AuthError{AuthFault::kMismatch,
                       "there were headers present in the request which were not signed: " + name};
    }
  }
  return std::nullopt;
}

std::optional<AuthError> CheckTime(const Signature& signature, Milliseconds now) {
  const auto time = ParseBasicTime(signature.timestamp);
  if (!time) return Incomplete("X-Amz-Date is missing, or not yyyymmddThhmmssZ");
  if (signature.timestamp.substr(0, 8) != signature.date) {
    return AuthError{AuthFault::kMismatch, "the credential's date is not that of X-Amz-Date"};
  }
  if (*time > now + kMaxSkew || (!signature.presigned && *time < now - kMaxSkew)) {
    return AuthError{AuthFault::kSkew,
                     "the difference between the request time and the current time is too large"};
  }
  if (signature.presigned && now > *time + signature.expires_s * 1000) {
    return AuthError{AuthFault::kExpired, "Request has expired"};
  }
  return std::nullopt;
}

std::string Hmac(std::string_view key, std::string_view message) {
  const Digest256 digest = HmacSha256(key, message);
  return std::string(AsText(digest));
}

constexpr std::string_view kSessionPrefix = "ASIA";

}  // namespace

bool SameSecret(std::string_view a, std::string_view b) {
  return ConstantTimeEqual(std::as_bytes(std::span(a)), std::as_bytes(std::span(b)));
}

std::variant<Signature, AuthError> ReadSignature(const http::RequestHead& head) {
  if (const std::string* authorization = head.Find("Authorization")) {
    return ReadAuthorization(head, *authorization);
  }
  if (head.query.find("X-Amz-") != std::string::npos) {
    if (auto query = Query::Parse(head.query); query && query->Has("X-Amz-Signature")) {
      return ReadPresigned(*query);
    }
  }
  return AuthError{AuthFault::kMissing, "the request is not signed"};
}

CanonicalOptions CanonicalOptionsOf(std::string_view service) {
  const bool s3 = service == "s3";
  return {.normalize_path = !s3, .encode_twice = !s3};
}

std::string CanonicalRequest(const http::RequestHead& head, const Signature& signature,
                             std::string_view payload_hash, const CanonicalOptions& options) {
  std::string out = head.method + "\n" + CanonicalPath(head.path, options) + "\n" +
                    CanonicalQuery(head.query) + "\n";
  std::string names;
  for (const std::string& name : signature.signed_headers) {
    out += name + ":" + CanonicalValue(head, name).value_or("") + "\n";
    names += (names.empty() ? "" : ";") + name;
  }
  out += "\n" + names + "\n";
  return out.append(payload_hash);
}

std::string SigningKey(std::string_view secret, const Signature& signature) {
  std::string key = Hmac("AWS4" + std::string(secret), signature.date);
  key = Hmac(key, signature.region);
  key = Hmac(key, signature.service);
  return Hmac(key, "aws4_request");
}

std::string Sign(std::string_view signing_key, std::string_view string_to_sign) {
  return Hex(Hmac(signing_key, string_to_sign));
}

std::variant<Verified, AuthError> Verifier::Verify(const http::RequestHead& head,
                                                   std::string_view payload_hash,
                                                   Milliseconds now) const {
  if (!checks()) return Verified{};
  auto read = ReadSignature(head);
  if (auto* error = std::get_if<AuthError>(&read)) return std::move(*error);
  const Signature& signature = std::get<Signature>(read);
  auto session = FindSecret(signature, now);
  if (auto* error = std::get_if<AuthError>(&session)) return std::move(*error);
  if (auto error = CheckTime(signature, now)) return *std::move(error);
  if (auto error = CheckSignedHeaders(head, signature)) return *std::move(error);
  std::string_view payload = payload_hash;
  if (const std::string* said = head.Find("x-amz-content-sha256")) {
    payload = *said;
  } else if (signature.presigned) {
    payload = kUnsignedPayload;
  }
  const std::string canonical =
      CanonicalRequest(head, signature, payload, CanonicalOptionsOf(signature.service));
  const std::string to_sign = std::string(kAlgorithm) + "\n" + signature.timestamp + "\n" +
                              signature.Scope() + "\n" +
                              Hex(DigestOf(DigestKind::kSha256, canonical));
  Session& found = std::get<Session>(session);
  std::string key = SigningKey(found.secret, signature);
  if (!SameSecret(Sign(key, to_sign), signature.signature)) {
    return AuthError{AuthFault::kMismatch,
                     "The request signature we calculated does not match the signature you "
                     "provided. Check your key and signing method."};
  }
  return Verified{.caller = {std::move(found.name)},
                  .signing_key = std::move(key),
                  .scope = signature.Scope(),
                  .timestamp = signature.timestamp,
                  .signature = signature.signature};
}

std::variant<Verifier::Session, AuthError> Verifier::FindSecret(const Signature& signature,
                                                                Milliseconds now) const {
  if (signature.access_key.starts_with(kSessionPrefix) &&
      signature.access_key != credentials_->access_key) {
    return OpenSession(signature, now);
  }
  if (!SameSecret(signature.access_key, credentials_->access_key)) {
    return AuthError{AuthFault::kUnknownKey, "The access key ID you provided is not known here."};
  }
  // A token where none is needed is harmless as long as it is the right one.
  if (!SameSecret(signature.token, credentials_->session_token)) {
    return AuthError{AuthFault::kInvalidToken, "The provided token is not valid."};
  }
  return Session{credentials_->secret_key, Caller{}.session_name};
}

// A token is Base64 of "ACCESS_KEY|EXPIRY|NAME" and an HMAC of it.
Credentials Verifier::IssueSession(const std::string& session_name, Milliseconds expires) const {
  const Digest256 random = RandomBytes32();
  std::string access_key(kSessionPrefix);
  for (int i = 0; i < 16; ++i) {
    access_key += "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[std::to_integer<unsigned>(random[i]) % 32];
  }
  const std::string secret = credentials_ ? credentials_->secret_key : std::string();
  const std::string payload = access_key + "|" + std::to_string(expires) + "|" + session_name;
  const std::string proof = Hmac(Hmac(secret, "session token"), payload);
  return {.access_key = access_key,
          .secret_key = Base64(Hmac(Hmac(secret, "session secret"), payload)),
          .session_token = Base64(proof + payload)};
}

std::variant<Verifier::Session, AuthError> Verifier::OpenSession(const Signature& signature,
                                                                 Milliseconds now) const {
  const AuthError invalid{AuthFault::kInvalidToken, "The provided token is not valid."};
  const auto bytes = DecodeBase64(signature.token);
  constexpr size_t kProof = 32;
  if (!bytes || bytes->size() <= kProof) return invalid;
  const std::string_view payload = std::string_view(*bytes).substr(kProof);
  const std::string& secret = credentials_->secret_key;
  if (!SameSecret(Hmac(Hmac(secret, "session token"), payload), bytes->substr(0, kProof))) {
    return invalid;
  }
  const auto parts = Split(payload, '|');
  if (parts.size() != 3 || parts[0] != signature.access_key) return invalid;
  if (now > std::atoll(parts[1].c_str())) {
    return AuthError{AuthFault::kExpiredToken, "The provided token has expired."};
  }
  return Session{Base64(Hmac(Hmac(secret, "session secret"), payload)), parts[2]};
}

}  // namespace bertie::cloud
