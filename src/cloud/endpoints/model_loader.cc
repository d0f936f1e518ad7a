#include "cloud/endpoints/model_loader.h"

#include <algorithm>
#include <future>

#include "base/digest.h"
#include "base/encoding.h"
#include "formats/json.h"

namespace bertie::cloud {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Loads at once. They wait for servers most of their time.
constexpr int kLoaders = 4;
// SageMaker's: how long a request waits for its model, and how long the model may take.
constexpr seconds kWaitLimit{60};
constexpr seconds kLoadLimit{360};
// What was unloaded is freed once its last requests are answered.
constexpr int kFreeTries = 20;
constexpr milliseconds kFreeWait{25};
constexpr size_t kReadable = 64;  // bytes of a target in its name

void Touch(ModelHost& host, uint16_t port, const std::string& model) {
  if (host.port != port) host.loaded.clear();
  host.port = port;
  host.loaded[model] = ++host.uses;
}

}  // namespace

// Fit for a path, and different for different targets.
std::string ModelLoader::NameFor(const std::string& model) {
  std::string name = model.substr(0, kReadable);
  for (char& c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '.' || c == '-' || c == '_';
    if (!plain) c = '_';
  }
  return name + "-" + Hex(DigestOf(DigestKind::kSha256, model).substr(0, 8));
}

ModelLoader::ModelLoader(const ObjectStore& store, http::ClientPool& servers)
    : store_(store), servers_(servers) {
  for (int i = 0; i < kLoaders; ++i) {
    threads_.emplace_back([this](const std::stop_token& stop) { Run(stop); });
  }
  threads_.emplace_back([this](const std::stop_token& stop) { Watch(stop); });
}

ModelLoader::~ModelLoader() {
  for (std::jthread& thread : threads_) thread.request_stop();
  threads_.clear();
  for (auto& [key, job] : std::exchange(jobs_, {})) {
    for (Waiter& waiter : job.waiters) {
      waiter.ready({.kind = LoadAnswer::Kind::kBroken, .message = "the program is ending"});
    }
  }
}

void ModelLoader::Load(const std::shared_ptr<Target>& target, uint16_t port,
                       const std::string& model, Ready ready) {
  ModelHost& host = *target->models;
  bool loaded = false;
  {
    std::lock_guard lock(host.mutex);
    loaded = host.port == port && host.loaded.contains(model);
    if (loaded) Touch(host, port, model);
  }
  if (loaded) return ready({});
  std::lock_guard lock(mutex_);
  const Key key{target.get(), model};
  const auto [job, first] = jobs_.try_emplace(key, Job{.target = target, .port = port});
  job->second.waiters.push_back({std::move(ready), Clock::now()});
  if (first) queue_.push_back(key);
  changed_.notify_all();  // Watch waits there too
}

void ModelLoader::Forget(Target& target, const std::string& model) {
  std::lock_guard lock(target.models->mutex);
  target.models->loaded.erase(model);
}

void ModelLoader::Run(const std::stop_token& stop) {
  while (true) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, stop, [&] { return !queue_.empty(); });
    if (stop.stop_requested()) return;
    const Key key = queue_.front();
    queue_.pop_front();
    const std::shared_ptr<Target> target = jobs_[key].target;
    const uint16_t port = jobs_[key].port;
    lock.unlock();
    const LoadAnswer answer = LoadNow(stop, *target, port, key.second);
    lock.lock();
    auto job = jobs_.extract(key);
    lock.unlock();
    for (Waiter& waiter : job.mapped().waiters) waiter.ready(answer);
  }
}

// Tells those who have waited too long.
void ModelLoader::Watch(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::vector<Waiter> late;
    {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, stop, seconds(1), [] { return false; });
      const Clock::time_point limit = Clock::now() - kWaitLimit;
      for (auto& [key, job] : jobs_) {
        const auto first =
            std::stable_partition(job.waiters.begin(), job.waiters.end(),
                                  [&](const Waiter& waiter) { return waiter.since > limit; });
        std::move(first, job.waiters.end(), std::back_inserter(late));
        job.waiters.erase(first, job.waiters.end());
      }
    }
    for (Waiter& waiter : late) waiter.ready({.kind = LoadAnswer::Kind::kNotReady});
  }
}

Result<http::ClientAnswer> ModelLoader::Ask(const std::stop_token& stop,
                                            http::PoolRequest request) {
  auto promise = std::make_shared<std::promise<Result<http::ClientAnswer>>>();
  std::future<Result<http::ClientAnswer>> answer = promise->get_future();
  servers_.Send(std::move(request), [promise](Result<http::ClientAnswer> came) {
    promise->set_value(std::move(came));
  });
  // A pool that has been stopped answers nothing.
  while (answer.wait_for(milliseconds(100)) != std::future_status::ready) {
    if (stop.stop_requested()) return Error{ErrorCode::kCancelled, "the program is ending"};
  }
  return answer.get();
}

LoadAnswer ModelLoader::LoadNow(const std::stop_token& stop, Target& target, uint16_t port,
                                const std::string& model) {
  using Kind = LoadAnswer::Kind;
  ModelHost& host = *target.models;
  const S3Uri place = host.prefix.Inside(model);
  auto file = host.cache->Get(store_, place);
  if (!file.ok()) {
    const std::string_view code = file.error().code;
    return {
        .kind = code == "NoSuchKey" || code == "NoSuchBucket" ? Kind::kMissing : Kind::kBroken,
        .message = "bucket: " + place.bucket + ", key: " + place.key + ": " + file.error().message};
  }
  const formats::Json order{{"model_name", NameFor(model)}, {"url", (*file)->string()}};
  for (int tries = 0; true; ++tries) {
    auto answer = Ask(stop, {.port = port,
                             .target = "/models",
                             .fields = {{"Content-Type", "application/json"}},
                             .body = formats::DumpJson(order),
                             .timeout = kLoadLimit});
    if (!answer.ok()) return {.kind = Kind::kBroken, .message = answer.error().message};
    if (answer->status == 200 || answer->status == 409) break;
    if (answer->status != 507) return {.kind = Kind::kRefused, .answer = *std::move(answer)};
    if (tries % kFreeTries == 0 && !UnloadOne(stop, host, port)) {
      return {.kind = Kind::kRefused, .answer = *std::move(answer)};
    }
    std::this_thread::sleep_for(kFreeWait);
  }
  std::lock_guard lock(host.mutex);
  Touch(host, port, model);
  return {};
}

// The one that was used the longest time ago. False: there is none more.
bool ModelLoader::UnloadOne(const std::stop_token& stop, ModelHost& host, uint16_t port) {
  std::string model;
  {
    std::lock_guard lock(host.mutex);
    const auto oldest =
        std::min_element(host.loaded.begin(), host.loaded.end(),
                         [](const auto& a, const auto& b) { return a.second < b.second; });
    if (host.port != port || oldest == host.loaded.end()) return false;
    model = oldest->first;
    host.loaded.erase(oldest);
  }
  return Ask(stop, {.port = port, .method = "DELETE", .target = "/models/" + NameFor(model)}).ok();
}

}  // namespace bertie::cloud
