#include "cli/attach.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

#include "accelerator/manifest.h"
#include "accelerator/remote_executor.h"
#include "base/quote.h"
#include "base/resident_memory.h"
#include "cli/attached_executors.h"
#include "cli/service.h"
#include "formats/prometheus.h"

namespace bertie::cli {
namespace {

constexpr const char* kSageMakerVariable = "SAGEMAKER_INFERENCE_ACCELERATOR_PRESENT";

Error BadFlag(const std::string& what) { return {ErrorCode::kInvalidArgument, what}; }

Status CheckAddress(const std::string& address) {
  const auto parsed = ParseAddress(address);
  if (parsed.ok() && parsed->port > 0) return {};
  return BadFlag("--accelerator: found " + Quote(address) +
                 "; expected HOST:PORT, the address that 'bertie accelerator' names at its start");
}

void AppendRoundTrips(const accelerator::RemoteStats& stats, std::string& out) {
  const std::string name = "bertie_accelerator_round_trip_seconds";
  formats::AppendHelp(name, "histogram", "From a batch's sending to its answer.", out);
  std::array<double, accelerator::RoundTrips::kBounds> bounds;
  for (size_t i = 0; i < bounds.size(); ++i) {
    bounds[i] = i == 0 ? accelerator::RoundTrips::kFirst : 2 * bounds[i - 1];
  }
  formats::AppendHistogram(name, "", bounds, stats.round_trips,
                           formats::PrometheusNumber(stats.round_trip_seconds), out);
}

std::string Format(const accelerator::RemoteStats& stats) {
  std::string out;
  const auto per_address = [&](const char* name, const char* help, auto value) {
    formats::AppendHelp(name, "gauge", help, out);
    for (const auto& each : stats.accelerators) {
      formats::AppendSample(name, formats::PrometheusLabel("address", each.address),
                            std::to_string(value(each)), out);
    }
  };
  const auto counter = [&](const char* name, const char* help, uint64_t value) {
    formats::AppendMetric(name, "counter", help, static_cast<double>(value), out);
  };
  using Each = const accelerator::RemoteStats::Accelerator&;
  per_address("bertie_accelerator_attached", "Whether this accelerator takes batches.",
              [](Each each) { return each.attached && !each.resting ? 1 : 0; });
  per_address("bertie_accelerator_in_flight", "Batches sent and not answered.",
              [](Each each) { return each.in_flight; });
  counter("bertie_accelerator_attachments_total", "Sessions begun.", stats.attachments);
  const char* batches = "bertie_accelerator_batches_total";
  formats::AppendHelp(batches, "counter", "Batches, by who answered them.", out);
  for (const auto& [by, count] :
       {std::pair("accelerator", stats.remote_batches),
        std::pair("fallback", stats.fallback_batches), std::pair("nobody", stats.failed_batches)}) {
    formats::AppendSample(batches, formats::PrometheusLabel("by", by), std::to_string(count), out);
  }
  counter("bertie_accelerator_sent_batches_total", "Batches sent, second attempts included.",
          stats.sent_batches);
  counter("bertie_accelerator_hedged_batches_total",
          "Batches begun a second time because they were late.", stats.hedged_batches);
  counter("bertie_accelerator_upload_bytes_total", "Of models uploaded.", stats.upload_bytes);
  counter("bertie_accelerator_sent_bytes_total", "Of batches.", stats.bytes_sent);
  counter("bertie_accelerator_received_bytes_total", "Of answers.", stats.bytes_received);
  AppendRoundTrips(stats, out);
  return out;
}

// What an accelerator's status calls this endpoint: model, machine and port.
std::string EndpointName(std::string name, uint16_t port) {
  char host[256] = "";
  gethostname(host, sizeof(host) - 1);
  constexpr size_t kMostOfName = 60;
  if (name.size() > kMostOfName) name.resize(kMostOfName);
  name += "@" + std::string(host).substr(0, kMostOfName);
  if (port > 0) name += ":" + std::to_string(port);
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return c < 0x20 || c >= 0x7f; }, '_');
  return name;
}

}  // namespace

struct Attachment::Impl {
  AttachFlags flags;
  accelerator::Security security;
  std::string precision;
  uint16_t port = 0;
  AttachedExecutors executors;

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
  file("--accelerator-tls-ca", flags.access.tls_ca,
       "Encrypt; PEM of the authority it must prove itself by");
  file("--accelerator-tls-cert", flags.access.tls_cert,
       "PEM of this end's certificate (mutual TLS)");
  file("--accelerator-tls-key", flags.access.tls_key, "PEM of its key");
  file("--accelerator-token-file", flags.access.token_file,
       "Holds the token that the accelerator asks for [BERTIE_ACCELERATOR_TOKEN]");
}

Attachment::Attachment(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Attachment::~Attachment() = default;

Result<std::unique_ptr<Attachment>> Attachment::Make(const AttachFlags& flags,
                                                     const std::string& precision, uint16_t port) {
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
  BERTIE_ASSIGN_OR_RETURN(impl->security, ReadSecurity(flags.access, "--accelerator-"));
  impl->flags = flags;
  impl->precision = precision;
  impl->port = port;
  return std::unique_ptr<Attachment>(new Attachment(std::move(impl)));
}

void Attachment::Use(serve::ModelServerOptions& options) {
  options.repository.load.local_weights = impl_->flags.fallback;
  options.repository.load.make_executor = [this](const serve::ExecutorContext& context) {
    return impl_->MakeExecutor(context);
  };
  options.handler.more_metrics = [this] {
    return impl_->executors.empty() ? std::string() : Format(impl_->executors.Sum());
  };
}

Result<std::unique_ptr<infer::Executor>> Attachment::Impl::MakeExecutor(
    const serve::ExecutorContext& context) {
  accelerator::RemoteOptions options;
  options.addresses = flags.addresses;
  options.security = security;
  options.endpoint = EndpointName(context.id.name, port);
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
        std::to_string(ResidentBytes() / 1'000'000) +
        " MB in memory so far (--no-fallback does without)");
  }
  BERTIE_ASSIGN_OR_RETURN(std::unique_ptr<accelerator::RemoteExecutor> made,
                          accelerator::RemoteExecutor::Create(std::move(options)));
  return executors.Add(std::move(made));
}

}  // namespace bertie::cli
