// The parts of `bertie bench`. Each measures one thing and hands its figures to the report.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "cli/bench/report.h"
#include "cli/data_flags.h"
#include "cli/source.h"
#include "model/classifier.h"
#include "text/tokenizer.h"

namespace bertie::cli {

struct BenchFlags {
  std::string model;  // a folder, or a .tar.gz of one; may be empty where only a URL is measured
  SourceFlags source;
  std::string precision;  // of the weights; empty: the model's own
  std::vector<std::string> what = {"latency", "throughput"};
  int threads = 0;                // 0: all processors
  std::optional<double> seconds;  // without it each measurement has its own default
  std::vector<int64_t> lengths = {8, 16, 32, 64, 128, 256, 512};
  bool lengths_given = false;
  std::string data_file;
  DataFlags data;
  int64_t batch_tokens = 0;  // 0: kBatchTokensPerThread for each thread
  int runs = 5;              // cold starts
  std::string url;
  std::vector<int> concurrency;
  std::vector<std::string> rates;  // "120" requests a second, or "70%" of the closed loop's
  int connections = 256;
  uint64_t seed = 1;
  bool json = false;
  std::string html;
};

// About the batch of 32 short sentences that other engines are given, on two threads.
inline constexpr int64_t kBatchTokensPerThread = 256;

// What the measurements in this process run.
struct BenchModel {
  model::Classifier classifier;
  text::Tokenizer tokenizer;
};
Result<BenchModel> LoadBenchModel(const BenchFlags& flags, ThreadPool& pool);

// The texts of --data, in the file's order; without it short sentences made of common English
// words, the same on every run.
Result<std::vector<std::string>> BenchTexts(const BenchFlags& flags);

// One sentence at a time, for each of --lengths.
Status BenchLatency(const BenchFlags& flags, const model::Classifier& classifier, ThreadPool& pool,
                    BenchReport& report);

// The texts in batches, sorted by length and in random order.
Status BenchThroughput(const BenchFlags& flags, const BenchModel& model,
                       const std::vector<std::string>& texts, ThreadPool& pool,
                       BenchReport& report);

// The texts to token ids, on one thread.
Status BenchTokenizer(const BenchFlags& flags, const text::Tokenizer& tokenizer,
                      const std::vector<std::string>& texts, BenchReport& report);

// Fresh processes of this program that serve the model, each until its first answer.
Status BenchColdStart(const BenchFlags& flags, const std::vector<std::string>& texts,
                      BenchReport& report);

// Requests to --url, or to a process of this program that serves the model.
Status BenchLoad(const BenchFlags& flags, const std::vector<std::string>& texts,
                 BenchReport& report);

// Whether --rate can be read: "120" or "70%", above 0. CLI11's form: the message, or "".
std::string CheckRate(const std::string& text);

}  // namespace bertie::cli
