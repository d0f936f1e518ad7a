// Logits of many sentences, and how good they are.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "data/dataset.h"
#include "model/classifier.h"
#include "text/tokenizer.h"
#include "train/metrics.h"

namespace bertie::train {

// Sentences as the model reads them.
struct EncodedDataset {
  std::vector<text::Encoding> encodings;
  Targets targets;  // one for each
};

// The examples' answers: labels ids in a set of num_labels.
Targets MakeTargets(const std::vector<data::Example>& examples, ProblemType problem,
                    int64_t num_labels);

// Cut to max_length tokens, the special ones included; each encoding says whether it was.
std::vector<text::Encoding> EncodeExamples(const text::Tokenizer& tokenizer,
                                           const std::vector<data::Example>& examples,
                                           size_t max_length);

struct EvaluatorOptions {
  // Most sentences of a batch. Changes no result, nor does batch_tokens.
  int64_t batch_size = 256;
  std::function<void(int64_t done)> progress = {};  // hears how many sentences are done, when set
  // Most tokens of a batch (a longer sentence is one by itself): bounds the activations' memory.
  // 8,192 of bert-base need 100 MB for the widest one.
  int64_t batch_tokens = 8192;
  // Looked at between batches, when set: true ends the work with kCancelled.
  const std::atomic<bool>* stop = nullptr;
  double threshold = kDefaultThreshold;  // of the metrics, with kMultiLabel
};

// Logits [encodings.size(), labels], in the order given. Sentences of similar lengths go together.
Result<std::vector<float>> ComputeLogits(const model::Classifier& classifier,
                                         const std::vector<text::Encoding>& encodings,
                                         const EvaluatorOptions& options, ThreadPool& pool);

Result<Metrics> Evaluate(const model::Classifier& classifier, const EncodedDataset& data,
                         const EvaluatorOptions& options, ThreadPool& pool);

}  // namespace bertie::train
