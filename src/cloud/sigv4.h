// AWS Signature Version 4: what a request says of its signature, and whether that is true.
// Source: "Authenticating Requests (AWS Signature Version 4)" in Amazon S3's API reference and
// "Create a signed AWS API request" in the IAM user guide.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "cloud/settings.h"
#include "cloud/times.h"
#include "http/message.h"

namespace bertie::cloud {

inline constexpr std::string_view kEmptySha256 =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
inline constexpr std::string_view kUnsignedPayload = "UNSIGNED-PAYLOAD";

enum class AuthFault {
  kMissing,       // not signed at all
  kIncomplete,    // a signature that lacks a part, or is not of this version
  kUnknownKey,    // another access key than the configured one
  kMismatch,      // signed by another secret, or altered on the way
  kSkew,          // signed more than 15 minutes ago, or in the future
  kExpired,       // a presigned URL past its time
  kExpiredToken,  // a session past its time
  kInvalidToken,  // a session token that was not given out here
};

struct AuthError {
  AuthFault fault;
  std::string message;
};

// What a request says of its signature, in the Authorization field or in the query.
struct Signature {
  std::string access_key;
  std::string date;  // yyyymmdd
  std::string region;
  std::string service;
  std::vector<std::string> signed_headers;
  std::string signature;  // as it came
  std::string timestamp;  // yyyymmddThhmmssZ
  std::string token;      // of a session; empty when there is none
  bool presigned = false;
  int64_t expires_s = 0;  // of a presigned URL

  std::string Scope() const { return date + "/" + region + "/" + service + "/aws4_request"; }
};

// kMissing when the request is not signed.
std::variant<Signature, AuthError> ReadSignature(const http::RequestHead& head);

// How services differ: S3 takes the path as the key it names, the others as the text it is.
struct CanonicalOptions {
  bool normalize_path = true;  // resolve "." and "..", drop repeated slashes
  bool encode_twice = true;
};
CanonicalOptions CanonicalOptionsOf(std::string_view service);

// head's path and query as they came. payload_hash: hexadecimal SHA-256, or one of S3's words.
std::string CanonicalRequest(const http::RequestHead& head, const Signature& signature,
                             std::string_view payload_hash, const CanonicalOptions& options);

// The key of one day, region and service, raw bytes.
std::string SigningKey(std::string_view secret, const Signature& signature);

// Hexadecimal signature of a string to sign.
std::string Sign(std::string_view signing_key, std::string_view string_to_sign);

// Compares in constant time.
bool SameSecret(std::string_view a, std::string_view b);

// Who asks. name: the session's, as in .../ROLE/NAME.
struct Caller {
  std::string session_name = "local";
};

struct Verified {
  Caller caller;
  // For the signatures of chunks; empty where signatures are not checked.
  std::string signing_key = {};
  std::string scope = {};
  std::string timestamp = {};
  std::string signature = {};  // the first of the chain
};

// Checks signatures against the configured credentials. Any thread.
class Verifier {
 public:
  explicit Verifier(const Settings& settings) : credentials_(settings.credentials) {}

  bool checks() const { return credentials_.has_value(); }

  // payload_hash: what the body hashes to, for requests that do not say so in
  // x-amz-content-sha256. Lets everything pass where signatures are not checked. Compares in
  // constant time.
  std::variant<Verified, AuthError> Verify(const http::RequestHead& head,
                                           std::string_view payload_hash, Milliseconds now) const;

  // New credentials of a session, which need no store: the token carries what they are good for,
  // with proof, and the secret follows from it. They end when the configured secret changes.
  Credentials IssueSession(const std::string& session_name, Milliseconds expires) const;

 private:
  struct Session {
    std::string secret;
    std::string name;
  };
  std::variant<Session, AuthError> OpenSession(const Signature& signature, Milliseconds now) const;
  std::variant<Session, AuthError> FindSecret(const Signature& signature, Milliseconds now) const;

  std::optional<Credentials> credentials_;
};

}  // namespace bertie::cloud
