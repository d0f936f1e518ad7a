#include "cloud/endpoints/worker.h"

#include <algorithm>
#include <csignal>
#include <system_error>
#include <thread>
#include <utility>

#include "http/client.h"

namespace bertie::cloud {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;

// A program that ended is started again after this time, doubled each time until it has served
// without a break for kSteady.
constexpr milliseconds kFirstBackoff{100};
constexpr milliseconds kMaxBackoff{10'000};
constexpr seconds kSteady{30};
// While it loads a server is asked often, so that an endpoint is in service at once.
constexpr milliseconds kAskLoading{10};
constexpr milliseconds kAskServing{5'000};
constexpr int kMaxUnanswered = 3;
// SageMaker's containers have this long between SIGTERM and SIGKILL.
constexpr seconds kStopLimit{30};
// A program that was killed is waited for so long before its folder goes.
constexpr int kLastProgramMilliseconds = 2'000;
// The programs' folders in the worker's.
constexpr char kServeFolder[] = "serve";
constexpr char kAcceleratorFolder[] = "accelerator";

// What a process on this machine would be steered by, and a model's maker has no business with.
bool IsAllowed(const std::string& name) {
  return !name.starts_with("LD_") && !name.starts_with("BERTIE_CLOUD_") && name != "PATH" &&
         name != "HOME" && name != "TMPDIR";
}

bool Says(const VariantPlan& plan, const std::string& name) {
  return std::any_of(
      plan.container.environment.begin(), plan.container.environment.end(), [&](const auto& entry) {
        return entry.first == name && (entry.second == "1" || entry.second == "true");
      });
}

std::string Replaced(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = text.find(from); at != text.npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

}  // namespace

Worker::Worker(WorkerOptions options)
    : options_(std::move(options)),
      target_(std::make_shared<Target>(options_.models)),
      serve_(options_.folder / kServeFolder, options_.log_file),
      accelerator_(options_.folder / kAcceleratorFolder,
                   options_.folder / kAcceleratorFolder / "log"),
      served_(options_.served_before) {}

std::vector<std::string> Worker::Environment() const {
  std::vector<std::pair<std::string, std::optional<std::string>>> changes = {
      {"BERTIE_CLOUD_ACCESS_KEY_ID", std::nullopt},
      {"BERTIE_CLOUD_SECRET_ACCESS_KEY", std::nullopt},
      {"BERTIE_ACCELERATOR", std::nullopt},
      {"BERTIE_ACCELERATOR_TYPE", std::nullopt},
      {"BERTIE_API_KEY", std::nullopt},
      {"BERTIE_ADMIN_TOKEN", std::nullopt},
      {"SAGEMAKER_MULTI_MODEL", std::nullopt},
      {"SAGEMAKER_BIND_TO_PORT", std::nullopt}};
  for (const auto& [name, value] : options_.plan.container.environment) {
    if (IsAllowed(name)) changes.emplace_back(name, value);
  }
  changes.emplace_back("TMPDIR", (options_.folder / "tmp").string());
  if (has_accelerator()) changes.emplace_back("SAGEMAKER_INFERENCE_ACCELERATOR_PRESENT", "true");
  return ThisEnvironment(changes);
}

bool Worker::Adopt() {
  const bool serves = serve_.Adopt();
  // Where the server looks for it, whether it runs or not.
  if (has_accelerator() && (accelerator_.Adopt() || serves)) {
    accelerator_address_ = attached_ = accelerator_.address();
  }
  started_at_ = ask_at_ = Clock::now();
  if (serves) Log(" adopted, process " + std::to_string(serve_.pid()));
  return serves;
}

void Worker::EndLast(const fs::path& folder) {
  for (const char* program : {kServeFolder, kAcceleratorFolder}) {
    ChildProcess::KillLast(folder / program, kLastProgramMilliseconds);
  }
}

void Worker::Fail(const std::string& reason) {
  Log(": " + reason);
  if (!served_ && !failure_) failure_ = reason;
}

void Worker::Retry(Clock::time_point now) {
  backoff_ = std::clamp(backoff_ * 2, kFirstBackoff, kMaxBackoff);
  start_at_ = now + backoff_;
}

void Worker::Tick() {
  const auto now = Clock::now();
  if (stopping_) return TickStopping(now);
  if (failure_) return;
  if (has_accelerator() && !TickAccelerator(now)) return;
  if (const auto end = serve_.Poll()) return OnServeEnd(*end, now);
  if (reattaching_) {
    if (now >= kill_at_) serve_.Signal(SIGKILL);
  } else if (serve_.runs() && attached_ != accelerator_address_) {
    Reattach(now);
  } else if (serve_.runs()) {
    if (now >= ask_at_) AskServe(now);
  } else if (now >= start_at_) {
    StartServe(now);
  }
}

// True once there is an accelerator to attach to.
bool Worker::TickAccelerator(Clock::time_point now) {
  if (const auto end = accelerator_.Poll()) {
    Fail("ClientError: the accelerator ended with " + end->Text() + ": " +
         accelerator_.LastWords());
    // One that never listened: another program may have its port by now.
    if (accelerator_.address().empty()) accelerator_address_.clear();
    Retry(now);
  }
  if (failure_) return false;
  if (accelerator_.runs()) {
    if (accelerator_address_.empty()) accelerator_address_ = accelerator_.address();
    return !accelerator_address_.empty();
  }
  if (now < start_at_) return !accelerator_address_.empty();
  const std::string listen = accelerator_address_.empty() ? "127.0.0.1:0" : accelerator_address_;
  const Status started = accelerator_.Start(
      {kThisProgram, "accelerator", "--listen", listen, "--status-listen", "off", "--capacity",
       options_.plan.accelerator_type.substr(3), "--store", (options_.folder / "store").string(),
       "--address-file", accelerator_.address_file().string()},
      Environment());
  if (!started.ok()) {
    Fail("InternalServerError: " + started.error().message);
    Retry(now);
  }
  return false;
}

// Its accelerator is somewhere else than before, of which a server cannot be told.
void Worker::Reattach(Clock::time_point now) {
  Log(": the accelerator is at " + accelerator_address_ + ", the server is started again");
  target_->port = 0;
  reattaching_ = true;
  kill_at_ = now + kStopLimit;
  serve_.Signal(SIGTERM);
}

void Worker::StartServe(Clock::time_point now) {
  std::error_code error;
  fs::remove_all(options_.folder / "tmp", error);
  fs::create_directories(options_.folder / "tmp", error);
  std::vector<std::string> arguments = {
      kThisProgram, "serve",          options_.models ? "--multi-model" : options_.model.string(),
      "--host",     "127.0.0.1",      "--port",
      "0",          "--address-file", serve_.address_file().string()};
  const auto threads = static_cast<int64_t>(std::max(1U, std::thread::hardware_concurrency()));
  if (options_.plan.count > 1) {
    arguments.insert(
        arguments.end(),
        {"--threads", std::to_string(std::max<int64_t>(1, threads / options_.plan.count))});
  }
  const auto& flags = options_.plan.serve_flags;
  arguments.insert(arguments.end(), flags.begin(), flags.end());
  if (has_accelerator()) {
    attached_ = accelerator_address_;
    arguments.insert(arguments.end(), {"--accelerator", accelerator_address_, "--accelerator-type",
                                       options_.plan.accelerator_type});
    if (!Says(options_.plan, "BERTIE_ACCELERATOR_FALLBACK")) {
      arguments.emplace_back("--no-fallback");
    }
  }
  const Status started = serve_.Start(std::move(arguments), Environment());
  started_at_ = ask_at_ = now;
  unanswered_ = 0;
  if (!started.ok()) {
    Fail("InternalServerError: " + started.error().message);
    return Retry(now);
  }
  if (served_) Log(" started again, process " + std::to_string(serve_.pid()));
}

void Worker::OnServeEnd(const ChildExit& end, Clock::time_point now) {
  if (std::exchange(reattaching_, false)) {
    start_at_ = now;
    return;
  }
  const bool was_ready = ready();
  target_->port = 0;
  // By the name that the user knows.
  const std::string words =
      Replaced(serve_.LastWords(), options_.model.string(), options_.plan.container.data_url);
  if (end.kind == ChildExit::Kind::kExited) {
    Fail("ClientError: " + words);
  } else {
    Fail("InternalServerError: the server ended with " + end.Text() + ": " + words);
  }
  if (was_ready && now - started_at_ > kSteady) backoff_ = milliseconds(0);
  Retry(now);
}

void Worker::AskServe(Clock::time_point now) {
  ask_at_ = now + (ready() ? kAskServing : kAskLoading);
  const std::string address = serve_.address();
  auto url = http::ParseUrl("http://" + address);
  bool answered = false;
  bool good = false;
  if (!address.empty() && url.ok()) {
    http::Client client(
        *url, {.connect_timeout = milliseconds(1'000), .io_timeout = milliseconds(2'000)});
    const auto answer = client.Send({.method = "GET", .target = "/ping"});
    answered = answer.ok();
    good = answered && answer->status == 200;
  }
  if (good && !ready()) {
    served_ = true;
    target_->port = url->port;
    ask_at_ = now + kAskServing;
  }
  if (answered) unanswered_ = 0;
  if (ready()) {
    // One that has stopped to answer is started again; one that says no by itself knows why.
    if (answered || ++unanswered_ < kMaxUnanswered) return;
    Log(": no answer to " + std::to_string(unanswered_) + " pings in a row");
    target_->port = 0;
    serve_.Signal(SIGKILL);
  } else if (now - started_at_ > options_.plan.startup_limit) {
    Fail("ClientError: no 200 from /ping within " +
         std::to_string(options_.plan.startup_limit.count()) + " s: " + serve_.LastWords());
    serve_.Signal(SIGKILL);
  }
}

void Worker::Stop() {
  if (std::exchange(stopping_, true)) return;
  if (const uint16_t port = target_->port.exchange(0); port != 0) {
    options_.close_connections(port);
  }
  kill_at_ = Clock::now() + kStopLimit;
  serve_.Signal(SIGTERM);
}

void Worker::Kill() {
  Stop();
  kill_at_ = Clock::now();
}

void Worker::TickStopping(Clock::time_point now) {
  static_cast<void>(accelerator_.Poll());
  if (serve_.Poll() || (!serve_.runs() && accelerator_.runs() && !accelerator_told_)) {
    accelerator_told_ = true;
    accelerator_.Signal(SIGTERM);  // nobody is attached any more
  }
  if (now < kill_at_ || std::exchange(killed_, true)) return;
  serve_.Signal(SIGKILL);
  accelerator_.Signal(SIGKILL);
}

}  // namespace bertie::cloud
