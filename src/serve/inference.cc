#include "serve/inference.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "base/elapsed.h"

namespace bertie::serve {
namespace {

using Kind = InferenceError::Kind;

// What is kept of a request while it is computed.
struct Pending {
  ModelPointer model;
  std::function<void(InferenceResult)> done;
  std::vector<TextTokens> texts;
  double tokenize_seconds = 0;

  ~Pending() { model->metrics->Leave(); }
};

// somebody: there is somebody to compute, so that only the server's end can be meant.
InferenceError FromExecutor(const Error& error, bool somebody) {
  switch (error.code) {
    case ErrorCode::kDeadlineExceeded:
      return {Kind::kDeadlineExceeded, error.message};
    case ErrorCode::kCancelled:
      return {Kind::kCancelled, error.message};
    case ErrorCode::kUnavailable:
      return {somebody ? Kind::kShuttingDown : Kind::kNoAccelerator, error.message};
    case ErrorCode::kResourceExhausted:
      return {Kind::kOutOfMemory, error.message};
    default:
      return {Kind::kFailed, error.message};
  }
}

InferenceError FromQueue(const Error& error) {
  switch (error.code) {
    case ErrorCode::kInvalidArgument:
      return {Kind::kTooManyTokens, error.message};
    case ErrorCode::kResourceExhausted:
      return {Kind::kQueueFull, error.message};
    default:
      return {Kind::kShuttingDown, error.message};
  }
}

// Drops the first tokens of the longer of the two sentences, one at a time, as the tokenizer does
// at the other end.
void CutLeft(size_t limit, text::Encoding& encoding) {
  if (encoding.ids.size() <= limit) return;
  const auto second = std::find(encoding.type_ids.begin(), encoding.type_ids.end(), 1);
  const auto first_size = static_cast<size_t>(second - encoding.type_ids.begin());
  size_t a = first_size - 2;  // [CLS] and [SEP]
  const size_t rest = encoding.ids.size() - first_size;
  size_t b = rest > 0 ? rest - 1 : 0;
  size_t drop_a = 0, drop_b = 0;
  for (size_t over = encoding.ids.size() - limit; over > 0; --over) {
    if (a >= b) {
      --a, ++drop_a;
    } else {
      --b, ++drop_b;
    }
  }
  const auto drop = [&](size_t from, size_t count) {
    const auto first = static_cast<std::ptrdiff_t>(from);
    const auto last = static_cast<std::ptrdiff_t>(from + count);
    encoding.ids.erase(encoding.ids.begin() + first, encoding.ids.begin() + last);
    encoding.type_ids.erase(encoding.type_ids.begin() + first, encoding.type_ids.begin() + last);
  };
  drop(first_size, drop_b);  // the later one first, so that places stay
  drop(1, drop_a);
  encoding.truncated = true;
}

text::Encoding Encode(const text::Tokenizer& tokenizer, const TextInput& input, size_t cut) {
  return input.pair ? tokenizer.EncodePair(input.text, *input.pair, cut)
                    : tokenizer.Encode(input.text, cut);
}

std::optional<InferenceError> TokenizeTexts(const InferenceRequest& request,
                                            std::vector<text::Encoding>& out) {
  out.reserve(request.texts.size());
  for (size_t i = 0; i < request.texts.size(); ++i) {
    if (request.cancelled.stop_requested()) return InferenceError{Kind::kCancelled};
    const Truncation& truncation =
        request.truncations.empty() ? request.truncation : request.truncations[i];
    const size_t limit =
        truncation.max_length > 0 ? truncation.max_length : request.model->max_length;
    const bool left = truncation.side == TruncationSide::kLeft;
    const size_t cut = truncation.truncate && !left ? limit : 0;
    text::Encoding encoding = Encode(request.model->tokenizer, request.texts[i], cut);
    if (truncation.truncate && left) CutLeft(limit, encoding);
    if (encoding.ids.size() > limit) {
      return InferenceError{Kind::kTextTooLong,
                            "has " + std::to_string(encoding.ids.size()) +
                                " tokens; the limit is " + std::to_string(limit) +
                                " (truncation is off)",
                            i, encoding.ids.size(), limit};
    }
    out.push_back(std::move(encoding));
  }
  return std::nullopt;
}

std::optional<InferenceError> CheckTokens(const InferenceRequest& request) {
  const model::Config& config = request.model->config;
  const auto within = [](const std::vector<int32_t>& values, int64_t end) {
    return std::all_of(values.begin(), values.end(),
                       [end](int32_t x) { return x >= 0 && x < end; });
  };
  for (size_t i = 0; i < request.encodings.size(); ++i) {
    const text::Encoding& encoding = request.encodings[i];
    const size_t size = encoding.ids.size();
    const auto bad = [&](std::string message) {
      return InferenceError{Kind::kBadTokens, std::move(message), i, size,
                            request.model->max_length};
    };
    if (size == 0) return bad("has no tokens");
    if (size > request.model->max_length) {
      return InferenceError{Kind::kTextTooLong,
                            "has " + std::to_string(size) + " tokens; the limit is " +
                                std::to_string(request.model->max_length),
                            i, size, request.model->max_length};
    }
    if (encoding.type_ids.size() != size) {
      return bad("has " + std::to_string(encoding.type_ids.size()) + " token types for " +
                 std::to_string(size) + " tokens");
    }
    if (!within(encoding.ids, config.vocab_size)) {
      return bad("has a token that is not from 0 to " + std::to_string(config.vocab_size - 1));
    }
    if (!within(encoding.type_ids, config.type_vocab_size)) {
      return bad("has a token type that is not from 0 to " +
                 std::to_string(config.type_vocab_size - 1));
    }
  }
  return std::nullopt;
}

// The label of each text, or, of a model that may give several, all whose score is over one half.
std::vector<size_t> PredictedLabels(const std::vector<float>& logits, const LabelScheme& scheme) {
  std::vector<size_t> predicted;
  const size_t labels = scheme.labels.size();
  for (size_t row = 0; row + labels <= logits.size(); row += labels) {
    const auto begin = logits.begin() + static_cast<std::ptrdiff_t>(row);
    const auto end = begin + static_cast<std::ptrdiff_t>(labels);
    if (scheme.function == FunctionToApply::kSoftmax) {
      predicted.push_back(static_cast<size_t>(std::max_element(begin, end) - begin));
    } else if (scheme.function == FunctionToApply::kSigmoid) {
      for (auto logit = begin; logit != end; ++logit) {
        if (*logit > 0) predicted.push_back(static_cast<size_t>(logit - begin));
      }
    }
  }
  return predicted;
}

void Finish(const Pending& pending, Result<infer::InferResult> result) {
  if (!result.ok()) {
    return pending.done(FromExecutor(result.error(), pending.model->batcher->available()));
  }
  Inference inference{pending.model,
                      std::move(result->logits),
                      pending.texts,
                      {pending.tokenize_seconds, InSeconds(result->queue_time),
                       InSeconds(result->total_time - result->queue_time)}};
  ModelMetrics& metrics = *pending.model->metrics;
  metrics.ObserveInference({static_cast<int64_t>(inference.texts.size()),
                            static_cast<int64_t>(inference.CountTruncated()), inference.times});
  metrics.CountPredictions(PredictedLabels(inference.logits, pending.model->scheme));
  pending.done(std::move(inference));
}

}  // namespace

size_t Inference::CountTruncated() const {
  return static_cast<size_t>(
      std::count_if(texts.begin(), texts.end(), [](const auto& text) { return text.truncated; }));
}

void Infer(InferenceRequest request, std::function<void(InferenceResult)> done) {
  const auto begin = Clock::now();
  auto pending = std::make_shared<Pending>();
  pending->model = std::move(request.model);
  pending->model->metrics->Enter();
  request.model = pending->model;
  infer::InferRequest work;
  auto error =
      request.texts.empty() ? CheckTokens(request) : TokenizeTexts(request, work.sequences);
  if (error) return done(*std::move(error));
  if (request.texts.empty()) work.sequences = std::move(request.encodings);
  pending->texts.reserve(work.sequences.size());
  for (const text::Encoding& each : work.sequences) {
    pending->texts.push_back({static_cast<uint32_t>(each.ids.size()), each.truncated});
  }
  pending->done = std::move(done);
  pending->tokenize_seconds = SecondsSince(begin);
  work.deadline = request.deadline;
  work.cancelled = std::move(request.cancelled);
  work.done = [pending](Result<infer::InferResult> result) { Finish(*pending, std::move(result)); };
  const Status submitted = request.model->batcher->Submit(std::move(work));
  if (!submitted.ok()) pending->done(FromQueue(submitted.error()));
}

http::Refusal ToRefusal(const InferenceError& error, const std::string& text_name) {
  switch (error.kind) {
    case Kind::kTextTooLong:
      return {400, "TextTooLong", text_name + " " + error.message};
    case Kind::kBadTokens:
      return {400, "InvalidInput", text_name + " " + error.message};
    case Kind::kTooManyTokens:
      return {413, "TooManyTokens", error.message};
    case Kind::kQueueFull:
      return {503, "QueueFull", error.message};
    case Kind::kDeadlineExceeded:
      return {503, "DeadlineExceeded", error.message};
    case Kind::kCancelled:
      return {503, "Cancelled", error.message};
    case Kind::kShuttingDown:
      return {503, "ShuttingDown", error.message};
    case Kind::kNoAccelerator:
      return {503, "ServiceUnavailable", error.message};
    case Kind::kOutOfMemory:
      return {503, "OutOfMemory", error.message};
    default:
      return {500, "InferenceFailed", error.message};
  }
}

}  // namespace bertie::serve
