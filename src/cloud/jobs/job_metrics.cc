#include "cloud/jobs/job_metrics.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "cloud/jobs/job_ranks.h"
#include "cloud/processes/stamped_log.h"
#include "cloud/request_reader.h"

namespace bertie::cloud {
namespace {

using formats::Json;

constexpr char kJobSpace[] = "/aws/sagemaker/TrainingJobs";
constexpr char kJobDimension[] = "TrainingJobName";
// What was read of further jobs is forgotten, and read again when it is asked for.
constexpr size_t kMaxReadings = 8;
// Of one metric. When there are more, each two become one.
constexpr size_t kMaxJobPoints = 2048;

constexpr std::pair<const char*, const char*> kOwnPatterns[] = {
    {"train:loss", "^Train Epoch: .* Loss: ([0-9.]+)"},
    {"validation:accuracy", "^Test set: Accuracy: ([0-9.]+)"},
    {"validation:loss", "^\\{'eval_loss': ([0-9.]+)"},
    {"validation:f1", "'eval_f1': ([0-9.]+)"},
};

void Halve(std::vector<MetricSlot>& slots) {
  size_t kept = 0;
  for (size_t i = 0; i < slots.size(); i += 2, ++kept) {
    if (i + 1 < slots.size()) slots[i].values.Add(slots[i + 1].values);
    slots[kept] = std::move(slots[i]);
  }
  slots.resize(kept);
}

}  // namespace

// By name.
std::map<std::string, std::string> JobMetrics::DefinitionsOf(const JobRecord& record) const {
  std::map<std::string, std::string> definitions;
  RequestReader reader(record.request);
  const Json* algorithm = reader.Object("AlgorithmSpecification", Presence::kOptional);
  if (algorithm == nullptr) return definitions;
  RequestReader inside = reader.Inside("AlgorithmSpecification", *algorithm);
  inside.EachObject("MetricDefinitions", Presence::kOptional, 0, 40, [&](RequestReader& item) {
    definitions[item.Text("Name", Presence::kRequired)] = item.Text("Regex", Presence::kRequired);
  });
  const auto program =
      JobRanks::ProgramFor(inside.Text("TrainingImage", Presence::kOptional), settings_);
  if (definitions.empty() && program && program->empty()) {
    definitions.insert(std::begin(kOwnPatterns), std::end(kOwnPatterns));
  }
  return definitions;
}

// With the mutex held.
std::shared_ptr<JobMetrics::Reading> JobMetrics::ReadingOf(const JobRecord& record) const {
  auto found = std::find_if(readings_.begin(), readings_.end(),
                            [&](const auto& reading) { return reading->job == record.name; });
  if (found != readings_.end() && (*found)->created == record.created) {
    readings_.splice(readings_.begin(), readings_, found);
    return readings_.front();
  }
  if (found != readings_.end()) readings_.erase(found);
  auto reading = std::make_shared<Reading>();
  reading->job = record.name;
  reading->created = record.created;
  for (const auto& [name, pattern] : DefinitionsOf(record)) {
    // The job was only taken with patterns that can be used.
    if (auto compiled = MetricPattern::Compile(name, pattern); compiled.ok()) {
      reading->patterns.push_back(*std::move(compiled));
    }
  }
  readings_.push_front(reading);
  if (readings_.size() > kMaxReadings) readings_.pop_back();
  return reading;
}

// With the mutex held.
void JobMetrics::ReadOn(const JobRecord& record, Reading& reading) const {
  if (reading.patterns.empty()) return;
  for (const std::string& host : HostNames(InstancesIn(record.request))) {
    uint64_t& offset = reading.offsets[host];
    const auto next =
        ReadLog(folder_ / record.name / host / "log", offset, [&](const LogLine& line) {
          for (const MetricPattern& pattern : reading.patterns) {
            const auto value = pattern.Find(line.text);
            if (!value) continue;
            auto& slots = reading.values[pattern.name()];
            slots.push_back({line.time, {}});
            slots.back().values.Add(*value);
            if (slots.size() > kMaxJobPoints) Halve(slots);
          }
          return true;
        });
    if (next.ok()) offset = *next;
  }
}

std::vector<MetricId> JobMetrics::Metrics() const {
  std::vector<MetricId> metrics;
  for (const JobRecord& record : board_.All()) {
    for (const auto& [name, pattern] : DefinitionsOf(record)) {
      metrics.push_back({kJobSpace, name, {{kJobDimension, record.name}}});
    }
  }
  return metrics;
}

std::vector<MetricSlot> JobMetrics::Read(const MetricId& metric, const MetricSpan& span,
                                         bool) const {
  const auto name = metric.dimensions.find(kJobDimension);
  if (metric.space != kJobSpace || name == metric.dimensions.end() ||
      metric.dimensions.size() != 1) {
    return {};
  }
  const auto record = board_.Find(name->second);
  if (!record) return {};
  std::lock_guard lock(mutex_);
  const auto reading = ReadingOf(*record);
  ReadOn(*record, *reading);
  std::vector<MetricSlot> slots;
  for (const MetricSlot& slot : reading->values[metric.name]) {
    if (span.Holds(slot.time)) slots.push_back(slot);
  }
  // Several hosts' lines come one host after the other.
  std::stable_sort(slots.begin(), slots.end(),
                   [](const MetricSlot& a, const MetricSlot& b) { return a.time < b.time; });
  return slots;
}

}  // namespace bertie::cloud
