// The numbers that stand for a test, under the names that files, flags and people know them by.
#pragma once

#include <vector>

#include "train/metrics.h"

namespace bertie::train {

struct Figure {
  const char* key;   // in files: "macro_f1"
  const char* name;  // for people: "macro F1"
  double value = 0;
  bool falls = false;  // less is better
};

// Those that the problem has:
//   kSingleLabel  loss, accuracy, f1 (with two labels: of label 1), macro_f1, micro_f1, mcc
//   kMultiLabel   loss, accuracy, micro_f1, macro_f1, hamming_loss, average_precision
//   kRegression   loss, mse (the same), rmse, mae, pearson, spearman
std::vector<Figure> Figures(const Metrics& metrics);

// The figures that a line or a curve has room for, without the loss: accuracy, F1 and MCC;
// accuracy, micro and macro F1; RMSE, Pearson's and Spearman's correlation. F1 is that of label 1
// where there are two labels, else the macro F1.
std::vector<Figure> MainFigures(const Metrics& metrics);

}  // namespace bertie::train
