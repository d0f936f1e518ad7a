// What `bertie bench` measures over HTTP: answers under load, and a cold start.
#include <sys/prctl.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cmath>
#include <latch>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "base/elapsed.h"
#include "base/figures.h"
#include "base/quote.h"
#include "cli/bench/bench.h"
#include "cli/bench/server.h"
#include "cli/output.h"
#include "data/random.h"
#include "http/client.h"

namespace bertie::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kDefaultSeconds = 10;
constexpr int kDefaultConcurrency = 32;
constexpr double kMostArrivals = 1e7;

struct LoadPlan {
  http::Url url;
  std::vector<std::string> bodies;  // sent in turn, again and again
  double seconds = 0;
  int connections = 1;
  // Seconds after the start at which requests are due, rising: an open loop. None: a closed loop,
  // in which every connection asks again as soon as it has its answer.
  std::vector<double> arrivals;
};

// What one connection has seen.
struct Tally {
  std::vector<double> latencies;  // ms
  int64_t errors = 0;
  std::string first_error;
  Clock::time_point last;  // when its last answer came
};

// One connection's requests. `next` hands the requests of the whole run to whoever is free: a
// request that finds no free connection goes out late, and its latency still counts from when it
// was due.
class Worker {
 public:
  Worker(const LoadPlan& plan, std::atomic<size_t>& next) : plan_(plan), next_(next) {}

  Status Connect() { return client_.Connect(); }

  Tally Run(Clock::time_point start) {
    // Else the kernel may wake this thread 50 microseconds late.
    prctl(PR_SET_TIMERSLACK, 1000UL);
    const bool open = !plan_.arrivals.empty();
    const auto end = start + std::chrono::duration_cast<Clock::duration>(
                                 std::chrono::duration<double>(plan_.seconds));
    for (bool asked = false;; asked = true) {
      const size_t number = next_.fetch_add(1);
      Clock::time_point due = Clock::now();
      if (open) {
        if (number >= plan_.arrivals.size()) break;
        due = start + std::chrono::duration_cast<Clock::duration>(
                          std::chrono::duration<double>(plan_.arrivals[number]));
        std::this_thread::sleep_until(due);
      } else if (asked && due >= end) {
        break;  // every client asks once, however short the time
      }
      Ask(number, due);
    }
    return std::move(tally_);
  }

 private:
  void Ask(size_t number, Clock::time_point due) {
    const auto answer = client_.Send({.method = "POST",
                                      .target = plan_.url.target,
                                      .content_type = "application/json",
                                      .body = plan_.bodies[number % plan_.bodies.size()]});
    tally_.last = Clock::now();
    if (answer.ok() && answer->status == 200) {
      tally_.latencies.push_back(InSeconds(tally_.last - due) * 1e3);
      return;
    }
    if (tally_.errors++ > 0) return;
    tally_.first_error =
        !answer.ok() ? answer.error().message
                     : "status " + std::to_string(answer->status) + ": " + Quote(answer->body, 200);
  }

  const LoadPlan& plan_;
  std::atomic<size_t>& next_;
  http::Client client_{plan_.url};
  Tally tally_;
};

LoadResult Summarise(const LoadPlan& plan, std::vector<Tally> tallies, Clock::time_point start) {
  LoadResult result;
  std::vector<double> latencies;
  Clock::time_point last = start;
  for (Tally& tally : tallies) {
    latencies.insert(latencies.end(), tally.latencies.begin(), tally.latencies.end());
    if (result.errors == 0) result.first_error = std::move(tally.first_error);
    result.errors += tally.errors;
    last = std::max(last, tally.last);
  }
  std::sort(latencies.begin(), latencies.end());
  const auto answered = static_cast<double>(latencies.size());
  // The last request of an open loop is due before the time is over.
  const double seconds = std::max(InSeconds(last - start), plan.seconds);
  result.url = "http://" + plan.url.Authority() + plan.url.target;
  result.concurrency = plan.connections;
  result.requests = static_cast<int64_t>(latencies.size()) + result.errors;
  result.requests_per_s = answered / seconds;
  result.p50 = Quantile(latencies, 0.5);
  result.p99 = Quantile(latencies, 0.99);
  result.p999 = Quantile(latencies, 0.999);
  result.maximum = latencies.empty() ? 0 : latencies.back();
  return result;
}

// A thread a connection: they wait most of the time, and blocking costs the fewest system calls.
Result<LoadResult> RunLoad(const LoadPlan& plan) {
  std::atomic<size_t> next{0};
  std::vector<std::unique_ptr<Worker>> workers;
  for (int i = 0; i < plan.connections; ++i) {
    workers.push_back(std::make_unique<Worker>(plan, next));
    BERTIE_RETURN_IF_ERROR(workers.back()->Connect());
  }
  std::vector<Tally> tallies(workers.size());
  std::latch ready(static_cast<std::ptrdiff_t>(workers.size())), go(1);
  Clock::time_point start;
  std::vector<std::thread> threads;
  for (size_t i = 0; i < workers.size(); ++i) {
    threads.emplace_back([&, i] {
      ready.count_down();
      go.wait();
      tallies[i] = workers[i]->Run(start);
    });
  }
  ready.wait();
  start = Clock::now();
  go.count_down();
  for (std::thread& thread : threads) thread.join();
  return Summarise(plan, std::move(tallies), start);
}

// A Poisson process: gaps between arrivals are exponential.
std::vector<double> PoissonArrivals(double rate, double seconds, uint64_t seed) {
  data::Random random(seed, 1);
  std::vector<double> arrivals;
  double time = 0;
  for (;;) {
    const double uniform = static_cast<double>(random.Next() >> 11) * 0x1p-53;  // [0, 1)
    time += -std::log1p(-uniform) / rate;
    if (time >= seconds && !arrivals.empty()) return arrivals;
    arrivals.push_back(time);
  }
}

Status RunOpenLoop(const BenchFlags& flags, LoadPlan plan, double rate, BenchReport& report) {
  if (rate * plan.seconds > kMostArrivals) {
    return Error{ErrorCode::kInvalidArgument, "--rate: found " + std::to_string(rate) +
                                                  "; expected at most " +
                                                  std::to_string(kMostArrivals / plan.seconds) +
                                                  " for " + FormatSeconds(plan.seconds)};
  }
  plan.connections = flags.connections;
  plan.arrivals = PoissonArrivals(rate, plan.seconds, flags.seed);
  BERTIE_ASSIGN_OR_RETURN(LoadResult result, RunLoad(plan));
  result.rate = rate;
  report.Add(result);
  return {};
}

// The number before a '%' that may follow.
double RateNumber(const std::string& text) {
  double number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

struct LoadRuns {
  std::vector<int> closed;  // concurrency of each; the first is what shares refer to
  std::vector<double> rates;
  std::vector<double> shares;
};

LoadRuns PlanRuns(const BenchFlags& flags) {
  LoadRuns runs{.closed = flags.concurrency, .rates = {}, .shares = {}};
  std::vector<std::string> rates = flags.rates;
  if (rates.empty() && flags.concurrency.empty()) rates = {"30%", "50%", "70%", "90%"};
  for (const std::string& rate : rates) {
    if (rate.ends_with('%')) {
      runs.shares.push_back(RateNumber(rate) / 100);
    } else {
      runs.rates.push_back(RateNumber(rate));
    }
  }
  if (runs.closed.empty() && !runs.shares.empty()) runs.closed = {kDefaultConcurrency};
  return runs;
}

std::vector<std::string> ServeArguments(const BenchFlags& flags) {
  std::vector<std::string> arguments = {flags.model};
  if (flags.threads > 0)
    arguments.insert(arguments.end(), {"--threads", std::to_string(flags.threads)});
  if (!flags.precision.empty()) {
    arguments.insert(arguments.end(), {"--precision", flags.precision});
  }
  const std::vector<std::string> source = SourceWords(flags.source);
  arguments.insert(arguments.end(), source.begin(), source.end());
  return arguments;
}

std::string RequestBody(const std::string& text) { return Dump(OrderedJson(text)); }

// Some requests that are not counted, so that caches are warm and faults show before a long run.
Status WarmUp(LoadPlan plan) {
  plan.connections = kDefaultConcurrency;
  plan.seconds = std::min(1.0, plan.seconds / 4);
  plan.arrivals.clear();
  BERTIE_ASSIGN_OR_RETURN(const LoadResult result, RunLoad(plan));
  if (result.requests > result.errors) return {};
  return Error{
      ErrorCode::kUnavailable,
      result.url + " answered no request with 200; the first error: " + result.first_error};
}

}  // namespace

std::string CheckRate(const std::string& text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view rest(end, static_cast<size_t>(text.data() + text.size() - end));
  const bool good = error == std::errc() && number > 0 && number <= 1e6 &&
                    (rest.empty() || (rest == "%" && number <= 1000));
  if (good) return "";
  return "found " + Quote(text) + "; expected requests a second, or a share such as 70%";
}

Status BenchLoad(const BenchFlags& flags, const std::vector<std::string>& texts,
                 BenchReport& report) {
  LoadPlan plan;
  plan.seconds = flags.seconds.value_or(kDefaultSeconds);
  for (const std::string& text : texts) plan.bodies.push_back(RequestBody(text));
  data::Random random(flags.seed);
  data::Shuffle(std::span(plan.bodies), random);
  std::unique_ptr<ServerProcess> server;
  if (flags.url.empty()) {
    BERTIE_ASSIGN_OR_RETURN(server, ServerProcess::Start(ServeArguments(flags)));
    plan.url = server->url();
  } else {
    BERTIE_ASSIGN_OR_RETURN(plan.url, http::ParseUrl(flags.url));
    if (plan.url.target == "/") plan.url.target = "/invocations";
  }
  BERTIE_RETURN_IF_ERROR(WarmUp(plan));

  LoadRuns runs = PlanRuns(flags);
  std::optional<double> capacity;
  for (const int concurrency : runs.closed) {
    plan.connections = concurrency;
    BERTIE_ASSIGN_OR_RETURN(const LoadResult result, RunLoad(plan));
    report.Add(result);
    if (!capacity) capacity = result.requests_per_s;
  }
  for (const double share : runs.shares) runs.rates.push_back(share * *capacity);
  for (const double rate : runs.rates) {
    if (!(rate > 0)) continue;  // a share of nothing answered
    BERTIE_RETURN_IF_ERROR(RunOpenLoop(flags, plan, rate, report));
  }
  return {};
}

Status BenchColdStart(const BenchFlags& flags, const std::vector<std::string>& texts,
                      BenchReport& report) {
  const std::string body = RequestBody(texts.front());
  std::vector<double> times;
  for (int i = 0; i < flags.runs; ++i) {
    const auto start = Clock::now();
    BERTIE_ASSIGN_OR_RETURN(const std::unique_ptr<ServerProcess> server,
                            ServerProcess::Start(ServeArguments(flags)));
    http::Client client(server->url());
    BERTIE_ASSIGN_OR_RETURN(const http::ClientAnswer answer,
                            client.Send({.method = "POST",
                                         .target = server->url().target,
                                         .content_type = "application/json",
                                         .body = body}));
    times.push_back(SecondsSince(start) * 1e3);
    if (answer.status != 200) {
      return Error{ErrorCode::kInternal, "the server's first answer was " +
                                             std::to_string(answer.status) + ": " +
                                             Quote(answer.body, 200)};
    }
  }
  std::sort(times.begin(), times.end());
  report.Add(ColdStartResult{.runs = flags.runs,
                             .minimum = times.front(),
                             .median = times[times.size() / 2],
                             .maximum = times.back()});
  return {};
}

}  // namespace bertie::cli
