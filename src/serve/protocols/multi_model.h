// SageMaker's contract of containers with several models: POST and GET /models, GET and DELETE
// /models/{model}, POST /models/{model}/invoke.
#pragma once

#include <string_view>
#include <vector>

#include "serve/context.h"
#include "serve/model_repository.h"
#include "serve/protocols/sagemaker.h"
#include "serve/route.h"

namespace bertie::serve {

// Models are loaded and unloaded by whoever shows an administrator's token; with
// HandlerOptions::multi_model by everybody who may ask, since the platform shows none. A model's
// url is a path on this machine: nothing is fetched.
//
// 409: a model of that name is there. 507: no memory for it; unload others and try again.
class MultiModelProtocol : public Protocol {
 public:
  MultiModelProtocol(ServeContext& context, ModelRepository& repository,
                     SageMakerProtocol& sagemaker)
      : context_(context), repository_(repository), sagemaker_(sagemaker) {}

  std::vector<Route> Routes() override;
  http::Response Refuse(const http::Refusal& refusal, std::string_view request_id) const override;
  bool Owns(std::string_view path) const override { return path.starts_with("/models"); }

 private:
  void Load(const std::shared_ptr<Call>& call);
  void List(Call& call) const;
  void Describe(Call& call) const;
  void Unload(const std::shared_ptr<Call>& call);

  ServeContext& context_;
  ModelRepository& repository_;
  SageMakerProtocol& sagemaker_;
};

}  // namespace bertie::serve
