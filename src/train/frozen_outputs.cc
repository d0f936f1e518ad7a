#include "train/frozen_outputs.h"

#include <algorithm>

namespace bertie::train {

Result<const float*> FrozenOutputs::Get(model::TrainableClassifier& model,
                                        const EncodedDataset& data, std::span<const size_t> indices,
                                        ThreadPool& pool) {
  std::vector<size_t> missing;
  int64_t rows = 0;
  auto rows_of = [&](size_t index) {
    return model.FrozenRows(static_cast<int64_t>(data.encodings[index].ids.size()));
  };
  for (size_t index : indices) {
    if (kept_[index].empty()) missing.push_back(index);
    rows += rows_of(index);
  }
  const int64_t width = model.config().hidden_size;
  float* out = batch_.Resize(rows * width);
  const float* fresh = nullptr;
  if (!missing.empty()) {
    model::PackedBatch batch;
    for (size_t index : missing) {
      batch.Add(data.encodings[index].ids, data.encodings[index].type_ids);
    }
    BERTIE_ASSIGN_OR_RETURN(fresh, model.RunFrozen(batch, pool));
  }
  for (size_t index : indices) {
    const int64_t count = rows_of(index) * width;
    std::vector<float>& kept = kept_[index];
    if (kept.empty()) {
      std::copy_n(fresh, count, out);
      const int64_t bytes = count * static_cast<int64_t>(sizeof(float));
      if (bytes <= left_) {
        kept.assign(fresh, fresh + count);
        left_ -= bytes;
      }
      fresh += count;
    } else {
      std::copy_n(kept.data(), count, out);
    }
    out += count;
  }
  return batch_.data();
}

}  // namespace bertie::train
