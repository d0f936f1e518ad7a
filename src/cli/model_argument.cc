#include "cli/model_argument.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <optional>
#include <vector>

#include "cli/output.h"
#include "cli/progress.h"
#include "cli/service.h"
#include "hub/cache.h"
#include "hub/files.h"
#include "hub/hub.h"
#include "model/config.h"

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

bool LooksLikePath(const std::string& name) {
  return name.empty() || name.front() == '.' || name.front() == '/' || name.front() == '~' ||
         name.back() == '/' || std::count(name.begin(), name.end(), '/') > 1 ||
         name.ends_with(".tar.gz") || name.ends_with(".tgz") || name.ends_with(".pt") ||
         name.ends_with(".pth");
}

// A whole model in Hugging Face's cache. An id without an organisation may be one that the hub has
// moved under one since it was fetched.
struct InHubCache {
  std::optional<fs::path> dir;
  std::string incomplete;  // what a folder that is there lacks
};
InHubCache FindInHubCache(const hub::Cache& cache, const ModelName& name) {
  InHubCache found;
  std::vector<std::string> ids = {name.id};
  if (name.id.find('/') == std::string::npos) ids.push_back("google-bert/" + name.id);
  for (const std::string& id : ids) {
    const auto snapshot = cache.Find(id, name.revision);
    if (!snapshot) continue;
    const std::string missing = hub::MissingIn(snapshot->dir);
    if (missing.empty()) {
      hub::Cache::MarkUsed(snapshot->dir);
      found.dir = snapshot->dir;
      return found;
    }
    found.incomplete = snapshot->dir.string() + " lacks " + missing;
  }
  return found;
}

// Insertions, deletions and exchanges of characters that make one of the other.
size_t Distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t exchange = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, exchange});
    }
  }
  return row.back();
}

// ". Did you mean ...?" with the nearest of the models that are here and the folders beside, or "".
std::string Suggestion(const std::string& name, const hub::Cache& cache) {
  std::vector<std::string> known;
  for (const hub::CachedRevision& revision : cache.List()) known.push_back(revision.id);
  std::error_code error;
  for (const fs::path& parent : {OwnModels(), fs::path(".")}) {
    for (const auto& entry : fs::directory_iterator(parent, error)) {
      if (IsModel(entry.path())) known.push_back(entry.path().filename());
    }
  }
  std::string best;
  size_t least = 1 + std::min<size_t>(3, name.size() / 4);
  for (const std::string& other : known) {
    const size_t distance = Distance(name, other);
    if (distance < least) best = other, least = distance;
  }
  return best.empty() ? "" : ". Did you mean " + best + "?";
}

// Refuses, from config.json alone, what LoadCheckpoint would refuse after the weights had come.
Status CheckIsBert(const fs::path& dir) {
  const auto config = model::LoadConfig(dir / "config.json");
  if (config.ok()) return {};
  return Error{ErrorCode::kUnsupported, config.error().message + ". Its weights were not fetched"};
}

}  // namespace

fs::path FindUncasedVocabulary() {
  const auto has_vocabulary = [](const fs::path& dir) {
    std::error_code ignored;
    return fs::exists(dir / "vocab.txt", ignored) || fs::exists(dir / "tokenizer.json", ignored);
  };
  const fs::path own = OwnModels() / "bert-base-uncased";
  if (has_vocabulary(own)) return own;
  const auto settings = hub::FromEnvironment();
  if (!settings.ok()) return {};
  const hub::Cache cache(settings->cache);
  for (const char* id : {"bert-base-uncased", "google-bert/bert-base-uncased"}) {
    const auto snapshot = cache.Find(id, "main");
    if (snapshot && has_vocabulary(snapshot->dir)) return snapshot->dir;
  }
  return {};
}

fs::path OwnModels() { return CacheHome() / "bertie" / "models"; }

ModelName ParseModelName(const std::string& name) {
  const size_t at = name.find('@');
  if (at == std::string::npos) return {.id = name};
  return {.id = name.substr(0, at), .revision = name.substr(at + 1)};
}

Result<hub::Pulled> PullModel(const hub::Settings& settings, const ModelName& name, bool quiet) {
  std::optional<Progress> bar;
  hub::PullOptions options;
  options.revision = name.revision;
  options.check_config = CheckIsBert;
  int64_t shown_total = -1;
  options.progress = [&](int64_t done, int64_t total) {
    if (!bar || total != shown_total) {
      bar.emplace(Progress::Options{.title = "pull " + name.id,
                                    .total = total / 1000,
                                    .unit = "kB",
                                    .quiet = quiet,
                                    .before = done / 1000});
      shown_total = total;
    }
    bar->Update(done / 1000);
  };
  options.say = [&](const std::string& line) {
    if (bar) bar->Clear();
    Log(line);
  };
  return hub::Pull(settings, name.id, options);
}

Result<fs::path> ResolveModel(const std::string& given) {
  std::error_code error;
  if (fs::exists(given, error)) return fs::path(given);
  if (LooksLikePath(given)) {
    return Error{ErrorCode::kNotFound, given + ": no such model folder or archive"};
  }
  const fs::path own = OwnModels();
  if (IsModel(own / given)) return own / given;
  const ModelName name = ParseModelName(given);
  const auto not_here = [&](ErrorCode code, const std::string& why) {
    return Error{code,
                 given + ": there is no such file or folder here or in " + own.string() + why};
  };
  for (const Status& status : {hub::CheckModelId(name.id), hub::CheckRevision(name.revision)}) {
    if (!status.ok()) return not_here(ErrorCode::kNotFound, ", and " + status.error().message);
  }
  BERTIE_ASSIGN_OR_RETURN(const hub::Settings settings, hub::FromEnvironment());
  const hub::Cache cache(settings.cache);
  const InHubCache found = FindInHubCache(cache, name);
  if (found.dir) return *found.dir;
  const std::string looked = found.incomplete.empty()
                                 ? ", and no such model in " + cache.root().string()
                                 : ", and " + found.incomplete;
  if (settings.offline) {
    return not_here(ErrorCode::kNotFound,
                    looked +
                        "; it was not pulled, since HF_HUB_OFFLINE is set. Where there is a "
                        "network: bertie pull " +
                        ShellWord(given) + Suggestion(given, cache));
  }
  Log(given + ": not here, pulling it from " + settings.endpoint);
  auto pulled = PullModel(settings, name, false);
  if (pulled.ok()) return pulled->dir;
  const bool unknown = pulled.error().code == ErrorCode::kNotFound;
  return not_here(pulled.error().code, looked + ". " + pulled.error().message +
                                           (unknown ? Suggestion(given, cache) : ""));
}

Result<fs::path> FindBaseModel() {
  if (fs::path named = FromEnvironment("BERTIE_MODEL"); !named.empty()) return named;
  const fs::path own = OwnModels();
  if (fs::path model = InOwnCache(own); !model.empty()) return model;
  BERTIE_ASSIGN_OR_RETURN(const hub::Settings settings, hub::FromEnvironment());
  const InHubCache found = FindInHubCache(hub::Cache(settings.cache), {"bert-base-uncased"});
  if (found.dir) return *found.dir;
  return Error{ErrorCode::kNotFound,
               "no pretrained model to start from: looked for $BERTIE_MODEL, a folder in " +
                   own.string() + ", and bert-base-uncased in " + settings.cache.string() +
                   "; name one with --model: a folder (config.json, vocab.txt and "
                   "model.safetensors or pytorch_model.bin), or a name on the hub, such as --model "
                   "bert-base-uncased"};
}

}  // namespace bertie::cli
