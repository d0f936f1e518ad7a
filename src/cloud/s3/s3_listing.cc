// Listings of objects, both versions.
#include <string>
#include <utility>

#include "base/encoding.h"
#include "cloud/s3/s3_service.h"
#include "cloud/times.h"

namespace bertie::cloud {
namespace {

constexpr int64_t kMaxKeys = 1000;

void WriteListing(const Listing& listing, bool encode, bool with_owner, const std::string& account,
                  XmlWriter& xml) {
  for (const Object& object : listing.objects) {
    const Checksum& checksum = object.attributes.checksum;
    xml.Open("Contents")
        .Text("Key", ListedKey(object.key, encode))
        .Text("LastModified", IsoTime(object.modified))
        .Text("ETag", "\"" + object.attributes.etag + "\"");
    if (!checksum.algorithm.empty()) {
      xml.Text("ChecksumAlgorithm", checksum.algorithm)
          .Text("ChecksumType", checksum.composite ? "COMPOSITE" : "FULL_OBJECT");
    }
    xml.Text("Size", std::to_string(object.size)).Text("StorageClass", "STANDARD");
    if (with_owner) xml.Open("Owner").Text("ID", account).Text("DisplayName", account).Close();
    xml.Close();
  }
  for (const std::string& prefix : listing.prefixes) {
    xml.Open("CommonPrefixes").Text("Prefix", ListedKey(prefix, encode)).Close();
  }
}

}  // namespace

S3Service::Answer S3Service::ListObjects(const Context& context) {
  const Query& query = context.s3.query;
  const bool version2 = query.Get("list-type") == "2";
  ListOptions options{.prefix = query.Get("prefix"), .delimiter = query.Get("delimiter")};
  int64_t max_keys = kMaxKeys;
  if (const std::string* text = query.Find("max-keys")) {
    const auto number = ReadNumber(*text);
    if (!number) {
      return Failure("InvalidArgument", "Provided max-keys not an integer or within integer range");
    }
    max_keys = std::min(*number, kMaxKeys);
  }
  options.max = static_cast<size_t>(max_keys);
  const std::string encoding = query.Get("encoding-type");
  if (!encoding.empty() && encoding != "url") {
    return Failure("InvalidArgument", "Invalid Encoding Method specified in Request");
  }
  const bool encode = encoding == "url";
  options.after = query.Get(version2 ? "start-after" : "marker");
  const std::string* token = version2 ? query.Find("continuation-token") : nullptr;
  if (token != nullptr) {
    const auto after = DecodeBase64(*token);
    if (!after) {
      return Failure("InvalidArgument", "The continuation token provided is incorrect");
    }
    options.after = *after;
  }
  auto listing = store_.List(context.s3.bucket, options);
  if (!listing.ok()) return listing.error();

  XmlWriter xml;
  xml.Open("ListBucketResult", kS3Namespace)
      .Text("Name", context.s3.bucket)
      .Text("Prefix", ListedKey(options.prefix, encode));
  if (version2) {
    const size_t count = listing->objects.size() + listing->prefixes.size();
    xml.Text("KeyCount", std::to_string(count));
    if (token != nullptr) xml.Text("ContinuationToken", *token);
    if (listing->truncated) xml.Text("NextContinuationToken", Base64(listing->last));
    if (query.Has("start-after")) {
      xml.Text("StartAfter", ListedKey(query.Get("start-after"), encode));
    }
  } else {
    xml.Text("Marker", ListedKey(options.after, encode));
    if (listing->truncated) xml.Text("NextMarker", ListedKey(listing->last, encode));
  }
  xml.Text("MaxKeys", std::to_string(max_keys));
  if (!options.delimiter.empty()) xml.Text("Delimiter", ListedKey(options.delimiter, encode));
  if (encode) xml.Text("EncodingType", "url");
  xml.Text("IsTruncated", listing->truncated ? "true" : "false");
  const bool with_owner = !version2 || query.Get("fetch-owner") == "true";
  WriteListing(*listing, encode, with_owner, settings_.account, xml);
  return S3Xml(xml);
}

}  // namespace bertie::cloud
