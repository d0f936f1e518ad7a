#include "serve/context.h"

namespace bertie::serve {

using http::Refusal;

std::optional<Refusal> ServeContext::NotReady() const {
  if (draining) return Refusal{503, "ShuttingDown", "the server is shutting down"};
  if (!loaded) return Refusal{503, "Loading", "the model is being loaded"};
  for (const ModelPointer& model : models.List()) {
    if (!model->batcher->available()) {
      return Refusal{503, "ServiceUnavailable", "no accelerator is attached"};
    }
  }
  return std::nullopt;
}

std::variant<ModelPointer, Refusal> ServeContext::FindModel(std::string_view name,
                                                            std::string_view version) const {
  Result<ModelPointer> found = models.Find(name, version);
  if (found.ok()) return *std::move(found);
  if (!loaded) return Refusal{503, "Loading", "the model is being loaded"};
  const Error& error = found.error();
  if (error.code == ErrorCode::kInvalidArgument)
    return Refusal{400, "ModelNotNamed", error.message};
  return Refusal{404, "ModelNotFound", error.message};
}

}  // namespace bertie::serve
