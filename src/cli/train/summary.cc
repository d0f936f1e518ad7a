#include "cli/train/summary.h"

#include <sys/resource.h>
#include <sys/utsname.h>

#include <ctime>
#include <filesystem>

#include "cli/machine.h"
#include "model/checkpoint.h"
#include "model/classifier.h"

namespace bertie::cli {
namespace {

namespace fs = std::filesystem;

}  // namespace

Result<TestResult> TestSavedModel(const TrainJob& job, const std::vector<data::Example>& examples,
                                  const train::EncodedDataset& encoded, ThreadPool& pool) {
  BERTIE_ASSIGN_OR_RETURN(const model::Checkpoint checkpoint, model::LoadCheckpoint(job.out));
  BERTIE_ASSIGN_OR_RETURN(const auto classifier, model::Classifier::Create(checkpoint, pool));
  BERTIE_ASSIGN_OR_RETURN(const std::vector<float> logits,
                          train::ComputeLogits(classifier, encoded.encodings,
                                               {job.trainer.test_batch_size, nullptr}, pool));
  TestResult result;
  BERTIE_ASSIGN_OR_RETURN(result.metrics,
                          train::ComputeMetrics(encoded.targets, logits,
                                                static_cast<int>(checkpoint.config.num_labels()),
                                                job.trainer.threshold));
  result.mistakes = FindMistakes(examples, logits, checkpoint.config, job.trainer.threshold);
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
