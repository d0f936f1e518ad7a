#include "cli/attach.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <utility>

#include "accelerator/manifest.h"
#include "accelerator/remote_executor.h"
#include "base/file.h"
#include "base/quote.h"
#include "cli/service.h"

namespace bertie::cli {
namespace {

constexpr const char* kTokenVariable = "BERTIE_ACCELERATOR_TOKEN";
constexpr const char* kSageMakerVariable = "SAGEMAKER_INFERENCE_ACCELERATOR_PRESENT";
constexpr uint64_t kMaxSecret = 1 << 20;

Error BadFlag(const std::string& what) { return {ErrorCode::kInvalidArgument, what}; }

Status CheckAddress(const std::string& address) {
  const size_t colon = address.rfind(':');
  const std::string port = colon == std::string::npos ? "" : address.substr(colon + 1);
  const bool number =
      !port.empty() && port.size() <= 5 &&
      std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (colon > 0 && number && std::stoi(port) >= 1 && std::stoi(port) <= 65535) return {};
  return BadFlag("--accelerator: found " + Quote(address) +
                 "; expected HOST:PORT, the address that 'bertie accelerator' names at its start");
}

Result<std::string> ReadPem(const std::string& path) {
  if (path.empty()) return std::string();
  return ReadFile(path, kMaxSecret);
}

Result<std::string> ReadToken(const AttachFlags& flags) {
  if (flags.token_file.empty()) {
    const char* value = std::getenv(kTokenVariable);
    return std::string(value ? value : "");
  }
  BERTIE_ASSIGN_OR_RETURN(std::string token, ReadFile(flags.token_file, kMaxSecret));
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r')) token.pop_back();
  if (token.empty()) return BadFlag(flags.token_file + ": holds no token");
  return token;
}

Result<accelerator::Security> ReadSecurity(const AttachFlags& flags) {
  accelerator::Security security;
  if (flags.tls_cert.empty() != flags.tls_key.empty()) {
    return BadFlag("--accelerator-tls-cert and --accelerator-tls-key belong together");
  }
  security.tls = !flags.tls_ca.empty() || !flags.tls_cert.empty();
  BERTIE_ASSIGN_OR_RETURN(security.ca, ReadPem(flags.tls_ca));
  BERTIE_ASSIGN_OR_RETURN(security.cert, ReadPem(flags.tls_cert));
  BERTIE_ASSIGN_OR_RETURN(security.key, ReadPem(flags.tls_key));
  BERTIE_ASSIGN_OR_RETURN(security.token, ReadToken(flags));
  return security;
}

std::string Number(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.9g", value);
  return text;
}

class Page {
 public:
  void Head(const std::string& name, const char* type, const char* help) {
    text_ += "# HELP " + name + " " + help + "\n# TYPE " + name + " " + type + "\n";
  }
  void Value(const std::string& name, const std::string& labels, double value) {
    text_ += name + labels + " " + Number(value) + "\n";
  }
  void Counter(const std::string& name, const char* help, uint64_t value) {
    Head(name, "counter", help);
    Value(name, "", static_cast<double>(value));
  }
  std::string Take() { return std::move(text_); }

 private:
  std::string text_;
};

void AppendRoundTrips(const accelerator::RemoteStats& stats, Page& page) {
  const std::string name = "bertie_accelerator_round_trip_seconds";
  page.Head(name, "histogram", "From a batch's sending to its answer.");
  uint64_t count = 0;
  double bound = accelerator::RoundTrips::kFirst;
  for (size_t i = 0; i < stats.round_trips.size(); ++i, bound *= 2) {
    count += stats.round_trips[i];
    const bool last = i + 1 == stats.round_trips.size();
    page.Value(name + "_bucket", "{le=\"" + (last ? "+Inf" : Number(bound)) + "\"}",
               static_cast<double>(count));
  }
  page.Value(name + "_sum", "", stats.round_trip_seconds);
  page.Value(name + "_count", "", static_cast<double>(count));
}

std::string Format(const accelerator::RemoteStats& stats) {
  Page page;
  page.Head("bertie_accelerator_attached", "gauge", "Whether this accelerator takes batches.");
  for (const auto& each : stats.accelerators) {
    page.Value("bertie_accelerator_attached", "{address=\"" + each.address + "\"}",
               each.attached && !each.resting ? 1 : 0);
  }
  page.Head("bertie_accelerator_in_flight", "gauge", "Batches sent and not answered.");
  for (const auto& each : stats.accelerators) {
    page.Value("bertie_accelerator_in_flight", "{address=\"" + each.address + "\"}",
               each.in_flight);
  }
  page.Counter("bertie_accelerator_attachments_total", "Sessions begun.", stats.attachments);
  page.Head("bertie_accelerator_batches_total", "counter", "Batches, by who answered them.");
  page.Value("bertie_accelerator_batches_total", "{by=\"accelerator\"}",
             static_cast<double>(stats.remote_batches));
  page.Value("bertie_accelerator_batches_total", "{by=\"fallback\"}",
             static_cast<double>(stats.fallback_batches));
  page.Value("bertie_accelerator_batches_total", "{by=\"nobody\"}",
             static_cast<double>(stats.failed_batches));
  page.Counter("bertie_accelerator_sent_batches_total", "Batches sent, second attempts included.",
               stats.sent_batches);
  page.Counter("bertie_accelerator_hedged_batches_total",
               "Batches begun a second time because they were late.", stats.hedged_batches);
  page.Counter("bertie_accelerator_upload_bytes_total", "Of models uploaded.", stats.upload_bytes);
  page.Counter("bertie_accelerator_sent_bytes_total", "Of batches.", stats.bytes_sent);
  page.Counter("bertie_accelerator_received_bytes_total", "Of answers.", stats.bytes_received);
  AppendRoundTrips(stats, page);
  return page.Take();
}

std::string ResidentMegabytes() {
  std::ifstream file("/proc/self/statm");
  int64_t total = 0;
  int64_t resident = 0;
  file >> total >> resident;
  return std::to_string(resident * sysconf(_SC_PAGESIZE) / 1'000'000) + " MB";
}

}  // namespace

struct Attachment::Impl {
  AttachFlags flags;
  accelerator::Security security;
  std::string precision;
  std::string endpoint;
  std::atomic<const accelerator::RemoteExecutor*> executor{nullptr};  // the server's

  Result<std::unique_ptr<infer::Executor>> MakeExecutor(const serve::ExecutorContext& context);
};

void AddAttachFlags(CLI::App& command, AttachFlags& flags) {
  const char* group = "Accelerator (docs/accelerator.md)";
  command
      .add_option("--accelerator", flags.addresses,
                  "Have the 'bertie accelerator' at this address compute; with several, the least "
                  "loaded")
      ->type_name("HOST:PORT,...")
      ->delimiter(',')
      ->envname("BERTIE_ACCELERATOR")
      ->group(group);
  command
      .add_option("--accelerator-type", flags.type,
                  "Size to attach with: ml.eia2.medium, large or xlarge, ml.eia1.*")
      ->capture_default_str()
      ->envname("BERTIE_ACCELERATOR_TYPE")
      ->group(group);
  command
      .add_flag("--fallback,!--no-fallback", flags.fallback,
                "Compute here what accelerators do not [on]; off: no weights are held here, and "
                "requests get 503 while no accelerator is attached")
      ->group(group);
  const auto file = [&](const char* name, std::string& value, const char* help) {
    command.add_option(name, value, help)->type_name("FILE")->group(group);
  };
  file("--accelerator-tls-ca", flags.tls_ca,
       "Encrypt; PEM of the authority it must prove itself by");
  file("--accelerator-tls-cert", flags.tls_cert, "PEM of this end's certificate (mutual TLS)");
  file("--accelerator-tls-key", flags.tls_key, "PEM of its key");
  file("--accelerator-token-file", flags.token_file,
       "Holds the token that the accelerator asks for [BERTIE_ACCELERATOR_TOKEN]");
}

std::string EndpointName(const std::string& model, uint16_t port) {
  std::filesystem::path path(model);
  if (!path.has_filename()) path = path.parent_path();
  char host[256] = "";
  gethostname(host, sizeof(host) - 1);
  std::string name = path.filename().string();
  constexpr size_t kMostOfName = 60;
  if (name.size() > kMostOfName) name.resize(kMostOfName);
  name += "@" + std::string(host).substr(0, kMostOfName);
  if (port > 0) name += ":" + std::to_string(port);
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return c < 0x20 || c >= 0x7f; }, '_');
  return name;
}

Attachment::Attachment(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Attachment::~Attachment() = default;

Result<std::unique_ptr<Attachment>> Attachment::Make(const AttachFlags& flags,
                                                     const std::string& precision,
                                                     const std::string& endpoint) {
  if (flags.addresses.empty()) {
    if (!flags.fallback)
      return BadFlag("--no-fallback without --accelerator leaves nobody to compute");
    const char* present = std::getenv(kSageMakerVariable);
    if (present && std::string(present) == "true") {
      Log(std::string(kSageMakerVariable) +
          " is true, but no accelerator's address was given (--accelerator or "
          "BERTIE_ACCELERATOR): computing here");
    }
    return std::unique_ptr<Attachment>();
  }
  for (const std::string& address : flags.addresses) {
    BERTIE_RETURN_IF_ERROR(CheckAddress(address));
  }
  auto impl = std::make_unique<Impl>();
  BERTIE_ASSIGN_OR_RETURN(impl->security, ReadSecurity(flags));
  impl->flags = flags;
  impl->precision = precision;
  impl->endpoint = endpoint;
  return std::unique_ptr<Attachment>(new Attachment(std::move(impl)));
}

void Attachment::Use(serve::ModelServerOptions& options) {
  options.local_weights = impl_->flags.fallback;
  options.make_executor = [this](const serve::ExecutorContext& context) {
    return impl_->MakeExecutor(context);
  };
  options.handler.more_metrics = [this] {
    const accelerator::RemoteExecutor* executor = impl_->executor;
    return executor ? Format(executor->stats()) : std::string();
  };
}

Result<std::unique_ptr<infer::Executor>> Attachment::Impl::MakeExecutor(
    const serve::ExecutorContext& context) {
  accelerator::RemoteOptions options;
  options.addresses = flags.addresses;
  options.security = security;
  options.endpoint = endpoint;
  options.accelerator_type = flags.type;
  // Both ends in the same, so that they give the same bits.
  options.precision = context.precision ? model::PrecisionName(*context.precision) : precision;
  options.model_dir = context.dir;
  BERTIE_ASSIGN_OR_RETURN(options.manifest, accelerator::MakeManifest(context.dir));
  options.num_labels = context.config.num_labels();
  options.vocab_size = context.config.vocab_size;
  options.fallback = context.local;
  options.log = BoundedLog();
  if (context.local) {
    Log("the model is held here too, for when no accelerator is attached: the process has " +
        ResidentMegabytes() + " in memory so far (--no-fallback does without)");
  }
  BERTIE_ASSIGN_OR_RETURN(std::unique_ptr<accelerator::RemoteExecutor> made,
                          accelerator::RemoteExecutor::Create(std::move(options)));
  executor = made.get();
  return std::unique_ptr<infer::Executor>(std::move(made));
}

}  // namespace bertie::cli
