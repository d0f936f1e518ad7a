#include "model/compiled_file.h"

#include <cstdint>
#include <system_error>
#include <utility>
#include <vector>

#include "base/directory.h"
#include "base/file.h"
#include "base/quote.h"
#include "formats/json.h"
#include "formats/safetensors.h"

namespace bertie::model {
namespace {

namespace fs = std::filesystem;
using formats::Json;
using kernels::PanelLayout;

constexpr const char* kFormat = "bertie-compiled";
constexpr const char* kVersion = "2";

// One matrix of the file, by its name in "matrices".
struct StoredMatrix {
  WeightType type = WeightType::kF32;
  PanelLayout layout;
};

std::string ToHeader(const std::map<std::string, StoredMatrix>& matrices) {
  Json json = Json::object();
  for (const auto& [name, matrix] : matrices) {
    json[name] = {{"type", PrecisionName(matrix.type)},
                  {"width", matrix.layout.width},
                  {"group", matrix.layout.group}};
  }
  return formats::DumpJson(json);
}

Error Damaged(const std::string& where, const std::string& what) {
  return {ErrorCode::kInvalidData, where + ": " + what + "; compile the model again"};
}

Result<std::map<std::string, StoredMatrix>> FromHeader(const std::string& text,
                                                       const std::string& where) {
  BERTIE_ASSIGN_OR_RETURN(const Json json, formats::ParseJson(text, where + ": matrices"));
  std::map<std::string, StoredMatrix> matrices;
  if (!json.is_object()) return Damaged(where, "\"matrices\" is not an object");
  for (const auto& [name, entry] : json.items()) {
    const auto number = [&entry = entry](const char* key) -> int64_t {
      const auto found = entry.find(key);
      return found != entry.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
    };
    const auto type = entry.is_object() && entry.contains("type") && entry["type"].is_string()
                          ? ParsePrecision(entry["type"].get<std::string>())
                          : std::nullopt;
    const PanelLayout layout{entry.is_object() ? number("width") : 0,
                             entry.is_object() ? number("group") : 0};
    const bool sane =
        type && layout.width >= 1 && layout.width <= 256 && layout.group >= 1 && layout.group <= 8;
    if (!sane) return Damaged(where, "the layout of " + Quote(name) + " is not one");
    matrices[name] = {*type, layout};
  }
  return matrices;
}

// The word embeddings' rows lie alike on all processors.
constexpr PanelLayout kRows{1, 1};

// Lists the parts for writing: matrices first, since their sizes keep the next ones aligned, and
// the embeddings last, since theirs may not.
class Writer {
 public:
  Status Table(const std::string& name, const FloatTable& table, int64_t) {
    tables_.push_back(
        {name, {DType::kF32, {table.size}, reinterpret_cast<const std::byte*>(table.data())}});
    return {};
  }

  Status Embedding(const std::string& name, const kernels::EmbeddingTable& table, int64_t,
                   int64_t) {
    const auto bytes = table.bytes();
    last_.push_back(
        {name + ".weight", {DType::kU8, {static_cast<int64_t>(bytes.size())}, bytes.data()}});
    matrices_[name] = {table.type(), kRows};
    return {};
  }

  Status Matrix(const std::string& name, const std::vector<std::string>&, const Linear& linear,
                int64_t, int64_t columns) {
    const auto bytes = linear.weight.bytes();
    entries_.push_back(
        {name + ".weight", {DType::kU8, {static_cast<int64_t>(bytes.size())}, bytes.data()}});
    matrices_[name] = {linear.weight.type(), kernels::NativeLayout(linear.weight.type())};
    return Table(name + ".bias", linear.bias, columns);
  }

  Status Write(const fs::path& path, std::map<std::string, std::string> metadata) {
    metadata["matrices"] = ToHeader(matrices_);
    entries_.insert(entries_.end(), tables_.begin(), tables_.end());
    entries_.insert(entries_.end(), last_.begin(), last_.end());
    return formats::WriteSafetensors(path, entries_, metadata);
  }

  const std::map<std::string, StoredMatrix>& matrices() const { return matrices_; }

 private:
  std::vector<formats::SafetensorsEntry> entries_, tables_, last_;
  std::map<std::string, StoredMatrix> matrices_;
};

// Fills the parts from the mapped file.
class Reader {
 public:
  Reader(const formats::SafetensorsFile& file, std::map<std::string, StoredMatrix> matrices,
         std::string where, ThreadPool& pool)
      : file_(file), matrices_(std::move(matrices)), where_(std::move(where)), pool_(pool) {}

  Status Table(const std::string& name, FloatTable& table, int64_t size) {
    const auto found = file_.tensors.find(name);
    if (found == file_.tensors.end()) return Damaged(where_, "no tensor " + Quote(name));
    const TensorView& view = found->second;
    if (view.dtype != DType::kF32 || view.elements() != size) {
      return Damaged(where_, Quote(name) + " is " + DTypeName(view.dtype) +
                                 ShapeString(view.shape) + "; config.json asks for F32[" +
                                 std::to_string(size) + "]");
    }
    if (reinterpret_cast<uintptr_t>(view.data) % alignof(float) == 0) {
      table = {file_.storage, reinterpret_cast<const float*>(view.data), size};
      return {};
    }
    auto copy = std::make_shared<Buffer>(size);
    CopyToFloat(view, copy->data());
    table = {copy, copy->data(), size};
    return {};
  }

  Status Matrix(const std::string& name, const std::vector<std::string>&, Linear& linear,
                int64_t depth, int64_t columns) {
    BERTIE_RETURN_IF_ERROR(Table(name + ".bias", linear.bias, columns));
    Bytes found;
    const auto expected = [&](const StoredMatrix& stored) {
      return kernels::PackedBytes(stored.type, depth, columns, stored.layout);
    };
    BERTIE_RETURN_IF_ERROR(Find(name, expected, found));
    const auto [type, layout] = found.stored;
    if (layout != kernels::NativeLayout(type)) ++repacked_;
    linear.weight = kernels::PackedMatrix::FromBytes(type, depth, columns, layout, found.data,
                                                     file_.storage, pool_);
    return {};
  }

  Status Embedding(const std::string& name, kernels::EmbeddingTable& table, int64_t rows,
                   int64_t columns) {
    Bytes found;
    const auto expected = [&](const StoredMatrix& stored) {
      return kernels::EmbeddingTable::Bytes(stored.type, rows, columns);
    };
    BERTIE_RETURN_IF_ERROR(Find(name, expected, found));
    table = kernels::EmbeddingTable::FromBytes(found.stored.type, rows, columns, found.data,
                                               file_.storage);
    return {};
  }

  int64_t repacked() const { return repacked_; }

 private:
  // What the file has under one of the names in "matrices".
  struct Bytes {
    StoredMatrix stored;
    const std::byte* data = nullptr;
  };

  template <class Expected>
  Status Find(const std::string& name, const Expected& expected_bytes, Bytes& bytes) {
    const auto found = file_.tensors.find(name + ".weight");
    const auto stored = matrices_.find(name);
    if (found == file_.tensors.end() || stored == matrices_.end()) {
      return Damaged(where_, "no matrix " + Quote(name));
    }
    const int64_t expected = expected_bytes(stored->second);
    const auto found_bytes = static_cast<int64_t>(found->second.bytes());
    if (found->second.dtype != DType::kU8 || found_bytes != expected) {
      return Damaged(where_, Quote(name) + " has " + std::to_string(found_bytes) +
                                 " bytes; config.json asks for " + std::to_string(expected));
    }
    bytes = {stored->second, found->second.data};
    return {};
  }

  const formats::SafetensorsFile& file_;
  const std::map<std::string, StoredMatrix> matrices_;
  const std::string where_;
  ThreadPool& pool_;
  int64_t repacked_ = 0;
};

std::string Find(const std::map<std::string, std::string>& metadata, const char* key) {
  const auto found = metadata.find(key);
  return found == metadata.end() ? "" : found->second;
}

struct Header {
  CompiledInfo info;
  std::map<std::string, StoredMatrix> matrices;
};

Result<Header> ReadHeader(const formats::SafetensorsFile& file, const std::string& where) {
  const auto& metadata = file.metadata;
  if (Find(metadata, "format") != kFormat) {
    return Error{ErrorCode::kInvalidData, where + ": the format is " +
                                              Quote(Find(metadata, "format")) + "; expected " +
                                              Quote(kFormat)};
  }
  if (Find(metadata, "version") != kVersion) {
    return Error{ErrorCode::kUnsupported, where + ": version " + Quote(Find(metadata, "version")) +
                                              "; this bertie reads " + kVersion +
                                              ": compile the model again with it"};
  }
  Header header;
  const auto precision = ParsePrecision(Find(metadata, "precision"));
  if (!precision) return Damaged(where, "no precision named");
  BERTIE_ASSIGN_OR_RETURN(header.matrices, FromHeader(Find(metadata, "matrices"), where));
  header.info.precision = *precision;
  header.info.cpu = Find(metadata, "cpu");
  header.info.source_sha256 = Find(metadata, "source_sha256");
  PrecisionPlan plan{*precision};
  for (const auto& [name, matrix] : header.matrices) {
    ++header.info.matrices;
    header.info.higher += matrix.type != plan.TypeOf(name);
  }
  return header;
}

}  // namespace

Status SaveCompiled(const fs::path& dir, const ClassifierWeights& weights, const CompiledInfo& info,
                    const text::Tokenizer& tokenizer) {
  BERTIE_ASSIGN_OR_RETURN(AtomicDirectory folder, AtomicDirectory::Create(dir));
  Writer writer;
  BERTIE_RETURN_IF_ERROR(ForEachPart(weights, writer));
  BERTIE_RETURN_IF_ERROR(
      writer.Write(folder.path() / kCompiledFile, {{"format", kFormat},
                                                   {"version", kVersion},
                                                   {"precision", PrecisionName(info.precision)},
                                                   {"cpu", info.cpu},
                                                   {"source_sha256", info.source_sha256}}));
  BERTIE_RETURN_IF_ERROR(
      WriteFileAtomically(folder.path() / "config.json", ConfigToJson(weights.config)));
  BERTIE_RETURN_IF_ERROR(
      tokenizer.Save(folder.path(), static_cast<size_t>(weights.config.max_position_embeddings)));
  return folder.Commit(IsWeightFile);
}

Result<CompiledModel> LoadCompiled(const fs::path& dir, ThreadPool& pool) {
  const fs::path path = dir / kCompiledFile;
  CompiledModel model;
  BERTIE_ASSIGN_OR_RETURN(model.weights.config, LoadConfig(dir / "config.json"));
  BERTIE_ASSIGN_OR_RETURN(const auto file, formats::SafetensorsFile::Open(path));
  BERTIE_ASSIGN_OR_RETURN(Header header, ReadHeader(file, path.string()));
  model.info = std::move(header.info);
  model.weights.layers.resize(static_cast<size_t>(model.weights.config.num_hidden_layers));
  Reader reader(file, std::move(header.matrices), path.string(), pool);
  BERTIE_RETURN_IF_ERROR(ForEachPart(model.weights, reader));
  model.repacked = reader.repacked();
  return model;
}

Result<CompiledInfo> ReadCompiledInfo(const fs::path& dir) {
  const fs::path path = dir / kCompiledFile;
  BERTIE_ASSIGN_OR_RETURN(const auto file, formats::SafetensorsFile::Open(path));
  BERTIE_ASSIGN_OR_RETURN(Header header, ReadHeader(file, path.string()));
  return std::move(header.info);
}

bool IsCompiled(const fs::path& dir) {
  std::error_code error;
  return fs::exists(dir / kCompiledFile, error);
}

}  // namespace bertie::model
