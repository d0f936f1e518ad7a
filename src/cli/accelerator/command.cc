#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "accelerator/accelerator.h"
#include "accelerator/grpc_server.h"
#include "base/cache_folder.h"
#include "base/thread_pool.h"
#include "cli/accelerator/accelerator.h"
#include "cli/accelerator/access.h"
#include "cli/checks.h"
#include "cli/commands.h"
#include "cli/machine.h"
#include "cli/service.h"
#include "comm/socket.h"

namespace bertie::cli {
namespace {

struct AcceleratorFlags {
  std::string listen = "127.0.0.1:50051";
  std::string address_file;
  std::string status_listen = "127.0.0.1:50052";
  std::string capacity;
  int threads = 0;
  double memory_gb = 0;
  double units = 0;
  std::string store;
  double store_gb = 20;
  int64_t max_batch_tokens = 0;
  size_t max_endpoints = 256;
  size_t max_in_flight = 32;
  double keep_models = 600;
  std::string tls_certificate;
  std::string tls_key;
  std::string tls_client_ca;
  std::string token_file;
  bool insecure = false;
};

Result<accelerator::Capacity> MakeCapacity(const AcceleratorFlags& flags) {
  accelerator::Capacity capacity;
  capacity.threads = flags.threads > 0 ? flags.threads : ThreadPool::DefaultThreads();
  const bool by_hand = flags.memory_gb > 0 || flags.units > 0;
  if (by_hand && !flags.capacity.empty()) {
    return Error{ErrorCode::kInvalidArgument,
                 "--capacity says memory and units; leave it out, or --memory and --units"};
  }
  if (by_hand && (flags.memory_gb <= 0 || flags.units <= 0)) {
    return Error{ErrorCode::kInvalidArgument, "--memory and --units go together"};
  }
  if (by_hand) {
    capacity.memory_bytes =
        static_cast<uint64_t>(flags.memory_gb * static_cast<double>(accelerator::kGigabyte));
    capacity.units = flags.units;
    return capacity;
  }
  BERTIE_ASSIGN_OR_RETURN(
      const accelerator::Size size,
      accelerator::FindSize(flags.capacity.empty() ? "eia2.xlarge" : flags.capacity));
  capacity.name = size.name;
  capacity.memory_bytes = size.memory_bytes;
  capacity.units = size.units;
  return capacity;
}

// The rule of every bertie that listens: other machines only with proof of who they are.
Status CheckSecurity(const AcceleratorFlags& flags, const std::string& token) {
  if (flags.tls_certificate.empty() != flags.tls_key.empty()) {
    return Error{ErrorCode::kInvalidArgument, "--tls-cert and --tls-key go together"};
  }
  const bool tls = !flags.tls_certificate.empty();
  if (!flags.tls_client_ca.empty() && !tls) {
    return Error{ErrorCode::kInvalidArgument, "--tls-client-ca needs --tls-cert and --tls-key"};
  }
  if (flags.insecure) return {};
  BERTIE_ASSIGN_OR_RETURN(const Address address, ParseAddress(flags.listen));
  if (!comm::IsLoopback(address.host) &&
      !(tls && (!token.empty() || !flags.tls_client_ca.empty()))) {
    return Error{ErrorCode::kInvalidArgument,
                 "--listen " + flags.listen +
                     " can be reached from other machines: give --tls-cert and --tls-key with "
                     "--token-file or --tls-client-ca, or --insecure where the network is trusted"};
  }
  if (flags.status_listen == "off") return {};
  BERTIE_ASSIGN_OR_RETURN(const Address status, ParseAddress(flags.status_listen));
  if (!comm::IsLoopback(status.host)) {
    return Error{ErrorCode::kInvalidArgument,
                 "--status-listen " + flags.status_listen +
                     " can be reached from other machines, and the page has no login: give a "
                     "loopback address, or --insecure where the network is trusted"};
  }
  return {};
}

accelerator::AcceleratorOptions MakeOptions(const AcceleratorFlags& flags,
                                            accelerator::Capacity capacity) {
  accelerator::AcceleratorOptions options;
  options.capacity = std::move(capacity);
  options.store.dir = flags.store.empty() ? CacheFolder() / "bertie" / "accelerator"
                                          : std::filesystem::path(flags.store);
  options.store.max_bytes =
      static_cast<uint64_t>(flags.store_gb * static_cast<double>(accelerator::kGigabyte));
  options.version = BERTIE_VERSION;
  options.processor = DescribeMachine().cpu;
  options.max_batch_tokens = flags.max_batch_tokens;
  options.max_sessions = flags.max_endpoints;
  options.max_in_flight = flags.max_in_flight;
  options.keep_models = std::chrono::seconds(static_cast<int64_t>(flags.keep_models));
  return options;
}

void LogMemory(const accelerator::Capacity& capacity) {
  const uint64_t memory =
      static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  if (memory >= capacity.memory_bytes) return;
  Log("note: this machine has " + accelerator::FormatGigabytes(memory) +
      "; attached endpoints may be promised up to " +
      accelerator::FormatGigabytes(capacity.memory_bytes));
}

void LogStart(const AcceleratorFlags& flags, const accelerator::AcceleratorOptions& options,
              const accelerator::GrpcServer& server, const StatusPage* page) {
  const accelerator::Capacity& capacity = options.capacity;
  const bool tls = !flags.tls_certificate.empty();
  LogMemory(capacity);
  Log("accelerator " + (capacity.name.empty() ? "" : capacity.name + " ") + "(" +
      accelerator::FormatUnits(capacity.units) + " units, " +
      accelerator::FormatGigabytes(capacity.memory_bytes) + ", " +
      std::to_string(capacity.threads) + (capacity.threads == 1 ? " thread" : " threads") +
      "; models in " + options.store.dir.string() + ") on " + server.address() +
      (!tls                          ? ", without TLS"
       : flags.tls_client_ca.empty() ? ", with TLS"
                                     : ", with mutual TLS"));
  if (page != nullptr) Log("status: http://" + page->address() + "/");
  Log("try: bertie serve MODEL --accelerator " + server.address() +
      " --accelerator-type ml.eia2.medium");
}

int RunAccelerator(const AcceleratorFlags& flags) {
  const auto token = ReadToken(flags.token_file);
  if (!token.ok()) return ReportError(token.error());
  if (const Status safe = CheckSecurity(flags, *token); !safe.ok())
    return ReportError(safe.error());
  auto capacity = MakeCapacity(flags);
  if (!capacity.ok()) return ReportError(capacity.error());
  const auto listen = ParseAddress(flags.listen);
  if (!listen.ok()) return ReportError(listen.error());

  StopSignal stop;
  const auto options = MakeOptions(flags, *capacity);
  auto made = accelerator::Accelerator::Create(options);
  if (!made.ok()) return ReportError(made.error());
  accelerator::GrpcServerOptions network;
  network.listen = flags.listen;
  network.tls_certificate = flags.tls_certificate;
  network.tls_key = flags.tls_key;
  network.tls_client_ca = flags.tls_client_ca;
  network.token = *token;
  network.log = BoundedLog();
  auto server = accelerator::GrpcServer::Start(std::move(network), **made);
  if (!server.ok()) return ReportError(server.error());
  std::unique_ptr<StatusPage> page;
  if (Status wrote = WriteAddressFile(flags.address_file, (*server)->address()); !wrote.ok()) {
    return ReportError(wrote.error());
  }
  if (flags.status_listen != "off") {
    const auto address = ParseAddress(flags.status_listen);
    if (!address.ok()) return ReportError(address.error());
    auto listening = StatusPage::Listen(*address, [raw = made->get()] { return raw->Read(); });
    if (!listening.ok()) {
      const Error& error = listening.error();
      return ReportError({error.code, error.message + " (the status page: take another address "
                                                      "with --status-listen, or 'off')"});
    }
    page = std::move(*listening);
  }
  LogStart(flags, options, **server, page.get());

  return DrainOnSignal(stop,
                       [&](std::chrono::milliseconds limit) { return (*server)->Drain(limit); },
                       {.doing = "computing what is queued", .work = "batches"});
}

void AddSecurity(CLI::App& command, AcceleratorFlags& flags) {
  const auto add = [&command](const std::string& name, auto& value, const std::string& help) {
    return command.add_option(name, value, help)->group("Security");
  };
  add("--tls-cert", flags.tls_certificate, "Certificate chain (PEM); read again when it changes");
  add("--tls-key", flags.tls_key, "Its private key (PEM)");
  add("--tls-client-ca", flags.tls_client_ca,
      "Authorities (PEM) one of which must have signed an endpoint's certificate");
  add("--token-file", flags.token_file,
      "File with a secret that endpoints must send [the variable BERTIE_ACCELERATOR_TOKEN]");
  command
      .add_flag("--insecure", flags.insecure,
                "Let other machines in without TLS and proof of who they are")
      ->group("Security");
}

void AddLimits(CLI::App& command, AcceleratorFlags& flags) {
  const auto add = [&command](const std::string& name, auto& value, const std::string& help) {
    return command.add_option(name, value, help)->capture_default_str()->group("Limits");
  };
  add("--store-size", flags.store_gb, "GB that models may take on disk; the unused go first")
      ->check(Between(0.001, 1e6));
  add("--keep-models", flags.keep_models, "Seconds that an unused model stays in memory")
      ->check(Between(0, 1e7));
  add("--max-endpoints", flags.max_endpoints, "Endpoints attached at once")
      ->check(CLI::Range(1, 10'000));
  add("--max-in-flight", flags.max_in_flight, "Batches an endpoint may have waiting")
      ->check(CLI::Range(1, 1024));
  command
      .add_option("--max-batch-tokens", flags.max_batch_tokens,
                  "Tokens computed at once [64 a thread]")
      ->check(CLI::Range(1, 1'000'000))
      ->group("Limits");
}

}  // namespace

void AddAccelerator(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<AcceleratorFlags>();
  CLI::App* command = app.add_subcommand(
      "accelerator", "Lend this machine's computing to small endpoints (Elastic Inference)");
  command->add_option("--listen", flags->listen, "HOST:PORT for endpoints; port 0: any free one")
      ->capture_default_str();
  command
      ->add_option("--status-listen", flags->status_listen,
                   "HOST:PORT of the page that shows who uses it; off: none")
      ->capture_default_str();
  command->add_option("--address-file", flags->address_file,
                      "File that gets HOST:PORT once endpoints are taken, for port 0");
  command->add_option("--capacity", flags->capacity,
                      "What it has to give: eia2.medium, .large, .xlarge, eia1.* [eia2.xlarge]");
  command->add_option("--memory", flags->memory_gb, "GB to give, instead of --capacity")
      ->check(Between(0.001, 1e6));
  command
      ->add_option("--units", flags->units,
                   "Units of compute to give, instead of --capacity; an ml.eia2.medium takes 1")
      ->check(Between(0.001, 1e6));
  command->add_option("--threads", flags->threads, "Threads for the arithmetic [all processors]")
      ->check(CLI::Range(1, 1024));
  command->add_option("--store", flags->store, "Folder for models [~/.cache/bertie/accelerator]");
  AddSecurity(*command, *flags);
  AddLimits(*command, *flags);
  AddAcceleratorStatus(*command, exit_code);
  command->footer(
      "Endpoints (bertie serve MODEL --accelerator HOST:PORT --accelerator-type ml.eia2.medium)\n"
      "tokenise texts themselves and send ids; the accelerator holds each model once, computes,\n"
      "and sends logits. A type reserves memory and a share of the computing:\n"
      "\n"
      "  type             memory  units    type             memory  units\n"
      "  ml.eia1.medium   1 GB    1        ml.eia2.medium   2 GB    1\n"
      "  ml.eia1.large    2 GB    2        ml.eia2.large    4 GB    2\n"
      "  ml.eia1.xlarge   4 GB    4        ml.eia2.xlarge   8 GB    4\n"
      "\n"
      "When all want to compute, each gets time in proportion to its units; what one does not\n"
      "use the others may.\n"
      "\n"
      "Examples:\n"
      "  bertie accelerator --capacity eia2.xlarge\n"
      "  bertie accelerator --listen 0.0.0.0:50051 --memory 64 --units 32 \\\n"
      "    --tls-cert server.pem --tls-key server.key --token-file token\n"
      "  bertie accelerator status 127.0.0.1:50051");
  command->callback([flags, command, &exit_code] {
    if (command->get_subcommands().empty()) exit_code = RunAccelerator(*flags);
  });
}

}  // namespace bertie::cli
