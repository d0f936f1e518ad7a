#include "cloud/arn.h"

namespace bertie::cloud {

std::string SageMakerArn(const Settings& settings, const std::string& kind,
                         const std::string& name) {
  std::string arn =
      "arn:aws:sagemaker:" + settings.region + ":" + settings.account + ":" + kind + "/";
  for (const char c : name) arn += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return arn;
}

}  // namespace bertie::cloud
