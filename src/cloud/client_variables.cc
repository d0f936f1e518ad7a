#include "cloud/client_variables.h"

namespace bertie::cloud {
namespace {

ClientVariableList CommonVariables(const Settings& settings) {
  const Credentials none{.access_key = "local", .secret_key = "local"};
  const Credentials credentials = settings.credentials.value_or(none);
  ClientVariableList variables{{"AWS_ACCESS_KEY_ID", credentials.access_key},
                               {"AWS_SECRET_ACCESS_KEY", credentials.secret_key},
                               {"AWS_SESSION_TOKEN", std::nullopt},
                               {"AWS_PROFILE", std::nullopt},
                               {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", std::nullopt},
                               {"AWS_DEFAULT_REGION", settings.region},
                               {"AWS_REGION", settings.region},
                               {"AWS_EC2_METADATA_DISABLED", "true"}};
  return variables;
}

// What botocore and requests, which SageMaker's SDK uses too, trust.
void TrustCa(const Settings& settings, ClientVariableList& variables) {
  for (const char* name : {"AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"}) {
    variables.emplace_back(name, settings.ca_file);
  }
}

}  // namespace

ClientVariableList ClientVariables(const Settings& settings) {
  ClientVariableList variables = CommonVariables(settings);
  variables.emplace_back("AWS_ENDPOINT_URL", settings.url);
  if (settings.url.starts_with("https:")) TrustCa(settings, variables);
  return variables;
}

ClientVariableList ProxyVariables(const Settings& settings) {
  ClientVariableList variables = CommonVariables(settings);
  variables.emplace_back("AWS_ENDPOINT_URL", std::nullopt);
  TrustCa(settings, variables);
  // Some programs read the names in small letters first, some only those.
  for (const char* name : {"HTTPS_PROXY", "https_proxy"}) {
    variables.emplace_back(name, settings.proxy_url);
  }
  for (const char* name : {"NO_PROXY", "no_proxy"}) {
    variables.emplace_back(name, "127.0.0.1,localhost");
  }
  return variables;
}

}  // namespace bertie::cloud
