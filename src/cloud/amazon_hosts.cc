#include "cloud/amazon_hosts.h"

#include <utility>
#include <vector>

#include "base/ascii.h"

namespace bertie::cloud {
namespace {

constexpr std::string_view kDomain = ".amazonaws.com";
constexpr std::string_view kPort = ":443";

std::vector<std::string_view> Labels(std::string_view name) {
  std::vector<std::string_view> labels;
  while (true) {
    const size_t dot = name.find('.');
    labels.push_back(name.substr(0, dot));
    if (dot == name.npos) return labels;
    name.remove_prefix(dot + 1);
  }
}

// Of a name without the domain: s3 and s3.REGION, and in front of them a bucket, which may have
// dots; STS and IAM with a region or without; the others with one.
bool IsOffered(const std::vector<std::string_view>& labels) {
  const size_t count = labels.size();
  const std::string_view first = labels.front();
  const std::string_view last = labels.back();
  if (first.empty() || last.empty()) return false;
  if (last == "s3" || (count > 1 && labels[count - 2] == "s3")) return true;
  if (first == "iam" || first == "sts") return count <= 2;
  if (first == "logs" || first == "monitoring") return count == 2;
  return count == 3 && labels[1] == "sagemaker" && (first == "api" || first == "runtime");
}

}  // namespace

std::optional<std::string> OfferedHost(std::string_view authority) {
  if (!authority.ends_with(kPort)) return std::nullopt;
  std::string host = AsciiLower(std::string(authority.substr(0, authority.size() - kPort.size())));
  if (!host.ends_with(kDomain)) return std::nullopt;
  const auto name = std::string_view(host).substr(0, host.size() - kDomain.size());
  return IsOffered(Labels(name)) ? std::optional(std::move(host)) : std::nullopt;
}

}  // namespace bertie::cloud
