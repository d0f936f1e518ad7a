// Labelled sentences written as csv.
#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "base/status.h"
#include "data/dataset.h"

namespace bertie::data {

// Writes the examples at `indices`, in that order, with header "sentence,label" (pairs:
// "sentence1,sentence2,label") and labels by name, in RFC 4180's quoting with LF line ends; several
// labels of a sentence in one cell with LabelSeparator between them.
// Atomically: the old file stays until the new one is whole and synced. The folder must exist.
Status WriteLabelledCsv(const std::filesystem::path& path, const Dataset& dataset,
                        std::span<const size_t> indices);

// What stands between a sentence's labels: ";", or where a label holds that another character that
// none holds; "" where all are taken.
std::string LabelSeparator(std::span<const std::string> labels);

}  // namespace bertie::data
