#include "cli/train/report.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "base/figures.h"
#include "cli/html.h"
#include "cli/metric_tables.h"
#include "cli/plot.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "cli/train/recipe.h"
#include "model/problem.h"
#include "text/unicode.h"

namespace bertie::cli {
namespace {

// A table that a narrow screen scrolls by itself; the keyboard reaches it.
std::string Scrolled(const std::string& name, const std::string& table) {
  return "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"" + EscapeHtml(name) +
         "\">\n" + table + "</div>\n";
}

std::string Cell(const std::string& text) { return "<td>" + EscapeHtml(text) + "</td>"; }
std::string NumberCell(const std::string& text) { return "<td class=\"n\">" + text + "</td>"; }

std::string HeadRow(const std::vector<std::string>& names, size_t first_number) {
  std::string row = "<thead><tr>";
  for (size_t i = 0; i < names.size(); ++i) {
    row += std::string("<th scope=\"col\"") + (i >= first_number ? " class=\"n\">" : ">") +
           EscapeHtml(names[i]) + "</th>";
  }
  return row + "</tr></thead>\n";
}

// Of `values` at most so many points, each the mean of as many neighbours as it takes.
constexpr size_t kMostPoints = 400;

void Add(Curve& curve, double x, double y) {
  if (std::isfinite(x) && std::isfinite(y)) curve.points.push_back({x, y});
}

Curve Thinned(Curve curve) {
  const size_t run = (curve.points.size() + kMostPoints - 1) / kMostPoints;
  if (run <= 1) return curve;
  std::vector<PlotPoint> means;
  for (size_t first = 0; first < curve.points.size(); first += run) {
    const auto part =
        std::span(curve.points).subspan(first, std::min(run, curve.points.size() - first));
    PlotPoint mean;
    for (const PlotPoint& point : part) {
      mean.x += point.x / static_cast<double>(part.size());
      mean.y += point.y / static_cast<double>(part.size());
    }
    means.push_back(mean);
  }
  curve.points = std::move(means);
  return curve;
}

// "train: from 0.69 at 1 to 0.31 at 3, lowest 0.31 at 3."
std::string InWords(const Plot& plot) {
  std::string words = plot.title + " by " + plot.x_label + ". ";
  for (const Curve& curve : plot.curves) {
    const auto lower = [](const PlotPoint& a, const PlotPoint& b) { return a.y < b.y; };
    const auto [low, high] = std::minmax_element(curve.points.begin(), curve.points.end(), lower);
    const auto at = [](const PlotPoint& point) {
      return FormatFixed(point.y, 4) + " at " + FormatFixed(point.x, 0);
    };
    words += curve.name + ": from " + at(curve.points.front()) + " to " + at(curve.points.back()) +
             ", lowest " + at(*low) + ", highest " + at(*high) + ". ";
  }
  return words;
}

std::string PlotHtml(Plot plot) {
  std::erase_if(plot.curves, [](const Curve& curve) { return curve.points.empty(); });
  if (plot.curves.empty()) return "";
  for (Curve& curve : plot.curves) curve = Thinned(std::move(curve));
  plot.description = InWords(plot);
  return "<h2>" + EscapeHtml(plot.title) + "</h2>\n" + ToSvg(plot);
}

std::string LossPlot(const TrainSummary& summary) {
  const train::RunHistory& history = summary.history;
  Curve batch{"batch", {}}, train{"train", {}}, test{"test", {}};
  for (const auto& row : history.steps) Add(batch, static_cast<double>(row.step), row.loss);
  for (const auto& row : history.epochs) {
    Add(train, static_cast<double>(row.step), row.train_loss);
    if (row.test) Add(test, static_cast<double>(row.step), row.test->loss);
  }
  // Batches that were logged hardly more often than epochs ended say nothing more than these.
  if (batch.points.size() <= history.epochs.size()) batch.points.clear();
  return PlotHtml({"Loss", "step", "loss", false, false, {batch, train, test}});
}

std::string TestPlot(const TrainSummary& summary) {
  const auto& epochs = summary.history.epochs;
  if (epochs.size() < 2) return "";  // one dot is no curve, and its values stand in the figures
  std::vector<Curve> curves;
  for (const auto& row : epochs) {
    if (!row.test) continue;
    size_t next = 0;
    for (const train::Figure& figure : train::MainFigures(*row.test)) {
      if (figure.falls) continue;  // an error, on a scale of its own
      if (next == curves.size()) curves.push_back({figure.name, {}});
      Add(curves[next++], static_cast<double>(row.epoch), figure.value);
    }
  }
  return PlotHtml({"Test", "epoch", "value", false, false, std::move(curves)});
}

std::string StepPlots(const TrainSummary& summary) {
  Curve rate{"", {}}, norm{"", {}}, speed{"", {}};
  for (const auto& row : summary.history.steps) {
    const auto x = static_cast<double>(row.step);
    Add(rate, x, row.lr);
    Add(norm, x, row.grad_norm);
    Add(speed, x, row.sentences_per_s);
  }
  if (rate.points.size() < 2) return "";
  return "<details><summary>Learning rate, gradients' norm, speed</summary>\n" +
         PlotHtml({"Learning rate", "step", "rate", false, false, {rate}}) +
         PlotHtml(
             {"Norm of the gradients, before clipping", "step", "norm", false, false, {norm}}) +
         PlotHtml({"Speed", "step", "sentences/s", false, false, {speed}}) + "</details>\n";
}

std::string EpochTable(const TrainSummary& summary) {
  train::Metrics none;
  none.problem = summary.history.problem;
  std::vector<std::string> head = {"epoch", "train loss", "test loss"};
  for (const train::Figure& figure : train::MainFigures(none)) head.emplace_back(figure.name);
  head.insert(head.end(), {"sentences/s", "time"});
  std::string table = "<table>\n" + HeadRow(head, 0) + "<tbody>\n";
  for (const auto& row : summary.history.epochs) {
    table +=
        "<tr>" + NumberCell(std::to_string(row.epoch)) + NumberCell(FormatFixed(row.train_loss, 4));
    const auto test = [&](double value) {
      return NumberCell(row.test ? FormatFixed(value, 4) : "");
    };
    const train::Metrics& found = row.test ? *row.test : none;
    table += test(found.loss);
    for (const train::Figure& figure : train::MainFigures(found)) table += test(figure.value);
    table += NumberCell(FormatSpeed(row.sentences_per_s)) +
             NumberCell(FormatDuration(row.seconds)) + "</tr>\n";
  }
  return Scrolled("Each epoch", table + "</tbody>\n</table>\n");
}

std::string Figure(const std::string& name, const std::string& value) {
  return "<div><dt>" + EscapeHtml(name) + "</dt><dd>" + value + "</dd></div>\n";
}

std::string Figures(const TrainSummary& summary) {
  std::string figures = "<dl class=\"figures\">\n";
  if (summary.test) {
    for (const train::Figure& figure : ShownFigures(summary.test->metrics)) {
      std::string name = figure.name;
      if (figure.key == std::string_view("f1")) {
        name += " of " + OneLine(summary.config.labels[1], 20);
      }
      if (figure.key == std::string_view("loss")) name = "test loss";
      figures += Figure(name, FormatFixed(figure.value, 4));
    }
  } else if (!summary.history.epochs.empty()) {
    figures += Figure("train loss", FormatFixed(summary.history.epochs.back().train_loss, 4));
  }
  return figures + Figure("time", FormatDuration(summary.seconds)) + "</dl>\n";
}

std::string LabelTable(const TrainSummary& summary) {
  const train::Metrics& metrics = summary.test->metrics;
  std::string table =
      "<table>\n" +
      HeadRow({"label", "precision", "recall", "F1", "test", "predicted", "train"}, 1) +
      "<tbody>\n";
  for (size_t i = 0; i < metrics.classes.size(); ++i) {
    const train::ClassMetrics& one = metrics.classes[i];
    table += "<tr><th scope=\"row\">" + EscapeHtml(OneLine(summary.config.labels[i], 60)) +
             "</th>" + NumberCell(FormatFixed(one.precision, 4)) +
             NumberCell(FormatFixed(one.recall, 4)) + NumberCell(FormatFixed(one.f1, 4)) +
             NumberCell(FormatCount(one.support)) + NumberCell(FormatCount(one.predicted)) +
             NumberCell(FormatCount(summary.label_counts[i])) + "</tr>\n";
  }
  return "<h2>Each label</h2>\n" + Scrolled("Each label", table + "</tbody>\n</table>\n") +
         "<p class=\"soft\">test, predicted: test sentences that have the label, and that were "
         "given it; train: training sentences that have it.</p>\n";
}

std::string MatrixCell(int64_t count, int64_t row_total, bool right) {
  const double share =
      row_total > 0 ? static_cast<double>(count) / static_cast<double>(row_total) : 0;
  // No darker than the text can stand.
  return "<td class=\"n\" style=\"background:rgba(var(" +
         std::string(right ? "--right" : "--wrong") + ")," + FormatFixed(0.45 * share, 3) + ")\">" +
         FormatCount(count) + "</td>";
}

constexpr size_t kMostMatrixLabels = 30;

std::string MatrixTable(const TrainSummary& summary) {
  const auto& labels = summary.config.labels;
  std::vector<std::string> head = {"true \\ predicted"};
  for (const std::string& label : labels) head.push_back(OneLine(label, 20));
  std::string table = "<table>\n" + HeadRow(head, 1) + "<tbody>\n";
  for (size_t i = 0; i < labels.size(); ++i) {
    table += "<tr><th scope=\"row\">" + EscapeHtml(OneLine(labels[i], 40)) + "</th>";
    const auto& row = summary.test->metrics.confusion[i];
    for (size_t j = 0; j < row.size(); ++j) {
      table += MatrixCell(row[j], summary.test->metrics.classes[i].support, i == j);
    }
    table += "</tr>\n";
  }
  return Scrolled("Confusion matrix", table + "</tbody>\n</table>\n");
}

// The pairs of labels that were mixed up most, where the matrix would fill walls.
std::string MostConfused(const TrainSummary& summary) {
  struct Pair {
    int64_t count;
    size_t truth, predicted;
  };
  std::vector<Pair> pairs;
  const auto& confusion = summary.test->metrics.confusion;
  for (size_t i = 0; i < confusion.size(); ++i) {
    for (size_t j = 0; j < confusion.size(); ++j) {
      if (i != j && confusion[i][j] > 0) pairs.push_back({confusion[i][j], i, j});
    }
  }
  std::stable_sort(pairs.begin(), pairs.end(),
                   [](const Pair& a, const Pair& b) { return a.count > b.count; });
  pairs.resize(std::min(pairs.size(), kMostMatrixLabels));
  const auto& labels = summary.config.labels;
  std::string table = "<table>\n" + HeadRow({"true", "predicted", "sentences"}, 2) + "<tbody>\n";
  for (const Pair& pair : pairs) {
    table += "<tr>" + Cell(OneLine(labels[pair.truth], 60)) +
             Cell(OneLine(labels[pair.predicted], 60)) + NumberCell(FormatCount(pair.count)) +
             "</tr>\n";
  }
  return Scrolled("The labels that were mixed up most", table + "</tbody>\n</table>\n");
}

std::string Confusion(const TrainSummary& summary) {
  const bool small = summary.config.labels.size() <= kMostMatrixLabels;
  return "<h2>Confusion matrix</h2>\n" + (small ? MatrixTable(summary) : MostConfused(summary));
}

// The text's first characters, no more than `most` of them.
std::string Shortened(const std::string& text, size_t most) {
  const std::string valid = text::ReplaceInvalidUtf8(text);
  const char* p = valid.data();
  const char* end = p + valid.size();
  for (size_t count = 0; p < end; ++count) {
    if (count == most) return std::string(valid.data(), p) + "...";
    text::NextChar(p);
  }
  return valid;
}

std::string MistakeItem(const Mistake& mistake, bool several) {
  constexpr size_t kMostCharacters = 400;
  std::string item = "<li>";
  for (const std::string& text : {mistake.text, mistake.pair}) {
    if (text.empty()) continue;
    item += "<p dir=\"auto\">" + EscapeHtml(Shortened(text, kMostCharacters)) + "</p>";
  }
  const auto answer = [&](const std::string& text, const std::optional<double>& probability) {
    // <bdi>: a label written from right to left turns nothing around it.
    return "<strong><bdi>" + EscapeHtml(OneLine(text, several ? 200 : 40)) + "</bdi></strong>" +
           (probability ? " " + FormatFixed(*probability, 4) : "");
  };
  return item + "<p class=\"soft\">true " + answer(mistake.truth, mistake.truth_probability) +
         ", predicted " + answer(mistake.predicted, mistake.predicted_probability) + ", line " +
         FormatCount(mistake.line) + "</p></li>\n";
}

const char* OrderOfMistakes(ProblemType problem) {
  switch (problem) {
    case ProblemType::kSingleLabel:
      break;
    case ProblemType::kMultiLabel:
      return " sentences with a label too many or too few, those first whose loss is largest.";
    case ProblemType::kRegression:
      return " answers, those first that are furthest off.";
  }
  return " wrong answers, those first whose true label the model held for the least likely, with "
         "the labels' probabilities.";
}

std::string MistakesHtml(const TrainSummary& summary) {
  const Mistakes& mistakes = summary.test->mistakes;
  const ProblemType problem = model::ProblemOf(summary.config);
  std::string html = "<h2>The worst mistakes</h2>\n";
  if (mistakes.worst.empty()) return html + "<p>None: every test sentence got its label.</p>\n";
  html += "<p class=\"soft\">" + FormatCount(static_cast<int64_t>(mistakes.worst.size())) + " of " +
          FormatCount(mistakes.all) + OrderOfMistakes(problem) +
          " Some may be mistakes of the file.</p>\n<ol class=\"texts\">\n";
  for (const Mistake& mistake : mistakes.worst) {
    html += MistakeItem(mistake, problem == ProblemType::kMultiLabel);
  }
  return html + "</ol>\n";
}

std::string PairsTable(const std::vector<std::pair<std::string, std::string>>& rows) {
  std::string table = "<table><tbody>\n";
  for (const auto& [name, value] : rows) {
    table += "<tr><th scope=\"row\">" + EscapeHtml(name) + "</th>" + Cell(value) + "</tr>\n";
  }
  return table + "</tbody></table>\n";
}

std::string Setting(const TrainSummary& summary) {
  const RunMachine& machine = summary.machine;
  std::vector<std::pair<std::string, std::string>> rows = {
      {"training data",
       summary.job.train_file + ", " + FormatCount(summary.train_sentences) + " sentences of it"}};
  if (summary.test) {
    const bool held_out = summary.job.test_file.empty();
    rows.emplace_back("test data",
                      (held_out ? "held out of " + summary.job.train_file : summary.job.test_file) +
                          ", " + FormatCount(summary.test->metrics.examples) + " sentences");
  }
  rows.emplace_back("pretrained model",
                    summary.base_model + ", " + std::to_string(summary.config.num_hidden_layers) +
                        " layers, hidden " + std::to_string(summary.config.hidden_size));
  std::vector<std::pair<std::string, std::string>> where = {
      {"program", std::string("bertie ") + BERTIE_VERSION},
      {"processor", machine.processor.empty() ? "not known" : machine.processor},
      {"ranks", std::to_string(machine.ranks)},
      {"threads of a rank", std::to_string(machine.threads)},
      {"most memory of a rank", FormatMegabytes(machine.peak_memory)},
      {"system", machine.system}};
  return "<h2>Data and model</h2>\n" + PairsTable(rows) + "<h2>Recipe</h2>\n" +
         PairsTable(RecipeRows(summary.job)) + "<h2>Machine</h2>\n" + PairsTable(where);
}

}  // namespace

std::string TrainReportHtml(const TrainSummary& summary) {
  std::string body = "<main>\n<h1>" + EscapeHtml(summary.name) + "</h1>\n<p class=\"soft\">" +
                     EscapeHtml(summary.base_model) + ", fine-tuned on " +
                     FormatCount(summary.train_sentences) + " sentences, " + summary.date +
                     "</p>\n" + Figures(summary) + LossPlot(summary) + TestPlot(summary) +
                     StepPlots(summary) + EpochTable(summary);
  if (summary.test) {
    const ProblemType problem = model::ProblemOf(summary.config);
    if (problem != ProblemType::kRegression) body += LabelTable(summary);
    if (problem == ProblemType::kSingleLabel) body += Confusion(summary);
    body += MistakesHtml(summary);
  }
  return HtmlPage(summary.name + ": training report", body + Setting(summary) + "</main>\n");
}

}  // namespace bertie::cli
