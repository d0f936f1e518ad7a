#include "model/classifier_weights.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/quote.h"
#include "tensor/buffer.h"

namespace bertie::model {
namespace {

constexpr std::pair<const char*, WeightType> kPrecisions[] = {
    {"fp32", WeightType::kF32}, {"bf16", WeightType::kBF16}, {"int8", WeightType::kI8}};

Error Absent(const Checkpoint& checkpoint, const std::string& name) {
  return {ErrorCode::kNotFound,
          checkpoint.source.string() + ": no tensor '" + name +
              "': this is not a fine-tuned classifier; make one with 'bertie train DATA --model " +
              checkpoint.source.parent_path().string() + "'"};
}

// Reads tensors by name into float tables and packed matrices: a visitor of ForEachPart.
class Packer {
 public:
  Packer(const Checkpoint& checkpoint, const PrecisionPlan& plan, ThreadPool& pool)
      : checkpoint_(checkpoint), plan_(plan), pool_(pool) {}

  Status Table(const std::string& name, FloatTable& table, int64_t) { return Read({name}, table); }

  Status Embedding(const std::string& name, kernels::EmbeddingTable& table, int64_t rows,
                   int64_t columns) {
    FloatTable values;
    BERTIE_RETURN_IF_ERROR(Read({name + ".weight"}, values));
    const WeightType type = plan_.TypeOf(name);
    if (type == WeightType::kF32) {
      table = kernels::EmbeddingTable::FromBytes(
          type, rows, columns, reinterpret_cast<const std::byte*>(values.data()), values.storage);
      return {};
    }
    BERTIE_RETURN_IF_ERROR(CheckFinite(type, name + ".weight", values));
    table = kernels::EmbeddingTable::Pack(values.data(), rows, columns, type, pool_);
    return {};
  }

  Status Matrix(const std::string& name, const std::vector<std::string>& sources, Linear& linear,
                int64_t depth, int64_t columns) {
    std::vector<std::string> weights, biases;
    for (const std::string& source : sources) {
      weights.push_back(source + ".weight");
      biases.push_back(source + ".bias");
    }
    FloatTable rows;
    BERTIE_RETURN_IF_ERROR(Read(weights, rows));
    BERTIE_RETURN_IF_ERROR(Read(biases, linear.bias));
    const WeightType type = plan_.TypeOf(name);
    BERTIE_RETURN_IF_ERROR(CheckFinite(type, weights[0], rows));
    linear.weight = kernels::PackedMatrix::Pack(
        kernels::RowMajor(rows.data(), columns, depth).Transposed(), type, pool_);
    return {};
  }

 private:
  Status CheckFinite(WeightType type, const std::string& name, const FloatTable& values) const {
    if (type != WeightType::kI8 || std::all_of(values.data(), values.data() + values.size,
                                               [](float x) { return std::isfinite(x); })) {
      return {};
    }
    return Error{ErrorCode::kInvalidData,
                 checkpoint_.source.string() + ": " + name +
                     " holds a value that is not finite, which int8 has no place for"};
  }

  Status Read(const std::vector<std::string>& names, FloatTable& table) {
    int64_t total = 0;
    std::vector<const TensorView*> views;
    for (const std::string& name : names) {
      const auto found = checkpoint_.tensors.find(name);
      if (found == checkpoint_.tensors.end()) return Absent(checkpoint_, name);
      views.push_back(&found->second);
      total += found->second.elements();
    }
    auto buffer = std::make_shared<Buffer>(total);
    float* to = buffer->data();
    table = {buffer, to, total};
    for (const TensorView* view : views) {
      CopyRows(*view, to);
      to += view->elements();
    }
    return {};
  }

  // Big tables take the page faults and the conversion on all threads.
  void CopyRows(const TensorView& view, float* to) {
    constexpr int64_t kChunk = 1 << 18;
    const int64_t count = view.elements();
    const auto size = static_cast<int64_t>(DTypeSize(view.dtype));
    pool_.ParallelFor((count + kChunk - 1) / kChunk, [&](int64_t task, int) {
      const int64_t first = task * kChunk;
      const TensorView part{
          view.dtype, {std::min(kChunk, count - first)}, view.data + first * size};
      CopyToFloat(part, to + first);
    });
  }

  const Checkpoint& checkpoint_;
  const PrecisionPlan& plan_;
  ThreadPool& pool_;
};

}  // namespace

const char* PrecisionName(WeightType type) {
  for (const auto& [name, precision] : kPrecisions) {
    if (precision == type) return name;
  }
  return "?";
}

std::optional<WeightType> ParsePrecision(std::string_view name) {
  for (const auto& [known, precision] : kPrecisions) {
    if (name == known) return precision;
  }
  return std::nullopt;
}

WeightType PrecisionPlan::TypeOf(const std::string& matrix) const {
  if (matrix == "classifier") return WeightType::kF32;
  const bool raised =
      higher.contains(matrix) || (matrix == "bert.pooler.dense" && precision == WeightType::kI8);
  if (!raised) return precision;
  return precision == WeightType::kI8 ? WeightType::kBF16 : WeightType::kF32;
}

Result<ClassifierWeights> PackWeights(const Checkpoint& checkpoint, const PrecisionPlan& plan,
                                      ThreadPool& pool) {
  ClassifierWeights weights;
  weights.config = checkpoint.config;
  weights.layers.resize(static_cast<size_t>(checkpoint.config.num_hidden_layers));
  Packer packer(checkpoint, plan, pool);
  BERTIE_RETURN_IF_ERROR(ForEachPart(weights, packer));
  return weights;
}

}  // namespace bertie::model
