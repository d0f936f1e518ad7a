#include "cli/doctor/report.h"

#include <algorithm>
#include <vector>

#include "base/figures.h"
#include "cli/progress.h"
#include "cli/table.h"

namespace bertie::cli {
namespace {

std::string Gigabytes(int64_t bytes) {
  return FormatFixed(static_cast<double>(bytes) / 1e9, 1) + " GB";
}

std::string Words(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

std::string ProcessorsText(const Facts& facts) {
  std::string text = std::to_string(facts.processors);
  if (facts.allowed < facts.processors) text += ", " + std::to_string(facts.allowed) + " allowed";
  if (facts.cgroup.processors) {
    text += ", quota " + FormatFixed(*facts.cgroup.processors, 2);
  }
  return text + "; " + std::to_string(facts.threads) +
         (facts.threads == 1 ? " thread" : " threads") + " unless told otherwise";
}

std::string MemoryText(const Facts& facts) {
  std::string text = Gigabytes(facts.memory) + ", " + Gigabytes(facts.memory_available) + " free";
  if (facts.cgroup.memory_bytes) {
    text += ", limited to " + Gigabytes(*facts.cgroup.memory_bytes);
  }
  return text + ", swap " + (facts.swap > 0 ? Gigabytes(facts.swap) : "none");
}

std::string MachineTable(const Diagnosis& diagnosis) {
  const Facts& facts = diagnosis.facts;
  const Speed& speed = diagnosis.speed;
  Table table;
  table.Add({"processor", facts.machine.cpu.empty() ? "unknown" : facts.machine.cpu});
  table.Add({"instructions", Words(facts.machine.features)});
  table.Add({"kernels", "fp32 " + facts.fp32 + ", bf16 " + facts.bf16 + ", int8 " + facts.int8});
  table.Add({"processors", ProcessorsText(facts)});
  if (!facts.governor.empty()) table.Add({"clock", facts.governor});
  table.Add({"memory", MemoryText(facts)});
  table.Add({"huge pages", (facts.huge_pages.empty() ? "unknown" : facts.huge_pages) +
                               (facts.reserved_huge_pages > 0
                                    ? ", " + FormatCount(facts.reserved_huge_pages) + " reserved"
                                    : std::string())});
  table.Add({"products", "fp32 " + FormatSpeed(speed.fp32) + ", bf16 " + FormatSpeed(speed.bf16) +
                             ", int8 " + FormatSpeed(speed.int8) + " G operations/s"});
  table.Add({"memory speed", "weights read at " + FormatSpeed(speed.read) + " GB/s, copied at " +
                                 FormatSpeed(speed.copy) + " GB/s"});
  table.Add({"evenness", "the slowest tenth of equal work +" + FormatFixed(100 * speed.spread, 0) +
                             " %, taken by other machines " + FormatFixed(100 * speed.stolen, 1) +
                             " %"});
  table.Add({"pauses", "the longest " + FormatFixed(speed.pauses.longest_ms, 1) + " ms, " +
                           FormatFixed(speed.pauses.per_second, 0) +
                           " a second of more than 1 ms, " +
                           FormatFixed(100 * speed.pauses.lost, 1) + " % of the time"});
  table.Add({"models", facts.cache.string() + ", " + Gigabytes(facts.disk_free) + " free" +
                           (speed.disk > 0 ? ", written at " + FormatSpeed(speed.disk) + " MB/s"
                                           : std::string())});
  table.Add({"open files", FormatCount(static_cast<int64_t>(facts.open_files)) + ", at most " +
                               FormatCount(static_cast<int64_t>(facts.most_open_files))});
  std::string ports;
  for (const PortFact& port : facts.ports) {
    ports += (ports.empty() ? "" : ", ") + std::to_string(port.port) +
             (port.free ? " free" : " in use") + " (" + port.command + ")";
  }
  table.Add({"ports", ports});
  return table.ToString();
}

std::string ExpectationTable(const Advice& advice) {
  Table table({"model", "tokens", "served", "alone", "trained"});
  table.Indent(2).AlignRight({1, 2, 3, 4});
  for (const Expectation& expected : advice.expectations) {
    table.Add({expected.model, std::to_string(expected.tokens),
               FormatSpeed(expected.serving) + "/s", FormatFixed(expected.latency, 2) + " ms",
               FormatSpeed(expected.training) + "/s"});
  }
  return table.ToString();
}

std::string AdviceText(const Advice& advice) {
  return "\nserve with --precision " + advice.serving_precision + ": " + advice.serving_reason +
         "\ntrain with --precision " + advice.training_precision + ": " + advice.training_reason +
         "\nthreads: " + std::to_string(advice.threads) + ": " + advice.threads_reason +
         "\n\nestimates for these precisions, from the speeds above (sentences in batches, one "
         "alone; 'bertie bench MODEL' measures)\n" +
         ExpectationTable(advice);
}

std::string ModelText(const Diagnosis& diagnosis) {
  if (!diagnosis.model) return "";
  Table table;
  table.Indent(2);
  for (const ModelCheck::Step& step : diagnosis.model->steps) {
    table.Add({step.what, (step.ok ? "" : "FAILED: ") + step.text});
  }
  return "\n" + diagnosis.model_name + "\n" + table.ToString();
}

std::string FindingsText(const std::vector<Finding>& findings) {
  std::string text = "\n";
  for (const Finding& finding : findings) {
    text +=
        (finding.level == Finding::Level::kError ? "error: " : "warning: ") + finding.text + "\n";
  }
  return text;
}

OrderedJson MachineJson(const Facts& facts) {
  const auto limit = [](const auto& value) { return value ? OrderedJson(*value) : OrderedJson(); };
  OrderedJson ports = OrderedJson::array();
  for (const PortFact& port : facts.ports) {
    ports.push_back({{"port", port.port}, {"command", port.command}, {"free", port.free}});
  }
  return {{"cpu", facts.machine.cpu},
          {"features", facts.machine.features},
          {"kernels", {{"fp32", facts.fp32}, {"bf16", facts.bf16}, {"int8", facts.int8}}},
          {"processors", facts.processors},
          {"allowed_processors", facts.allowed},
          {"quota_processors", limit(facts.cgroup.processors)},
          {"threads", facts.threads},
          {"governor", facts.governor},
          {"memory_bytes", facts.memory},
          {"memory_available_bytes", facts.memory_available},
          {"memory_limit_bytes", limit(facts.cgroup.memory_bytes)},
          {"swap_bytes", facts.swap},
          {"swap_used_bytes", facts.swap_used},
          {"last_cache_bytes", facts.last_cache},
          {"huge_pages", facts.huge_pages},
          {"reserved_huge_pages", facts.reserved_huge_pages},
          {"open_files", facts.open_files},
          {"most_open_files", facts.most_open_files},
          {"cache", facts.cache.string()},
          {"cache_writable", facts.cache_writable},
          {"disk_free_bytes", facts.disk_free},
          {"ports", ports}};
}

OrderedJson SpeedJson(const Speed& speed) {
  return {{"fp32_gops", speed.fp32},
          {"bf16_gops", speed.bf16},
          {"int8_gops", speed.int8},
          {"read_gb_per_s", speed.read},
          {"copy_gb_per_s", speed.copy},
          {"disk_mb_per_s", speed.disk},
          {"spread", speed.spread},
          {"stolen", speed.stolen},
          {"pauses",
           {{"longest_ms", speed.pauses.longest_ms},
            {"per_second", speed.pauses.per_second},
            {"lost", speed.pauses.lost}}}};
}

OrderedJson AdviceJson(const Advice& advice) {
  OrderedJson expected = OrderedJson::array();
  for (const Expectation& one : advice.expectations) {
    expected.push_back({{"model", one.model},
                        {"tokens", one.tokens},
                        {"precision", one.precision},
                        {"sentences_per_s", one.serving},
                        {"latency_ms", one.latency},
                        {"training_sentences_per_s", one.training}});
  }
  return {{"serving_precision", advice.serving_precision},
          {"serving_reason", advice.serving_reason},
          {"training_precision", advice.training_precision},
          {"training_reason", advice.training_reason},
          {"threads", advice.threads},
          {"threads_reason", advice.threads_reason},
          {"estimates", expected}};
}

}  // namespace

bool Diagnosis::ok() const {
  return (!model || model->ok()) &&
         std::none_of(advice.findings.begin(), advice.findings.end(), [](const Finding& finding) {
           return finding.level == Finding::Level::kError;
         });
}

std::string DiagnosisText(const Diagnosis& diagnosis) {
  return MachineTable(diagnosis) + AdviceText(diagnosis.advice) + ModelText(diagnosis) +
         (diagnosis.advice.findings.empty() ? "\nnothing to warn of\n"
                                            : FindingsText(diagnosis.advice.findings));
}

OrderedJson DiagnosisJson(const Diagnosis& diagnosis) {
  OrderedJson findings = OrderedJson::array();
  for (const Finding& finding : diagnosis.advice.findings) {
    findings.push_back({{"level", finding.level == Finding::Level::kError ? "error" : "warning"},
                        {"what", finding.what},
                        {"text", finding.text}});
  }
  OrderedJson json{{"ok", diagnosis.ok()},
                   {"version", BERTIE_VERSION},
                   {"machine", MachineJson(diagnosis.facts)},
                   {"speed", SpeedJson(diagnosis.speed)},
                   {"advice", AdviceJson(diagnosis.advice)},
                   {"findings", findings}};
  if (!diagnosis.model) return json;
  OrderedJson steps = OrderedJson::array();
  for (const ModelCheck::Step& step : diagnosis.model->steps) {
    steps.push_back({{"what", step.what}, {"ok", step.ok}, {"text", step.text}});
  }
  json["model"] = {{"name", diagnosis.model_name}, {"ok", diagnosis.model->ok()}, {"steps", steps}};
  return json;
}

}  // namespace bertie::cli
