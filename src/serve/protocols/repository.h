// The model repository extension of the Open Inference Protocol (version 2), as Triton has it:
// POST /v2/repository/index, /v2/repository/models/{model}/load and /unload.
#pragma once

#include <string_view>
#include <vector>

#include "serve/context.h"
#include "serve/model_repository.h"
#include "serve/route.h"

namespace bertie::serve {

// Triton's name for a state: "READY".
const char* StateName(ModelStatus::State state);
// ModelRepository's errors as clients are to know them.
http::Refusal RepositoryRefusal(const Error& error);

// For administrators only. Errors: {"error": text}.
class RepositoryProtocol : public Protocol {
 public:
  explicit RepositoryProtocol(ModelRepository& repository) : repository_(repository) {}

  std::vector<Route> Routes() override;
  http::Response Refuse(const http::Refusal& refusal, std::string_view request_id) const override;
  formats::Json DescribeRefusal() const override;
  bool Owns(std::string_view path) const override { return path.starts_with("/v2/repository"); }

 private:
  void Index(Call& call) const;
  void Load(const std::shared_ptr<Call>& call);
  void Unload(const std::shared_ptr<Call>& call);

  ModelRepository& repository_;
};

}  // namespace bertie::serve
