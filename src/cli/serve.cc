#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/elapsed.h"
#include "base/figures.h"
#include "base/quote.h"
#include "base/thread_pool.h"
#include "cli/access_log.h"
#include "cli/attach.h"
#include "cli/checks.h"
#include "cli/classify.h"
#include "cli/commands.h"
#include "cli/line_writer.h"
#include "cli/long_texts.h"
#include "cli/served_models.h"
#include "cli/service.h"
#include "cli/source.h"
#include "cli/tls_files.h"
#include "hub/cache.h"
#include "kserve/grpc_server.h"
#include "model/model_source.h"
#include "model/weight_files.h"
#include "serve/model_server.h"
#include "serve/negotiation.h"

namespace bertie::cli {
namespace {

struct ServeFlags {
  std::vector<std::string> models;
  std::string folder;
  std::string default_model;
  bool multi_model = false;
  int64_t max_models_mb = 0;
  std::string admin_token_file;
  std::string api_key_file;
  std::vector<std::string> cors_origins;
  std::string log_format = "text";
  bool access_log = false;
  const CLI::Option* access_log_flag = nullptr;  // given or not
  SourceFlags source;
  std::string host = "127.0.0.1";
  uint16_t port = 8080;
  const CLI::Option* port_flag = nullptr;  // given or not
  serve::VertexPaths vertex;
  std::optional<uint16_t> grpc_port;
  std::string address_file;
  int threads = 0;
  std::string precision;
  size_t max_length = 0;
  LongTextFlags long_texts;
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
  bool no_playground = false;
  AttachFlags accelerator;
  TlsFlags tls;
};

std::chrono::milliseconds FromSeconds(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
}

Result<serve::ModelFolder> OpenFolder(const std::filesystem::path& path, const SourceFlags& flags) {
  BERTIE_ASSIGN_OR_RETURN(model::ModelSource source, OpenSource(path.string(), flags));
  auto files = std::make_shared<const model::ModelSource>(std::move(source));
  serve::ModelFolder folder{files->dir(), files};
  folder.commit = hub::CommitOf(folder.dir);
  const auto weights = model::WeightFileNames(folder.dir);
  if (weights.ok() && weights->size() == 1) {
    folder.weights_sha256 = hub::Sha256Of(folder.dir / weights->front());
  }
  return folder;
}

serve::ModelServerOptions MakeOptions(const ServeFlags& flags) {
  serve::ModelServerOptions options;
  options.threads = flags.threads > 0 ? flags.threads : ThreadPool::DefaultThreads();
  serve::RepositoryOptions& repository = options.repository;
  repository.folder = flags.folder;
  repository.max_weight_bytes = flags.max_models_mb * 1'000'000;
  repository.open = [source = flags.source](const std::filesystem::path& path) {
    return OpenFolder(path, source);
  };
  repository.load.threads = options.threads;
  repository.load.max_length = flags.max_length;
  repository.load.check_length = [long_texts = flags.long_texts](size_t max_length) {
    return CheckStride(long_texts, max_length);
  };
  repository.load.precision = model::ParsePrecision(flags.precision);

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
  options.handler.playground = !flags.no_playground;
  options.handler.request_timeout = FromSeconds(flags.request_timeout);
  options.handler.default_answer =
      flags.default_accept == serve::MediaTypeName(serve::MediaType::kCsv)
          ? serve::MediaType::kCsv
          : serve::MediaType::kJson;
  options.handler.log = log;
  options.handler.multi_model = flags.multi_model;
  options.handler.vertex = flags.vertex;
  options.handler.cors_origins = flags.cors_origins;
  options.handler.version = BERTIE_VERSION;

  infer::BatcherOptions& batcher = repository.load.batcher;
  batcher.max_batch_tokens =
      flags.max_batch_tokens > 0 ? flags.max_batch_tokens : int64_t{64} * options.threads;
  batcher.queue = {.max_requests = flags.max_queue, .max_tokens = flags.max_queue_tokens};
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

// shown: what the user called it.
std::string Describe(const serve::LoadedModel& model, const std::string& shown, int threads) {
  const serve::ModelSummary& summary = model.summary;
  return shown + " (labels " + JoinLabels(summary.labels) + "; " +
         (summary.precision
              ? std::to_string(threads) + (threads == 1 ? " thread; " : " threads; ") +
                    model::PrecisionName(*summary.precision)
              : std::string("computed by the accelerator")) +
         "; texts up to " + std::to_string(summary.max_length) + " tokens)";
}

void LogStart(const ServeFlags& flags, int threads, const serve::ModelServer& server) {
  const auto models = server.models();
  for (const auto& model : models) {
    if (model->summary.note.empty()) continue;
    Log((models.size() == 1 && flags.models.size() == 1 ? flags.models[0] : model->id.name) + ": " +
        model->summary.note);
  }
  const std::string where =
      std::string(" on ") + (flags.tls.given() ? "https://" : "http://") + server.address();
  if (models.size() == 1 && flags.models.size() == 1) {
    Log("serving " + Describe(*models[0], flags.models[0], threads) + where + ", loaded in " +
        FormatSeconds(InSeconds(models[0]->summary.load_time)));
  } else {
    for (const auto& model : models) {
      Log("loaded " + Describe(*model, model->id.name + " version " + model->id.version, threads) +
          " in " + FormatSeconds(InSeconds(model->summary.load_time)));
    }
    Log("serving " + std::to_string(models.size()) + " models" + where);
  }
  if (models.empty()) return;
  Log("try: curl " + LocalUrl(flags.host, server.address(), flags.tls.given()) +
      "/invocations -H 'Content-Type: application/json' -d '\"Somebody just left - guess "
      "who.\"'");
}

// Null where none is wanted.
Result<std::unique_ptr<kserve::GrpcServer>> StartGrpc(const ServeFlags& flags,
                                                      serve::ModelServer& server) {
  if (!flags.grpc_port) return std::unique_ptr<kserve::GrpcServer>();
  kserve::GrpcServerOptions options{.host = flags.host, .port = *flags.grpc_port};
  options.max_message_bytes = static_cast<size_t>(flags.max_body_mb * 1024 * 1024);
  auto grpc = kserve::GrpcServer::Start(options, server.context(), server.repository());
  if (grpc.ok()) Log("gRPC on " + (*grpc)->address());
  return grpc;
}

Error WithAdvice(const Error& error) {
  if (error.code != ErrorCode::kUnavailable) return error;
  return {error.code, error.message +
                          "; take another port with --port (0: any free one), or end the program "
                          "that has this one ('ss -ltnp' shows it)"};
}

// What the flags say of who may ask, and what is logged of it. The writer outlives the server.
Status AddAccess(const ServeFlags& flags, LineWriter& writer, serve::ModelServerOptions& options) {
  serve::HandlerOptions& handler = options.handler;
  BERTIE_ASSIGN_OR_RETURN(handler.keys.api, ReadKeys(flags.api_key_file, "BERTIE_API_KEY"));
  BERTIE_ASSIGN_OR_RETURN(handler.keys.admin,
                          ReadKeys(flags.admin_token_file, "BERTIE_ADMIN_TOKEN"));
  const LogFormat format = flags.log_format == "json" ? LogFormat::kJson : LogFormat::kText;
  SetLogFormat(format);
  const bool told = flags.access_log_flag->count() > 0;
  if (told ? flags.access_log : format == LogFormat::kJson) {
    handler.access_log = [&writer, format](const serve::AccessRecord& record) {
      writer.Write(AccessLine(record, format));
    };
  }
  return {};
}

Status LoadModels(serve::ModelServer& server, const ServeFlags& flags,
                  const std::vector<ServedModel>& models) {
  for (const ServedModel& model : models) {
    if (Status loaded = server.Load(model.name, model.path); !loaded.ok()) {
      return model::RenamePath(loaded.error(), model.path.string(), model.shown);
    }
  }
  if (!flags.folder.empty()) BERTIE_RETURN_IF_ERROR(server.LoadFolder());
  if (!flags.default_model.empty()) {
    BERTIE_RETURN_IF_ERROR(server.SetDefault(flags.default_model));
  }
  if (server.models().empty() && !flags.multi_model) {
    return Error{ErrorCode::kNotFound, flags.folder + ": found no folder with a model"};
  }
  server.SetLoaded();
  return {};
}

// tls: null where there is none. terminal: the server was started from one. Its closing ends the
// server, as any other program.
void OnHangUp(serve::ModelServer& server, TlsFiles* tls, bool terminal) {
  if (terminal && isatty(STDIN_FILENO) == 0) {
    kill(getpid(), SIGTERM);
    return;
  }
  if (tls != nullptr) tls->Reload();
  const Status reloaded = server.ReloadChanged();
  Log(reloaded.ok() ? "SIGHUP: every model is as its files are"
                    : "SIGHUP: " + reloaded.error().message);
}

int RunServe(const ServeFlags& flags) {
  // First, so that a signal ends a model's being pulled at once.
  const auto models = ResolveServedModels(flags.models);
  if (!models.ok()) return ReportError(models.error());
  BlockHangUp();
  const auto tls = TlsFiles::Load(flags.tls);
  if (!tls.ok()) return ReportError(tls.error());
  StopSignal stop;
  LineWriter writer(STDERR_FILENO);
  serve::ModelServerOptions options = MakeOptions(flags);
  if (*tls) options.http.tls = (*tls)->identity();
  if (Status access = AddAccess(flags, writer, options); !access.ok()) {
    return ReportError(access.error());
  }
  const auto long_texts = ToLongTextOptions(flags.long_texts);
  if (!long_texts.ok()) return ReportError(long_texts.error());
  options.handler.long_texts = *long_texts;
  auto attachment = Attachment::Make(flags.accelerator, flags.precision, flags.port);
  if (!attachment.ok()) return ReportError(attachment.error());
  if (*attachment) (*attachment)->Use(options);
  auto server = serve::ModelServer::Listen(options);
  if (!server.ok()) return ReportError(WithAdvice(server.error()));
  auto grpc = StartGrpc(flags, **server);
  if (!grpc.ok()) return ReportError(grpc.error());
  if (Status wrote = WriteAddressFile(flags.address_file, (*server)->address()); !wrote.ok()) {
    return ReportError(wrote.error());
  }
  if (Status loaded = LoadModels(**server, flags, *models); !loaded.ok()) {
    return ReportError(loaded.error());
  }
  LogStart(flags, options.threads, **server);
  const HangUpSignal hang_up(
      [&server = **server, tls = tls->get(), terminal = isatty(STDIN_FILENO) != 0] {
        OnHangUp(server, tls, terminal);
      });
  return DrainOnSignal(stop, [&](std::chrono::milliseconds limit) {
    const auto end = std::chrono::steady_clock::now() + limit;
    (*server)->BeginDrain();
    const bool answered = !*grpc || (*grpc)->Drain(limit);
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        end - std::chrono::steady_clock::now());
    return (*server)->WaitDrained(std::max(left, std::chrono::milliseconds(0))) && answered;
  });
}

void AddModels(CLI::App& command, ServeFlags& flags) {
  command.add_option("MODEL", flags.models,
                     "Model folder, a .tar.gz of one, a TorchScript archive, or a name on the hub; "
                     "NAME=MODEL to call it so; of several the first is the default");
  const auto add = [&command](const std::string& name, auto& value, const std::string& help) {
    return command.add_option(name, value, help)->group("Models");
  };
  add("--models", flags.folder, "Serve all in this folder: NAME/ or NAME/VERSION/")
      ->type_name("DIR")
      ->check(CLI::ExistingDirectory);
  add("--default-model", flags.default_model,
      "Meant by requests that name none [the first MODEL, or the only one]")
      ->type_name("NAME");
  add("--max-models-mb", flags.max_models_mb,
      "Bound of all models' weights, in MB; loading more gets 507 [the free memory]")
      ->check(CLI::Range(1, 1'000'000'000));
  command
      .add_flag("--multi-model", flags.multi_model,
                "Open the routes of SageMaker's containers with several models, which load any "
                "path of this machine; a start without models is then no error")
      ->envname("SAGEMAKER_MULTI_MODEL")
      ->group("Models");
}

void AddAccessFlags(CLI::App& command, ServeFlags& flags) {
  const auto add = [&command](const std::string& name, auto& value, const std::string& help) {
    return command.add_option(name, value, help)->group("Access and logs");
  };
  add("--api-key-file", flags.api_key_file,
      "Keys, one a line; requests must show one as Authorization: Bearer KEY, but for health and "
      "metrics [BERTIE_API_KEY]")
      ->type_name("FILE");
  add("--admin-token-file", flags.admin_token_file,
      "Keys that may load and unload models [BERTIE_ADMIN_TOKEN]")
      ->type_name("FILE");
  add("--cors-allow-origin", flags.cors_origins,
      "Let pages of this origin ask, such as https://example.org; *: any")
      ->type_name("ORIGIN");
  add("--log-format", flags.log_format, "Of standard error")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  flags.access_log_flag =
      command
          .add_flag("--access-log,!--no-access-log", flags.access_log,
                    "A line for each request [with --log-format json]; never the texts")
          ->group("Access and logs");
}

// "" where it is one that a route may have.
std::string CheckPath(const std::string& text) {
  const bool plain = std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return c > 0x20 && c < 0x7f &&
           std::string_view("{}?#").find(static_cast<char>(c)) == std::string_view::npos;
  });
  if (plain && text.starts_with('/')) return "";
  return "found " + Quote(text) + "; expected a path, such as /predict";
}

void AddVertex(CLI::App& command, ServeFlags& flags) {
  const auto add = [&command](const std::string& name, std::string& value,
                              const std::string& help) {
    return command.add_option(name, value, help + "; nothing else is there then")
        ->check(CLI::Validator(CheckPath, ""))
        ->type_name("PATH")
        ->group("Google Vertex AI");
  };
  add("--predict-route", flags.vertex.predict, "Take what /vertex takes at this path too")
      ->envname("AIP_PREDICT_ROUTE");
  add("--health-route", flags.vertex.health, "Tell what /health tells at this path too")
      ->envname("AIP_HEALTH_ROUTE");
}

// The port that Google Vertex AI chose, where neither the flag nor SageMaker says another.
void TakeVertexPort(ServeFlags& flags) {
  constexpr const char* kName = "AIP_HTTP_PORT";
  const char* value = std::getenv(kName);
  if (flags.port_flag->count() > 0 || value == nullptr || *value == '\0') return;
  const std::string_view text = value;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), flags.port);
  if (error == std::errc() && end == text.data() + text.size()) return;
  throw CLI::ValidationError(
      kName, "found " + Quote(text) + "; expected a port, from 0 to 65535, or no such variable");
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
  add("--max-connections", flags.max_connections,
      "Open connections; further ones take an idle one's place, or wait")
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
  AddModels(*command, *flags);
  command->add_option("--host", flags->host, "Address to listen on; 0.0.0.0: every one")
      ->capture_default_str();
  flags->port_flag =
      command
          ->add_option("--port", flags->port, "Port to listen on [AIP_HTTP_PORT]; 0: any free one")
          ->capture_default_str()
          ->envname("SAGEMAKER_BIND_TO_PORT");
  command->add_option("--grpc-port", flags->grpc_port,
                      "Port for the Open Inference Protocol over gRPC; 0: any free one [none]");
  command->add_option("--address-file", flags->address_file,
                      "File that gets HOST:PORT once connections are taken, for --port 0");
  AddSourceFlags(*command, flags->source);
  AddPrecisionFlag(*command, flags->precision);
  command->add_option("--threads", flags->threads, "Threads for the arithmetic [all processors]")
      ->check(CLI::Range(1, 1024));
  command
      ->add_option("--max-length", flags->max_length,
                   "Tokens of one text [the model's positions]; longer texts are cut, and the "
                   "answer's x-bertie-truncated says how many were, or see --long-texts")
      ->check(CLI::Range(4, 1'000'000));
  AddLongTextFlags(*command, flags->long_texts,
                   {.group = "Options", .refuse = true, .environment = true});
  command
      ->add_option("--default-accept", flags->default_accept,
                   "Form of the answer where a request asks for none")
      ->check(CLI::IsMember({"application/json", "text/csv"}))
      ->capture_default_str()
      ->envname("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT");
  command->add_flag("--no-playground", flags->no_playground,
                    "Show browsers no page at / for trying sentences");
  AddVertex(*command, *flags);
  AddLimits(*command, *flags);
  AddAccessFlags(*command, *flags);
  AddAttachFlags(*command, flags->accelerator);
  AddTlsFlags(*command, flags->tls);
  command->footer(
      "POST /invocations takes, as application/json, \"text\" or [\"text\", ...] and answers raw\n"
      "logits; {\"inputs\": ..., \"parameters\": {\"top_k\": null}} answers labels and scores.\n"
      "As text/csv: one text a row. GET /ping, /health and /metrics. With several models, the\n"
      "header X-Amzn-SageMaker-Target-Model names one. SIGHUP loads models and certificates whose\n"
      "files changed. Whoever can reach the port can ask: for other machines than this one give\n"
      "--api-key-file, and --tls-cert, since keys are sent as they are.");
  command->callback([flags, command, &exit_code] {
    if (flags->models.empty() && flags->folder.empty() && !flags->multi_model) {
      throw CLI::RequiredError("MODEL, --models or --multi-model");
    }
    TakeVertexPort(*flags);
    SettleLongTextFlags(*command, flags->long_texts);
    exit_code = RunServe(*flags);
  });
}

}  // namespace bertie::cli
