#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/quote.h"
#include "base/thread_pool.h"
#include "cli/attach.h"
#include "cli/checks.h"
#include "cli/classify.h"
#include "cli/commands.h"
#include "cli/model_argument.h"
#include "cli/service.h"
#include "cli/source.h"
#include "cli/tls_files.h"
#include "serve/model_server.h"
#include "serve/negotiation.h"

namespace bertie::cli {
namespace {

struct ServeFlags {
  std::string model;
  SourceFlags source;
  std::string host = "127.0.0.1";
  uint16_t port = 8080;
  std::string address_file;
  int threads = 0;
  std::string precision;
  size_t max_length = 0;
  bool no_truncate = false;
  size_t max_texts = 1024;
  double max_body_mb = 6;
  int64_t max_batch_tokens = 0;
  size_t max_queue = 512;
  int64_t max_queue_tokens = 65'536;
  double request_timeout = 60;
  double header_timeout = 10;
  double idle_timeout = 60;
  size_t max_connections = 4096;
  std::string default_accept = "application/json";
  AttachFlags accelerator;
  TlsFlags tls;
};

std::chrono::milliseconds FromSeconds(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
}

serve::ModelServerOptions MakeOptions(const ServeFlags& flags) {
  serve::ModelServerOptions options;
  options.threads = flags.threads > 0 ? flags.threads : ThreadPool::DefaultThreads();
  options.max_length = flags.max_length;
  options.precision = model::ParsePrecision(flags.precision);

  options.http.host = flags.host;
  options.http.port = flags.port;
  options.http.max_connections = flags.max_connections;
  options.http.head_timeout = FromSeconds(flags.header_timeout);
  options.http.idle_timeout = FromSeconds(flags.idle_timeout);
  options.http.limits.max_body_bytes = static_cast<uint64_t>(flags.max_body_mb * 1024 * 1024);
  // Room for some of the largest requests at once.
  options.http.max_body_memory =
      std::max(options.http.max_body_memory, 4 * options.http.limits.max_body_bytes);
  const BoundedLog log;
  options.http.log = log;

  options.handler.max_texts = flags.max_texts;
  options.handler.truncate = !flags.no_truncate;
  options.handler.request_timeout = FromSeconds(flags.request_timeout);
  options.handler.default_answer =
      flags.default_accept == serve::MediaTypeName(serve::MediaType::kCsv)
          ? serve::MediaType::kCsv
          : serve::MediaType::kJson;
  options.handler.log = log;

  options.batcher.max_batch_tokens =
      flags.max_batch_tokens > 0 ? flags.max_batch_tokens : int64_t{64} * options.threads;
  options.batcher.queue = {.max_requests = flags.max_queue, .max_tokens = flags.max_queue_tokens};
  return options;
}

std::string JoinLabels(const std::vector<std::string>& labels) {
  constexpr size_t kShown = 8;
  std::string text;
  for (size_t i = 0; i < std::min(labels.size(), kShown); ++i) {
    bool plain = std::none_of(labels[i].begin(), labels[i].end(), [](char c) {
      return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    });
    text += (i > 0 ? ", " : "") + (plain ? labels[i] : Quote(labels[i]));
  }
  if (labels.size() > kShown) text += ", ... (" + std::to_string(labels.size()) + ")";
  return text;
}

void LogStart(const ServeFlags& flags, int threads, const serve::ModelSummary& model,
              const serve::ModelServer& server) {
  if (!model.note.empty()) Log(flags.model + ": " + model.note);
  char seconds[32];
  std::snprintf(seconds, sizeof(seconds), "%.2f",
                static_cast<double>(model.load_time.count()) / 1000);
  Log("serving " + flags.model + " (labels " + JoinLabels(model.labels) + "; " +
      (model.precision ? std::to_string(threads) + (threads == 1 ? " thread; " : " threads; ") +
                             model::PrecisionName(*model.precision)
                       : std::string("computed by the accelerator")) +
      "; texts up to " + std::to_string(model.max_length) + " tokens) on " +
      (flags.tls.given() ? "https://" : "http://") + server.address() + ", loaded in " + seconds +
      " s");
  Log("try: curl " + LocalUrl(flags.host, server.address(), flags.tls.given()) +
      "/invocations -H 'Content-Type: application/json' -d '\"Somebody just left - guess "
      "who.\"'");
}

Error WithAdvice(const Error& error) {
  if (error.code != ErrorCode::kUnavailable) return error;
  return {error.code, error.message +
                          "; take another port with --port (0: any free one), or end the program "
                          "that has this one ('ss -ltnp' shows it)"};
}

int RunServe(const ServeFlags& flags) {
  // First, so that a signal ends a model's being pulled at once.
  const auto path = ResolveModel(flags.model);
  if (!path.ok()) return ReportError(path.error());
  const auto tls = TlsFiles::Load(flags.tls);
  if (!tls.ok()) return ReportError(tls.error());
  StopSignal stop;
  serve::ModelServerOptions options = MakeOptions(flags);
  if (*tls) options.http.tls = (*tls)->identity();
  auto attachment =
      Attachment::Make(flags.accelerator, flags.precision, EndpointName(flags.model, flags.port));
  if (!attachment.ok()) return ReportError(attachment.error());
  if (*attachment) (*attachment)->Use(options);
  std::optional<model::ModelSource> files;  // outlives the server, whose executor reads them
  auto server = serve::ModelServer::Listen(options);
  if (!server.ok()) return ReportError(WithAdvice(server.error()));
  if (Status wrote = WriteAddressFile(flags.address_file, (*server)->address()); !wrote.ok()) {
    return ReportError(wrote.error());
  }
  const auto begin = std::chrono::steady_clock::now();
  auto source = OpenSource(path->string(), flags.source);
  if (!source.ok()) return ReportError(source.error());
  files = *std::move(source);
  auto model = (*server)->Load(files->dir());
  if (!model.ok()) return ReportError(RenameSource(model.error(), *files, flags.model));
  // An accelerator may ask for them again; nobody else does.
  if (!*attachment) files.reset();
  model->load_time = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - begin);
  LogStart(flags, options.threads, *model, **server);

  return DrainOnSignal(stop, [&](std::chrono::milliseconds limit) {
    (*server)->BeginDrain();
    return (*server)->WaitDrained(limit);
  });
}

void AddLimits(CLI::App& command, ServeFlags& flags) {
  const auto add = [&command](const std::string& name, auto& value, const std::string& help) {
    return command.add_option(name, value, help)->capture_default_str()->group("Limits");
  };
  add("--max-texts", flags.max_texts, "Texts of one request; more get 413")
      ->check(CLI::Range(1, 1'000'000));
  add("--max-body-mb", flags.max_body_mb, "Size of one request in MB (2^20); more get 413")
      ->check(Between(0.001, 1024.0))
      ->envname("SAGEMAKER_MAX_PAYLOAD_IN_MB");
  add("--max-queue", flags.max_queue, "Requests that may wait; more get 503")
      ->check(CLI::Range(1, 1'000'000));
  add("--max-queue-tokens", flags.max_queue_tokens,
      "Tokens that may wait; more get 503, or 413 in one request")
      ->check(CLI::Range(1, 1'000'000'000));
  command
      .add_option("--max-batch-tokens", flags.max_batch_tokens,
                  "Tokens computed at once [64 a thread]")
      ->check(CLI::Range(1, 1'000'000))
      ->group("Limits");
  add("--max-connections", flags.max_connections, "Open connections; further ones wait")
      ->check(CLI::Range(1, 1'000'000));
  add("--request-timeout", flags.request_timeout, "Seconds a request may wait; later get 503")
      ->check(Between(0.001, 86'400.0))
      ->envname("SAGEMAKER_MODEL_SERVER_TIMEOUT");
  add("--header-timeout", flags.header_timeout, "Seconds for a request's head to come; later 408")
      ->check(Between(0.001, 86'400.0));
  add("--idle-timeout", flags.idle_timeout, "Seconds a connection may be idle")
      ->check(Between(0.001, 86'400.0));
}

}  // namespace

void AddServe(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<ServeFlags>();
  CLI::App* command = app.add_subcommand("serve", "Answer requests over HTTP with a model");
  command
      ->add_option("MODEL", flags->model,
                   "Model folder, a .tar.gz of one, a TorchScript archive, or a name on the hub")
      ->required();
  command->add_option("--host", flags->host, "Address to listen on; 0.0.0.0: every one")
      ->capture_default_str();
  command->add_option("--port", flags->port, "Port to listen on; 0: any free one")
      ->capture_default_str()
      ->envname("SAGEMAKER_BIND_TO_PORT");
  command->add_option("--address-file", flags->address_file,
                      "File that gets HOST:PORT once connections are taken, for --port 0");
  AddSourceFlags(*command, flags->source);
  AddPrecisionFlag(*command, flags->precision);
  command->add_option("--threads", flags->threads, "Threads for the arithmetic [all processors]")
      ->check(CLI::Range(1, 1024));
  command
      ->add_option("--max-length", flags->max_length,
                   "Tokens of one text [the model's positions]; longer texts are cut, and the "
                   "answer's x-bertie-truncated says how many were")
      ->check(CLI::Range(4, 1'000'000));
  command->add_flag("--no-truncate", flags->no_truncate,
                    "Refuse longer texts with 400 instead of cutting them");
  command
      ->add_option("--default-accept", flags->default_accept,
                   "Form of the answer where a request asks for none")
      ->check(CLI::IsMember({"application/json", "text/csv"}))
      ->capture_default_str()
      ->envname("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT");
  AddLimits(*command, *flags);
  AddAttachFlags(*command, flags->accelerator);
  AddTlsFlags(*command, flags->tls);
  command->footer(
      "POST /invocations takes, as application/json, \"text\" or [\"text\", ...] and answers raw\n"
      "logits; {\"inputs\": ..., \"parameters\": {\"top_k\": null}} answers labels and scores.\n"
      "As text/csv: one text a row. GET /ping, /health and /metrics.\n"
      "Whoever can reach the port can ask the model, with --tls-cert too: for other machines than\n"
      "this one put a proxy with a login before it.");
  command->callback([flags, &exit_code] { exit_code = RunServe(*flags); });
}

}  // namespace bertie::cli
