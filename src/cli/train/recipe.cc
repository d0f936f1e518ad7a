#include "cli/train/recipe.h"

#include <charconv>

namespace bertie::cli {
namespace {

// "5e-05", "0.1": as short as reads back to the same value.
std::string Shortest(double value) {
  char digits[32];
  return std::string(digits, std::to_chars(digits, digits + sizeof(digits), value).ptr);
}

const char* ScheduleName(train::Schedule schedule) {
  switch (schedule) {
    case train::Schedule::kLinear:
      return "linear";
    case train::Schedule::kCosine:
      return "cosine";
    case train::Schedule::kConstant:
      return "constant";
  }
  return "";
}

}  // namespace

std::vector<std::pair<std::string, std::string>> RecipeRows(const TrainJob& job) {
  const train::TrainerOptions& t = job.trainer;
  std::vector<std::pair<std::string, std::string>> rows = {
      {"epochs", std::to_string(t.epochs)},
      {"batch size", std::to_string(t.batch_size)},
      {"gradient accumulation", std::to_string(t.gradient_accumulation)},
      {"optimiser", "AdamW, betas 0.9 and 0.999, eps 1e-8"},
      {"learning rate", Shortest(t.learning_rate)},
      {"learning rate schedule", ScheduleName(t.schedule)},
      {"warmup ratio", Shortest(t.warmup_ratio)},
      {"weight decay", Shortest(t.weight_decay)},
      {"gradient norm clipped to",
       t.max_grad_norm > 0 ? Shortest(t.max_grad_norm) : std::string("never")},
      {"most tokens of a text", std::to_string(job.max_length)},
      {"order", t.order == data::Order::kShuffled ? "shuffled" : "length-grouped"},
      {"seed", std::to_string(t.seed)},
  };
  if (!job.class_weights.empty()) {
    std::string weights;
    for (const float weight : t.class_weights) {
      weights += (weights.empty() ? "" : ", ") + Shortest(static_cast<double>(weight));
    }
    rows.emplace_back("class weights", job.class_weights + ": " + weights);
  }
  if (job.threshold) rows.emplace_back("threshold", Shortest(*job.threshold));
  if (job.dropout) rows.emplace_back("dropout", Shortest(*job.dropout));
  return rows;
}

std::string RecipeMarkdown(const TrainJob& job) {
  std::string text = "| setting | value |\n|---|---|\n";
  for (const auto& [name, value] : RecipeRows(job)) text += "| " + name + " | " + value + " |\n";
  return text;
}

}  // namespace bertie::cli
