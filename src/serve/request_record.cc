#include "serve/request_record.h"

#include <optional>

#include "base/elapsed.h"

namespace bertie::serve {

void RequestRecord::AddTexts(const Inference& inference) {
  texts_ += inference.texts.size();
  for (const TextTokens& text : inference.texts) tokens_ += text.tokens;
}

void RequestRecord::Count(int status) {
  seconds_ = SecondsSince(begin_);
  if (!model_) return context_.metrics.CountRequest(route_, status);
  model_->metrics->CountRequest(route_, status,
                                status == 200 ? std::optional(seconds_) : std::nullopt);
}

void RequestRecord::Log(int status, std::string_view grpc_status) const {
  if (!context_.options.access_log) return;
  AccessRecord record{.method = facts_.method, .route = route_, .status = status};
  record.grpc_status = grpc_status;
  record.seconds = seconds_;
  if (model_) record.model = model_->id.name, record.version = model_->id.version;
  record.texts = texts_;
  record.tokens = tokens_;
  record.request_id = facts_.request_id;
  record.trace_id = facts_.trace_id;
  context_.options.access_log(record);
}

}  // namespace bertie::serve
