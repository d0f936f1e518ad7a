// A classifier's figures as tables for people.
#pragma once

#include <string>
#include <vector>

#include "train/metrics.h"

namespace bertie::cli {

// The F1 that stands for the model: of the second label where there are two, else macro F1.
double MainF1(const train::Metrics& metrics);

// labels: their names, in id order.

// Accuracy, F1, MCC and loss, a line each.
std::string FiguresTable(const train::Metrics& metrics, const std::vector<std::string>& labels);

// Precision, recall, F1 and sentences of each label.
std::string LabelsTable(const train::Metrics& metrics, const std::vector<std::string>& labels);

// Wider than a screen it helps nobody: beyond 20 labels a line that says "see ELSEWHERE".
std::string ConfusionTable(const train::Metrics& metrics, const std::vector<std::string>& labels,
                           const std::string& elsewhere);

}  // namespace bertie::cli
