#include "data/columns.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <set>
#include <string_view>

#include "base/ascii.h"
#include "base/quote.h"
#include "data/label_text.h"
#include "data/whole_number.h"

namespace bertie::data {
namespace {

// What data sets call their columns, in order of preference.
constexpr std::array<std::array<std::string_view, 2>, 8> kPairs = {{{"sentence1", "sentence2"},
                                                                    {"premise", "hypothesis"},
                                                                    {"question1", "question2"},
                                                                    {"text_a", "text_b"},
                                                                    {"text1", "text2"},
                                                                    {"#1 string", "#2 string"},
                                                                    {"text", "text_pair"},
                                                                    {"question", "sentence"}}};
constexpr std::array<std::string_view, 14> kTexts = {
    "sentence", "text",  "content", "review",   "message",   "comment",  "tweet",
    "body",     "texts", "inputs",  "document", "sentences", "question", "title"};
constexpr std::array<std::string_view, 11> kLabels = {
    "label",  "labels",     "class",   "category",     "target", "sentiment",
    "intent", "gold_label", "quality", "is_duplicate", "y"};

// Those of numbers to be predicted, beside the above.
constexpr std::array<std::string_view, 4> kNumbers = {"score", "similarity", "rating", "value"};

// A header's cells are names, not sentences.
constexpr size_t kLongestName = 64;

std::string Normalised(std::string_view name) {
  const size_t first = name.find_first_not_of(" \t");
  if (first == std::string_view::npos) return "";
  return AsciiLower(std::string(name.substr(first, name.find_last_not_of(" \t") - first + 1)));
}

int Find(const std::vector<std::string>& columns, std::string_view name) {
  for (size_t i = 0; i < columns.size(); ++i) {
    if (Normalised(columns[i]) == name) return static_cast<int>(i);
  }
  return -1;
}

template <class Names>
int FindFirst(const std::vector<std::string>& columns, const Names& names) {
  for (std::string_view name : names) {
    if (const int found = Find(columns, name); found >= 0) return found;
  }
  return -1;
}

bool IsNumber(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
}

bool HasKnownName(const std::vector<std::string>& row) {
  if (std::any_of(row.begin(), row.end(),
                  [](const std::string& cell) { return cell.size() > kLongestName; })) {
    return false;
  }
  return FindFirst(row, kTexts) >= 0 || FindFirst(row, kLabels) >= 0 ||
         std::any_of(kPairs.begin(), kPairs.end(),
                     [&](const auto& pair) { return FindFirst(row, pair) >= 0; });
}

// "1: 'gj04', 2: '1', ...".
std::string ShowColumns(const std::vector<std::string>& columns) {
  std::string text;
  for (size_t i = 0; i < columns.size(); ++i) {
    if (i == 12) return text + ", ...";
    text += (i > 0 ? ", " : "") + std::to_string(i + 1) + ": " + Quote(columns[i], 40);
  }
  return text;
}

class Resolver {
 public:
  Resolver(const Sample& sample, const TableOptions& options, TableReport& report)
      : sample_(sample), options_(options), report_(report) {}

  Status Run() {
    width_ = sample_.front().size();
    DecideHeader();
    BERTIE_RETURN_IF_ERROR(TakeOptions());
    TakeNames();
    TakeContent();
    return Check();
  }

 private:
  size_t first_row() const { return report_.has_header ? 1 : 0; }

  void DecideHeader() {
    bool named = false;
    const auto is_name = [](const std::string& option) {
      return !option.empty() && !IsNumber(option);
    };
    for (const std::string* option :
         {&options_.text_column, &options_.pair_column, &options_.label_column}) {
      named |= is_name(*option);
    }
    named |= std::any_of(options_.label_columns.begin(), options_.label_columns.end(), is_name);
    report_.has_header = options_.has_header.value_or(named || HasKnownName(sample_.front()));
    NameColumns();
  }

  void NameColumns() {
    report_.columns = sample_.front();
    if (report_.has_header) return;
    for (size_t i = 0; i < width_; ++i) report_.columns[i] = "column " + std::to_string(i + 1);
  }

  Status Take(const std::string& option, const char* purpose, int& column) {
    if (option.empty()) return {};
    if (report_.has_header) {
      const auto exact = std::find(report_.columns.begin(), report_.columns.end(), option);
      column = exact != report_.columns.end() ? static_cast<int>(exact - report_.columns.begin())
                                              : Find(report_.columns, Normalised(option));
      if (column >= 0) return {};
    }
    size_t number = 0;
    std::from_chars(option.data(), option.data() + option.size(), number);
    if (IsNumber(option) && number >= 1 && number <= width_) {
      column = static_cast<int>(number) - 1;
      return {};
    }
    return Error{ErrorCode::kInvalidArgument,
                 report_.source + ": found no column " + Quote(option) + " for the " + purpose +
                     "; expected one of " + ShowColumns(report_.columns)};
  }

  Status TakeOptions() {
    BERTIE_RETURN_IF_ERROR(Take(options_.text_column, "text", report_.text_column));
    BERTIE_RETURN_IF_ERROR(Take(options_.pair_column, "second text", report_.pair_column));
    BERTIE_RETURN_IF_ERROR(Take(options_.label_column, "label", report_.label_column));
    for (const std::string& option : options_.label_columns) {
      int column = -1;
      BERTIE_RETURN_IF_ERROR(Take(option, "labels", column));
      if (Taken(static_cast<size_t>(column))) {
        return Error{ErrorCode::kInvalidArgument,
                     report_.source + ": column " + Quote(option, 40) +
                         " is named twice; expected a column of its own for each label"};
      }
      report_.label_columns.push_back(column);
    }
    return {};
  }

  bool Taken(size_t column) const {
    const int index = static_cast<int>(column);
    return index == report_.text_column || index == report_.pair_column ||
           index == report_.label_column ||
           std::find(report_.label_columns.begin(), report_.label_columns.end(), index) !=
               report_.label_columns.end();
  }

  void TakeNames() {
    if (!report_.has_header) return;
    if (report_.label_column < 0 && report_.label_columns.empty()) {
      int label = FindFirst(report_.columns, kLabels);
      if (label < 0 && regression()) label = FindFirst(report_.columns, kNumbers);
      if (label >= 0 && !Taken(static_cast<size_t>(label))) report_.label_column = label;
    }
    if (report_.text_column >= 0) return;
    for (const auto& [first, second] : kPairs) {
      const int a = Find(report_.columns, first), b = Find(report_.columns, second);
      if (report_.pair_column >= 0 || a < 0 || b < 0) continue;
      if (Taken(static_cast<size_t>(a)) || Taken(static_cast<size_t>(b))) continue;
      report_.text_column = a;
      report_.pair_column = b;
      return;
    }
    const int text = FindFirst(report_.columns, kTexts);
    if (text >= 0 && !Taken(static_cast<size_t>(text))) report_.text_column = text;
  }

  // A column's values in the sample's rows of full width.
  std::vector<std::string_view> Values(size_t column) const {
    std::vector<std::string_view> values;
    for (size_t row = first_row(); row < sample_.size(); ++row) {
      if (sample_[row].size() == width_) values.push_back(sample_[row][column]);
    }
    return values;
  }

  // CoLA as its authors publish it: source, label 0 or 1, the linguist's mark (* or ?), sentence.
  bool IsCola() const {
    if (report_.has_header || width_ != 4) return false;
    for (std::string_view label : Values(1)) {
      if (label != "0" && label != "1") return false;
    }
    for (std::string_view mark : Values(2)) {
      if (mark.find_first_not_of("*? ") != std::string_view::npos) return false;
    }
    return !sample_.empty();
  }

  void TakeContent() {
    if (report_.text_column < 0 && report_.label_column < 0 && IsCola()) {
      report_.label_column = 1;
      report_.text_column = 3;
      return;
    }
    if (report_.text_column < 0) report_.text_column = LongestColumn();
    if (report_.label_column < 0 && report_.label_columns.empty()) {
      report_.label_column = regression() ? NumbersColumn() : FewValuesColumn();
    }
  }

  int LongestColumn() const {
    int longest = -1;
    size_t most = 0;
    for (size_t column = 0; column < width_; ++column) {
      if (Taken(column)) continue;
      size_t bytes = 0;
      for (std::string_view value : Values(column)) bytes += value.size();
      if (longest < 0 || bytes > most) {
        longest = static_cast<int>(column);
        most = bytes;
      }
    }
    return longest;
  }

  // The only column left, or the only one that repeats a few values; -1 where there is none or a
  // choice.
  int FewValuesColumn() const {
    std::vector<int> left, few;
    for (size_t column = 0; column < width_; ++column) {
      if (Taken(column)) continue;
      left.push_back(static_cast<int>(column));
      const auto values = Values(column);
      const std::set<std::string_view> different(values.begin(), values.end());
      const bool repeats = different.size() * 2 <= values.size() && different.size() <= 100;
      if (repeats && different.size() > 1 && different.count("") == 0) few.push_back(left.back());
    }
    if (left.size() == 1 && options_.need_label) return left.front();
    return few.size() == 1 ? few.front() : -1;
  }

  // The only column left all of whose values are numbers; -1 where there is none or a choice.
  int NumbersColumn() const {
    std::vector<int> found;
    for (size_t column = 0; column < width_; ++column) {
      std::vector<std::string_view> values = Values(column);
      if (Taken(column) || values.empty()) continue;
      // Of a header, which is not yet known for one.
      if (!report_.has_header && values.size() > 1) values.erase(values.begin());
      const bool numbers = std::all_of(values.begin(), values.end(), [&](std::string_view value) {
        return IsLabelNumber(value);
      });
      if (numbers) found.push_back(static_cast<int>(column));
    }
    return found.size() == 1 ? found.front() : -1;
  }

  bool regression() const { return options_.problem == ProblemType::kRegression; }
  bool IsLabelNumber(std::string_view text) const {
    return regression() ? ParseNumber(WithoutBlanks(text)).has_value()
                        : ParseWholeNumber(text).has_value();
  }

  Status Check() {
    if (report_.text_column < 0) return Undecided("text", "--text-column");
    if (!options_.need_label || !report_.label_columns.empty()) return {};
    if (report_.label_column < 0) return Undecided("labels", "--label-column");
    for (int other : {report_.text_column, report_.pair_column}) {
      if (other != report_.label_column) continue;
      return Error{ErrorCode::kInvalidArgument,
                   report_.source + ": column " + std::to_string(other + 1) +
                       " is named for the text and for the label; expected two columns"};
    }
    return CheckFirstRow();
  }

  Error Undecided(const char* what, const char* flag) const {
    return {ErrorCode::kInvalidArgument, report_.source + ": cannot tell which column holds the " +
                                             what + "; expected one of (in its first row) " +
                                             ShowColumns(sample_.front()) + ". Name it with " +
                                             flag + " NAME_OR_NUMBER"};
  }

  // A header with names that nobody knows looks like a row: tell it by its "label", which is no
  // number among numbers, or ask, where it is a value found nowhere else.
  Status CheckFirstRow() {
    if (report_.has_header || options_.has_header || sample_.size() < 3) return {};
    const size_t column = static_cast<size_t>(report_.label_column);
    std::map<std::string_view, size_t> others;
    bool all_numbers = true;
    for (size_t row = 1; row < sample_.size(); ++row) {
      if (sample_[row].size() != width_) continue;
      ++others[sample_[row][column]];
      all_numbers &= IsLabelNumber(sample_[row][column]);
    }
    const std::string& first = sample_.front()[column];
    if (others.count(first) > 0) return {};
    if (all_numbers && !IsLabelNumber(first)) {
      report_.has_header = true;
      NameColumns();
      return {};
    }
    if (regression()) return {};
    const bool others_repeat = std::all_of(others.begin(), others.end(),
                                           [](const auto& other) { return other.second >= 2; });
    if (sample_.size() < 20 || !others_repeat) return {};
    return Error{ErrorCode::kInvalidArgument,
                 report_.source + ":1: found the label " + Quote(first) +
                     ", which no other row has. If line 1 is a header, add --header; if it is a "
                     "row, add --no-header"};
  }

  const Sample& sample_;
  const TableOptions& options_;
  TableReport& report_;
  size_t width_ = 0;
};

}  // namespace

Status ResolveColumns(const Sample& sample, const TableOptions& options, TableReport& report) {
  if (sample.empty() || sample.front().empty()) {
    return Error{ErrorCode::kInvalidData, report.source + ": found no rows"};
  }
  return Resolver(sample, options, report).Run();
}

}  // namespace bertie::data
