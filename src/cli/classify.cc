#include "cli/classify.h"

#include <charconv>
#include <iostream>
#include <utility>

#include "base/figures.h"
#include "base/quote.h"
#include "cli/checks.h"
#include "cli/model_argument.h"
#include "cli/output.h"
#include "model/open.h"
#include "train/evaluator.h"

namespace bertie::cli {
namespace {

// Rows tokenised by one task: enough to make handing it out cheap.
constexpr size_t kRowsPerTask = 64;
// Of one row's windows together: 128 MB of ids.
constexpr size_t kMaxRowTokens = size_t{1} << 24;

// CLI11's form: the message, or "" where the value is fine.
std::string CheckLengthFlag(const std::string& text) {
  int64_t number = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  if (whole && (number == 0 || (number >= 4 && number <= int64_t{1} << 20))) return "";
  return "found " + Quote(text) + "; expected 0, or a number of tokens from 4";
}

}  // namespace

CLI::Option* AddPrecisionFlag(CLI::App& command, std::string& precision) {
  return command
      .add_option("--precision", precision,
                  "Hold the weights as fp32, bf16 or int8 [fp32, or as compiled]; 'bertie compile' "
                  "checks what a lower one costs")
      ->check(CLI::IsMember({"fp32", "bf16", "int8"}))
      ->type_name("P");
}

void AddThresholdFlag(CLI::App& command, std::optional<double>& threshold) {
  command
      .add_option(
          "--threshold", threshold,
          "With a model that gives several labels: from which score on a text has one [0.5]")
      ->check(Between(0.0, 1.0).description(""))
      ->type_name("0..1");
}

void AddClassifyFlags(CLI::App& command, ClassifyFlags& flags) {
  constexpr const char* kGroup = "Model";
  command
      .add_option("MODEL", flags.model,
                  "A trained model: its folder, model.tar.gz, a TorchScript archive, or its name "
                  "on the hub")
      ->required()
      ->type_name("");
  command
      .add_option("--max-length", flags.max_length,
                  "Most tokens of a text, the special ones included; longer ones are cut, or see "
                  "--long-texts; 0: as many as the model takes")
      ->group(kGroup)
      ->check(CLI::Validator(CheckLengthFlag, ""))
      ->type_name("N")
      ->capture_default_str();
  AddLongTextFlags(command, flags.long_texts, {.group = kGroup});
  command
      .add_option("--batch-tokens", flags.batch_tokens,
                  "Most tokens computed at once: more needs more memory, no result changes")
      ->group(kGroup)
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 24).description(""))
      ->type_name("N")
      ->capture_default_str();
  AddPrecisionFlag(command, flags.precision)->group(kGroup);
  command.add_option("-t,--threads", flags.threads, "Threads; 0: one for each processor")
      ->group(kGroup)
      ->check(CLI::Range(0, 1024).description(""))
      ->type_name("N")
      ->capture_default_str();
  AddSourceFlags(command, flags.source);
}

Result<LocalModel> LocalModel::Load(const ClassifyFlags& given) {
  ClassifyFlags flags = given;
  BERTIE_ASSIGN_OR_RETURN(const serve::LongTextOptions long_texts,
                          ToLongTextOptions(flags.long_texts));
  BERTIE_ASSIGN_OR_RETURN(const model::ModelSource source, OpenSource(flags.model, flags.source));
  BERTIE_ASSIGN_OR_RETURN(text::Tokenizer tokenizer, text::Tokenizer::Load(source.dir()));
  const int threads = flags.threads > 0 ? flags.threads : ThreadPool::DefaultThreads();
  auto pool = std::make_unique<ThreadPool>(threads);
  model::OpenOptions options{ShellWord(flags.model), {}};
  options.precision = model::ParsePrecision(flags.precision);
  options.max_length = flags.max_length;
  BERTIE_ASSIGN_OR_RETURN(model::OpenedModel opened,
                          model::OpenClassifier(source.dir(), options, *pool));
  if (!opened.note.empty()) std::cerr << "bertie: " << flags.model << ": " << opened.note << '\n';
  if (flags.max_length == 0) {
    flags.max_length = opened.classifier.config().max_position_embeddings;
  }
  BERTIE_RETURN_IF_ERROR(CheckStride(flags.long_texts, static_cast<size_t>(flags.max_length)));
  return LocalModel(std::move(flags), long_texts, std::move(tokenizer),
                    std::move(opened.classifier), std::move(pool));
}

LocalModel::LocalModel(ClassifyFlags flags, const serve::LongTextOptions& long_texts,
                       text::Tokenizer tokenizer, model::Classifier classifier,
                       std::unique_ptr<ThreadPool> pool)
    : flags_(std::move(flags)),
      long_texts_(long_texts),
      tokenizer_(std::move(tokenizer)),
      classifier_(std::move(classifier)),
      scheme_(
          serve::MakeLabelScheme(config().labels, config().num_labels(), config().problem_type)),
      pool_(std::move(pool)) {}

Result<text::Windows> LocalModel::ReadRow(const data::Row& row) const {
  const auto max_length = static_cast<size_t>(flags_.max_length);
  if (long_texts_.mode != serve::LongTexts::kWindows) {
    return text::InOneWindow(tokenizer_.Encode(row.text, row.pair, max_length));
  }
  auto windows = tokenizer_.EncodeWindows(
      row.text, row.pair,
      {.max_length = max_length, .stride = long_texts_.stride, .max_tokens = kMaxRowTokens});
  if (windows.ok()) return windows;
  return Error{ErrorCode::kInvalidData,
               "text " + std::to_string(row.line) + " " + windows.error().message};
}

ReadRows LocalModel::Read(std::span<const data::Row> rows) {
  std::vector<Result<text::Windows>> read(rows.size(), text::Windows());
  const int64_t tasks = static_cast<int64_t>((rows.size() + kRowsPerTask - 1) / kRowsPerTask);
  pool_->ParallelFor(tasks, [&](int64_t task, int) {
    const size_t first = static_cast<size_t>(task) * kRowsPerTask;
    for (size_t i = first; i < std::min(first + kRowsPerTask, rows.size()); ++i) {
      read[i] = ReadRow(rows[i]);
    }
  });
  ReadRows result;
  for (size_t i = 0; i < read.size(); ++i) {
    if (read[i].ok()) {
      result.texts.Add(*std::move(read[i]));
    } else {
      result.bad.push_back({i, read[i].error()});
    }
  }
  return result;
}

Result<Classified> LocalModel::Classify(model::WindowedTexts texts,
                                        const std::function<void(int64_t done)>& progress) {
  Classified result;
  for (const text::Encoding& encoding : texts.encodings) result.truncated += encoding.truncated;
  const auto windows = static_cast<int64_t>(texts.encodings.size());
  const auto count = static_cast<int64_t>(texts.counts.size());
  const auto in_texts = [&](int64_t done) { progress(done * count / windows); };
  BERTIE_ASSIGN_OR_RETURN(
      std::vector<float> logits,
      train::ComputeLogits(classifier_, texts.encodings,
                           {.progress = in_texts, .batch_tokens = flags_.batch_tokens}, *pool_));
  result.logits =
      model::PoolWindows(std::move(logits), texts.counts, texts.added,
                         static_cast<size_t>(config().num_labels()), long_texts_.pooling);
  result.windows = std::move(texts.counts);
  return result;
}

void LongTextCount::Add(const Classified& classified) {
  texts += static_cast<int64_t>(classified.windows.size());
  truncated += classified.truncated;
  for (const uint32_t count : classified.windows) {
    if (count == 1) continue;
    ++windowed;
    windows += count;
  }
}

std::string LongTextCount::InWords(const std::string& what, int64_t max_length) const {
  const std::string tokens = std::to_string(max_length) + " tokens";
  if (truncated > 0) return FormatCount(truncated) + " of " + what + " cut to " + tokens;
  if (windowed == 0) return "";
  return FormatCount(windowed) + " of " + what + " read in " + FormatCount(windows) +
         " windows of " + tokens;
}

}  // namespace bertie::cli
