// What an S3 request asks for, and the form of S3's answers.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "cloud/failure.h"
#include "cloud/s3/object_store.h"
#include "cloud/settings.h"
#include "cloud/uri.h"
#include "cloud/xml.h"
#include "http/message.h"

namespace bertie::cloud {

inline constexpr std::string_view kS3Namespace = "http://s3.amazonaws.com/doc/2006-03-01/";

struct S3Request {
  std::string bucket;  // empty: the service itself
  std::string key;     // empty: the bucket itself
  Query query;
};

// By path, /BUCKET/KEY, or by host, BUCKET.DOMAIN and BUCKET.s3.REGION.amazonaws.com.
Outcome<S3Request> ReadS3Request(const http::RequestHead& head, const Settings& settings);

bool IsBucketName(std::string_view name);

// The HTTP status of an S3 error code.
int S3StatusOf(std::string_view code);

http::Response S3Error(const Failure& failure, const http::RequestHead& head,
                       const std::string& request_id);
http::Response S3Xml(XmlWriter& xml);

// A key in a listing: percent-encoded where encoding-type=url was asked for.
std::string ListedKey(const std::string& key, bool encode);

// The fields that are kept with an object and given back: Content-Type, x-amz-meta-..., ...
// MetadataTooLarge, NotImplemented (encryption by the client's key, tags, locks).
Outcome<Fields> ReadObjectFields(const http::RequestHead& head);

WriteConditions ReadWriteConditions(const http::RequestHead& head);

// 412 or 304 by the conditions of a GET or HEAD (RFC 9110 13.2.2); nullopt: go on. prefix: of the
// fields' names, "x-amz-copy-source-" for a copy's source.
std::optional<int> CheckReadConditions(const http::RequestHead& head, const Object& object,
                                       std::string_view prefix = {});

struct ByteRange {
  uint64_t begin = 0;
  uint64_t size = 0;
};
// nullopt: the whole, also for what is no range that S3 knows. InvalidRange: beyond the end.
Outcome<std::optional<ByteRange>> ReadRange(const std::string* field, uint64_t total);

// A decimal number of at most 9 digits; nullopt for anything else.
std::optional<int64_t> ReadNumber(std::string_view text);

}  // namespace bertie::cloud
