#include "cli/train/data.h"

#include <algorithm>
#include <iostream>

#include "base/figures.h"
#include "data/split.h"
#include "data/strata.h"
#include "model/problem.h"

namespace bertie::cli {

Result<TrainData> LoadTrainData(const TrainJob& job) {
  data::DatasetOptions options = job.dataset;
  for (int64_t i = 0; i < job.num_labels; ++i) {
    options.labels.push_back("LABEL_" + std::to_string(i));
  }
  TrainData result;
  BERTIE_ASSIGN_OR_RETURN(result.train, data::LoadDataset(job.train_file, options));
  std::cerr << data::DescribeDataset(result.train);
  if (!job.test_file.empty()) {
    options.labels = result.train.labels;
    options.table.problem = result.train.problem();
    options.table.format = data::TableFormat::kAuto;
    BERTIE_ASSIGN_OR_RETURN(data::Dataset test, data::LoadDataset(job.test_file, options));
    std::cerr << data::DescribeDataset(test);
    result.test = std::move(test.examples);
    return result;
  }
  if (job.holdout == 0) return result;
  BERTIE_ASSIGN_OR_RETURN(
      const data::Split split,
      data::SplitIndices(data::MakeStrata(result.train), {job.holdout, job.trainer.seed, true}));
  std::vector<data::Example> train;
  for (size_t index : split.train) train.push_back(result.train.examples[index]);
  for (size_t index : split.test) result.test.push_back(result.train.examples[index]);
  result.train.examples = std::move(train);
  std::fill(result.train.label_counts.begin(), result.train.label_counts.end(), 0);
  for (const data::Example& example : result.train.examples) {
    data::CountLabels(example, result.train.problem(), result.train.label_counts);
  }
  std::cerr << "held out " << FormatCount(static_cast<int64_t>(result.test.size()))
            << " sentences for the test (--holdout)\n";
  return result;
}

std::vector<std::string> ConfigLabels(const data::Dataset& dataset) {
  if (dataset.problem() == ProblemType::kRegression) return {"LABEL_0"};
  std::vector<std::string> labels = dataset.labels;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] != std::to_string(i)) return labels;
  }
  for (auto& label : labels) label = "LABEL_" + label;
  return labels;
}

train::EncodedDataset EncodeForTraining(const text::Tokenizer& tokenizer,
                                        const std::vector<data::Example>& examples,
                                        const model::Config& config, int64_t max_length,
                                        const char* what) {
  const train::EncodedDataset encoded = {
      train::EncodeExamples(tokenizer, examples, static_cast<size_t>(max_length)),
      train::MakeTargets(examples, model::ProblemOf(config), config.num_labels())};
  const int64_t truncated =
      std::count_if(encoded.encodings.begin(), encoded.encodings.end(),
                    [](const text::Encoding& encoding) { return encoding.truncated; });
  if (truncated > 0) {
    std::cerr << FormatCount(truncated) << " of "
              << FormatCount(static_cast<int64_t>(examples.size())) << ' ' << what
              << " sentences are longer than " << max_length
              << " tokens and were cut (--max-length)\n";
  }
  return encoded;
}

}  // namespace bertie::cli
