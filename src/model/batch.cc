#include "model/batch.h"

#include <string>

namespace bertie::model {
namespace {

Error BadId(const char* what, int64_t sentence, int32_t id, int64_t limit) {
  return {ErrorCode::kInvalidArgument, "sentence " + std::to_string(sentence) + ": " + what + " " +
                                           std::to_string(id) + ", expected 0 to " +
                                           std::to_string(limit - 1)};
}

}  // namespace

Status CheckBatch(const PackedBatch& batch, const Config& config) {
  for (int64_t sentence = 0; sentence < batch.size(); ++sentence) {
    const int64_t first = batch.cumulative_seq_lengths[static_cast<size_t>(sentence)];
    const int64_t last = batch.cumulative_seq_lengths[static_cast<size_t>(sentence) + 1];
    if (last <= first || last - first > config.max_position_embeddings) {
      return Error{ErrorCode::kInvalidArgument,
                   "sentence " + std::to_string(sentence) + " has " + std::to_string(last - first) +
                       " tokens, expected 1 to " + std::to_string(config.max_position_embeddings)};
    }
    for (int64_t t = first; t < last; ++t) {
      const int32_t id = batch.token_ids[static_cast<size_t>(t)];
      const int32_t type = batch.type_ids[static_cast<size_t>(t)];
      if (id < 0 || id >= config.vocab_size) {
        return BadId("token id", sentence, id, config.vocab_size);
      }
      if (type < 0 || type >= config.type_vocab_size) {
        return BadId("token type id", sentence, type, config.type_vocab_size);
      }
    }
  }
  return {};
}

}  // namespace bertie::model
