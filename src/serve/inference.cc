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
  std::vector<uint32_t> counts, added;  // model::WindowedTexts'
  model::Pooling pooling = model::Pooling::kMean;
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

const Truncation& TruncationOf(const InferenceRequest& request, size_t text) {
  return request.truncations.empty() ? request.truncation : request.truncations[text];
}

// What is left of one text that may be cut: one piece.
std::variant<text::Windows, InferenceError> ReadInOne(const text::Tokenizer& tokenizer,
                                                      const TextInput& input,
                                                      const Truncation& truncation, size_t limit) {
  const bool left = truncation.side == TruncationSide::kLeft;
  const bool truncate = truncation.long_texts.mode == LongTexts::kCut;
  text::Encoding encoding = tokenizer.Encode(input.text, input.pair, truncate && !left ? limit : 0);
  if (truncate && left) CutLeft(limit, encoding);
  const size_t size = encoding.ids.size();
  // A tokenizer that pads to a length of its own cuts to it as well.
  const bool cut = encoding.truncated && !truncate;
  if (size <= limit && !cut) return text::InOneWindow(std::move(encoding));
  return InferenceError{Kind::kTextTooLong,
                        (cut ? "has more than " : "has ") + std::to_string(size) +
                            " tokens; the limit is " + std::to_string(limit) +
                            " (truncation is off)",
                        0, size, limit};
}

// most: tokens of all the windows.
std::variant<text::Windows, InferenceError> ReadInWindows(const text::Tokenizer& tokenizer,
                                                          const TextInput& input,
                                                          const Truncation& truncation,
                                                          size_t limit, size_t most) {
  auto windows = tokenizer.EncodeWindows(
      input.text, input.pair,
      {.max_length = limit, .stride = truncation.long_texts.stride, .max_tokens = most});
  if (windows.ok()) return *std::move(windows);
  const Error& error = windows.error();
  if (error.code == ErrorCode::kInvalidArgument) {
    return InferenceError{Kind::kNoWindow, error.message};
  }
  return InferenceError{Kind::kTooManyWindows, error.message};
}

// Stops where the queue would take no more, before what is read fills the memory.
std::optional<InferenceError> TokenizeTexts(const InferenceRequest& request,
                                            model::WindowedTexts& out) {
  const LoadedModel& model = *request.model;
  const auto most = static_cast<size_t>(model.batcher->max_request_tokens());
  out.encodings.reserve(request.texts.size());
  for (size_t i = 0, tokens = 0; i < request.texts.size(); ++i) {
    if (request.cancelled.stop_requested()) {
      return InferenceError{Kind::kCancelled, "the client has gone"};
    }
    const Truncation& truncation = TruncationOf(request, i);
    const size_t limit = truncation.max_length > 0 ? truncation.max_length : model.max_length;
    const bool whole = truncation.long_texts.mode == LongTexts::kWindows;
    auto read = whole ? ReadInWindows(model.tokenizer, request.texts[i], truncation, limit, most)
                      : ReadInOne(model.tokenizer, request.texts[i], truncation, limit);
    if (auto* error = std::get_if<InferenceError>(&read)) {
      error->text = i;
      return std::move(*error);
    }
    auto& windows = std::get<text::Windows>(read);
    for (const text::Encoding& window : windows.encodings) tokens += window.ids.size();
    if (tokens > most) {
      return InferenceError{Kind::kTooManyTokens,
                            "the first " + std::to_string(i + 1) + " texts have " +
                                std::to_string(tokens) + " tokens together; the limit is " +
                                std::to_string(most),
                            i};
    }
    out.Add(std::move(windows));
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
  const size_t labels = pending.model->scheme.labels.size();
  Inference inference{pending.model,
                      model::PoolWindows(std::move(result->logits), pending.counts, pending.added,
                                         labels, pending.pooling),
                      pending.texts,
                      {pending.tokenize_seconds, InSeconds(result->queue_time),
                       InSeconds(result->total_time - result->queue_time)}};
  ModelMetrics& metrics = *pending.model->metrics;
  metrics.ObserveInference({.texts = static_cast<int64_t>(inference.texts.size()),
                            .truncated = static_cast<int64_t>(inference.CountTruncated()),
                            .windowed = static_cast<int64_t>(inference.CountWindowed()),
                            .times = inference.times});
  metrics.CountPredictions(PredictedLabels(inference.logits, pending.model->scheme));
  pending.done(std::move(inference));
}

// The request's texts, or its tokens, as what is to be computed.
std::optional<InferenceError> ReadTexts(InferenceRequest& request, Pending& pending,
                                        std::vector<text::Encoding>& out) {
  if (request.texts.empty()) {
    if (auto error = CheckTokens(request)) return error;
    out = std::move(request.encodings);
    pending.counts.assign(out.size(), 1);
    pending.added.assign(out.size(), 0);
  } else {
    model::WindowedTexts texts;
    if (auto error = TokenizeTexts(request, texts)) return error;
    out = std::move(texts.encodings);
    pending.counts = std::move(texts.counts);
    pending.added = std::move(texts.added);
    pending.pooling = TruncationOf(request, 0).long_texts.pooling;
  }
  auto next = out.begin();
  for (const uint32_t count : pending.counts) {
    TextTokens text{.truncated = next->truncated, .windows = count};
    for (const auto end = next + count; next != end; ++next) {
      text.tokens += static_cast<uint32_t>(next->ids.size());
    }
    pending.texts.push_back(text);
  }
  return std::nullopt;
}

}  // namespace

size_t Inference::CountWindowed() const {
  return static_cast<size_t>(
      std::count_if(texts.begin(), texts.end(), [](const auto& text) { return text.windows > 1; }));
}

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
  if (auto error = ReadTexts(request, *pending, work.sequences)) return done(*std::move(error));
  pending->done = std::move(done);
  pending->tokenize_seconds = SecondsSince(begin);
  work.deadline = request.deadline;
  work.cancelled = std::move(request.cancelled);
  work.done = [pending](Result<infer::InferResult> result) { Finish(*pending, std::move(result)); };
  const Status submitted = request.model->batcher->Submit(std::move(work));
  if (!submitted.ok()) pending->done(FromQueue(submitted.error()));
}

void AddReadingFields(const Inference& inference, std::vector<http::Field>& fields) {
  if (const size_t truncated = inference.CountTruncated(); truncated > 0) {
    fields.push_back({"x-bertie-truncated", std::to_string(truncated)});
  }
  if (inference.CountWindowed() == 0) return;
  size_t windows = 0;
  for (const TextTokens& text : inference.texts) windows += text.windows;
  fields.push_back({"x-bertie-windows", std::to_string(windows)});
}

http::Refusal ToRefusal(const InferenceError& error, const std::string& text_name) {
  switch (error.kind) {
    case Kind::kTextTooLong:
    case Kind::kNoWindow:
      return {400, "TextTooLong", text_name + " " + error.message};
    case Kind::kBadTokens:
      return {400, "InvalidInput", text_name + " " + error.message};
    case Kind::kTooManyWindows:
      return {413, "TooManyTokens", text_name + " " + error.message};
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
