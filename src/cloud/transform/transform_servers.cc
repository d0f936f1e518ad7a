#include "cloud/transform/transform_servers.h"

#include <system_error>
#include <thread>
#include <utility>

#include "base/quote.h"

namespace bertie::cloud {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kStartingTick{10};
constexpr milliseconds kMoment{50};
constexpr milliseconds kTryAgain{500};
// Lines are requests of their own, which the server computes together.
constexpr int64_t kLinesAtOnce = 64;
// Servers that end are started again; for so long.
constexpr std::chrono::seconds kGiveUp{480};
// They have nothing to do any more.
constexpr std::chrono::seconds kServersEndLimit{3};
constexpr size_t kShownBody = 400;

}  // namespace

int64_t PlacesFor(const TransformRequest& job) {
  return job.form() == RecordForm::kAsIs ? job.concurrent : kLinesAtOnce;
}

TransformServers::TransformServers(Options options, const EndpointPlan& plan)
    : options_(std::move(options)), deployment_(options_.deployment, plan), routes_(1) {}

TransformServers::~TransformServers() { dropped_.request_stop(); }

Done TransformServers::Start(const ObjectStore& store, bool adopt,
                             const std::function<bool()>& go_on) {
  if (Done done = deployment_.Prepare(store, adopt); !done.ok()) return done;
  routes_.Replace(deployment_.MakeRoutes());
  while (go_on()) {
    deployment_.Tick();
    // The reason has its kind in front already.
    if (const auto failure = deployment_.failure()) return Failure("", *failure);
    if (deployment_.ready()) break;
    std::this_thread::sleep_for(kStartingTick);
  }
  ready_at_ = Clock::now();
  return std::monostate();
}

void TransformServers::End() {
  dropped_.request_stop();
  routes_.Replace({});
  Retired retired = deployment_.Retire(false);
  retired.CutOff();
  const Clock::time_point limit = Clock::now() + kServersEndLimit;
  while (!retired.Tick()) {
    if (Clock::now() > limit) retired.Kill();
    std::this_thread::sleep_for(kStartingTick);
  }
}

std::vector<http::Field> TransformServers::FieldsFor() const {
  std::vector<http::Field> fields;
  const TransformRequest& job = options_.job;
  const bool lines = job.form() != RecordForm::kAsIs;
  const std::string type = lines ? "application/json" : job.content_type;
  if (!type.empty()) fields.push_back({"Content-Type", type});
  const std::string accept = job.accept_field();
  if (!accept.empty()) fields.push_back({"Accept", accept});
  return fields;
}

void TransformServers::Ask(const std::shared_ptr<TransformTask>& task) {
  if (task->state != TransformTask::State::kWaiting || task->not_before > Clock::now()) return;
  Choice choice = routes_.Choose("", nullptr, PlacesFor(options_.job));
  if (choice.fault != RouteFault::kNone) return;
  task->lease = std::move(choice.lease);
  task->state = TransformTask::State::kAsked;
  options_.pool.Send({.port = choice.port,
                      .target = "/invocations",
                      .fields = FieldsFor(),
                      .body = task->request.body,
                      .timeout = options_.job.time_limit,
                      .cancelled = dropped_.get_token()},
                     [mailbox = mailbox_, task](Result<http::ClientAnswer> answer) {
                       std::lock_guard lock(mailbox->mutex);
                       task->answer = std::move(answer);
                       mailbox->any = true;
                       mailbox->came.notify_one();
                     });
}

void TransformServers::Settle(TransformTask& task) {
  if (task.state != TransformTask::State::kAsked) return;
  std::unique_lock lock(mailbox_->mutex);
  if (!task.answer) return;
  lock.unlock();  // nobody else touches it any more
  task.lease.reset();
  const Result<http::ClientAnswer>& answer = *task.answer;
  if (answer.ok() && answer->status >= 200 && answer->status <= 299) {
    task.state = TransformTask::State::kGood;
    return;
  }
  task.fault = answer.ok() ? "the server answered " + std::to_string(answer->status) + ": " +
                                 Quote(answer->body, kShownBody)
                           : answer.error().message;
  // Where nothing was sent nothing was tried.
  if (answer.ok() || answer.error().code != ErrorCode::kUnavailable) ++task.tries;
  const bool again = (!answer.ok() || answer->status >= 500) && task.tries <= options_.job.retries;
  task.state = again ? TransformTask::State::kWaiting : TransformTask::State::kBad;
  task.not_before = Clock::now() + kTryAgain;
  task.answer.reset();
}

void TransformServers::Wait() {
  deployment_.Tick();
  if (deployment_.ready()) ready_at_ = Clock::now();
  std::unique_lock lock(mailbox_->mutex);
  mailbox_->came.wait_for(lock, kMoment, [&] { return mailbox_->any; });
  mailbox_->any = false;
}

std::optional<std::string> TransformServers::failure() const {
  if (Clock::now() - ready_at_ < kGiveUp) return std::nullopt;
  return "InternalServerError: the job's servers have not answered for " +
         std::to_string(kGiveUp.count()) + " s";
}

}  // namespace bertie::cloud
