// README.md of a trained model: what the Hugging Face hub shows of it.
#pragma once

#include <filesystem>
#include <string>

#include "base/status.h"
#include "cli/train/summary.h"

namespace bertie::cli {

// Front matter in YAML as the hub reads it, with the figures of the test, then Markdown. It holds
// no sentences. The license is the user's to add.
std::string ModelCard(const TrainSummary& summary);

// Writes the card as README.md into the folder. A README.md that is not just as a former call wrote
// it is the user's, and stays: then the card becomes README.new.md. Returns the path written.
Result<std::filesystem::path> SaveModelCard(const std::filesystem::path& folder,
                                            const std::string& card);

// Removes a README.md that is just as SaveModelCard wrote it.
void RemoveUneditedCard(const std::filesystem::path& folder);

}  // namespace bertie::cli
