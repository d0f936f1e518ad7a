#include "cloud/async/async_queue.h"

#include <algorithm>
#include <utility>

#include "cloud/endpoints/invocation.h"
#include "cloud/s3/object_files.h"
#include "formats/json.h"

namespace bertie::cloud {
namespace {

using std::chrono::milliseconds;

// SageMaker's, of an input; the same for what comes back.
constexpr uint64_t kMaxAsyncBody = uint64_t{1} << 30;
// While something waits: for a server that starts, or has no place for one more.
constexpr milliseconds kLookAgain{50};
constexpr milliseconds kAskAgain{200};
constexpr std::chrono::seconds kExpiryEvery{1};
constexpr milliseconds kWriteAgain{1'000};
// A request by which servers end is not tried on each that is started again.
constexpr int kMaxBroken = 3;
// They wait for the disk.
constexpr int kWriters = 4;

// What a runtime's error says.
std::string MessageIn(const std::string& body) {
  const auto json = formats::ParseJson(body, "error");
  return json.ok() && json->is_object() ? json->value("Message", body) : body;
}

// The machine's fault, which may pass.
bool IsOurs(const Failure& failure) { return std::string_view(failure.code) == "InternalError"; }

}  // namespace

AsyncQueue::AsyncQueue(AsyncContext context)
    : context_(std::move(context)), servers_({.limits = {.max_body_bytes = kMaxAsyncBody}}) {}

Outcome<std::unique_ptr<AsyncQueue>> AsyncQueue::Open(AsyncContext context) {
  std::unique_ptr<AsyncQueue> queue(new AsyncQueue(std::move(context)));
  auto kept = queue->context_.state.Read<std::vector<AsyncRequest>>(ReadAsyncRequests);
  if (!kept.ok()) return kept.error();
  for (AsyncRequest& request : *kept) {
    const std::string endpoint = request.endpoint;
    queue->waiting_[endpoint].push_back(std::make_shared<Job>(Job{.request = std::move(request)}));
  }
  if (!kept->empty()) {
    queue->context_.log(
        "asynchronous invocations that an earlier run accepted and has not answered: " +
        std::to_string(kept->size()));
  }
  AsyncQueue* self = queue.get();
  for (int i = 0; i < kWriters; ++i) {
    self->threads_.emplace_back([self](const std::stop_token& stop) { self->WriteAnswers(stop); });
  }
  self->threads_.emplace_back([self](const std::stop_token& stop) { self->Dispatch(stop); });
  return queue;
}

AsyncQueue::~AsyncQueue() {
  servers_.Stop();
  for (std::jthread& thread : threads_) thread.request_stop();
}

void AsyncQueue::Log(const AsyncRequest& request, const std::string& line) const {
  context_.log("endpoint " + request.endpoint + ": asynchronous invocation " +
               request.inference_id + ": " + line);
}

Done AsyncQueue::Accept(AsyncRequest request, const std::string& body) {
  Done kept = context_.state.Change<std::monostate>(
      [&](Database& database) { return InsertAsync(database, request, body); });
  if (!kept.ok()) return kept;
  std::lock_guard lock(mutex_);
  const std::string endpoint = request.endpoint;
  waiting_[endpoint].push_back(std::make_shared<Job>(Job{.request = std::move(request)}));
  wake_ = true;
  woken_.notify_one();
  return kept;
}

void AsyncQueue::Dispatch(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::vector<std::string> names;
    {
      std::unique_lock lock(mutex_);
      std::erase_if(waiting_, [](const auto& entry) { return entry.second.empty(); });
      const auto woken = [&] { return std::exchange(wake_, false); };
      if (waiting_.empty()) {
        woken_.wait(lock, stop, woken);
      } else {
        woken_.wait_for(lock, stop, kLookAgain, woken);
      }
      for (const auto& [name, jobs] : waiting_) names.push_back(name);
    }
    if (stop.stop_requested()) return;
    ExpireOld();
    for (const std::string& name : names) DispatchTo(name);
  }
}

// The first that may be asked now; it stays where it is.
AsyncQueue::JobPtr AsyncQueue::Next(const std::string& name) {
  const Clock::time_point now = Clock::now();
  std::lock_guard lock(mutex_);
  const std::deque<JobPtr>& jobs = waiting_[name];
  const auto found = std::find_if(jobs.begin(), jobs.end(),
                                  [&](const JobPtr& job) { return job->not_before <= now; });
  return found == jobs.end() ? nullptr : *found;
}

void AsyncQueue::Take(const JobPtr& job) {
  std::lock_guard lock(mutex_);
  std::deque<JobPtr>& jobs = waiting_[job->request.endpoint];
  jobs.erase(std::find(jobs.begin(), jobs.end(), job));
}

void AsyncQueue::DispatchTo(const std::string& name) {
  const std::shared_ptr<Endpoint> endpoint = context_.endpoints.Find(name);
  const auto plan = endpoint ? endpoint->plan() : nullptr;
  const bool deleting = !endpoint || endpoint->row().status == kDeleting;
  while (const JobPtr job = Next(name)) {
    if (deleting || endpoint->created() != job->request.endpoint_created) {
      Take(job);
      Fail(job, "the endpoint was deleted before the request was answered");
      continue;
    }
    const int64_t places = plan && plan->async ? plan->async->max_concurrent : 1;
    Choice choice = endpoint->routes().Choose("", nullptr, places);
    if (choice.fault != RouteFault::kNone) return;
    Take(job);
    Send(job, std::move(choice));
  }
}

void AsyncQueue::ExpireOld() {
  if (Clock::now() < next_expiry_) return;
  next_expiry_ = Clock::now() + kExpiryEvery;
  const Milliseconds now = Now();
  std::vector<JobPtr> old;
  {
    std::lock_guard lock(mutex_);
    for (auto& [name, jobs] : waiting_) {
      const auto first = std::stable_partition(
          jobs.begin(), jobs.end(), [&](const JobPtr& job) { return job->request.expires > now; });
      old.insert(old.end(), first, jobs.end());
      jobs.erase(first, jobs.end());
    }
  }
  for (JobPtr& job : old) Fail(std::move(job), "the request expired before it was processed");
}

// Failures: what the client is told.
Outcome<http::PoolRequest> AsyncQueue::RequestFor(const AsyncRequest& request) const {
  http::PoolRequest asked{.target = "/invocations",
                          .fields = request.fields,
                          .timeout = std::chrono::seconds(request.time_limit)};
  if (!request.input) {
    auto body = context_.state.Read<std::string>(
        [&](Database& database) { return ReadAsyncBody(database, request.id); });
    if (!body.ok()) return body.error();
    asked.body = *std::move(body);
    return asked;
  }
  auto object = context_.store.Find(request.input->bucket, request.input->key);
  if (!object.ok()) return object.error();
  if (object->size > kMaxAsyncBody) {
    return Failure("ValidationError", "it has " + std::to_string(object->size) +
                                          " bytes; the limit is " + std::to_string(kMaxAsyncBody));
  }
  auto content = context_.store.Read(*object, 0, object->size);
  if (!content.ok()) return content.error();
  asked.body = std::move(content->bytes);
  asked.files = std::move(content->files);
  return asked;
}

void AsyncQueue::Send(JobPtr job, Choice choice) {
  auto request = RequestFor(job->request);
  if (!request.ok()) {
    if (IsOurs(request.error())) return AskAgain(job, kWriteAgain);
    const AsyncRequest& kept = job->request;
    return Fail(std::move(job), (kept.input ? kept.input->Text() : "the request's body") + ": " +
                                    request.error().message);
  }
  job->lease = std::move(choice.lease);
  request->port = choice.port;
  servers_.Send(*std::move(request), [this, job](Result<http::ClientAnswer> answer) {
    OnAnswer(job, std::move(answer));
  });
}

// On the pool's thread.
void AsyncQueue::OnAnswer(const JobPtr& job, Result<http::ClientAnswer> answer) {
  // The process ends: the next one asks again.
  if (!answer.ok() && answer.error().code == ErrorCode::kCancelled) return;
  if (!answer.ok() && answer.error().code == ErrorCode::kIo) ++job->broken;
  const InvocationNames names{context_.settings, job->request.endpoint, job->lease->variant()};
  http::Response response = InvocationAnswer(std::move(answer), names);
  if (response.status == 503 && job->broken < kMaxBroken) return AskAgain(job, kAskAgain);
  if (response.status != 200) return Fail(job, MessageIn(response.body));
  Give({job, true, std::move(response.body), std::move(response.content_type)});
}

void AsyncQueue::AskAgain(const JobPtr& job, milliseconds wait) {
  job->lease.reset();
  job->not_before = Clock::now() + wait;
  std::lock_guard lock(mutex_);
  // In its place in the order, as far as that is still to be had.
  auto& jobs = waiting_[job->request.endpoint];
  const auto place = std::find_if(jobs.begin(), jobs.end(), [&](const JobPtr& other) {
    return other->request.id > job->request.id;
  });
  jobs.insert(place, job);
  wake_ = true;
  woken_.notify_one();
}

void AsyncQueue::Fail(JobPtr job, const std::string& why) {
  Log(job->request, why);
  // In JSON: SageMaker's SDK reads it as it would an answer.
  Give({std::move(job), false, formats::DumpJson({{"Message", why}}), "application/json"});
}

void AsyncQueue::Give(Answer answer) {
  std::lock_guard lock(mutex_);
  answers_.push_back(std::move(answer));
  answered_.notify_one();
}

// Told to stop, it still writes what there is.
void AsyncQueue::WriteAnswers(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (true) {
    answered_.wait(lock, stop, [&] { return !answers_.empty(); });
    if (answers_.empty()) return;
    Answer answer = std::move(answers_.front());
    answers_.pop_front();
    lock.unlock();
    WriteAnswer(std::move(answer));
    lock.lock();
  }
}

Done AsyncQueue::WriteObject(const Answer& answer, const S3Uri& target) {
  ObjectWriter writer(context_.store);
  BERTIE_RETURN_IF_ERROR(writer.Write(answer.text));
  return writer.Finish(target, answer.content_type, [&](Database& database) {
    return DeleteAsync(database, answer.job->request.id);
  });
}

void AsyncQueue::WriteAnswer(Answer answer) {
  const AsyncRequest& request = answer.job->request;
  if (!answer.good && !request.failure) return Forget(request);
  const S3Uri& target = answer.good ? request.output : *request.failure;
  Done done = WriteObject(answer, target);
  if (done.ok()) {
    // A server has a place again.
    answer.job->lease.reset();
    std::lock_guard lock(mutex_);
    wake_ = true;
    return woken_.notify_one();
  }
  const std::string why = target.Text() + " cannot be written: " + done.error().message;
  if (!IsOurs(done.error()) && answer.good) return Fail(answer.job, why);
  Log(request, why);
  if (!IsOurs(done.error())) return Forget(request);
  // A full disk: the request stays, and is asked again once there may be room.
  AskAgain(answer.job, kWriteAgain);
}

// Of one that nobody can be told about.
void AsyncQueue::Forget(const AsyncRequest& request) {
  const Done done = context_.state.Change<std::monostate>(
      [&](Database& database) { return DeleteAsync(database, request.id); });
  if (!done.ok()) Log(request, done.error().message);
}

}  // namespace bertie::cloud
