#include "cli/train/model_card.h"

#include <string_view>
#include <system_error>
#include <vector>

#include "base/figures.h"
#include "base/file.h"
#include "base/sha256.h"
#include "cli/metric_tables.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "cli/train/recipe.h"
#include "formats/json.h"
#include "model/problem.h"

namespace bertie::cli {
namespace {

namespace fs = std::filesystem;

// The last line of a card that nobody has edited since.
constexpr std::string_view kMark = "<!-- written by bertie, sha256 of the lines above: ";
constexpr std::string_view kMarkEnd = " -->\n";

std::string Digest(std::string_view text) {
  Sha256 digest;
  digest.Update(text);
  return digest.Finish();
}

// JSON's strings are YAML's double-quoted ones.
std::string Quoted(const std::string& text) { return formats::DumpJson(text); }

// In Markdown's text and tables: nothing of it is markup.
std::string Plain(const std::string& text) {
  std::string out;
  for (const char c : OneLine(text, 80)) {
    if (std::string_view("\\`*_{}[]<>|#!&").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

std::string FileName(const std::string& path) { return fs::path(path).filename().string(); }

std::string Metric(const char* type, const char* name, double value) {
  return std::string("        - type: ") + type + "\n          name: " + name +
         "\n          value: " + FormatFixed(value, 6) + "\n";
}

// A figure under the name that the hub's library of metrics has for it.
struct HubMetric {
  const char* type;
  const char* name;
  double value;
};

std::vector<HubMetric> HubMetrics(const train::Metrics& metrics) {
  switch (metrics.problem) {
    case ProblemType::kSingleLabel:
      break;
    case ProblemType::kMultiLabel:
      return {{"f1", "F1 (micro)", metrics.micro_f1},
              {"f1", "F1 (macro)", metrics.macro_f1},
              {"accuracy", "Accuracy (all labels of a sentence)", metrics.accuracy}};
    case ProblemType::kRegression:
      return {{"mse", "MSE", metrics.loss},
              {"mae", "MAE", metrics.mae},
              {"pearsonr", "Pearson", metrics.pearson},
              {"spearmanr", "Spearman", metrics.spearman}};
  }
  return {{"accuracy", "Accuracy", metrics.accuracy},
          {"f1", metrics.binary_f1 ? "F1" : "F1 (macro)", MainF1(metrics)},
          {"matthews_correlation", "MCC", metrics.mcc}};
}

std::string Results(const TrainSummary& summary) {
  if (!summary.test) return "";
  const train::Metrics& metrics = summary.test->metrics;
  const std::string file =
      FileName(summary.job.test_file.empty() ? summary.job.train_file : summary.job.test_file);
  std::string types, values;
  for (const HubMetric& metric : HubMetrics(metrics)) {
    const std::string line = std::string("  - ") + metric.type + "\n";
    if (types.find(line) == std::string::npos) types += line;
    values += Metric(metric.type, metric.name, metric.value);
  }
  return "metrics:\n" + types + "model-index:\n  - name: " + Quoted(summary.name) +
         "\n    results:\n      - task:\n          type: text-classification\n          name: Text "
         "Classification\n        dataset:\n          type: " +
         Quoted(file) + "\n          name: " + Quoted(file) +
         "\n          split: " + (summary.job.test_file.empty() ? "held out" : "test") +
         "\n        metrics:\n" + values + Metric("loss", "Loss", metrics.loss);
}

std::string FrontMatter(const TrainSummary& summary) {
  return "---\n# license: yours to choose\nlibrary_name: transformers\npipeline_tag: "
         "text-classification\nbase_model: " +
         Quoted(summary.base_model) + "\ntags:\n  - text-classification\n  - bert\n  - bertie\n" +
         Results(summary) + "---\n";
}

std::string LabelRows(const TrainSummary& summary) {
  const train::Metrics& metrics = summary.test->metrics;
  std::string text =
      "| label | precision | recall | F1 | test sentences | training sentences |\n"
      "|---|--:|--:|--:|--:|--:|\n";
  for (size_t i = 0; i < metrics.classes.size(); ++i) {
    const train::ClassMetrics& one = metrics.classes[i];
    text += "| " + Plain(summary.config.labels[i]) + " | " + FormatFixed(one.precision, 4) + " | " +
            FormatFixed(one.recall, 4) + " | " + FormatFixed(one.f1, 4) + " | " +
            FormatCount(one.support) + " | " + FormatCount(summary.label_counts[i]) + " |\n";
  }
  return text;
}

std::string TestSection(const TrainSummary& summary) {
  if (!summary.test) return "It was not tested: there was no test data.\n";
  const train::Metrics& metrics = summary.test->metrics;
  const bool held_out = summary.job.test_file.empty();
  std::string names = "|", rule = "|", values = "|";
  for (const train::Figure& figure : ShownFigures(metrics)) {
    names += std::string(" ") + figure.name + " |";
    rule += "--:|";
    values += " " + FormatFixed(figure.value, 4) + " |";
  }
  return "On " + FormatCount(metrics.examples) + " sentences " +
         (held_out ? "held out of " + Plain(FileName(summary.job.train_file))
                   : "of " + Plain(FileName(summary.job.test_file))) +
         ":\n\n" + names + "\n" + rule + "\n" + values + "\n" +
         (metrics.problem == ProblemType::kRegression ? "" : "\n" + LabelRows(summary));
}

std::string Kind(ProblemType problem) {
  switch (problem) {
    case ProblemType::kSingleLabel:
      break;
    case ProblemType::kMultiLabel:
      return "A text classifier that gives a text any number of labels";
    case ProblemType::kRegression:
      return "A regression from texts to numbers";
  }
  return "A text classifier";
}

std::string Body(const TrainSummary& summary) {
  const RunMachine& machine = summary.machine;
  return "\n# " + Plain(summary.name) + "\n\n" + Kind(model::ProblemOf(summary.config)) + ": " +
         Plain(summary.base_model) + ", fine-tuned on " + FormatCount(summary.train_sentences) +
         " sentences of " + Plain(FileName(summary.job.train_file)) + " with bertie " +
         BERTIE_VERSION + ", " + summary.date + ".\n\n## Test\n\n" + TestSection(summary) +
         "\n## Use\n\n```python\nfrom transformers import pipeline\n\n"
         "classify = pipeline(\"text-classification\", model=\".\")  # this folder\n"
         "classify(\"A sentence.\")\n```\n\nor `bertie predict . \"A sentence.\"`, or `bertie "
         "serve .`. Texts are cut at " +
         std::to_string(summary.job.max_length) + " tokens in training; the model takes up to " +
         std::to_string(summary.config.max_position_embeddings) + ".\n\n## Training\n\n" +
         RecipeMarkdown(summary.job) + "\n" + FormatDuration(summary.seconds) + " on " +
         (machine.processor.empty() ? "a processor that gives no name" : Plain(machine.processor)) +
         ", " + std::to_string(machine.threads) + (machine.threads == 1 ? " thread" : " threads") +
         (machine.ranks > 1 ? " in each of " + std::to_string(machine.ranks) + " ranks" : "") +
         ", " + FormatCount(machine.peak_memory / 1000000) + " MB of memory at most.\n";
}

bool WrittenByUs(const fs::path& readme) {
  constexpr uint64_t kMostBytes = 16 << 20;
  const auto content = ReadFile(readme, kMostBytes);
  if (!content.ok()) return false;
  const std::string_view card = *content;
  const size_t mark = card.rfind(kMark);
  if (mark == std::string_view::npos) return false;
  std::string expected(kMark);
  return card.substr(mark) == expected.append(Digest(card.substr(0, mark))).append(kMarkEnd);
}

}  // namespace

std::string ModelCard(const TrainSummary& summary) {
  std::string card = FrontMatter(summary) + Body(summary) + "\n";
  const std::string digest = Digest(card);
  return card.append(kMark).append(digest).append(kMarkEnd);
}

Result<fs::path> SaveModelCard(const fs::path& folder, const std::string& card) {
  const fs::path readme = folder / "README.md";
  std::error_code error;
  const bool free = !fs::exists(readme, error) || WrittenByUs(readme);
  const fs::path target = free ? readme : folder / "README.new.md";
  BERTIE_RETURN_IF_ERROR(WriteFileAtomically(target, card));
  return target;
}

void RemoveUneditedCard(const fs::path& folder) {
  std::error_code ignored;
  if (WrittenByUs(folder / "README.md")) fs::remove(folder / "README.md", ignored);
  fs::remove(folder / "README.new.md", ignored);
}

}  // namespace bertie::cli
