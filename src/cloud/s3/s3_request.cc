#include "cloud/s3/s3_request.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/ascii.h"
#include "cloud/times.h"

namespace bertie::cloud {
namespace {

constexpr size_t kMaxKey = 1024;
constexpr size_t kMaxMetadata = 2048;

struct CodeStatus {
  const char* code;
  int status;
};
// 400 for those that are not here.
constexpr CodeStatus kStatuses[] = {
    {"AccessDenied", 403},
    {"InvalidAccessKeyId", 403},
    {"SignatureDoesNotMatch", 403},
    {"RequestTimeTooSkewed", 403},
    {"NoSuchBucket", 404},
    {"NoSuchKey", 404},
    {"NoSuchUpload", 404},
    {"NoSuchVersion", 404},
    {"MethodNotAllowed", 405},
    {"BucketAlreadyOwnedByYou", 409},
    {"BucketNotEmpty", 409},
    {"MissingContentLength", 411},
    {"PreconditionFailed", 412},
    {"InvalidRange", 416},
    {"InternalError", 500},
    {"NotImplemented", 501},
    {"SlowDown", 503},
};

// The bucket that a Host field names; empty: none.
std::string BucketOfHost(const std::string& field, const Settings& settings) {
  const std::string host = AsciiLower(field.substr(0, field.rfind(':')));
  const std::string own = "." + AsciiLower(settings.domain);
  if (host.ends_with(own)) return host.substr(0, host.size() - own.size());
  if (!host.ends_with(".amazonaws.com")) return {};
  for (const char* separator : {".s3.", ".s3-"}) {
    // The last one: a bucket's name may hold "s3" itself.
    const size_t at = host.rfind(separator);
    if (at != std::string::npos) return host.substr(0, at);
  }
  return {};
}

bool IsUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t more = lead < 0x80   ? 0
                        : lead < 0xc2 ? 4
                        : lead < 0xe0 ? 1
                        : lead < 0xf0 ? 2
                        : lead < 0xf5 ? 3
                                      : 4;
    if (more == 4 || i + more >= text.size() + (more == 0 ? 1 : 0)) return false;
    for (size_t k = 1; k <= more; ++k) {
      if ((static_cast<unsigned char>(text[i + k]) & 0xc0) != 0x80) return false;
    }
    const auto second = more > 0 ? static_cast<unsigned char>(text[i + 1]) : 0;
    if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) ||
        (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f)) {
      return false;
    }
    i += more + 1;
  }
  return true;
}

// aws-chunked is how the body comes, not what it is.
std::string WithoutAwsChunked(const std::string& value) {
  std::string out;
  for (size_t at = 0; at <= value.size();) {
    const size_t end = std::min(value.find(',', at), value.size());
    std::string item = value.substr(at, end - at);
    item.erase(0, item.find_first_not_of(' '));
    if (!item.empty() && !http::EqualsIgnoreCase(item, "aws-chunked")) {
      out += (out.empty() ? "" : ",") + item;
    }
    at = end + 1;
  }
  return out;
}

}  // namespace

bool IsBucketName(std::string_view name) {
  const auto is_end = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return name.size() >= 3 && name.size() <= 63 && is_end(name.front()) && is_end(name.back()) &&
         std::all_of(name.begin(), name.end(),
                     [&](char c) { return is_end(c) || c == '-' || c == '.'; }) &&
         name.find("..") == std::string_view::npos;
}

Outcome<S3Request> ReadS3Request(const http::RequestHead& head, const Settings& settings) {
  S3Request request;
  auto query = Query::Parse(head.query);
  auto path = PercentDecode(head.path);
  if (!query || !path) return Failure("InvalidURI", "Couldn't parse the specified URI.");
  request.query = *std::move(query);
  const std::string* host = head.Find("Host");
  if (host != nullptr) request.bucket = BucketOfHost(*host, settings);
  path->erase(0, path->starts_with('/') ? 1 : 0);
  if (request.bucket.empty()) {
    const size_t slash = std::min(path->find('/'), path->size());
    request.bucket = path->substr(0, slash);
    path->erase(0, slash + 1);
  }
  request.key = *std::move(path);
  if (!request.bucket.empty() && !IsBucketName(request.bucket)) {
    return Failure("InvalidBucketName", "The specified bucket is not valid.");
  }
  if (request.key.size() > kMaxKey) return Failure("KeyTooLongError", "Your key is too long");
  if (!IsUtf8(request.key)) {
    return Failure("InvalidURI", "Couldn't parse the specified URI: the key is not UTF-8.");
  }
  return request;
}

int S3StatusOf(std::string_view code) {
  for (const CodeStatus& known : kStatuses) {
    if (code == known.code) return known.status;
  }
  return 400;
}

http::Response S3Error(const Failure& failure, const http::RequestHead& head,
                       const std::string& request_id) {
  http::Response response;
  response.status = S3StatusOf(failure.code);
  if (head.method == "HEAD") return response;
  XmlWriter xml;
  xml.Open("Error").Text("Code", failure.code).Text("Message", failure.message);
  xml.Text("Resource", head.path).Text("RequestId", request_id).Text("HostId", request_id);
  response.content_type = "application/xml";
  response.body = xml.Finish();
  return response;
}

http::Response S3Xml(XmlWriter& xml) {
  return {.content_type = "application/xml", .body = xml.Finish()};
}

std::string ListedKey(const std::string& key, bool encode) {
  return encode ? PercentEncode(key, "/") : key;
}

Outcome<Fields> ReadObjectFields(const http::RequestHead& head) {
  constexpr std::array kKept = {"content-type",       "content-encoding", "content-disposition",
                                "content-language",   "cache-control",    "expires",
                                "x-amz-storage-class"};
  Fields fields;
  size_t metadata = 0;
  for (const http::Field& field : head.fields) {
    const std::string name = AsciiLower(field.name);
    if (name.starts_with("x-amz-server-side-encryption-customer-") || name == "x-amz-tagging" ||
        name.starts_with("x-amz-object-lock-")) {
      return Failure("NotImplemented",
                     "A header you provided implies functionality that is not "
                     "implemented: " +
                         name);
    }
    const bool is_metadata = name.starts_with("x-amz-meta-");
    if (is_metadata) metadata += name.size() - 11 + field.value.size();
    if (!is_metadata && !name.starts_with("x-amz-server-side-encryption") &&
        std::find(kKept.begin(), kKept.end(), name) == kKept.end()) {
      continue;
    }
    std::string value = name == "content-encoding" ? WithoutAwsChunked(field.value) : field.value;
    if (!value.empty() || is_metadata) fields.push_back({name, std::move(value)});
  }
  if (metadata > kMaxMetadata) {
    return Failure("MetadataTooLarge",
                   "Your metadata headers exceed the maximum allowed metadata size");
  }
  return fields;
}

WriteConditions ReadWriteConditions(const http::RequestHead& head) {
  WriteConditions conditions;
  if (const std::string* list = head.Find("If-Match")) conditions.if_match = *list;
  if (const std::string* list = head.Find("If-None-Match")) conditions.if_none_match = *list;
  return conditions;
}

std::optional<int> CheckReadConditions(const http::RequestHead& head, const Object& object,
                                       std::string_view prefix) {
  const auto find = [&](const char* name) { return head.Find(std::string(prefix) + name); };
  // Fields carry whole seconds.
  const Milliseconds modified = object.modified / 1000 * 1000;
  if (const std::string* match = find("If-Match")) {
    if (!NamesEtag(*match, object.attributes.etag)) return 412;
  } else if (const std::string* since = find("If-Unmodified-Since")) {
    if (auto time = ParseHttpTime(*since); time && modified > *time) return 412;
  }
  if (const std::string* none = find("If-None-Match")) {
    if (NamesEtag(*none, object.attributes.etag)) return prefix.empty() ? 304 : 412;
  } else if (const std::string* since = find("If-Modified-Since")) {
    if (auto time = ParseHttpTime(*since); time && modified <= *time) {
      return prefix.empty() ? 304 : 412;
    }
  }
  return std::nullopt;
}

std::optional<int64_t> ReadNumber(std::string_view text) {
  if (text.empty() || text.size() > 9) return std::nullopt;
  int64_t number = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    number = number * 10 + (c - '0');
  }
  return number;
}

Outcome<std::optional<ByteRange>> ReadRange(const std::string* field, uint64_t total) {
  using Range = std::optional<ByteRange>;
  if (field == nullptr || !field->starts_with("bytes=")) return Range();
  const std::string text = field->substr(6);
  const size_t dash = text.find('-');
  const auto number = [](const std::string& digits) -> std::optional<uint64_t> {
    const bool plain = !digits.empty() && digits.size() <= 18 &&
                       digits.find_first_not_of("0123456789") == std::string::npos;
    return plain ? std::optional<uint64_t>(std::stoull(digits)) : std::nullopt;
  };
  if (dash == std::string::npos) return Range();
  const auto first = number(text.substr(0, dash));
  const auto last = number(text.substr(dash + 1));
  const bool suffix = dash == 0 && last;
  const bool open = first && dash + 1 == text.size();
  if (!suffix && !open && (!first || !last || *first > *last)) return Range();
  const uint64_t begin = suffix ? total - std::min(*last, total) : *first;
  const uint64_t end = suffix || open ? total : std::min(*last, total - (total > 0)) + (total > 0);
  if (begin >= total) {
    return Failure("InvalidRange", "The requested range is not satisfiable");
  }
  return Range(ByteRange{begin, end - begin});
}

}  // namespace bertie::cloud
