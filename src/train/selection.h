// Which epoch's model a run keeps, and when it stops early.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "train/figures.h"
#include "train/metrics.h"

namespace bertie::train {

// All but kLast are figures (train/figures.h), of which each problem has some.
enum class SelectBy {
  kLast,
  kLoss,
  kAccuracy,
  kF1,
  kMacroF1,
  kMicroF1,
  kMcc,
  kHammingLoss,
  kAveragePrecision,
  kMse,
  kRmse,
  kMae,
  kPearson,
  kSpearman
};

// "last", or a figure's key: "loss", "macro_f1".
Result<SelectBy> ParseSelectBy(std::string_view name);
const char* SelectByName(SelectBy by);
// All names, in the order of the enumeration.
std::vector<std::string> SelectByNames();

// kInvalidArgument, naming what there is, where the problem has no such figure.
Status CheckSelectBy(SelectBy by, ProblemType problem);

// The figure that a run is judged by; nullopt for kLast, and where CheckSelectBy says no. F1 is
// that of label 1 where there are two labels, else the macro F1 or, where a sentence may have
// several labels, the micro F1.
std::optional<Figure> FigureOf(SelectBy by, const Metrics& metrics);

struct SelectionOptions {
  SelectBy by = SelectBy::kLast;
  // Ends the run after so many epochs in a row that were no better than the best one before them
  // by more than threshold; 0: never.
  int64_t patience = 0;
  double threshold = 0;
};

struct Selection {
  int64_t best_epoch = 0;  // 0: none yet
  double best_value = 0;   // the metric's
  int64_t epochs_without_gain = 0;

  friend bool operator==(const Selection&, const Selection&) = default;
};

// Takes an epoch's test into account; true when the epoch is the best so far (by kLast: always).
// Of equal epochs the first is the best. metrics is there unless by is kLast.
bool SelectEpoch(const SelectionOptions& options, int64_t epoch,
                 const std::optional<Metrics>& metrics, Selection& selection);

// Whether patience has run out.
bool StopsEarly(const SelectionOptions& options, const Selection& selection);

}  // namespace bertie::train
