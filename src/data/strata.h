// Groups of sentences that a stratified split keeps in proportion.
#pragma once

#include <vector>

#include "data/dataset.h"

namespace bertie::data {

// A number from 0 for each example. With one label a sentence its id; with several that of its
// rarest label (sentences without a label are a group too), so that rare labels come into both
// parts; in a regression one of ten groups of about equal size, by the numbers' order, equal
// numbers together.
std::vector<int> MakeStrata(const Dataset& dataset);

}  // namespace bertie::data
