#include "train/figures.h"

namespace bertie::train {

std::vector<Figure> Figures(const Metrics& metrics) {
  std::vector<Figure> figures = {{"loss", "loss", metrics.loss, true}};
  const auto add = [&](const char* key, const char* name, double value, bool falls = false) {
    figures.push_back({key, name, value, falls});
  };
  switch (metrics.problem) {
    case ProblemType::kSingleLabel:
      add("accuracy", "accuracy", metrics.accuracy);
      if (metrics.binary_f1) add("f1", "F1", *metrics.binary_f1);
      add("macro_f1", "macro F1", metrics.macro_f1);
      add("micro_f1", "micro F1", metrics.micro_f1);
      add("mcc", "MCC", metrics.mcc);
      break;
    case ProblemType::kMultiLabel:
      add("accuracy", "subset accuracy", metrics.accuracy);
      add("micro_f1", "micro F1", metrics.micro_f1);
      add("macro_f1", "macro F1", metrics.macro_f1);
      add("hamming_loss", "Hamming loss", metrics.hamming_loss, true);
      add("average_precision", "average precision", metrics.average_precision);
      break;
    case ProblemType::kRegression:
      add("mse", "MSE", metrics.loss, true);
      add("rmse", "RMSE", metrics.rmse, true);
      add("mae", "MAE", metrics.mae, true);
      add("pearson", "Pearson", metrics.pearson);
      add("spearman", "Spearman", metrics.spearman);
      break;
  }
  return figures;
}

std::vector<Figure> MainFigures(const Metrics& metrics) {
  switch (metrics.problem) {
    case ProblemType::kSingleLabel:
      break;
    case ProblemType::kMultiLabel:
      return {{"accuracy", "subset accuracy", metrics.accuracy},
              {"micro_f1", "micro F1", metrics.micro_f1},
              {"macro_f1", "macro F1", metrics.macro_f1}};
    case ProblemType::kRegression:
      return {{"rmse", "RMSE", metrics.rmse, true},
              {"pearson", "Pearson", metrics.pearson},
              {"spearman", "Spearman", metrics.spearman}};
  }
  return {{"accuracy", "accuracy", metrics.accuracy},
          {"f1", "F1", metrics.binary_f1.value_or(metrics.macro_f1)},
          {"mcc", "MCC", metrics.mcc}};
}

}  // namespace bertie::train
