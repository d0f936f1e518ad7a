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
#include "hub/local_model.h"
#include "model/config.h"

namespace bertie::cli {
namespace {

namespace fs = std::filesystem;

fs::path FromEnvironment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? fs::path() : fs::path(value);
}

// bert-base-uncased if it is there, else the first by name.
fs::path InOwnCache(const fs::path& models) {
  if (hub::IsModel(models / "bert-base-uncased")) return models / "bert-base-uncased";
  std::vector<fs::path> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(models, error)) {
    if (hub::IsModel(entry.path())) found.push_back(entry.path());
  }
  return found.empty() ? fs::path() : *std::min_element(found.begin(), found.end());
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
  for (const fs::path& parent : {hub::OwnModels(), fs::path(".")}) {
    for (const auto& entry : fs::directory_iterator(parent, error)) {
      if (hub::IsModel(entry.path())) known.push_back(entry.path().filename());
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
  const fs::path own = hub::OwnModels() / "bert-base-uncased";
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

Result<hub::Pulled> PullModel(const hub::Settings& settings, const hub::ModelName& name,
                              bool quiet) {
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
  BERTIE_ASSIGN_OR_RETURN(const hub::LocalModel local, hub::FindLocalModel(given));
  if (local.path) return *local.path;
  const hub::Settings& settings = local.settings;
  const hub::Cache cache(settings.cache);
  const auto not_here = [&](ErrorCode code, const std::string& why) {
    return Error{code, local.looked + why};
  };
  if (settings.offline) {
    return not_here(ErrorCode::kNotFound,
                    "; it was not pulled, since HF_HUB_OFFLINE is set. Where there is a network: "
                    "bertie pull " +
                        ShellWord(given) + Suggestion(given, cache));
  }
  Log(given + ": not here, pulling it from " + settings.endpoint);
  auto pulled = PullModel(settings, hub::ParseModelName(given), false);
  if (pulled.ok()) return pulled->dir;
  const bool unknown = pulled.error().code == ErrorCode::kNotFound;
  return not_here(pulled.error().code,
                  ". " + pulled.error().message + (unknown ? Suggestion(given, cache) : ""));
}

Result<fs::path> FindBaseModel() {
  if (fs::path named = FromEnvironment("BERTIE_MODEL"); !named.empty()) return named;
  const fs::path own = hub::OwnModels();
  if (fs::path model = InOwnCache(own); !model.empty()) return model;
  BERTIE_ASSIGN_OR_RETURN(const hub::Settings settings, hub::FromEnvironment());
  const auto found = hub::FindInCache(hub::Cache(settings.cache), {"bert-base-uncased"});
  if (found.dir) return *found.dir;
  return Error{ErrorCode::kNotFound,
               "no pretrained model to start from: looked for $BERTIE_MODEL, a folder in " +
                   own.string() + ", and bert-base-uncased in " + settings.cache.string() +
                   "; name one with --model: a folder (config.json, vocab.txt and "
                   "model.safetensors or pytorch_model.bin), or a name on the hub, such as --model "
                   "bert-base-uncased"};
}

}  // namespace bertie::cli
