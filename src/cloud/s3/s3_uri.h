// s3://BUCKET/KEY
#pragma once

#include <algorithm>
#include <optional>
#include <string>

namespace bertie::cloud {

struct S3Uri {
  std::string bucket;
  std::string key;  // may be empty

  // nullopt for anything else.
  static std::optional<S3Uri> Parse(const std::string& text) {
    constexpr std::size_t kScheme = 5;
    if (!text.starts_with("s3://")) return std::nullopt;
    const std::size_t slash = std::min(text.find('/', kScheme), text.size());
    S3Uri uri{text.substr(kScheme, slash - kScheme), {}};
    if (slash < text.size()) uri.key = text.substr(slash + 1);
    return uri.bucket.empty() ? std::nullopt : std::optional(uri);
  }
  // What is of that name in the folder that this names.
  S3Uri Inside(const std::string& name) const {
    return {bucket, (key.empty() || key.ends_with('/') ? key : key + "/") + name};
  }
  std::string Text() const { return "s3://" + bucket + "/" + key; }
};

}  // namespace bertie::cloud
