// bertie data: files of labelled sentences.
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/figures.h"
#include "cli/commands.h"
#include "cli/data_commands.h"
#include "cli/data_flags.h"
#include "cli/output.h"
#include "cli/table.h"
#include "data/dataset.h"
#include "data/labelled_csv.h"
#include "data/split.h"
#include "data/strata.h"

namespace bertie::cli {
namespace {

struct SplitFlags {
  std::string input;
  std::string out;
  data::SplitOptions split;
  DataFlags data;
};

Status MakeFolder(const std::filesystem::path& dir) {
  std::error_code error;
  std::filesystem::create_directories(dir, error);
  if (!error && std::filesystem::is_directory(dir, error)) return {};
  return Error{ErrorCode::kIo, dir.string() + ": cannot make the folder: " +
                                   (error ? error.message() : "it is a file")};
}

// Sentences of each label among those at the indices.
std::vector<int64_t> CountsOf(const data::Dataset& dataset, const std::vector<size_t>& indices) {
  std::vector<int64_t> counts(dataset.labels.size());
  for (const size_t i : indices) {
    data::CountLabels(dataset.examples[i], dataset.problem(), counts);
  }
  return counts;
}

std::string CountsTable(const data::Dataset& dataset, const data::Split& split) {
  const auto train = CountsOf(dataset, split.train), test = CountsOf(dataset, split.test);
  Table table({dataset.labels.empty() ? "" : "label", "train", "test"});
  table.AlignRight({1, 2});
  for (size_t label = 0; label < dataset.labels.size(); ++label) {
    table.Add(
        {OneLine(dataset.labels[label], 40), FormatCount(train[label]), FormatCount(test[label])});
  }
  table.Add({"all", FormatCount(static_cast<int64_t>(split.train.size())),
             FormatCount(static_cast<int64_t>(split.test.size()))});
  return table.ToString();
}

// The flags by which the files written are read again.
std::string ReadingFlags(const data::Dataset& dataset) {
  if (dataset.problem() == ProblemType::kRegression) return " --regression";
  if (dataset.problem() == ProblemType::kSingleLabel) return "";
  return " --label-separator " + ShellWord(data::LabelSeparator(dataset.labels));
}

Result<std::string> RunSplit(const SplitFlags& flags) {
  BERTIE_ASSIGN_OR_RETURN(const data::DatasetOptions options, ToDatasetOptions(flags.data));
  BERTIE_ASSIGN_OR_RETURN(const data::Dataset dataset, data::LoadDataset(flags.input, options));
  BERTIE_ASSIGN_OR_RETURN(const data::Split split,
                          data::SplitIndices(data::MakeStrata(dataset), flags.split));

  const std::filesystem::path out = flags.out;
  BERTIE_RETURN_IF_ERROR(MakeFolder(out));
  const std::filesystem::path train = out / "train.csv", test = out / "test.csv";
  BERTIE_RETURN_IF_ERROR(data::WriteLabelledCsv(train, dataset, split.train));
  BERTIE_RETURN_IF_ERROR(data::WriteLabelledCsv(test, dataset, split.test));
  return data::DescribeDataset(dataset) + "\n" + CountsTable(dataset, split) + "\nwrote " +
         train.string() + " and " + test.string() + "\nNext:\n  bertie train " +
         ShellWord(train.string()) + " --test " + ShellWord(test.string()) + ReadingFlags(dataset) +
         "\n";
}

void AddSplit(CLI::App& data, int& exit_code) {
  auto flags = std::make_shared<SplitFlags>();
  CLI::App* command = data.add_subcommand(
      "split", "Shuffle labelled sentences and write them as train.csv and test.csv");
  command->add_option("INPUT", flags->input, "csv, tsv or jsonl, gzip'd or not, or - for stdin")
      ->required()
      ->type_name("");
  command->add_option("-o,--out", flags->out, "Folder for train.csv and test.csv")
      ->required()
      ->type_name("DIR");
  command
      ->add_option("--test-fraction", flags->split.test_fraction,
                   "Share of the sentences for test.csv")
      ->capture_default_str()
      ->type_name("FRACTION");
  command
      ->add_option("--seed", flags->split.seed,
                   "The same seed gives the same split on every machine")
      ->capture_default_str()
      ->type_name("N");
  command->add_flag("--stratify", flags->split.stratify,
                    "Keep each label's share the same in both files; with several labels a row "
                    "each rarest label's, with numbers each tenth's of them");
  AddDataFlags(*command, flags->data);
  command->footer(
      "The form of INPUT is found out from its name and content and printed: csv and tsv with or\n"
      "without a header, JSON lines, CoLA's raw tsv. The files written have the header\n"
      "sentence,label and quote fields as RFC 4180 says.\n"
      "\n"
      "Examples:\n"
      "  bertie data split in_domain_train.tsv --out data\n"
      "  bertie data split reviews.csv --out data --text-column review --label-column stars\n"
      "  bertie data split mail.jsonl --out data --test-fraction 0.1 --stratify --seed 7");
  command->callback([flags, &exit_code] {
    const Result<std::string> answer = RunSplit(*flags);
    exit_code = answer.ok() ? PrintAnswer(*answer) : ReportError(answer.error());
  });
}

}  // namespace

void AddData(CLI::App& app, int& exit_code) {
  CLI::App* data = app.add_subcommand("data", "Prepare files of labelled sentences");
  data->require_subcommand(1);
  AddSplit(*data, exit_code);
  AddDataStats(*data, exit_code);
}

}  // namespace bertie::cli
