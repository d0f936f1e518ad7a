#include "cloud/s3/s3_members.h"

#include <string>

#include "base/quote.h"

namespace bertie::cloud {

S3Uri ReadS3Uri(RequestReader& reader, const char* member) {
  const std::string text = reader.Text(member, Presence::kRequired, {.min = 1});
  const auto uri = S3Uri::Parse(text);
  if (!text.empty() && !uri) {
    reader.Fault(member, Quote(text), "Member must be s3://BUCKET or s3://BUCKET/KEY");
  }
  return uri.value_or(S3Uri());
}

S3Uri ReadS3Folder(RequestReader& reader, const char* member) {
  S3Uri uri = ReadS3Uri(reader, member);
  while (uri.key.ends_with('/')) uri.key.pop_back();
  return uri;
}

}  // namespace bertie::cloud
