#include "cli/base_model.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <vector>

namespace bertie::cli {
namespace {

namespace fs = std::filesystem;

fs::path FromEnvironment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? fs::path() : fs::path(value);
}

fs::path CacheHome() {
  if (fs::path cache = FromEnvironment("XDG_CACHE_HOME"); !cache.empty()) return cache;
  return FromEnvironment("HOME") / ".cache";
}

bool IsModel(const fs::path& dir) {
  std::error_code ignored;
  return fs::exists(dir / "config.json", ignored);
}

bool HasVocabulary(const fs::path& dir) {
  std::error_code ignored;
  return fs::exists(dir / "vocab.txt", ignored) || fs::exists(dir / "tokenizer.json", ignored);
}

// bert-base-uncased if it is there, else the first by name.
fs::path InOwnCache(const fs::path& models) {
  if (IsModel(models / "bert-base-uncased")) return models / "bert-base-uncased";
  std::vector<fs::path> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(models, error)) {
    if (IsModel(entry.path())) found.push_back(entry.path());
  }
  return found.empty() ? fs::path() : *std::min_element(found.begin(), found.end());
}

fs::path HubHome() {
  const fs::path hub = FromEnvironment("HF_HOME");
  return hub.empty() ? CacheHome() / "huggingface" : hub;
}

// hub/models--ID/snapshots/REVISION, where refs/main names the revision. The "/" of an id is "--".
fs::path InHubCache(const fs::path& home, const std::vector<std::string>& ids,
                    bool (*fits)(const fs::path&) = IsModel) {
  for (const std::string& id : ids) {
    const fs::path model = home / "hub" / ("models--" + id);
    std::ifstream ref(model / "refs" / "main");
    std::string revision;
    if (ref >> revision && fits(model / "snapshots" / revision)) {
      return model / "snapshots" / revision;
    }
  }
  return {};
}

}  // namespace

Result<fs::path> FindBaseModel() {
  if (fs::path named = FromEnvironment("BERTIE_MODEL"); !named.empty()) return named;
  const fs::path own = CacheHome() / "bertie" / "models";
  if (fs::path model = InOwnCache(own); !model.empty()) return model;
  const fs::path hub = HubHome();
  const fs::path model = InHubCache(hub, {"bert-base-uncased", "google-bert--bert-base-uncased"});
  if (!model.empty()) return model;
  return Error{ErrorCode::kNotFound,
               "no pretrained model to start from: looked for $BERTIE_MODEL, a folder in " +
                   own.string() + ", and bert-base-uncased in " + hub.string() +
                   "; name one with --model DIR (a folder with config.json, vocab.txt and "
                   "model.safetensors or pytorch_model.bin)"};
}

fs::path FindUncasedVocabulary() {
  const fs::path own = CacheHome() / "bertie" / "models" / "bert-base-uncased";
  if (HasVocabulary(own)) return own;
  return InHubCache(HubHome(), {"bert-base-uncased", "google-bert--bert-base-uncased"},
                    HasVocabulary);
}

Result<fs::path> FindModel(const std::string& name) {
  std::error_code error;
  if (fs::exists(name, error)) return fs::path(name);
  const fs::path own = CacheHome() / "bertie" / "models";
  std::string id = name;
  if (const size_t slash = id.find('/'); slash != std::string::npos) id.replace(slash, 1, "--");
  // A path, however, is no name.
  if (!name.empty() && id.find('/') == std::string::npos && name[0] != '.') {
    if (IsModel(own / name)) return own / name;
    if (fs::path model = InHubCache(HubHome(), {id, "google-bert--" + id}); !model.empty()) {
      return model;
    }
  }
  return Error{ErrorCode::kNotFound, "no model " + name +
                                         ": there is no such file or folder, and no "
                                         "model of that name in " +
                                         own.string() + " or " + (HubHome() / "hub").string()};
}

}  // namespace bertie::cli
