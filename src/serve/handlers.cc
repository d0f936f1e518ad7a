#include "serve/handlers.h"

#include <utility>

#include "formats/json.h"
#include "serve/negotiation.h"

namespace bertie::serve {
namespace {

using http::Refusal;
using http::Request;
using http::RequestHead;
using http::Response;
using Clock = std::chrono::steady_clock;

constexpr std::string_view kInvocations = "/invocations";

struct Route {
  std::string_view path;
  std::string_view allow;
};

constexpr Route kRoutes[] = {{"/ping", "GET, HEAD, OPTIONS"},
                             {"/health", "GET, HEAD, OPTIONS"},
                             {"/metrics", "GET, HEAD, OPTIONS"},
                             {kInvocations, "POST, OPTIONS"}};

const Route* FindRoute(std::string_view path) {
  for (const Route& route : kRoutes) {
    if (route.path == path) return &route;
  }
  return nullptr;
}

bool Allows(const Route& route, const std::string& method) {
  if (method == "OPTIONS") return true;
  return route.path == kInvocations ? method == "POST" : method == "GET" || method == "HEAD";
}

double Seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

constexpr const char* kShuttingDown = "ShuttingDown";

// draining: what is not available is so because this server ends.
Refusal FromError(const Error& error, bool draining) {
  switch (error.code) {
    case ErrorCode::kDeadlineExceeded:
      return {503, "DeadlineExceeded", error.message};
    case ErrorCode::kUnavailable:
      return {503, draining ? kShuttingDown : "ServiceUnavailable", error.message};
    case ErrorCode::kResourceExhausted:
      return {503, "OutOfMemory", error.message};
    case ErrorCode::kCancelled:
      return {503, "Cancelled", error.message};
    default:
      return {500, "InferenceFailed", error.message};
  }
}

// Where in the request a text stands.
std::string TextPath(const Invocation& invocation, size_t index) {
  bool list = invocation.container == Invocation::Container::kList;
  std::string item = list ? "[" + std::to_string(index) + "]" : "";
  switch (invocation.form) {
    case AnswerForm::kScores:
      return "inputs" + item;
    case AnswerForm::kPredictions:
      return "instances" + item;
    case AnswerForm::kLogits:
      break;
  }
  return list ? item : "the text";
}

}  // namespace

// An invocation on its way to its answer.
struct Handlers::Job {
  Invocation invocation;
  MediaType answer_type = MediaType::kJson;
  size_t truncated = 0;
  Clock::time_point begin;
  double tokenize_seconds = 0;
  LabelScheme const* scheme = nullptr;
};

Response Handlers::OnRefusal(const Refusal& refusal) { return Refuse("other", refusal); }

Response Handlers::Refuse(std::string_view route, const Refusal& refusal) {
  metrics_.CountRequest(route, refusal.status);
  if (refusal.status == 500 && options_.log) {
    options_.log(std::string(refusal.type) + ": " + refusal.message);
  }
  Response response;
  response.status = refusal.status;
  response.content_type = "application/json";
  response.body = "{\"code\":" + std::to_string(refusal.status) + ",\"type\":\"" + refusal.type +
                  "\",\"message\":" + formats::DumpJson(formats::Json(refusal.message)) + "}\n";
  if (refusal.status == 503) response.fields.push_back({"Retry-After", "1"});
  return response;
}

std::optional<Response> Handlers::OnHead(const RequestHead& head) {
  if (head.path == "*") return std::nullopt;
  const Route* route = FindRoute(head.path);
  if (!route) {
    return Refuse("other", {404, "NotFound",
                            "no such path; this server has POST /invocations, GET /ping, GET "
                            "/health and GET /metrics"});
  }
  if (!Allows(*route, head.method)) {
    Response response =
        Refuse(route->path, {405, "MethodNotAllowed",
                             std::string(route->path) + " takes " + std::string(route->allow)});
    response.fields.push_back({"Allow", std::string(route->allow)});
    return response;
  }
  if (head.method == "POST") return CheckInvocation(head);
  return std::nullopt;
}

std::optional<Response> Handlers::CheckInvocation(const RequestHead& head) {
  auto type = RequestType(head);
  if (auto* refusal = std::get_if<Refusal>(&type)) return Refuse(kInvocations, *refusal);
  auto answer = AnswerType(head, options_.default_answer);
  if (auto* refusal = std::get_if<Refusal>(&answer)) return Refuse(kInvocations, *refusal);
  if (!model_.load()) {
    return Refuse(kInvocations, {503, "Loading", "the model is being loaded"});
  }
  return std::nullopt;
}

void Handlers::OnRequest(Request request, std::shared_ptr<http::Exchange> exchange) {
  const RequestHead& head = request.head;
  if (head.method == "OPTIONS") {
    const Route* route = FindRoute(head.path);
    metrics_.CountRequest(route ? route->path : "other", 204);
    Response response{.status = 204};
    std::string allow = route ? std::string(route->allow) : "GET, HEAD, POST, OPTIONS";
    response.fields.push_back({"Allow", std::move(allow)});
    return exchange->Respond(std::move(response));
  }
  if (head.path == kInvocations) return Invoke(std::move(request), std::move(exchange));
  exchange->Respond(head.path == "/metrics" ? MetricsPage() : Ping());
}

Response Handlers::Ping() {
  if (draining_) return Refuse("/ping", {503, kShuttingDown, "the server is shutting down"});
  const ServedModel* model = model_.load();
  if (!model) return Refuse("/ping", {503, "Loading", "the model is being loaded"});
  if (!model->batcher->available()) {
    return Refuse("/ping", {503, "ServiceUnavailable", "no accelerator is attached"});
  }
  metrics_.CountRequest("/ping", 200);
  return {};
}

Response Handlers::MetricsPage() {
  Gauges gauges;
  if (const ServedModel* model = model_.load()) {
    gauges.queue_depth = model->batcher->queued_requests();
    gauges.queue_tokens = model->batcher->queued_tokens();
  }
  if (connections_) gauges.connections = connections_();
  const std::string more = options_.more_metrics ? options_.more_metrics() : "";
  metrics_.CountRequest("/metrics", 200);
  return {.content_type = "text/plain; version=0.0.4", .body = metrics_.Format(gauges) + more};
}

void Handlers::Invoke(Request request, std::shared_ptr<http::Exchange> exchange) {
  const ServedModel& model = *model_.load();
  auto job = std::make_shared<Job>();
  job->begin = Clock::now();
  job->scheme = &model.scheme;
  job->answer_type = std::get<MediaType>(AnswerType(request.head, options_.default_answer));
  auto parsed = ParseInvocation(request.body, std::get<MediaType>(RequestType(request.head)),
                                {.max_texts = options_.max_texts, .max_length = model.max_length});
  request = {};
  if (auto* refusal = std::get_if<Refusal>(&parsed)) {
    return exchange->Respond(Refuse(kInvocations, *refusal));
  }
  job->invocation = std::get<Invocation>(std::move(parsed));

  infer::InferRequest infer;
  infer.deadline = job->begin + options_.request_timeout;
  infer.cancelled = exchange->cancelled();
  if (auto refusal = Tokenize(model, *job, infer)) {
    return exchange->Respond(Refuse(kInvocations, *refusal));
  }
  infer.done = [this, job, exchange](Result<infer::InferResult> result) {
    exchange->Respond(Answer(*job, result));
  };
  Status submitted = model.batcher->Submit(std::move(infer));
  if (submitted.ok()) return;
  Refusal refusal = FromError(submitted.error(), true);
  if (submitted.error().code == ErrorCode::kResourceExhausted) refusal.type = "QueueFull";
  if (submitted.error().code == ErrorCode::kInvalidArgument) {
    refusal = {413, "TooManyTokens", submitted.error().message};
  }
  exchange->Respond(Refuse(kInvocations, refusal));
}

std::optional<Refusal> Handlers::Tokenize(const ServedModel& model, Job& job,
                                          infer::InferRequest& request) {
  Invocation& invocation = job.invocation;
  const Parameters& parameters = invocation.parameters;
  const size_t limit = parameters.max_length.value_or(model.max_length);
  const bool truncate = parameters.truncation.value_or(options_.truncate);
  const size_t cut = truncate ? limit : 0;
  request.sequences.reserve(invocation.texts.size());
  for (size_t i = 0; i < invocation.texts.size(); ++i) {
    if (request.cancelled.stop_requested())
      return FromError({ErrorCode::kCancelled, ""}, draining_);
    const TextInput& input = invocation.texts[i];
    text::Encoding encoding = input.pair ? model.tokenizer->EncodePair(input.text, *input.pair, cut)
                                         : model.tokenizer->Encode(input.text, cut);
    if (encoding.ids.size() > limit) {
      return Refusal{400, "TextTooLong",
                     TextPath(invocation, i) + " has " + std::to_string(encoding.ids.size()) +
                         " tokens; the limit is " + std::to_string(limit) + " (truncation is off)"};
    }
    if (encoding.truncated) ++job.truncated;
    request.sequences.push_back(std::move(encoding));
  }
  invocation.texts = {};  // only its shape is still needed
  job.tokenize_seconds = Seconds(Clock::now() - job.begin);
  return std::nullopt;
}

Response Handlers::Answer(const Job& job, const Result<infer::InferResult>& result) {
  if (!result.ok()) return Refuse(kInvocations, FromError(result.error(), draining_));
  auto body = FormatAnswer(job.invocation, result->logits, *job.scheme, job.answer_type);
  if (!body.ok()) return Refuse(kInvocations, FromError(body.error(), draining_));
  Response response;
  response.content_type = MediaTypeName(job.answer_type);
  response.body = *std::move(body);
  if (job.truncated > 0) {
    response.fields.push_back({"x-bertie-truncated", std::to_string(job.truncated)});
  }
  metrics_.CountRequest(kInvocations, 200);
  metrics_.CountTexts(static_cast<int64_t>(result->logits.size() / job.scheme->labels.size()),
                      static_cast<int64_t>(job.truncated));
  metrics_.ObserveInvocation(job.tokenize_seconds, Seconds(result->queue_time),
                             Seconds(result->total_time - result->queue_time),
                             Seconds(Clock::now() - job.begin));
  return response;
}

}  // namespace bertie::serve
