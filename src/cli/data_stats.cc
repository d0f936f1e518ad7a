// bertie data stats: what a file of labelled sentences holds, before anything is trained on it.
#include <algorithm>
#include <cmath>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/figures.h"
#include "cli/commands.h"
#include "cli/data_commands.h"
#include "cli/data_flags.h"
#include "cli/model_argument.h"
#include "cli/output.h"
#include "cli/table.h"
#include "data/dataset.h"
#include "data/overlap.h"
#include "model/config.h"
#include "model/model_source.h"
#include "text/tokenizer.h"

namespace bertie::cli {
namespace {

// Labels further apart than this are worth a hint.
constexpr double kUneven = 3;
// Numbers beyond this are far from what a fresh head answers.
constexpr double kLargeNumbers = 10;

struct StatsFlags {
  std::string input;
  std::string test;
  std::string model;
  DataFlags data;
  bool json = false;
};

struct Lengths {
  std::string unit = "words";  // "tokens" where there is a tokenizer
  std::string model;
  int64_t most = 0;                // tokens that the model takes; 0: not known
  std::vector<int64_t> ascending;  // of all sentences of both files

  int64_t At(double share) const {
    const auto last = static_cast<double>(ascending.size() - 1);
    return ascending[static_cast<size_t>(share * last + 0.5)];
  }
  int64_t Above(int64_t length) const {
    return ascending.end() - std::upper_bound(ascending.begin(), ascending.end(), length);
  }
  // The least multiple of 8 that cuts at most one sentence in a hundred.
  int64_t Suggested() const {
    const int64_t rounded = (At(0.99) + 7) / 8 * 8;
    return most > 0 ? std::min(rounded, most) : rounded;
  }
};

struct Stats {
  data::Dataset train;
  std::optional<data::Dataset> test;
  data::Repetitions repetitions;
  data::Repetitions leakage;
  Lengths lengths;
};

int64_t CountWords(const std::string& text) {
  int64_t words = 0;
  bool in_word = false;
  for (const char c : text) {
    const bool blank = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    words += !blank && !in_word;
    in_word = !blank;
  }
  return words;
}

// In tokens of the model named, or of the one that train would start from; where there is none, in
// words.
Result<Lengths> Measure(const StatsFlags& flags, const Stats& stats) {
  Lengths lengths;
  std::optional<text::Tokenizer> tokenizer;
  auto path = flags.model.empty() ? FindBaseModel() : ResolveModel(flags.model);
  if (!path.ok() && !flags.model.empty()) return path.error();
  if (path.ok()) {
    BERTIE_ASSIGN_OR_RETURN(const model::ModelSource source, model::ModelSource::Open(*path));
    BERTIE_ASSIGN_OR_RETURN(tokenizer, text::Tokenizer::Load(source.dir()));
    BERTIE_ASSIGN_OR_RETURN(const model::Config config,
                            model::LoadConfig(source.dir() / "config.json"));
    lengths.unit = "tokens";
    lengths.model = flags.model.empty() ? path->string() : flags.model;
    lengths.most = config.max_position_embeddings;
  }
  const auto add = [&](const data::Dataset& dataset) {
    for (const data::Example& example : dataset.examples) {
      if (!tokenizer) {
        lengths.ascending.push_back(CountWords(example.text) +
                                    (example.pair ? CountWords(*example.pair) : 0));
        continue;
      }
      const text::Encoding encoding = tokenizer->Encode(example.text, example.pair, 0);
      lengths.ascending.push_back(static_cast<int64_t>(encoding.ids.size()));
    }
  };
  add(stats.train);
  if (stats.test) add(*stats.test);
  std::sort(lengths.ascending.begin(), lengths.ascending.end());
  return lengths;
}

Result<Stats> Collect(const StatsFlags& flags) {
  BERTIE_ASSIGN_OR_RETURN(data::DatasetOptions options, ToDatasetOptions(flags.data));
  options.skip_bad = true;  // they are what is asked about
  Stats stats;
  BERTIE_ASSIGN_OR_RETURN(stats.train, data::LoadDataset(flags.input, options));
  stats.repetitions = data::FindRepetitions(stats.train.examples);
  if (!flags.test.empty()) {
    options.labels = stats.train.labels;
    options.table.problem = stats.train.problem();
    options.table.format = data::TableFormat::kAuto;
    BERTIE_ASSIGN_OR_RETURN(stats.test, data::LoadDataset(flags.test, options));
    stats.leakage = data::FindLeakage(stats.train.examples, stats.test->examples);
  }
  BERTIE_ASSIGN_OR_RETURN(stats.lengths, Measure(flags, stats));
  return stats;
}

std::string Percent(int64_t part, int64_t whole) {
  return FormatFixed(
             whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole), 1) +
         " %";
}

int64_t Rows(const data::Dataset& dataset) { return static_cast<int64_t>(dataset.examples.size()); }

std::string LabelTable(const Stats& stats) {
  Table table(stats.test ? std::vector<std::string>{"label", "sentences", "share", "test", "share"}
                         : std::vector<std::string>{"label", "sentences", "share"});
  table.AlignRight({1, 2, 3, 4});
  for (size_t i = 0; i < stats.train.labels.size(); ++i) {
    std::vector<std::string> row = {OneLine(stats.train.labels[i], 40),
                                    FormatCount(stats.train.label_counts[i]),
                                    Percent(stats.train.label_counts[i], Rows(stats.train))};
    if (stats.test) {
      row.push_back(FormatCount(stats.test->label_counts[i]));
      row.push_back(Percent(stats.test->label_counts[i], Rows(*stats.test)));
    }
    table.Add(std::move(row));
  }
  return table.ToString();
}

// "0: 12, 1: 30, 2: 5": sentences by how many labels they have.
std::vector<int64_t> LabelsASentence(const data::Dataset& dataset) {
  std::vector<int64_t> counts;
  for (const data::Example& example : dataset.examples) {
    counts.resize(std::max(counts.size(), example.labels.size() + 1));
    ++counts[example.labels.size()];
  }
  return counts;
}

struct Spread {
  double least = 0, half = 0, most = 0, mean = 0, deviation = 0;
};

Spread SpreadOf(const data::Dataset& dataset) {
  std::vector<double> numbers;
  for (const data::Example& example : dataset.examples) numbers.push_back(example.number);
  std::sort(numbers.begin(), numbers.end());
  const auto count = static_cast<double>(numbers.size());
  Spread spread{numbers.front(), numbers[numbers.size() / 2], numbers.back(), 0, 0};
  for (const double number : numbers) spread.mean += number / count;
  for (const double number : numbers) {
    spread.deviation += (number - spread.mean) * (number - spread.mean) / count;
  }
  spread.deviation = std::sqrt(spread.deviation);
  return spread;
}

std::string SpreadRow(const std::string& name, const data::Dataset& dataset) {
  const Spread spread = SpreadOf(dataset);
  return name + " numbers: least " + FormatFixed(spread.least, 4) + ", half up to " +
         FormatFixed(spread.half, 4) + ", most " + FormatFixed(spread.most, 4) + ", mean " +
         FormatFixed(spread.mean, 4) + ", standard deviation " + FormatFixed(spread.deviation, 4) +
         "\n";
}

std::string AnswerText(const Stats& stats) {
  if (stats.train.problem() == ProblemType::kRegression) {
    return SpreadRow("training", stats.train) + (stats.test ? SpreadRow("test", *stats.test) : "");
  }
  std::string text = LabelTable(stats);
  if (stats.train.problem() == ProblemType::kSingleLabel) return text;
  text += "sentences by how many labels they have:";
  const auto counts = LabelsASentence(stats.train);
  for (size_t i = 0; i < counts.size(); ++i) {
    text += (i > 0 ? ", " : " ") + std::to_string(i) + ": " + FormatCount(counts[i]);
  }
  return text + "\n";
}

std::string LengthText(const Lengths& lengths) {
  std::string text = "lengths in " + lengths.unit +
                     (lengths.model.empty() ? "" : " of " + lengths.model) + ": half up to " +
                     FormatCount(lengths.At(0.5)) + ", 90 % up to " + FormatCount(lengths.At(0.9)) +
                     ", 99 % up to " + FormatCount(lengths.At(0.99)) + ", longest " +
                     FormatCount(lengths.ascending.back()) + "\n";
  if (lengths.model.empty()) {
    return text + "  for tokens, and a --max-length, name a model with --model\n";
  }
  const int64_t suggested = lengths.Suggested();
  const int64_t cut = lengths.Above(suggested);
  return text + "  suggested: --max-length " + std::to_string(suggested) + " (cuts " +
         (cut == 0 ? "none" : FormatCount(cut)) + ")\n";
}

std::string LineText(const data::TableReport& earlier, const data::TableReport& later,
                     const std::vector<std::pair<int64_t, int64_t>>& lines) {
  std::string text;
  for (const auto& [first, second] : lines) {
    text += "  " + later.source + ":" + std::to_string(second) + " is " + earlier.source + ":" +
            std::to_string(first) + "\n";
  }
  return text;
}

std::string BadText(const data::Dataset& dataset) {
  std::string text = "bad rows in " + dataset.table.source + ": " +
                     (dataset.skipped == 0 ? "none" : FormatCount(dataset.skipped)) + "\n";
  for (const std::string& row : dataset.bad_rows) text += "  " + row + "\n";
  if (dataset.skipped > static_cast<int64_t>(dataset.bad_rows.size())) text += "  ...\n";
  return text;
}

std::string RepetitionText(const Stats& stats) {
  const auto count = [](int64_t number) { return number == 0 ? "none" : FormatCount(number); };
  const data::Repetitions& own = stats.repetitions;
  const data::TableReport& train = stats.train.table;
  std::string text = "said before (blanks and case aside): " + count(own.repeated) + "\n" +
                     LineText(train, train, own.repeated_lines) +
                     "of these with another label: " + count(own.contradicting) + "\n" +
                     LineText(train, train, own.contradicting_lines);
  if (!stats.test) return text;
  const data::Repetitions& leak = stats.leakage;
  return text + "test sentences that are in the training data: " + count(leak.repeated) +
         (leak.repeated == 0 ? "" : " (" + Percent(leak.repeated, Rows(*stats.test)) + ")") + "\n" +
         LineText(train, stats.test->table, leak.repeated_lines) +
         "of these with another label: " + count(leak.contradicting) + "\n" +
         LineText(train, stats.test->table, leak.contradicting_lines);
}

std::string AnswerHint(const data::Dataset& train) {
  if (train.problem() == ProblemType::kRegression) {
    const Spread spread = SpreadOf(train);
    if (std::abs(spread.mean) < kLargeNumbers && spread.deviation < kLargeNumbers) return "";
    return "numbers of this size take many steps to learn: divide them, so that most are between "
           "-1 and 1\n";
  }
  const auto [least, most] =
      std::minmax_element(train.label_counts.begin(), train.label_counts.end());
  std::string text;
  if (static_cast<double>(*most) >= kUneven * static_cast<double>(*least)) {
    text += "the most frequent label has " +
            FormatFixed(static_cast<double>(*most) / static_cast<double>(*least), 1) +
            " times the sentences of the rarest: consider --class-weights balanced\n";
  }
  return text;
}

std::string Hints(const Stats& stats, const StatsFlags& flags) {
  std::string text = AnswerHint(stats.train);
  if (stats.train.skipped > 0 || (stats.test && stats.test->skipped > 0)) {
    text += "bad rows are errors in training unless --skip-bad is given\n";
  }
  if (stats.leakage.repeated > 0) {
    text +=
        "a test with training sentences in it looks better than the model is: take them out of " +
        flags.test + "\n";
  }
  return text;
}

std::string ToText(const Stats& stats, const StatsFlags& flags) {
  std::string text = data::DescribeDataset(stats.train);
  if (stats.test) text += data::DescribeDataset(*stats.test);
  // What DescribeDataset says of them comes below, with both files' together.
  for (size_t at; (at = text.find("  left out")) != std::string::npos;) {
    text.erase(at, text.find('\n', at) - at + 1);
  }
  text += "\n" + AnswerText(stats) + "\n" + LengthText(stats.lengths) + BadText(stats.train);
  if (stats.test) text += BadText(*stats.test);
  text += RepetitionText(stats);
  const std::string hints = Hints(stats, flags);
  return hints.empty() ? text : text + "\n" + hints;
}

OrderedJson FileJson(const data::Dataset& dataset) {
  OrderedJson labels = OrderedJson::object();
  for (size_t i = 0; i < dataset.labels.size(); ++i) {
    labels[dataset.labels[i]] = dataset.label_counts[i];
  }
  OrderedJson json = {{"file", dataset.table.source},
                      {"format", data::TableFormatName(dataset.table.format)},
                      {"problem_type", ProblemTypeName(dataset.problem())},
                      {"sentences", Rows(dataset)},
                      {"labels", labels},
                      {"bad_rows", dataset.skipped},
                      {"first_bad_rows", dataset.bad_rows},
                      {"bad_lines", dataset.bad_lines}};
  if (dataset.problem() == ProblemType::kMultiLabel) {
    json["sentences_by_number_of_labels"] = LabelsASentence(dataset);
  }
  if (dataset.problem() == ProblemType::kRegression) {
    const Spread spread = SpreadOf(dataset);
    json["numbers"] = {{"least", spread.least},
                       {"p50", spread.half},
                       {"most", spread.most},
                       {"mean", spread.mean},
                       {"standard_deviation", spread.deviation}};
  }
  return json;
}

OrderedJson RepetitionJson(const data::Repetitions& found) {
  return {{"repeated", found.repeated},
          {"contradicting", found.contradicting},
          {"first_repeated_lines", found.repeated_lines},
          {"first_contradicting_lines", found.contradicting_lines}};
}

std::string ToJson(const Stats& stats) {
  const Lengths& lengths = stats.lengths;
  OrderedJson json = {{"train", FileJson(stats.train)},
                      {"repetitions", RepetitionJson(stats.repetitions)},
                      {"lengths",
                       {{"unit", lengths.unit},
                        {"p50", lengths.At(0.5)},
                        {"p90", lengths.At(0.9)},
                        {"p95", lengths.At(0.95)},
                        {"p99", lengths.At(0.99)},
                        {"longest", lengths.ascending.back()}}}};
  if (!lengths.model.empty()) {
    json["lengths"]["model"] = lengths.model;
    json["lengths"]["suggested_max_length"] = lengths.Suggested();
  }
  if (stats.test) {
    json["test"] = FileJson(*stats.test);
    json["leakage"] = RepetitionJson(stats.leakage);
  }
  return Dump(json, 2) + "\n";
}

}  // namespace

void AddDataStats(CLI::App& data, int& exit_code) {
  auto flags = std::make_shared<StatsFlags>();
  CLI::App* command = data.add_subcommand(
      "stats", "Count labels, lengths, bad rows, repeated sentences, and leaks into the test");
  command->add_option("INPUT", flags->input, "csv, tsv or jsonl, gzip'd or not, or - for stdin")
      ->required()
      ->type_name("");
  command
      ->add_option("--test", flags->test, "The test's file, to look for training sentences in it")
      ->type_name("FILE");
  command
      ->add_option("-m,--model", flags->model,
                   "Whose tokens to count; without it the model that train would start from")
      ->type_name("MODEL");
  command->add_flag("--json", flags->json, "Print one JSON object");
  AddDataFlags(*command, flags->data);
  command->footer(
      "Bad rows are counted here, with the lines of the first; they are no error.\n"
      "\n"
      "Examples:\n"
      "  bertie data stats reviews.csv\n"
      "  bertie data stats train.csv.gz --test test.csv --model bert-base-uncased\n"
      "  zcat mail.jsonl.gz | bertie data stats - --json");
  command->callback([flags, &exit_code] {
    const Result<Stats> stats = Collect(*flags);
    exit_code = !stats.ok() ? ReportError(stats.error())
                            : PrintAnswer(flags->json ? ToJson(*stats) : ToText(*stats, *flags));
  });
}

}  // namespace bertie::cli
