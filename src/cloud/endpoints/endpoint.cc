#include "cloud/endpoints/endpoint.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/hmac.h"
#include "cloud/folders.h"

namespace bertie::cloud {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

constexpr milliseconds kBusyTick{10};
constexpr milliseconds kIdleTick{100};
// The process has to end soon after its signal.
constexpr std::chrono::seconds kEndLimit{3};
constexpr size_t kMaxReason = 1024;

uint64_t Seed() {
  uint64_t seed = 0;
  const Digest256 bytes = RandomBytes32();
  std::memcpy(&seed, bytes.data(), sizeof(seed));
  return seed;
}

// serves: the endpoint goes on with what it had.
std::string Unreadable(const Error& error, bool serves) {
  return "InternalServerError: " + error.message.substr(0, kMaxReason - 128) +
         (serves ? "; update the endpoint again" : "; delete the endpoint, and create it again");
}

}  // namespace

Endpoint::Endpoint(EndpointContext& context, EndpointRow row, bool found)
    : context_(context),
      name_(row.name),
      created_(row.created),
      found_(found),
      routes_(Seed()),
      row_(std::move(row)) {
  if (found_ && !row_.current.empty() && row_.status != kDeleting) TakeOver();
  thread_ = std::jthread([this](const std::stop_token& stop) { Run(stop); });
}

Endpoint::~Endpoint() { BeginEnd(); }

EndpointRow Endpoint::row() const {
  std::lock_guard lock(mutex_);
  return row_;
}

std::string Endpoint::Field(std::string EndpointRow::*text) const {
  std::lock_guard lock(mutex_);
  return row_.*text;
}

std::shared_ptr<const EndpointPlan> Endpoint::plan() const {
  std::lock_guard lock(plan_mutex_);
  return plan_;
}

std::vector<Endpoint::VariantState> Endpoint::variants() const {
  std::lock_guard lock(mutex_);
  return variants_;
}

Done Endpoint::Write(const EndpointRow& row) {
  return context_.state.Change<std::monostate>(
      [&](Database& database) { return WriteEndpoint(database, row); });
}

void Endpoint::Save(const std::function<void(EndpointRow&)>& change) {
  std::lock_guard lock(mutex_);
  change(row_);
  row_.modified = Now();
  const Done done = Write(row_);
  if (!done.ok()) Log("its state could not be kept: " + done.error().message);
}

Done Endpoint::Take(EndpointRow changed) {
  changed.modified = Now();
  if (Done done = Write(changed); !done.ok()) return done;
  row_ = std::move(changed);
  changed_.notify_all();
  return std::monostate();
}

Done Endpoint::Update(const std::string& refusal, const std::function<Done(EndpointRow&)>& change) {
  std::lock_guard lock(mutex_);
  if (row_.status != kInService) return Failure("ValidationException", refusal);
  EndpointRow changed = row_;
  if (Done done = change(changed); !done.ok()) return done;
  changed.status = kUpdating;
  changed.failure.clear();
  return Take(std::move(changed));
}

Done Endpoint::Delete(const std::string& refusal) {
  std::lock_guard lock(mutex_);
  if (row_.status != kInService && row_.status != kFailed) {
    return Failure("ValidationException", refusal);
  }
  EndpointRow changed = row_;
  changed.status = kDeleting;
  return Take(std::move(changed));
}

std::unique_ptr<Deployment> Endpoint::Make(EndpointPlan plan, bool served_before) {
  Deployment::Options options{
      .label = "endpoint " + name_,
      .folder = context_.folder / name_ / plan.id,
      .log_file = [&logs = context_.logs, name = name_, id = plan.id](
                      const std::string& variant,
                      size_t number) { return logs.FileOf(name, id, variant, number); },
      .served_before = served_before,
      .log = context_.log,
      .close_connections = [&servers =
                                context_.servers](uint16_t port) { servers.CloseIdle(port); }};
  return std::make_unique<Deployment>(std::move(options), std::move(plan));
}

// Of an earlier process, before the thread begins.
void Endpoint::TakeOver() {
  auto plan = ParsePlan(row_.current);
  if (plan.ok()) {
    // An earlier process that could not read what this one can, as an older version.
    if (row_.status == kFailed) {
      Save([](EndpointRow& row) {
        row.status = kInService;
        row.failure.clear();
      });
    }
    current_ = Make(*std::move(plan), true);
    // Its servers are not there yet, but who asks for it learns that it is one, and comes again.
    PublishPlan();
    routes_.Replace(current_->MakeRoutes());
    return;
  }
  const std::string reason = Unreadable(plan.error(), false);
  if (row_.status == kFailed && row_.failure == reason) return;
  Log("failed: " + reason);
  Save([&](EndpointRow& row) {
    row.failure = reason;
    // A target may still come to serve.
    if (row.target.empty()) row.status = kFailed;
  });
}

void Endpoint::Run(const std::stop_token& stop) {
  Resume();
  while (!stop.stop_requested() && !gone_) {
    Step();
    std::unique_lock lock(mutex_);
    const std::string status = row_.status;
    changed_.wait_for(lock, stop, Busy() ? kBusyTick : kIdleTick,
                      [&] { return row_.status != status; });
  }
  if (!gone_) End();
}

bool Endpoint::Busy() const {
  return next_ != nullptr || !retired_.empty() || (current_ && !current_->ready());
}

// What an earlier process left of it.
void Endpoint::Resume() {
  if (!current_) return;
  if (Done done = current_->Prepare(context_.store, true); !done.ok()) {
    // Each worker's own start will say so too, and be tried again.
    Log("cannot be started again: " + done.error().message);
  }
}

void Endpoint::Step() {
  if (current_) current_->Tick();
  std::erase_if(retired_, [](Retired& retired) { return retired.Tick(); });
  const std::string status = Field(&EndpointRow::status);
  if (status == kDeleting) return StepDeleting();
  if (status == kRollingBack && retired_.empty()) {
    Save([](EndpointRow& changed) { changed.status = kInService; });
  } else if (status == kCreating || status == kUpdating) {
    StepTarget();
  }
  Publish();
}

void Endpoint::BeginTarget() {
  auto plan = ParsePlan(Field(&EndpointRow::target));
  if (!plan.ok()) return GiveUpTarget(Unreadable(plan.error(), current_ != nullptr));
  if (current_ && plan->id == current_->plan().id) {
    before_resizing_ = current_->plan();
    return current_->Apply(*plan);
  }
  next_ = Make(*std::move(plan), false);
  const Done done = next_->Prepare(context_.store, found_);
  if (!done.ok()) GiveUpTarget(std::string(done.error().code) + ": " + done.error().message);
}

void Endpoint::StepTarget() {
  if (!next_ && !before_resizing_) {
    // A worker's folder is not used again before its last one has left it.
    if (retired_.empty()) BeginTarget();
    return;
  }
  Deployment& target = next_ ? *next_ : *current_;
  if (next_) next_->Tick();
  if (const auto reason = target.failure()) return GiveUpTarget(*reason);
  if (target.ready()) SwitchToTarget();
}

// The one moment at which requests change over: those that were taken before are still answered by
// the workers that took them.
void Endpoint::SwitchToTarget() {
  routes_.Replace(next_ ? next_->MakeRoutes() : current_->MakeRoutes());
  if (before_resizing_) {
    retired_.push_back(current_->Shrink());
    before_resizing_.reset();
  } else {
    if (current_) retired_.push_back(current_->Retire());
    current_ = std::move(next_);
  }
  PublishPlan();
  Publish();
  Save([](EndpointRow& row) {
    row.current = std::exchange(row.target, "");
    row.status = kInService;
    row.failure.clear();
  });
  Log("in service with " + current_->plan().config);
}

void Endpoint::GiveUpTarget(const std::string& reason) {
  Log("failed: " + reason);
  if (before_resizing_) {
    current_->Apply(*before_resizing_);
    before_resizing_.reset();
    retired_.push_back(current_->Shrink());
  } else if (next_) {
    retired_.push_back(next_->Retire());
    next_.reset();
  }
  Save([&](EndpointRow& row) {
    row.target.clear();
    row.failure = reason.substr(0, kMaxReason);
    row.status = current_ ? kRollingBack : kFailed;
  });
}

void Endpoint::StepDeleting() {
  routes_.Replace({});
  for (auto* deployment : {&current_, &next_}) {
    if (*deployment) retired_.push_back((*deployment)->Retire());
    deployment->reset();
  }
  PublishPlan();
  if (!retired_.empty()) return;
  // What an earlier process left and this one has not taken over.
  const fs::path folder = context_.folder / name_;
  for (const fs::path& deployment : FoldersIn(folder)) RemoveDeployment(deployment);
  std::error_code ignored;
  fs::remove_all(folder, ignored);
  const Done done = context_.state.Change<std::monostate>(
      [&](Database& database) { return DeleteEndpointRow(database, name_); });
  if (!done.ok()) return Log("cannot be deleted: " + done.error().message);
  gone_ = true;
  Log("deleted");
}

// The process ends.
void Endpoint::End() {
  routes_.Replace({});
  for (auto* deployment : {&current_, &next_}) {
    if (!*deployment) continue;
    // Their folders stay for the next process.
    retired_.push_back((*deployment)->Retire(false));
    deployment->reset();
  }
  const auto limit = std::chrono::steady_clock::now() + kEndLimit;
  bool killed = false;
  while (!retired_.empty()) {
    std::erase_if(retired_, [](Retired& retired) { return retired.Tick(); });
    if (!killed && std::chrono::steady_clock::now() > limit) {
      killed = true;
      for (Retired& retired : retired_) retired.Kill();
    }
    std::this_thread::sleep_for(kBusyTick);
  }
}

void Endpoint::PublishPlan() {
  auto plan = current_ ? std::make_shared<const EndpointPlan>(current_->plan()) : nullptr;
  std::lock_guard lock(plan_mutex_);
  plan_ = std::move(plan);
}

void Endpoint::Publish() {
  std::vector<VariantState> states;
  const std::string target = Field(&EndpointRow::target);
  const auto wanted = target.empty() ? Result<EndpointPlan>(EndpointPlan()) : ParsePlan(target);
  const std::vector<VariantPlan> none;
  for (const VariantPlan& plan : current_ ? current_->plan().variants : none) {
    VariantState state{.name = plan.name,
                       .image = plan.container.image,
                       .current_weight = plan.weight,
                       .desired_weight = plan.weight,
                       .current_count = current_->ReadyWorkers(plan.name),
                       .desired_count = plan.count};
    for (const VariantPlan& next : wanted.ok() ? wanted->variants : none) {
      if (next.name != plan.name) continue;
      state.desired_weight = next.weight;
      state.desired_count = next.count;
    }
    states.push_back(std::move(state));
  }
  std::lock_guard lock(mutex_);
  variants_ = std::move(states);
}

}  // namespace bertie::cloud
