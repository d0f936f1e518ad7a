#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "accelerator/sizes.h"
#include "accelerator/status_call.h"
#include "base/figures.h"
#include "cli/accelerator/accelerator.h"
#include "cli/checks.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "formats/prometheus.h"

namespace bertie::cli {
namespace {

using accelerator::FormatGigabytes;
using accelerator::FormatUnits;
using accelerator::Snapshot;

struct Metric {
  const char* name;
  const char* type;
  const char* help;
};

std::string NameOf(const Metric& metric) {
  return std::string("bertie_accelerator_") + metric.name;
}

void Value(const Metric& metric, double value, std::string& out) {
  formats::AppendMetric(NameOf(metric), metric.type, metric.help, value, out);
}

// Sums over the sessions of one endpoint: a label may stand once.
using Endpoints = std::map<std::pair<std::string, std::string>, Snapshot::Endpoint>;

Endpoints ByName(const Snapshot& snapshot) {
  Endpoints endpoints;
  for (const Snapshot::Endpoint& endpoint : snapshot.endpoints) {
    Snapshot::Endpoint& sum = endpoints[{endpoint.name, endpoint.accelerator_type}];
    sum.units += endpoint.units;
    sum.share += endpoint.share;
    sum.batches += endpoint.batches;
    sum.sentences += endpoint.sentences;
    sum.tokens += endpoint.tokens;
    sum.failures += endpoint.failures;
    sum.queued_tokens += endpoint.queued_tokens;
    sum.bytes_in += endpoint.bytes_in;
    sum.bytes_out += endpoint.bytes_out;
    sum.busy_seconds += endpoint.busy_seconds;
  }
  return endpoints;
}

template <class Get>
void PerEndpoint(const Metric& metric, const Endpoints& endpoints, Get get, std::string& out) {
  formats::AppendHelp(NameOf(metric), metric.type, metric.help, out);
  for (const auto& [key, endpoint] : endpoints) {
    formats::AppendSample(NameOf(metric),
                          formats::PrometheusLabel("endpoint", key.first) + "," +
                              formats::PrometheusLabel("type", key.second),
                          formats::PrometheusNumber(static_cast<double>(get(endpoint))), out);
  }
}

void BatchSizes(const Snapshot& snapshot, std::string& out) {
  const std::string name = "bertie_accelerator_batch_tokens";
  formats::AppendHelp(name, "histogram", "Tokens of a batch computed at once.", out);
  std::vector<double> bounds;
  for (size_t i = 0; i + 1 < snapshot.batch_tokens.size(); ++i) {
    bounds.push_back(i == 0 ? 8 : 2 * bounds.back());
  }
  formats::AppendHistogram(name, "", bounds, snapshot.batch_tokens, std::to_string(snapshot.tokens),
                           out);
}

std::string Duration(double seconds) {
  const auto whole = static_cast<int64_t>(seconds);
  char text[64];
  if (whole < 60) {
    std::snprintf(text, sizeof(text), "%d s", static_cast<int>(whole));
  } else if (whole < 3600) {
    std::snprintf(text, sizeof(text), "%d min", static_cast<int>(whole / 60));
  } else {
    std::snprintf(text, sizeof(text), "%d h %02d min", static_cast<int>(whole / 3600),
                  static_cast<int>(whole / 60 % 60));
  }
  return text;
}

}  // namespace

OrderedJson StatusJson(const Snapshot& snapshot) {
  OrderedJson json;
  json["version"] = snapshot.version;
  json["processor"] = snapshot.processor;
  json["capacity"] = snapshot.capacity.name;
  json["threads"] = snapshot.capacity.threads;
  json["memory_bytes"] = snapshot.capacity.memory_bytes;
  json["memory_used"] = snapshot.memory_used;
  json["units"] = snapshot.capacity.units;
  json["units_used"] = snapshot.units_used;
  json["uptime_seconds"] = snapshot.uptime_seconds;
  json["batches"] = snapshot.batches;
  json["sentences"] = snapshot.sentences;
  json["tokens"] = snapshot.tokens;
  json["busy_seconds"] = snapshot.busy_seconds;
  json["queued_batches"] = snapshot.queued_batches;
  json["queued_tokens"] = snapshot.queued_tokens;
  json["models"] = OrderedJson::array();
  for (const Snapshot::Model& model : snapshot.models) {
    json["models"].push_back({{"content_hash", model.content_hash},
                              {"precision", model.precision},
                              {"memory_bytes", model.memory_bytes},
                              {"sessions", model.sessions},
                              {"batches", model.batches}});
  }
  json["endpoints"] = OrderedJson::array();
  for (const Snapshot::Endpoint& endpoint : snapshot.endpoints) {
    json["endpoints"].push_back({{"name", endpoint.name},
                                 {"accelerator_type", endpoint.accelerator_type},
                                 {"content_hash", endpoint.content_hash},
                                 {"peer", endpoint.peer},
                                 {"attached_seconds", endpoint.attached_seconds},
                                 {"units", endpoint.units},
                                 {"share", endpoint.share},
                                 {"busy_seconds", endpoint.busy_seconds},
                                 {"batches", endpoint.batches},
                                 {"sentences", endpoint.sentences},
                                 {"tokens", endpoint.tokens},
                                 {"failures", endpoint.failures},
                                 {"queued_tokens", endpoint.queued_tokens},
                                 {"bytes_in", endpoint.bytes_in},
                                 {"bytes_out", endpoint.bytes_out},
                                 {"queue_p50_ms", endpoint.queue_p50_ms},
                                 {"queue_p99_ms", endpoint.queue_p99_ms},
                                 {"total_p50_ms", endpoint.total_p50_ms},
                                 {"total_p99_ms", endpoint.total_p99_ms}});
  }
  return json;
}

std::string StatusTable(const Snapshot& snapshot) {
  const accelerator::Capacity& capacity = snapshot.capacity;
  std::string text =
      "bertie " + snapshot.version + " accelerator" +
      (capacity.name.empty() ? "" : " " + capacity.name) + ", " + snapshot.processor + ", " +
      std::to_string(capacity.threads) + (capacity.threads == 1 ? " thread" : " threads") +
      ", up " + Duration(snapshot.uptime_seconds) + "\n" +
      "reserved: " + FormatUnits(snapshot.units_used) + " of " + FormatUnits(capacity.units) +
      " units, " + FormatGigabytes(snapshot.memory_used) + " of " +
      FormatGigabytes(capacity.memory_bytes) + "; computed: " + std::to_string(snapshot.sentences) +
      " sentences in " + std::to_string(snapshot.batches) +
      " batches; waiting: " + std::to_string(snapshot.queued_batches) + "\n\n";
  if (snapshot.endpoints.empty()) {
    text += "No endpoint is attached.\n";
  } else {
    Table table({"endpoint", "type", "model", "share", "batches", "sentences", "failures",
                 "queue p99", "total p50", "total p99", "from"});
    table.AlignRight({3, 4, 5, 6, 7, 8, 9});
    for (const Snapshot::Endpoint& e : snapshot.endpoints) {
      table.Add({OneLine(e.name, 32), e.accelerator_type, e.content_hash.substr(0, 12),
                 FormatFixed(100 * e.share, 1) + " %", std::to_string(e.batches),
                 std::to_string(e.sentences), std::to_string(e.failures),
                 FormatFixed(e.queue_p99_ms, 2) + " ms", FormatFixed(e.total_p50_ms, 2) + " ms",
                 FormatFixed(e.total_p99_ms, 2) + " ms", OneLine(e.peer, 32)});
    }
    text += table.ToString();
  }
  if (snapshot.models.empty()) return text;
  Table models({"model", "precision", "memory", "endpoints"});
  models.AlignRight({2, 3});
  for (const Snapshot::Model& model : snapshot.models) {
    models.Add({model.content_hash.substr(0, 12), model.precision,
                FormatGigabytes(model.memory_bytes), std::to_string(model.sessions)});
  }
  return text + "\n" + models.ToString();
}

std::string StatusMetrics(const Snapshot& s) {
  std::string out;
  const auto number = [](uint64_t value) { return static_cast<double>(value); };
  Value({"batches_total", "counter", "Batches computed."}, number(s.batches), out);
  Value({"urgent_batches_total", "counter", "Of them, in the middle of another one."},
        number(s.urgent_batches), out);
  Value({"sentences_total", "counter", "Sentences computed."}, number(s.sentences), out);
  Value({"tokens_total", "counter", "Tokens computed."}, number(s.tokens), out);
  Value({"failures_total", "counter", "Endpoints' batches that ended without logits."},
        number(s.failures), out);
  Value({"busy_seconds_total", "counter", "Time spent computing."}, s.busy_seconds, out);
  BatchSizes(s, out);
  Value({"queued_batches", "gauge", "Endpoints' batches that wait."}, number(s.queued_batches),
        out);
  Value({"queued_tokens", "gauge", "Tokens that wait."}, number(s.queued_tokens), out);
  Value({"memory_bytes", "gauge", "Memory that endpoints can reserve."},
        number(s.capacity.memory_bytes), out);
  Value({"memory_reserved_bytes", "gauge", "Memory that they have reserved."},
        number(s.memory_used), out);
  Value({"units", "gauge", "Units of compute that endpoints can reserve."}, s.capacity.units, out);
  Value({"units_reserved", "gauge", "Units that they have reserved."}, s.units_used, out);
  Value({"endpoints", "gauge", "Endpoints attached."}, number(s.endpoints.size()), out);
  Value({"models", "gauge", "Models in memory."}, number(s.models.size()), out);

  using E = const Snapshot::Endpoint&;
  const Endpoints endpoints = ByName(s);
  PerEndpoint(
      {"endpoint_share", "gauge", "Part of the busy time of the last 10 s."}, endpoints,
      [](E e) { return e.share; }, out);
  PerEndpoint(
      {"endpoint_units", "gauge", "Units reserved."}, endpoints, [](E e) { return e.units; }, out);
  PerEndpoint(
      {"endpoint_busy_seconds_total", "counter", "Computing time since it attached."}, endpoints,
      [](E e) { return e.busy_seconds; }, out);
  PerEndpoint(
      {"endpoint_batches_total", "counter", "Batches answered."}, endpoints,
      [](E e) { return e.batches; }, out);
  PerEndpoint(
      {"endpoint_sentences_total", "counter", "Sentences computed."}, endpoints,
      [](E e) { return e.sentences; }, out);
  PerEndpoint(
      {"endpoint_tokens_total", "counter", "Tokens computed."}, endpoints,
      [](E e) { return e.tokens; }, out);
  PerEndpoint(
      {"endpoint_failures_total", "counter", "Batches that ended without logits."}, endpoints,
      [](E e) { return e.failures; }, out);
  PerEndpoint(
      {"endpoint_queued_tokens", "gauge", "Tokens that wait."}, endpoints,
      [](E e) { return e.queued_tokens; }, out);
  PerEndpoint(
      {"endpoint_received_bytes_total", "counter", "Bytes of its batches."}, endpoints,
      [](E e) { return e.bytes_in; }, out);
  PerEndpoint(
      {"endpoint_sent_bytes_total", "counter", "Bytes of the answers."}, endpoints,
      [](E e) { return e.bytes_out; }, out);
  return out;
}

void AddAcceleratorStatus(CLI::App& accelerator, int& exit_code) {
  struct Flags {
    accelerator::StatusCallOptions call;
    AccessFlags access;
    bool json = false;
  };
  auto flags = std::make_shared<Flags>();
  CLI::App* command =
      accelerator.add_subcommand("status", "Show an accelerator's endpoints, models and load");
  command->add_option("ADDRESS", flags->call.address, "HOST:PORT of the accelerator")
      ->capture_default_str();
  command->add_flag("--json", flags->json, "All figures as JSON");
  command->add_flag("--tls", flags->access.tls, "Connect with TLS");
  command->add_option("--tls-ca", flags->access.tls_ca,
                      "Authority (PEM) of the accelerator's certificate [the system's]");
  command->add_option("--tls-cert", flags->access.tls_cert,
                      "Certificate (PEM) to show, where the accelerator asks for one");
  command->add_option("--tls-key", flags->access.tls_key, "Its private key (PEM)");
  command->add_option("--token-file", flags->access.token_file,
                      "File with the token [the variable BERTIE_ACCELERATOR_TOKEN]");
  command->callback([flags, &exit_code] {
    const auto security = ReadSecurity(flags->access, "--");
    if (!security.ok()) {
      exit_code = ReportError(security.error());
      return;
    }
    flags->call.security = *security;
    const auto snapshot = accelerator::CallStatus(flags->call);
    if (!snapshot.ok()) {
      exit_code = ReportError(snapshot.error());
      return;
    }
    exit_code =
        PrintAnswer(flags->json ? Dump(StatusJson(*snapshot), 2) + "\n" : StatusTable(*snapshot));
  });
}

}  // namespace bertie::cli
