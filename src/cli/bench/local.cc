// What `bertie bench` measures in its own process: latency, throughput, the tokenizer.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <span>
#include <string_view>
#include <utility>

#include "base/elapsed.h"
#include "base/quote.h"
#include "cli/bench/bench.h"
#include "cli/model_argument.h"
#include "data/random.h"
#include "data/row_reader.h"
#include "model/open.h"

namespace bertie::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kLocalSeconds = 2;
constexpr size_t kMostTexts = 1'000'000;

// Each one token of the usual English vocabularies.
constexpr std::string_view kWords[] = {
    "the",   "a",     "of",     "to",    "and",   "in",    "that",   "was",   "he",    "it",
    "his",   "is",    "with",   "as",    "for",   "had",   "she",    "not",   "at",    "but",
    "her",   "they",  "on",     "were",  "there", "him",   "have",   "be",    "from",  "one",
    "all",   "this",  "by",     "which", "we",    "you",   "so",     "said",  "up",    "when",
    "out",   "them",  "would",  "been",  "their", "time",  "no",     "could", "what",  "into",
    "who",   "then",  "some",   "do",    "now",   "man",   "down",   "about", "over",  "like",
    "house", "water", "before", "old",   "never", "again", "little", "after", "where", "long"};

// The error of a value that is thrown away.
template <class T>
Status ToStatus(const Result<T>& result) {
  return result.ok() ? Status() : result.error();
}

// Short sentences as people write them: half have 10 tokens or fewer (the special ones and the full
// stop included), one in a hundred more than 24.
std::vector<std::string> MakeTexts() {
  constexpr size_t kTexts = 512;
  constexpr double kMedian = 7.5, kSpread = 0.45;
  data::Random random(1);
  const auto uniform = [&random] {
    return (static_cast<double>(random.Next() >> 11) + 0.5) * 0x1p-53;
  };
  std::vector<std::string> texts;
  for (size_t i = 0; i < kTexts; ++i) {
    // Log-normal, by Box and Muller.
    const double normal = std::sqrt(-2 * std::log(uniform())) * std::cos(2 * M_PI * uniform());
    const int words = std::clamp(static_cast<int>(kMedian * std::exp(kSpread * normal)), 2, 60);
    std::string text;
    for (int word = 0; word < words; ++word) {
      text += (word > 0 ? " " : "");
      text += kWords[random.Below(std::size(kWords))];
    }
    texts.push_back(text + ".");
  }
  return texts;
}

// Pseudo-random token ids, the same on every run.
model::PackedBatch RandomSentence(int64_t length, int64_t vocabulary) {
  std::vector<int32_t> ids;
  const std::vector<int32_t> types(static_cast<size_t>(length), 0);
  uint32_t state = 1;
  for (int64_t i = 0; i < length; ++i) {
    state = state * 1664525u + 1013904223u;
    ids.push_back(static_cast<int32_t>((state >> 8) % static_cast<uint32_t>(vocabulary)));
  }
  model::PackedBatch batch;
  batch.Add(ids, types);
  return batch;
}

Result<LatencyResult> MeasureLatency(const model::Classifier& classifier, int64_t length,
                                     double seconds, ThreadPool& pool) {
  const model::PackedBatch batch = RandomSentence(length, classifier.config().vocab_size);
  constexpr int kWarmUp = 5;
  for (int i = 0; i < kWarmUp; ++i) {
    BERTIE_RETURN_IF_ERROR(ToStatus(classifier.Forward(batch, pool)));
  }
  std::vector<double> times;
  const auto begin = Clock::now();
  while (SecondsSince(begin) < seconds || times.size() < 10) {
    const auto start = Clock::now();
    const auto logits = classifier.Forward(batch, pool);
    times.push_back(SecondsSince(start) * 1e3);
  }
  std::sort(times.begin(), times.end());
  return LatencyResult{.threads = pool.size(),
                       .tokens = length,
                       .minimum = times.front(),
                       .p50 = times[times.size() / 2],
                       .p99 = Quantile(times, 0.99)};
}

// The sentences in this order, as many to a batch as fit in batch_tokens.
std::vector<model::PackedBatch> MakeBatches(const std::vector<text::Encoding>& encodings,
                                            std::span<const size_t> order, int64_t batch_tokens) {
  std::vector<model::PackedBatch> batches;
  model::PackedBatch batch;
  for (const size_t i : order) {
    const auto length = static_cast<int64_t>(encodings[i].ids.size());
    if (batch.size() > 0 && batch.tokens() + length > batch_tokens) {
      batches.push_back(std::exchange(batch, {}));
    }
    batch.Add(encodings[i].ids, encodings[i].type_ids);
  }
  if (batch.size() > 0) batches.push_back(std::move(batch));
  return batches;
}

Result<double> TimePass(const model::Classifier& classifier,
                        const std::vector<model::PackedBatch>& batches, ThreadPool& pool) {
  const auto start = Clock::now();
  for (const model::PackedBatch& batch : batches) {
    BERTIE_RETURN_IF_ERROR(ToStatus(classifier.Forward(batch, pool)));
  }
  return SecondsSince(start);
}

}  // namespace

Result<BenchModel> LoadBenchModel(const BenchFlags& flags, ThreadPool& pool) {
  BERTIE_ASSIGN_OR_RETURN(const model::ModelSource source, OpenSource(flags.model, flags.source));
  BERTIE_ASSIGN_OR_RETURN(text::Tokenizer tokenizer, text::Tokenizer::Load(source.dir()));
  model::OpenOptions options{flags.model, {}};
  options.precision = model::ParsePrecision(flags.precision);
  BERTIE_ASSIGN_OR_RETURN(model::OpenedModel opened,
                          model::OpenClassifier(source.dir(), options, pool));
  return BenchModel{std::move(opened.classifier), std::move(tokenizer)};
}

Result<std::vector<std::string>> BenchTexts(const BenchFlags& flags) {
  if (flags.data_file.empty()) return MakeTexts();
  BERTIE_ASSIGN_OR_RETURN(data::DatasetOptions options, ToDatasetOptions(flags.data));
  options.table.need_label = false;
  const bool told = !flags.data.text.empty() || options.table.delimiter.has_value();
  if (options.table.format == data::TableFormat::kAuto && !told &&
      flags.data_file.ends_with(".txt")) {
    options.table.format = data::TableFormat::kText;
  }
  BERTIE_ASSIGN_OR_RETURN(data::RowReader reader,
                          data::RowReader::Open(flags.data_file, options.table));
  std::vector<std::string> texts;
  for (;;) {
    data::Row row;
    const Result<bool> more = reader.Next(row);
    if (!more.ok() && flags.data.skip_bad &&
        (more.error().code == ErrorCode::kInvalidData ||
         more.error().code == ErrorCode::kResourceExhausted)) {
      continue;
    }
    BERTIE_RETURN_IF_ERROR(ToStatus(more));
    if (!*more || texts.size() == kMostTexts) break;
    texts.push_back(std::move(row.text));
  }
  if (texts.empty()) {
    return Error{ErrorCode::kInvalidData, flags.data_file + ": found no rows; expected texts"};
  }
  return texts;
}

Status BenchLatency(const BenchFlags& flags, const model::Classifier& classifier, ThreadPool& pool,
                    BenchReport& report) {
  const int64_t most = classifier.config().max_position_embeddings;
  for (const int64_t length : flags.lengths) {
    if (length > most && !flags.lengths_given) continue;
    if (length > most) {
      return Error{ErrorCode::kInvalidArgument, "--lengths: found " + std::to_string(length) +
                                                    "; " + flags.model + " takes at most " +
                                                    std::to_string(most) + " tokens"};
    }
    BERTIE_ASSIGN_OR_RETURN(
        const LatencyResult result,
        MeasureLatency(classifier, length, flags.seconds.value_or(kLocalSeconds), pool));
    report.Add(result);
  }
  return {};
}

Status BenchThroughput(const BenchFlags& flags, const BenchModel& model,
                       const std::vector<std::string>& texts, ThreadPool& pool,
                       BenchReport& report) {
  ThroughputResult result;
  result.threads = pool.size();
  result.batch_tokens =
      flags.batch_tokens > 0 ? flags.batch_tokens : kBatchTokensPerThread * pool.size();
  const auto most = static_cast<size_t>(model.classifier.config().max_position_embeddings);
  std::vector<text::Encoding> encodings;
  for (const std::string& text : texts) {
    encodings.push_back(model.tokenizer.Encode(text, most));
    result.tokens += static_cast<int64_t>(encodings.back().ids.size());
    result.truncated += encodings.back().truncated ? 1 : 0;
  }
  result.sentences = static_cast<int64_t>(encodings.size());

  std::vector<size_t> order(encodings.size());
  std::iota(order.begin(), order.end(), size_t{0});
  data::Random random(flags.seed);
  data::Shuffle(std::span(order), random);
  const auto as_they_come = MakeBatches(encodings, order, result.batch_tokens);
  std::stable_sort(order.begin(), order.end(), [&encodings](size_t a, size_t b) {
    return encodings[a].ids.size() < encodings[b].ids.size();
  });
  const auto sorted = MakeBatches(encodings, order, result.batch_tokens);

  // In turn, so that a busy moment of the machine does not hit one of them alone.
  BERTIE_RETURN_IF_ERROR(ToStatus(TimePass(model.classifier, sorted, pool)));
  std::vector<double> times[2];
  const auto begin = Clock::now();
  while (times[1].size() < 3 || SecondsSince(begin) < 2 * flags.seconds.value_or(kLocalSeconds)) {
    BERTIE_ASSIGN_OR_RETURN(const double first, TimePass(model.classifier, sorted, pool));
    BERTIE_ASSIGN_OR_RETURN(const double second, TimePass(model.classifier, as_they_come, pool));
    times[0].push_back(first);
    times[1].push_back(second);
  }
  for (size_t i = 0; i < 2; ++i) {
    std::sort(times[i].begin(), times[i].end());
    result.order = i == 0 ? "sorted" : "random";
    result.best_seconds = times[i].front();
    result.median_seconds = times[i][times[i].size() / 2];
    report.Add(result);
  }
  return {};
}

Status BenchTokenizer(const BenchFlags& flags, const text::Tokenizer& tokenizer,
                      const std::vector<std::string>& texts, BenchReport& report) {
  TokenizerResult result;
  result.texts = static_cast<int64_t>(texts.size());
  for (const std::string& text : texts) {
    result.bytes += static_cast<int64_t>(text.size());
    result.tokens += static_cast<int64_t>(tokenizer.Encode(text).ids.size());
  }
  std::vector<double> times;
  const auto begin = Clock::now();
  while (times.size() < 3 || SecondsSince(begin) < flags.seconds.value_or(kLocalSeconds)) {
    const auto start = Clock::now();
    size_t tokens = 0;
    for (const std::string& text : texts) tokens += tokenizer.Encode(text).ids.size();
    times.push_back(SecondsSince(start));
    if (tokens != static_cast<size_t>(result.tokens)) {
      return Error{ErrorCode::kInternal, "the tokenizer gave other tokens the second time"};
    }
  }
  std::sort(times.begin(), times.end());
  const double median = times[times.size() / 2];
  result.megabytes_per_s = static_cast<double>(result.bytes) / 1e6 / median;
  result.tokens_per_s = static_cast<double>(result.tokens) / median;
  report.Add(result);
  return {};
}

}  // namespace bertie::cli
