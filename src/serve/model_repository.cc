#include "serve/model_repository.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <future>
#include <memory>
#include <new>
#include <utility>

#include "base/figures.h"
#include "base/quote.h"
#include "base/resident_memory.h"
#include "model/model_source.h"
#include "serve/model_files.h"

namespace bertie::serve {
namespace {

namespace fs = std::filesystem;

using State = ModelStatus::State;

std::string Shown(const ModelId& id) {
  return "model " + Quote(id.name) + " version " + id.version;
}

// Two texts, of which the answers must be numbers. Afterwards the weights are in memory, and so is
// what the first client would have to wait for. The second text is no longer than an ordinary
// batch: others wait for the threads meanwhile.
Status CheckAnswers(const LoadedModel& model) {
  if (!model.local || model.made) return {};  // another process computes, and checks by itself
  constexpr size_t kTokens = 64;
  std::string words;
  for (size_t i = 0; i < kTokens; ++i) words += "word ";
  auto batch = std::make_shared<model::PackedBatch>();
  for (const std::string& text : {std::string("word"), words}) {
    const text::Encoding encoding =
        model.tokenizer.Encode(text, std::min(kTokens, model.max_length));
    batch->Add(encoding.ids, encoding.type_ids);
  }
  std::promise<Result<std::vector<float>>> answer;
  model.local->Start(
      batch, infer::Clock::time_point::max(),
      [&answer](Result<std::vector<float>> logits) { answer.set_value(std::move(logits)); });
  const Result<std::vector<float>> logits = answer.get_future().get();
  if (!logits.ok()) return logits.error();
  if (std::all_of(logits->begin(), logits->end(), [](float x) { return std::isfinite(x); })) {
    return {};
  }
  return Error{ErrorCode::kInvalidData,
               "the model answers with numbers that are not finite: its weights are broken"};
}

}  // namespace

ModelRepository::ModelRepository(RepositoryOptions options, ServeContext& context,
                                 infer::ComputePool& pool)
    : options_(std::move(options)), context_(context), pool_(pool) {
  thread_ = std::thread([this] { Loop(); });
}

ModelRepository::~ModelRepository() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    changed_.notify_all();
  }
  thread_.join();
  for (const Task& task : tasks_) {
    task.done(Error{ErrorCode::kUnavailable, "the server is shutting down"});
  }
}

void ModelRepository::Post(std::function<Status()> work, Done done) {
  std::lock_guard lock(mutex_);
  tasks_.push_back({std::move(work), std::move(done)});
  changed_.notify_all();
}

void ModelRepository::Loop() {
  while (true) {
    Task task;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stop_ || !tasks_.empty(); });
      if (stop_) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    Status status;
    try {
      status = task.work();
    } catch (const std::bad_alloc&) {
      status = Error{ErrorCode::kResourceExhausted, "not enough memory"};
    } catch (const std::exception& error) {
      status = Error{ErrorCode::kInternal, error.what()};
    }
    task.done(std::move(status));
  }
}

bool ModelRepository::Add(const std::string& name, const std::string& source, Done done) {
  {
    std::lock_guard lock(mutex_);
    const auto found = known_.find(name);
    if (found != known_.end() && !found->second.versions.empty()) return false;
    Known& known = known_[name];
    known.source = source;
    known.kept = known.kept || !context_.loaded;
    known.versions["1"].status = {.id = {name, "1"}, .source = source};
  }
  const auto work = [this, name] {
    Status status = LoadName(name, false);
    // Else the name would be taken by what is not there.
    if (!status.ok() && !context_.models.Find(name).ok()) (void)UnloadName(name);
    return status;
  };
  Post(work, std::move(done));
  return true;
}

void ModelRepository::Load(const std::string& name, Done done) {
  Post([this, name] { return LoadName(name, false); }, std::move(done));
}

void ModelRepository::Unload(const std::string& name, Done done) {
  Post([this, name] { return UnloadName(name); }, std::move(done));
}

void ModelRepository::ReloadChanged(Done done) {
  Post([this] { return ReloadAll(); }, std::move(done));
}

void ModelRepository::LoadFolder(Done done) {
  Post([this] { return LoadAllOfFolder(); }, std::move(done));
}

std::vector<ModelStatus> ModelRepository::Index() const {
  std::lock_guard lock(mutex_);
  std::vector<ModelStatus> index;
  for (const auto& [name, known] : known_) {
    for (const auto& [version, entry] : known.versions) index.push_back(entry.status);
    if (known.versions.empty()) {
      index.push_back({{name, ""}, known.source, State::kUnavailable, "unloaded"});
    }
  }
  return index;
}

// The source of a name, which is known from here on.
std::optional<fs::path> ModelRepository::Locate(const std::string& name) {
  std::lock_guard lock(mutex_);
  if (const auto found = known_.find(name); found != known_.end()) return found->second.source;
  std::error_code error;
  if (options_.folder.empty() || !IsFolderName(name)) return std::nullopt;
  const fs::path path = options_.folder / name;
  if (!fs::is_directory(path, error)) return std::nullopt;
  known_[name] = Known{.source = path.string(), .from_folder = true, .kept = true};
  return path;
}

void ModelRepository::SetStatus(const ModelId& id, const std::function<void(Version&)>& change) {
  std::lock_guard lock(mutex_);
  const auto known = known_.find(id.name);
  if (known == known_.end()) return;
  Version& version = known->second.versions[id.version];
  version.status.id = id;
  version.status.source = known->second.source;
  change(version);
}

Status ModelRepository::LoadName(const std::string& name, bool only_changed) {
  const std::optional<fs::path> source = Locate(name);
  if (!source) {
    return Error{
        ErrorCode::kNotFound,
        "there is no model " + Quote(name) +
            (options_.folder.empty() ? std::string(" here")
                                     : ": no folder of that name in " + options_.folder.string())};
  }
  BERTIE_ASSIGN_OR_RETURN(const auto versions, FindVersions(*source));
  Status first;
  for (const auto& [version, path] : versions) {
    const ModelId id{name, version};
    bool same = false;
    if (only_changed && context_.models.Find(name, version).ok()) {
      const std::string print = Fingerprint(path);
      SetStatus(id, [&](Version& entry) { same = entry.fingerprint == print; });
    }
    if (same) continue;
    Status status = LoadVersion(id, path);
    if (!status.ok() && first.ok()) first = std::move(status);
  }
  std::vector<ModelId> gone;
  for (const ModelStatus& status : Index()) {
    const bool there = status.id.version.empty() || versions.contains(status.id.version);
    if (status.id.name == name && !there) gone.push_back(status.id);
  }
  for (const ModelId& id : gone) UnloadVersion(id);
  return first;
}

Status ModelRepository::LoadVersion(const ModelId& id, const fs::path& path) {
  const bool served = context_.models.Find(id.name, id.version).ok();
  if (!served) SetStatus(id, [](Version& entry) { entry.status.state = State::kLoading; });
  // Taken before the files are read: what changes meanwhile is seen the next time.
  const std::string fingerprint = Fingerprint(path);
  const int64_t bytes = WeightBytes(path);
  Result<ModelPointer> model = Open(id, path);
  if (!model.ok()) {
    if (!served) context_.metrics.Forget(id.name, id.version);
    SetStatus(id, [&](Version& entry) {
      entry.status.state = served ? State::kReady : State::kUnavailable;
      entry.status.reason = model.error().message;
    });
    context_.Log(Shown(id) + (served ? " was not replaced: " : " was not loaded: ") +
                 model.error().message);
    return model.error();
  }
  const auto& summary = (*model)->summary;
  SetStatus(id, [&](Version& entry) {
    entry.status.state = State::kReady;
    entry.status.reason.clear();
    entry.fingerprint = fingerprint;
    entry.weight_bytes = bytes;
  });
  context_.models.Put(*model);
  if (context_.loaded) {
    context_.Log(Shown(id) + (served ? " replaced" : " loaded") + " in " +
                 std::to_string(summary.load_time.count()) + " ms");
  }
  return {};
}

Result<ModelPointer> ModelRepository::Open(const ModelId& id, const fs::path& path) {
  const auto begin = std::chrono::steady_clock::now();
  BERTIE_RETURN_IF_ERROR(CheckMemory(id, WeightBytes(path)));
  ModelFolder folder{path, {}};
  if (options_.open) {
    BERTIE_ASSIGN_OR_RETURN(folder, options_.open(path));
  }
  const std::string dir = folder.dir.string();
  LoadOptions load = options_.load;
  if (context_.loaded) load.threads = 1;
  auto made = LoadModel(id, std::move(folder), load, pool_, context_.metrics);
  if (!made.ok()) return model::RenamePath(made.error(), dir, path.string());
  (*made)->summary.load_time = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - begin);
  ModelPointer model = context_.models.Adopt(*std::move(made));
  // At the start nobody waits for an answer yet.
  if (context_.loaded) {
    if (Status checked = CheckAnswers(*model); !checked.ok()) {
      return checked.error().WithContext(path.string());
    }
  }
  return model;
}

// A version that is replaced goes soon after, so it does not count.
Status ModelRepository::CheckMemory(const ModelId& id, int64_t bytes) {
  if (options_.max_weight_bytes > 0) {
    int64_t others = 0;
    std::lock_guard lock(mutex_);
    for (const auto& [name, known] : known_) {
      for (const auto& [version, entry] : known.versions) {
        if (name != id.name || version != id.version) others += entry.weight_bytes;
      }
    }
    if (others + bytes > options_.max_weight_bytes) {
      return Error{ErrorCode::kResourceExhausted,
                   "no room for " + Shown(id) + ": its weights are " + FormatMegabytes(bytes) +
                       ", those of the others " + FormatMegabytes(others) + "; the limit is " +
                       FormatMegabytes(options_.max_weight_bytes)};
    }
  }
  // At the start nobody is harmed by a try.
  if (!context_.loaded || !options_.load.local_weights) return {};
  const auto available = AvailableBytes();
  if (!available || bytes <= *available) return {};
  return Error{ErrorCode::kResourceExhausted, "no memory for " + Shown(id) + ": its weights are " +
                                                  FormatMegabytes(bytes) + "; the machine has " +
                                                  FormatMegabytes(*available) + " free"};
}

void ModelRepository::UnloadVersion(const ModelId& id) {
  {
    std::lock_guard lock(mutex_);
    if (const auto known = known_.find(id.name); known != known_.end()) {
      known->second.versions.erase(id.version);
    }
  }
  if (!context_.models.Remove(id.name, id.version)) return;
  context_.metrics.Forget(id.name, id.version);
  context_.Log(Shown(id) + " unloaded");
}

Status ModelRepository::UnloadName(const std::string& name) {
  std::vector<ModelId> ids;
  {
    std::lock_guard lock(mutex_);
    const auto known = known_.find(name);
    if (known == known_.end() || known->second.versions.empty()) {
      return Error{ErrorCode::kNotFound, "there is no model " + Quote(name) + " here"};
    }
    for (const auto& [version, entry] : known->second.versions) ids.push_back(entry.status.id);
  }
  for (const ModelId& id : ids) UnloadVersion(id);
  std::lock_guard lock(mutex_);
  const auto known = known_.find(name);
  if (known != known_.end() && !known->second.kept) known_.erase(known);
  return {};
}

Status ModelRepository::ReloadAll() {
  std::map<std::string, fs::path> folders;
  if (!options_.folder.empty()) {
    BERTIE_ASSIGN_OR_RETURN(folders, FindModels(options_.folder));
  }
  std::vector<std::string> gone, to_load;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [name, known] : known_) {
      if (known.versions.empty()) continue;
      (known.from_folder && !folders.contains(name) ? gone : to_load).push_back(name);
    }
    for (const auto& [name, path] : folders) {
      if (!known_.contains(name) && FindVersions(path).ok()) to_load.push_back(name);
    }
  }
  Status first;
  const auto keep_first = [&first](Status status) {
    if (!status.ok() && first.ok()) first = std::move(status);
  };
  for (const std::string& name : gone) keep_first(UnloadName(name));
  for (const std::string& name : to_load) keep_first(LoadName(name, true));
  return first;
}

Status ModelRepository::LoadAllOfFolder() {
  BERTIE_ASSIGN_OR_RETURN(const auto folders, FindModels(options_.folder));
  for (const auto& [name, path] : folders) {
    if (const auto versions = FindVersions(path); !versions.ok()) {
      context_.Log(versions.error().message + "; left out");  // lost+found, say
      continue;
    }
    {
      std::lock_guard lock(mutex_);
      if (const auto other = known_.find(name); other != known_.end()) {
        return Error{ErrorCode::kInvalidArgument, other->second.source + " and " + path.string() +
                                                      " would both be called " + Quote(name)};
      }
    }
    BERTIE_RETURN_IF_ERROR(LoadName(name, false));
  }
  return {};
}

}  // namespace bertie::serve
