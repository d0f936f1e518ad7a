// Asynchronous invocations, from their acceptance to the object that answers each.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "cloud/async/async_rows.h"
#include "cloud/endpoints/endpoints.h"
#include "cloud/s3/object_store.h"
#include "cloud/settings.h"
#include "cloud/state.h"
#include "http/client_pool.h"

namespace bertie::cloud {

// What the queue works with. Must outlive it.
struct AsyncContext {
  const Settings& settings;
  State& state;
  ObjectStore& store;
  const Endpoints& endpoints;
  std::function<void(std::string_view)> log;
};

// Any thread. A request leaves its row in the transaction that writes its output or its failure:
// whenever the process is killed, each accepted request is answered, and once. A server may be
// asked more than once.
class AsyncQueue {
 public:
  // Goes on with what an earlier process accepted.
  static Outcome<std::unique_ptr<AsyncQueue>> Open(AsyncContext context);
  // Requests that are not answered stay for the next process.
  ~AsyncQueue();

  // The request is kept when this returns. body: of one without input.
  Done Accept(AsyncRequest request, const std::string& body);

 private:
  using Clock = std::chrono::steady_clock;
  struct Job {
    AsyncRequest request;
    int broken = 0;                     // times that its server ended before it had answered
    Clock::time_point not_before = {};  // to be asked again
    std::unique_ptr<Lease> lease = {};  // while a server has it, and until its answer is written
  };
  using JobPtr = std::shared_ptr<Job>;
  // An answer on its way to its object.
  struct Answer {
    JobPtr job;
    bool good = false;
    std::string text;  // the output, or what went wrong
    std::string content_type;
  };

  explicit AsyncQueue(AsyncContext context);
  void Dispatch(const std::stop_token& stop);
  void DispatchTo(const std::string& name);
  JobPtr Next(const std::string& name);
  void Take(const JobPtr& job);
  void ExpireOld();
  void Send(JobPtr job, Choice choice);
  Outcome<http::PoolRequest> RequestFor(const AsyncRequest& request) const;
  void OnAnswer(const JobPtr& job, Result<http::ClientAnswer> answer);
  void AskAgain(const JobPtr& job, std::chrono::milliseconds wait);
  void Fail(JobPtr job, const std::string& why);
  void Give(Answer answer);

  void WriteAnswers(const std::stop_token& stop);
  void WriteAnswer(Answer answer);
  Done WriteObject(const Answer& answer, const S3Uri& target);
  void Forget(const AsyncRequest& request);
  void Log(const AsyncRequest& request, const std::string& line) const;

  AsyncContext context_;
  http::ClientPool servers_;
  std::mutex mutex_;  // guards all up to the threads
  std::condition_variable_any woken_;
  std::condition_variable_any answered_;
  bool wake_ = false;
  std::map<std::string, std::deque<JobPtr>> waiting_;  // by endpoint
  std::deque<Answer> answers_;
  Clock::time_point next_expiry_ = {};  // of the dispatcher
  std::vector<std::jthread> threads_;   // end first
};

}  // namespace bertie::cloud
