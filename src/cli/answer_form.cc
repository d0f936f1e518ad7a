#include "cli/answer_form.h"

#include <algorithm>
#include <numeric>

#include "base/figures.h"
#include "cli/table.h"
#include "data/labelled_csv.h"
#include "formats/json.h"
#include "train/metrics.h"

namespace bertie::cli {
namespace {

constexpr size_t kWidestLabel = 30;
constexpr size_t kWidestLabels = 40;
constexpr size_t kScoreWidth = 6;  // "0.9876"
constexpr size_t kNumberWidth = 12;

// The labels' ids, best score first; equal scores in the order of the ids.
std::vector<size_t> BestFirst(std::span<const float> scores, size_t count) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  order.resize(std::min(count, order.size()));
  return order;
}

class LabelForm : public AnswerForm {
 public:
  explicit LabelForm(const serve::LabelScheme& scheme) : labels_(scheme.labels) {
    for (const std::string& label : labels_) {
      quoted_.push_back(formats::DumpJson(formats::Json(label)));
    }
  }

 protected:
  const std::vector<std::string>& labels() const { return labels_; }
  const std::string& quoted(size_t label) const { return quoted_[label]; }

  void AppendScores(const Scored& answer, std::span<const size_t> order, std::string& out) const {
    out += ",\"scores\":{";
    for (size_t i = 0; i < order.size(); ++i) {
      out += (i > 0 ? "," : "") + quoted_[order[i]] + ":" + ShortNumber(answer.scores[order[i]]);
    }
    out += "}";
  }

 private:
  std::vector<std::string> labels_;
  std::vector<std::string> quoted_;  // as JSON strings
};

class BestLabels : public LabelForm {
 public:
  BestLabels(const serve::LabelScheme& scheme, size_t count) : LabelForm(scheme), count_(count) {
    for (const std::string& label : labels()) {
      width_ = std::max(width_, DisplayWidth(OneLine(label, kWidestLabel)));
    }
  }

  std::vector<AnswerColumn> Columns() const override {
    std::vector<AnswerColumn> columns;
    for (size_t i = 0; i < count_; ++i) {
      columns.push_back({"label", width_});
      columns.push_back({"score", kScoreWidth});
    }
    return columns;
  }

  std::vector<std::string> Cells(const Scored& answer) const override {
    std::vector<std::string> cells;
    for (const size_t label : BestFirst(answer.scores, count_)) {
      cells.push_back(OneLine(labels()[label], kWidestLabel));
      cells.push_back(FormatFixed(answer.scores[label], 4));
    }
    return cells;
  }

  std::vector<std::string> CsvNames() const override {
    std::vector<std::string> names;
    for (size_t i = 0; i < count_; ++i) {
      const std::string rank = i == 0 ? "" : "_" + std::to_string(i + 1);
      names.push_back("label" + rank);
      names.push_back("score" + rank);
    }
    return names;
  }

  std::vector<std::string> CsvCells(const Scored& answer) const override {
    std::vector<std::string> cells;
    for (const size_t label : BestFirst(answer.scores, count_)) {
      cells.push_back(labels()[label]);
      cells.push_back(ShortNumber(answer.scores[label]));
    }
    return cells;
  }

  void AppendJson(const Scored& answer, std::string& out) const override {
    const std::vector<size_t> best = BestFirst(answer.scores, count_);
    out += ",\"label\":" + quoted(best.front()) +
           ",\"score\":" + ShortNumber(answer.scores[best.front()]);
    AppendScores(answer, best, out);
  }

 private:
  size_t count_;
  size_t width_ = std::string_view("label").size();
};

class GivenLabels : public LabelForm {
 public:
  GivenLabels(const serve::LabelScheme& scheme, double threshold)
      : LabelForm(scheme), threshold_(threshold), separator_(data::LabelSeparator(labels())) {
    if (separator_.empty()) separator_ = ";";
  }

  std::vector<AnswerColumn> Columns() const override { return {{"labels", kWidestLabels}}; }

  std::vector<std::string> Cells(const Scored& answer) const override {
    std::string cell;
    for (const size_t label : Given(answer)) {
      cell +=
          (cell.empty() ? "" : ", ") + labels()[label] + " " + FormatFixed(answer.scores[label], 2);
    }
    return {cell.empty() ? "-" : OneLine(cell, kWidestLabels)};
  }

  std::vector<std::string> CsvNames() const override {
    std::vector<std::string> names = {"labels"};
    for (const std::string& label : labels()) names.push_back("score_" + label);
    return names;
  }

  std::vector<std::string> CsvCells(const Scored& answer) const override {
    std::vector<std::string> cells = {""};
    for (const size_t label : Given(answer)) {
      cells.front() += (cells.front().empty() ? "" : separator_) + labels()[label];
    }
    for (const float score : answer.scores) cells.push_back(ShortNumber(score));
    return cells;
  }

  void AppendJson(const Scored& answer, std::string& out) const override {
    out += ",\"labels\":[";
    bool first = true;
    for (const size_t label : Given(answer)) {
      out += (first ? "" : ",") + quoted(label);
      first = false;
    }
    out += "]";
    AppendScores(answer, BestFirst(answer.scores, labels().size()), out);
  }

 private:
  // Best first.
  std::vector<size_t> Given(const Scored& answer) const {
    std::vector<size_t> given = BestFirst(answer.scores, labels().size());
    std::erase_if(given, [&](size_t label) {
      return !train::ReachesThreshold(answer.logits[label], threshold_);
    });
    return given;
  }

  double threshold_;
  std::string separator_;
};

class Number : public AnswerForm {
 public:
  std::vector<AnswerColumn> Columns() const override { return {{"value", kNumberWidth}}; }
  std::vector<std::string> Cells(const Scored& answer) const override {
    return {FormatFixed(answer.logits.front(), 4)};
  }
  std::vector<std::string> CsvNames() const override { return {"value"}; }
  std::vector<std::string> CsvCells(const Scored& answer) const override {
    return {ShortNumber(answer.logits.front())};
  }
  void AppendJson(const Scored& answer, std::string& out) const override {
    out += ",\"value\":" + ShortNumber(answer.logits.front());
  }
};

}  // namespace

std::unique_ptr<AnswerForm> MakeBestLabels(const serve::LabelScheme& scheme, size_t count) {
  return std::make_unique<BestLabels>(scheme, count);
}

std::unique_ptr<AnswerForm> MakeGivenLabels(const serve::LabelScheme& scheme, double threshold) {
  return std::make_unique<GivenLabels>(scheme, threshold);
}

std::unique_ptr<AnswerForm> MakeNumber() { return std::make_unique<Number>(); }

std::string ShortNumber(float value) {
  std::string text;
  serve::AppendFloat(value, text);
  return text;
}

}  // namespace bertie::cli
