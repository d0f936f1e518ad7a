#include "serve/model_table.h"

#include <algorithm>
#include <condition_variable>
#include <thread>
#include <utility>

#include "base/quote.h"

namespace bertie::serve {
namespace {

bool IsNumber(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

bool VersionLess::operator()(std::string_view a, std::string_view b) const {
  if (IsNumber(a) != IsNumber(b)) return IsNumber(a);
  if (!IsNumber(a)) return a < b;
  const auto digits = [](std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of('0'), text.size()));
    return text;
  };
  const std::string_view x = digits(a), y = digits(b);
  if (x.size() != y.size()) return x.size() < y.size();
  return x != y ? x < y : a.size() < b.size();
}

// The thread on which models end. Held by each ModelPointer, so that it is there when the last
// goes.
struct ModelTable::Ending {
  void Loop() {
    std::unique_lock lock(mutex);
    while (!stop || alive > 0) {
      changed.wait(lock, [this] { return !let_go.empty() || (stop && alive == 0); });
      for (const LoadedModel* model : std::exchange(let_go, {})) {
        lock.unlock();
        delete model;
        lock.lock();
        --alive;
      }
    }
  }

  void LetGo(const LoadedModel* model) {
    std::lock_guard lock(mutex);
    let_go.push_back(model);
    changed.notify_all();
  }

  void Stop() {
    std::vector<std::weak_ptr<const LoadedModel>> all;
    {
      std::lock_guard lock(mutex);
      stop = true;
      all = std::exchange(adopted, {});
      changed.notify_all();
    }
    for (const auto& each : all) {
      if (const ModelPointer model = each.lock()) model->batcher->Close();
    }
  }

  std::mutex mutex;  // guards all below but the thread
  std::condition_variable changed;
  bool stop = false;
  size_t alive = 0;  // adopted and not ended
  std::vector<std::weak_ptr<const LoadedModel>> adopted;
  std::vector<const LoadedModel*> let_go;
  std::thread thread;
};

ModelTable::ModelTable() : ending_(std::make_shared<Ending>()) {
  ending_->thread = std::thread([ending = ending_.get()] { ending->Loop(); });
}

ModelTable::~ModelTable() {
  models_.clear();
  ending_->Stop();
  ending_->thread.join();
}

ModelPointer ModelTable::Adopt(std::unique_ptr<LoadedModel> model) {
  Ending& ending = *ending_;
  {
    std::lock_guard lock(ending.mutex);
    ++ending.alive;
  }
  const ModelPointer adopted(model.release(),
                             [held = ending_](const LoadedModel* last) { held->LetGo(last); });
  std::lock_guard lock(ending.mutex);
  std::erase_if(ending.adopted, [](const auto& each) { return each.expired(); });
  ending.adopted.push_back(adopted);
  return adopted;
}

void ModelTable::Put(ModelPointer model) {
  std::lock_guard lock(mutex_);
  // The pointer that was there goes after the lock: it is swapped into the argument.
  std::swap(models_[model->id.name][model->id.version], model);
}

bool ModelTable::Remove(std::string_view name, std::string_view version) {
  std::lock_guard lock(mutex_);
  const auto found = models_.find(name);
  if (found == models_.end()) return false;
  if (!version.empty()) {
    const auto which = found->second.find(version);
    if (which == found->second.end()) return false;
    found->second.erase(which);
  }
  if (version.empty() || found->second.empty()) models_.erase(found);
  return true;
}

void ModelTable::SetDefault(std::string name) {
  std::lock_guard lock(mutex_);
  default_ = std::move(name);
}

std::string ModelTable::Names() const {
  constexpr size_t kShown = 8;
  std::string names;
  size_t shown = 0;
  for (const auto& [name, versions] : models_) {
    if (shown++ == kShown) return names + ", ... (" + std::to_string(models_.size()) + ")";
    names += (names.empty() ? "" : ", ") + Quote(name);
  }
  return names.empty() ? "none" : names;
}

Result<ModelPointer> ModelTable::Find(std::string_view name, std::string_view version) const {
  std::lock_guard lock(mutex_);
  if (name.empty()) {
    name = default_;
    if (name.empty() && models_.size() == 1) name = models_.begin()->first;
    if (name.empty()) {
      return Error{models_.empty() ? ErrorCode::kNotFound : ErrorCode::kInvalidArgument,
                   "the request names no model; there are " + Names()};
    }
  }
  const auto found = models_.find(name);
  if (found == models_.end()) {
    return Error{ErrorCode::kNotFound,
                 "there is no model " + Quote(name) + "; there are " + Names()};
  }
  const Versions& versions = found->second;
  if (version.empty()) return versions.rbegin()->second;
  const auto which = versions.find(version);
  if (which == versions.end()) {
    return Error{ErrorCode::kNotFound, "model " + Quote(name) + " has no version " +
                                           Quote(version) + "; the highest is " +
                                           Quote(versions.rbegin()->first)};
  }
  return which->second;
}

std::vector<ModelPointer> ModelTable::List() const {
  std::lock_guard lock(mutex_);
  std::vector<ModelPointer> all;
  for (const auto& [name, versions] : models_) {
    for (const auto& [version, model] : versions) all.push_back(model);
  }
  return all;
}

bool ModelTable::empty() const {
  std::lock_guard lock(mutex_);
  return models_.empty();
}

}  // namespace bertie::serve
