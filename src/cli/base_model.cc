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

// hub/models--ID/snapshots/REVISION, where refs/main names the revision.
fs::path InHubCache(const fs::path& home) {
  for (const char* id : {"bert-base-uncased", "google-bert--bert-base-uncased"}) {
    const fs::path model = home / "hub" / (std::string("models--") + id);
    std::ifstream ref(model / "refs" / "main");
    std::string revision;
    if (ref >> revision && IsModel(model / "snapshots" / revision)) {
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
  fs::path hub = FromEnvironment("HF_HOME");
  if (hub.empty()) hub = CacheHome() / "huggingface";
  if (fs::path model = InHubCache(hub); !model.empty()) return model;
  return Error{ErrorCode::kNotFound,
               "no pretrained model to start from: looked for $BERTIE_MODEL, a folder in " +
                   own.string() + ", and bert-base-uncased in " + hub.string() +
                   "; name one with --model DIR (a folder with config.json, vocab.txt and "
                   "model.safetensors or pytorch_model.bin)"};
}

}  // namespace bertie::cli
