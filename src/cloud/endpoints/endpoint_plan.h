// What an endpoint is to run, read from the requests that made its models and its configuration.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "cloud/failure.h"
#include "cloud/request_reader.h"
#include "cloud/s3/s3_uri.h"
#include "formats/json.h"

namespace bertie::cloud {

enum class Routing { kLeastOutstanding, kRandom };

// A model's container.
struct ContainerPlan {
  std::string image;
  std::string data_url;      // "" where there is none
  bool data_folder = false;  // a prefix of objects that are the folder's files, not an archive
  bool multi_model = false;  // a prefix of archives, each a model
  std::vector<std::pair<std::string, std::string>> environment;
};

struct VariantPlan {
  std::string name;
  std::string model;
  int64_t count = 1;
  double weight = 1;
  std::string accelerator_type;  // "": none
  int64_t volume_gb = 30;        // for the artifacts of a container of several models
  Routing routing = Routing::kLeastOutstanding;
  std::chrono::seconds startup_limit{480};
  ContainerPlan container = {};               // not read by ReadVariants
  std::vector<std::string> serve_flags = {};  // more arguments of `bertie serve`; the same
};

// Requests that are kept, and answered in objects.
struct AsyncPlan {
  int64_t max_concurrent = 4;  // invocations of an instance
  S3Uri output;                // a folder: a key without a slash at its end
  std::optional<S3Uri> failure = {};
};

struct EndpointPlan {
  std::string id;  // the deployment's
  std::string config;
  std::vector<VariantPlan> variants;
  std::optional<AsyncPlan> async = {};

  int64_t instances() const;  // of all variants
};

// The constraints of CreateModel and CreateEndpointConfig; faults go to the reader. What this cloud
// does not do (several containers, several models, capture of data, ...) is a fault too.
ContainerPlan ReadContainer(RequestReader& model);
std::vector<VariantPlan> ReadVariants(RequestReader& config);
std::optional<AsyncPlan> ReadAsync(RequestReader& config);

// Has the variant's servers take requests of any size that the machine can hold, and for so long.
// What the model's Environment says counts before it.
void AllowLargeRequests(VariantPlan& variant, std::chrono::seconds time_limit);

// What is kept of an endpoint's deployment, since configurations and models may be deleted while it
// runs: {"id", "config": {...}, "models": {NAME: {...}}, "variants": {NAME: {"weight", "count"}}},
// the requests as they came, and what was changed since. kInvalidData names each member that is
// not as it should be.
Result<EndpointPlan> PlanOf(const formats::Json& deployment);
// The same of a deployment's text, as a row has it.
Result<EndpointPlan> ParsePlan(const std::string& deployment);
// Quicker than its plan; "" of a text that is no deployment.
std::string IdOf(const std::string& deployment);

// Sets a variant's weight or count in a deployment.
void Override(formats::Json& deployment, const std::string& variant, const char* what,
              const formats::Json& value);

}  // namespace bertie::cloud
