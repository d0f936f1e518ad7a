#include "hub/files.h"

#include <algorithm>
#include <set>
#include <system_error>

#include "base/quote.h"
#include "formats/json.h"

namespace bertie::hub {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfig = "config.json";
// In the order in which model/weight_files.h prefers them; a compiled model has no others.
constexpr const char* kWeights[] = {"compiled.safetensors", "model.safetensors",
                                    "model.safetensors.index.json", "pytorch_model.bin",
                                    "pytorch_model.bin.index.json"};
constexpr const char* kTokenizer[] = {"tokenizer.json", "vocab.txt", "tokenizer_config.json",
                                      "special_tokens_map.json", "added_tokens.json"};
constexpr const char* kPapers[] = {"README.md",  "LICENSE", "LICENSE.txt",
                                   "LICENSE.md", "NOTICE",  "NOTICE.txt"};
constexpr size_t kMaxShards = 512;

bool IsIndex(const std::string& name) { return name.ends_with(".index.json"); }

bool IsPlainName(const std::string& name) {
  return !name.empty() && name.size() <= 255 && name.front() != '.' &&
         std::none_of(name.begin(), name.end(), [](unsigned char c) {
           return c < 0x20 || c == 0x7f || c == '/' || c == '\\';
         });
}

std::string Names(const std::vector<std::string>& files) {
  std::string names;
  for (size_t i = 0; i < std::min<size_t>(files.size(), 8); ++i) {
    names += (i == 0 ? "" : ", ") + Quote(files[i]);
  }
  return files.empty() ? "nothing" : names + (files.size() > 8 ? ", ..." : "");
}

bool Exists(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

std::string MissingWeights(const fs::path& dir) {
  for (const char* weights : kWeights) {
    if (!Exists(dir / weights)) continue;
    if (!IsIndex(weights)) return "";
    const auto shards = ShardsIn(dir / weights);
    if (!shards.ok()) return std::string(weights) + " that can be read";
    for (const std::string& shard : *shards) {
      if (!Exists(dir / shard)) return shard;
    }
    return "";
  }
  return "weights (model.safetensors or pytorch_model.bin)";
}

}  // namespace

Result<WantedFiles> ChooseFiles(const std::vector<std::string>& files, const std::string& id) {
  const std::set<std::string> there(files.begin(), files.end());
  WantedFiles wanted;
  const auto lacks = [&](const std::string& what) {
    return Error{ErrorCode::kUnsupported, id + ": has no " + what +
                                              ", so it is no BERT that bertie "
                                              "can read; found " +
                                              Names(files)};
  };
  if (!there.contains(kConfig)) return lacks(kConfig);
  wanted.needed.emplace_back(kConfig);
  for (const char* name : kTokenizer) {
    (there.contains(name) ? wanted.needed : wanted.absent).emplace_back(name);
  }
  if (!there.contains("tokenizer.json") && !there.contains("vocab.txt")) {
    return lacks("tokenizer.json and no vocab.txt");
  }
  const auto* weights = std::find_if(std::begin(kWeights), std::end(kWeights),
                                     [&](const char* name) { return there.contains(name); });
  if (weights == std::end(kWeights)) return lacks("model.safetensors and no pytorch_model.bin");
  wanted.needed.emplace_back(*weights);
  if (IsIndex(*weights)) wanted.index = *weights;
  for (const char* name : kPapers) {
    if (there.contains(name)) wanted.papers.emplace_back(name);
  }
  return wanted;
}

Result<std::vector<std::string>> ShardsIn(const fs::path& index) {
  BERTIE_ASSIGN_OR_RETURN(const formats::Json json, formats::ReadJsonFile(index));
  const auto map = json.is_object() ? json.find("weight_map") : json.end();
  const auto bad = [&](const std::string& what) {
    return Error{ErrorCode::kInvalidData, index.string() + ": " + what};
  };
  if (map == json.end() || !map->is_object() || map->empty()) {
    return bad("expected an object weight_map of tensor names to file names");
  }
  std::set<std::string> shards;
  for (const auto& [tensor, file] : map->items()) {
    if (!file.is_string() || !IsPlainName(file.get_ref<const std::string&>())) {
      return bad("weight_map " + Quote(tensor) + ": expected a file's name, found " +
                 Quote(formats::DumpJson(file)));
    }
    shards.insert(file.get<std::string>());
    if (shards.size() > kMaxShards) return bad("names more than 512 files");
  }
  return std::vector<std::string>(shards.begin(), shards.end());
}

std::string MissingIn(const fs::path& dir) {
  if (!Exists(dir / kConfig)) return kConfig;
  if (!Exists(dir / "tokenizer.json") && !Exists(dir / "vocab.txt")) {
    return "tokenizer.json or vocab.txt";
  }
  return MissingWeights(dir);
}

}  // namespace bertie::hub
