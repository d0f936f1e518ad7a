// A model whose answers can be checked by hand, without a file of weights.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <string>
#include <utility>

#include "base/directory.h"
#include "infer/batcher.h"
#include "serve/loaded_model.h"

namespace bertie::serve {

// [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, a 4, b 5, c 6.
inline text::Tokenizer SmallTokenizer() {
  auto dir = TemporaryDirectory::Create();
  std::ofstream(dir->path() / "vocab.txt") << "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nb\nc\n";
  auto tokenizer = text::Tokenizer::Load(dir->path());
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  return *std::move(tokenizer);
}

// Labels "low" and "high", texts of up to 8 tokens. The executor outlives it.
inline std::unique_ptr<LoadedModel> SmallModel(ModelId id, infer::Executor& executor,
                                               Metrics& metrics, infer::QueueLimits queue = {}) {
  auto model = std::make_unique<LoadedModel>(std::move(id), SmallTokenizer());
  model->config.vocab_size = 7;
  model->config.labels = {"low", "high"};
  model->scheme = {{"low", "high"}, FunctionToApply::kSoftmax};
  model->max_length = 8;
  model->metrics = metrics.ForModel(model->id.name, model->id.version);
  model->batcher = std::make_unique<infer::Batcher>(
      executor, infer::BatcherOptions{.max_batch_tokens = 64, .queue = queue, .on_batch = {}});
  return model;
}

}  // namespace bertie::serve
