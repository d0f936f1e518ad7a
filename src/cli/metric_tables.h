// A test's figures as tables for people.
#pragma once

#include <string>
#include <vector>

#include "train/figures.h"
#include "train/metrics.h"

namespace bertie::cli {

// The F1 that stands for the model: of the second label where there are two, else macro F1; where a
// sentence may have several labels micro F1.
double MainF1(const train::Metrics& metrics);

// The figures but for those that say the same as another; the loss last.
std::vector<train::Figure> ShownFigures(const train::Metrics& metrics);

// labels: their names, in id order.

// All figures, a line each, the loss last.
std::string FiguresTable(const train::Metrics& metrics, const std::vector<std::string>& labels);

// Precision, recall, F1 and sentences of each label.
std::string LabelsTable(const train::Metrics& metrics, const std::vector<std::string>& labels);

// Wider than a screen it helps nobody: beyond 20 labels a line that says "see ELSEWHERE".
std::string ConfusionTable(const train::Metrics& metrics, const std::vector<std::string>& labels,
                           const std::string& elsewhere);

// What there is to see beside the figures: the labels and, with one a sentence, the confusion
// matrix; in a regression the figures.
std::string DetailTables(const train::Metrics& metrics, const std::vector<std::string>& labels,
                         const std::string& elsewhere);

}  // namespace bertie::cli
