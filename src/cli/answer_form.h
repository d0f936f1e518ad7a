// What `bertie predict` says of a text, apart from the text: its labels' scores, the labels that it
// has, or a number.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/problem_type.h"
#include "serve/answer.h"

namespace bertie::cli {

// A column of the table for people.
struct AnswerColumn {
  std::string name;
  size_t width = 0;
};

// One text's logits and scores, in the order of the labels' ids.
struct Scored {
  std::span<const float> logits;
  std::span<const float> scores;
};

// Immutable.
class AnswerForm {
 public:
  virtual ~AnswerForm() = default;
  virtual std::vector<AnswerColumn> Columns() const = 0;
  virtual std::vector<std::string> Cells(const Scored& answer) const = 0;
  virtual std::vector<std::string> CsvNames() const = 0;
  virtual std::vector<std::string> CsvCells(const Scored& answer) const = 0;
  // Appends members of an object: `,"label":"spam","score":0.9`.
  virtual void AppendJson(const Scored& answer, std::string& out) const = 0;
};

// The best labels, first those with the best scores: label and score each.
std::unique_ptr<AnswerForm> MakeBestLabels(const serve::LabelScheme& scheme, size_t count);

// The labels that reach the threshold, and all scores.
std::unique_ptr<AnswerForm> MakeGivenLabels(const serve::LabelScheme& scheme, double threshold);

// A number.
std::unique_ptr<AnswerForm> MakeNumber();

// The shortest decimal that reads back as the same float.
std::string ShortNumber(float value);

}  // namespace bertie::cli
