#include "train/selection.h"

#include <cmath>
#include <iterator>
#include <string>

namespace bertie::train {
namespace {

constexpr const char* kNames[] = {"last", "loss", "accuracy", "f1", "mcc"};

bool IsBetter(SelectBy by, double value, double than) {
  return by == SelectBy::kLoss ? value < than : value > than;
}

}  // namespace

Result<SelectBy> ParseSelectBy(std::string_view name) {
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (name == kNames[i]) return static_cast<SelectBy>(i);
  }
  return Error{ErrorCode::kInvalidArgument, "best epoch by '" + std::string(name) +
                                                "', expected last, loss, accuracy, f1 or mcc"};
}

const char* SelectByName(SelectBy by) { return kNames[static_cast<size_t>(by)]; }

double SelectionValue(SelectBy by, const Metrics& metrics) {
  switch (by) {
    case SelectBy::kLoss:
      return metrics.loss;
    case SelectBy::kAccuracy:
      return metrics.accuracy;
    case SelectBy::kF1:
      return metrics.binary_f1.value_or(metrics.macro_f1);
    case SelectBy::kMcc:
      return metrics.mcc;
    case SelectBy::kLast:
      break;
  }
  return 0;
}

bool SelectEpoch(const SelectionOptions& options, int64_t epoch,
                 const std::optional<Metrics>& metrics, Selection& selection) {
  if (options.by == SelectBy::kLast || !metrics) {
    selection.best_epoch = epoch;
    return true;
  }
  const double value = SelectionValue(options.by, *metrics);
  const bool first = selection.best_epoch == 0;
  const bool better = first || IsBetter(options.by, value, selection.best_value);
  const bool gain = first || (better && std::abs(value - selection.best_value) > options.threshold);
  selection.epochs_without_gain = gain ? 0 : selection.epochs_without_gain + 1;
  if (!better) return false;
  selection.best_epoch = epoch;
  selection.best_value = value;
  return true;
}

bool StopsEarly(const SelectionOptions& options, const Selection& selection) {
  return options.patience > 0 && selection.epochs_without_gain >= options.patience;
}

}  // namespace bertie::train
