#include "cli/train/summary.h"

#include <sys/resource.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <filesystem>

#include "cli/machine.h"
#include "model/checkpoint.h"
#include "model/classifier.h"

namespace bertie::cli {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostMistakes = 50;

std::vector<double> Softmax(std::span<const float> logits) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  std::vector<double> result;
  double sum = 0;
  for (const float logit : logits) sum += result.emplace_back(std::exp(logit - largest));
  for (double& value : result) value /= sum;
  return result;
}

// The wrong answers, those first that held the true label for the least likely.
void AddMistakes(const std::vector<data::Example>& examples, std::span<const float> logits,
                 TestResult& result) {
  const size_t labels = logits.size() / examples.size();
  for (size_t i = 0; i < examples.size(); ++i) {
    const auto row = logits.subspan(i * labels, labels);
    const int predicted = train::ArgMax(row);
    const data::Example& example = examples[i];
    if (predicted == example.label) continue;
    const std::vector<double> probabilities = Softmax(row);
    result.mistakes.push_back({example.text, example.pair.value_or(""), example.line, example.label,
                               predicted, probabilities[static_cast<size_t>(example.label)],
                               probabilities[static_cast<size_t>(predicted)]});
  }
  result.all_mistakes = static_cast<int64_t>(result.mistakes.size());
  std::stable_sort(
      result.mistakes.begin(), result.mistakes.end(),
      [](const Mistake& a, const Mistake& b) { return a.truth_probability < b.truth_probability; });
  if (result.mistakes.size() > kMostMistakes) result.mistakes.resize(kMostMistakes);
}

}  // namespace

Result<TestResult> TestSavedModel(const std::string& folder,
                                  const std::vector<data::Example>& examples,
                                  const train::EncodedDataset& encoded, int64_t batch_size,
                                  ThreadPool& pool) {
  BERTIE_ASSIGN_OR_RETURN(const model::Checkpoint checkpoint, model::LoadCheckpoint(folder));
  BERTIE_ASSIGN_OR_RETURN(const auto classifier, model::Classifier::Create(checkpoint, pool));
  BERTIE_ASSIGN_OR_RETURN(
      const std::vector<float> logits,
      train::ComputeLogits(classifier, encoded.encodings, {batch_size, nullptr}, pool));
  TestResult result;
  BERTIE_ASSIGN_OR_RETURN(result.metrics,
                          train::ComputeMetrics(encoded.labels, logits,
                                                static_cast<int>(checkpoint.config.num_labels())));
  AddMistakes(examples, logits, result);
  return result;
}

RunMachine DescribeRunMachine(int threads) {
  RunMachine machine;
  machine.processor = DescribeMachine().cpu;
  if (utsname names; uname(&names) == 0) {
    machine.system = std::string(names.sysname) + " " + names.release;
  }
  machine.threads = threads;
  if (rusage usage; getrusage(RUSAGE_SELF, &usage) == 0) {
    machine.peak_memory = int64_t{usage.ru_maxrss} * 1024;
  }
  return machine;
}

std::string BaseModelName(const std::string& path) {
  std::error_code error;
  fs::path full = fs::absolute(path, error).lexically_normal();
  if (!full.has_filename()) full = full.parent_path();
  // hub/models--ORGANISATION--NAME/snapshots/REVISION
  const std::string hub = full.parent_path().parent_path().filename();
  if (full.parent_path().filename() == "snapshots" && hub.starts_with("models--")) {
    std::string id = hub.substr(8);
    if (const size_t dashes = id.find("--"); dashes != std::string::npos) {
      id.replace(dashes, 2, "/");
    }
    return id;
  }
  std::string name = full.filename();
  for (const std::string ending : {".tar.gz", ".tgz"}) {
    if (name.ends_with(ending)) name.resize(name.size() - ending.size());
  }
  return name;
}

std::string Today() {
  const std::time_t now = std::time(nullptr);
  std::tm local = {};
  localtime_r(&now, &local);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%d", &local);
  return text;
}

}  // namespace bertie::cli
