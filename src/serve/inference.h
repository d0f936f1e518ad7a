// Texts, or token ids, to logits: the one way that every protocol takes.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <variant>
#include <vector>

#include "http/message.h"
#include "infer/executor.h"
#include "serve/long_texts.h"
#include "serve/metrics.h"
#include "serve/model_table.h"
#include "serve/text_input.h"
#include "text/tokenizer.h"

namespace bertie::serve {

using infer::Clock;

enum class TruncationSide { kRight, kLeft };  // the end that tokens are dropped from

struct Truncation {
  LongTextOptions long_texts = {};
  size_t max_length = 0;  // tokens of one text, special ones counted; 0: the model's
  TruncationSide side = TruncationSide::kRight;  // of texts that are cut
};

struct InferenceRequest {
  ModelPointer model = {};
  // One of the two, not empty.
  std::vector<TextInput> texts = {};
  std::vector<text::Encoding> encodings = {};  // tokenised already; never cut
  Truncation truncation = {};
  std::vector<Truncation> truncations = {};  // of each text; empty: truncation is all texts'
  Clock::time_point deadline = Clock::time_point::max();
  std::stop_token cancelled = {};
};

struct TextTokens {
  uint32_t tokens = 0;  // computed, special ones counted; of all its windows
  bool truncated = false;
  uint32_t windows = 1;
};

struct Inference {
  ModelPointer model;
  std::vector<float> logits;      // [texts.size(), labels], row-major
  std::vector<TextTokens> texts;  // in the request's order
  PhaseTimes times;

  size_t CountTruncated() const;
  size_t CountWindowed() const;  // texts read in several windows
};

struct InferenceError {
  enum class Kind {
    kTextTooLong,     // with truncation off: text, found and limit say which
    kNoWindow,        // the second text leaves no room for windows of the first, or the overlap
    kBadTokens,       // encodings that the model cannot take
    kTooManyWindows,  // one text's tokens in its windows are more than the queue ever takes
    kTooManyTokens,   // all texts' are
    kQueueFull,
    kDeadlineExceeded,
    kCancelled,
    kShuttingDown,
    kNoAccelerator,  // nobody is there to compute
    kOutOfMemory,
    kFailed,
  };
  Kind kind = Kind::kFailed;
  std::string message = {};  // one line; for the first four, what follows the text's name in it
  size_t text = 0;           // the one at fault
  size_t found = 0;
  size_t limit = 0;
};

using InferenceResult = std::variant<Inference, InferenceError>;

// Tokenises on the caller's thread, then waits for nothing. `done` is called once: before Infer
// returns where the request cannot be taken, else by a thread of the model's, which it must not
// hold up. The request's metrics but those of its route are counted. Any thread.
void Infer(InferenceRequest request, std::function<void(InferenceResult)> done);

// What an answer's header says of how its texts were read: x-bertie-truncated, how many were cut;
// x-bertie-windows, how many windows all were read in, where one took several.
void AddReadingFields(const Inference& inference, std::vector<http::Field>& fields);

// As the refusals of bertie's own routes; text_name is where the text at fault stands in the
// request, such as "inputs[3]". Other contracts have their own status for a type.
http::Refusal ToRefusal(const InferenceError& error, const std::string& text_name = "");

}  // namespace bertie::serve
