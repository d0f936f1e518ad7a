#include "cloud/endpoints/deployment.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "cloud/folders.h"

namespace bertie::cloud {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

// An invocation takes no longer than its time limit of 60 s.
constexpr std::chrono::seconds kDrainLimit{65};

// The folders of a variant's workers that have this number or a higher one.
std::vector<fs::path> WorkersFrom(const fs::path& variant, int64_t first) {
  std::vector<fs::path> workers;
  for (fs::path& folder : FoldersIn(variant)) {
    const std::string name = folder.filename().string();
    const bool number =
        name.size() < 6 && name.find_first_not_of("0123456789") == std::string::npos;
    if (number && std::stoll(name) >= first) workers.push_back(std::move(folder));
  }
  return workers;
}

}  // namespace

void Retired::Add(std::unique_ptr<Worker> worker) { workers_.push_back(std::move(worker)); }

void Retired::Add(std::shared_ptr<ModelCache> models) { models_.push_back(std::move(models)); }

bool Retired::Tick() {
  const auto now = Clock::now();
  if (cut_off_ == Clock::time_point()) cut_off_ = now + kDrainLimit;
  for (const auto& worker : workers_) {
    if (worker->target()->outstanding == 0 || now >= cut_off_) worker->Stop();
    worker->Tick();
  }
  std::erase_if(workers_, [](const auto& worker) { return worker->stopped(); });
  if (!workers_.empty()) return false;
  std::erase_if(models_, [](const auto& models) { return models->Close(); });
  if (!models_.empty()) return false;
  std::error_code ignored;
  if (!folder_.empty()) fs::remove_all(folder_, ignored);
  return true;
}

void Retired::CutOff() { cut_off_ = Clock::now(); }

void Retired::Kill() {
  for (const auto& worker : workers_) worker->Kill();
}

Deployment::Deployment(Options options, EndpointPlan plan)
    : options_(std::move(options)), plan_(std::move(plan)), variants_(plan_.variants.size()) {
  for (size_t i = 0; i < variants_.size(); ++i) AddWorkers(i);
}

fs::path Deployment::FolderOf(const VariantPlan& plan) const { return options_.folder / plan.name; }

void Deployment::AddWorkers(size_t index) {
  const VariantPlan& plan = plan_.variants[index];
  auto& workers = variants_[index].workers;
  std::shared_ptr<ModelCache>& models = variants_[index].models;
  const auto place = ParseS3Url(plan.container.data_url);
  if (plan.container.multi_model && place && !models) {
    models = std::make_shared<ModelCache>(FolderOf(plan) / "data",
                                          static_cast<uint64_t>(plan.volume_gb) << 30);
  }
  while (static_cast<int64_t>(workers.size()) < plan.count) {
    const std::string number = std::to_string(workers.size());
    workers.push_back(std::make_unique<Worker>(
        WorkerOptions{.label = options_.label + ": " + plan.name + "/" + number,
                      .folder = FolderOf(plan) / number,
                      .model = ModelDataPath(plan.container, FolderOf(plan) / "data"),
                      .models = models ? std::make_shared<ModelHost>(*place, models) : nullptr,
                      .plan = plan,
                      .log_file = options_.log_file(plan.name, workers.size()),
                      .served_before = options_.served_before,
                      .log = options_.log,
                      .close_connections = options_.close_connections}));
  }
}

// What a process left that was killed while it took workers away.
void Deployment::RemoveSurplus(const VariantPlan& plan) const {
  for (const fs::path& folder : WorkersFrom(FolderOf(plan), plan.count)) {
    Worker::EndLast(folder);
    std::error_code ignored;
    fs::remove_all(folder, ignored);
  }
}

Done Deployment::Prepare(const ObjectStore& store, bool adopt) {
  // All of them before anything is fetched, which may fail.
  std::vector<bool> adopted(variants_.size());
  for (size_t i = 0; adopt && i < variants_.size(); ++i) {
    RemoveSurplus(plan_.variants[i]);
    for (const auto& worker : variants_[i].workers) {
      if (worker->Adopt()) adopted[i] = true;
    }
  }
  for (size_t i = 0; i < variants_.size(); ++i) {
    if (adopted[i]) continue;
    const VariantPlan& plan = plan_.variants[i];
    const fs::path data = FolderOf(plan) / "data";
    Done fetched = FetchModelData(store, plan.container, data);
    std::error_code ignored;
    // An endpoint goes on with what it has where the artifact is not to be had any more.
    if (!fetched.ok() && !(adopt && fs::exists(ModelDataPath(plan.container, data), ignored))) {
      return fetched;
    }
  }
  return std::monostate();
}

void Deployment::Tick() {
  for (const Variant& variant : variants_) {
    for (const auto& worker : variant.workers) worker->Tick();
  }
}

bool Deployment::ready() const {
  return std::all_of(variants_.begin(), variants_.end(), [](const Variant& variant) {
    return std::all_of(variant.workers.begin(), variant.workers.end(),
                       [](const auto& worker) { return worker->ready(); });
  });
}

std::optional<std::string> Deployment::failure() const {
  for (const Variant& variant : variants_) {
    for (const auto& worker : variant.workers) {
      if (worker->failure()) return worker->failure();
    }
  }
  return std::nullopt;
}

void Deployment::Apply(const EndpointPlan& plan) {
  for (const VariantPlan& wanted : plan.variants) {
    for (size_t i = 0; i < variants_.size(); ++i) {
      if (plan_.variants[i].name != wanted.name) continue;
      plan_.variants[i].weight = wanted.weight;
      plan_.variants[i].count = wanted.count;
      AddWorkers(i);
    }
  }
}

Retired Deployment::Shrink() {
  Retired retired;
  for (size_t i = 0; i < variants_.size(); ++i) {
    auto& workers = variants_[i].workers;
    while (static_cast<int64_t>(workers.size()) > plan_.variants[i].count) {
      retired.Add(std::move(workers.back()));
      workers.pop_back();
    }
  }
  return retired;
}

Retired Deployment::Retire(bool with_folder) {
  Retired retired(with_folder ? options_.folder : fs::path());
  for (Variant& variant : variants_) {
    for (auto& worker : variant.workers) retired.Add(std::move(worker));
    variant.workers.clear();
    if (variant.models) retired.Add(std::move(variant.models));
  }
  return retired;
}

std::vector<Route> Deployment::MakeRoutes() const {
  std::vector<Route> routes;
  for (size_t i = 0; i < variants_.size(); ++i) {
    const VariantPlan& plan = plan_.variants[i];
    Route route{.variant = plan.name, .weight = plan.weight, .routing = plan.routing};
    const auto count = std::min(variants_[i].workers.size(), static_cast<size_t>(plan.count));
    for (size_t n = 0; n < count; ++n) {
      route.targets.push_back(variants_[i].workers[n]->target());
    }
    routes.push_back(std::move(route));
  }
  return routes;
}

int64_t Deployment::ReadyWorkers(const std::string& variant) const {
  for (size_t i = 0; i < variants_.size(); ++i) {
    if (plan_.variants[i].name != variant) continue;
    const auto& workers = variants_[i].workers;
    return std::count_if(workers.begin(), workers.end(),
                         [](const auto& worker) { return worker->ready(); });
  }
  return 0;
}

void EndDeployment(const fs::path& folder) {
  for (const fs::path& variant : FoldersIn(folder)) {
    for (const fs::path& worker : WorkersFrom(variant, 0)) Worker::EndLast(worker);
  }
}

void RemoveDeployment(const fs::path& folder) {
  EndDeployment(folder);
  std::error_code ignored;
  fs::remove_all(folder, ignored);
}

}  // namespace bertie::cloud
