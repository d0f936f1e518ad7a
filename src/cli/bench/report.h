// Figures of `bertie bench`: as tables, as JSON lines, as a page with plots.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"

namespace bertie::cli {

// Milliseconds.
struct LatencyResult {
  int threads = 0;
  int64_t tokens = 0;
  double minimum = 0, p50 = 0, p99 = 0;
};

struct ThroughputResult {
  int threads = 0;
  std::string order;  // "sorted", "random"
  int64_t batch_tokens = 0;
  int64_t sentences = 0, tokens = 0;            // of one pass
  int64_t truncated = 0;                        // sentences cut to the model's positions
  double median_seconds = 0, best_seconds = 0;  // of a pass
};

struct TokenizerResult {
  int64_t texts = 0, bytes = 0, tokens = 0;
  double megabytes_per_s = 0, tokens_per_s = 0;  // a megabyte is 10^6 bytes
};

// Milliseconds from the start of the process to its first answer.
struct ColdStartResult {
  int runs = 0;
  double minimum = 0, median = 0, maximum = 0;
};

// Latencies in milliseconds, of requests answered with 200; the others are errors.
struct LoadResult {
  std::string url;
  std::optional<double> rate;  // requests a second that were due; none in a closed loop
  int concurrency = 0;         // clients of a closed loop, connections of an open one
  int64_t requests = 0, errors = 0;
  std::string first_error;
  double requests_per_s = 0;  // answered
  double p50 = 0, p99 = 0, p999 = 0, maximum = 0;
};

// The value at the share `part` of sorted values, the nearest rank below; 0 where there are none.
double Quantile(const std::vector<double>& sorted, double part);

class BenchReport {
 public:
  // title: what was measured, for the page.
  BenchReport(std::string title, bool json) : title_(std::move(title)), json_(json) {}

  // With json each figure is printed as it comes.
  void Add(const LatencyResult& result);
  void Add(const ThroughputResult& result);
  void Add(const TokenizerResult& result);
  void Add(const ColdStartResult& result);
  void Add(const LoadResult& result);

  // Prints tables of what was added since the last call; nothing with json. An error when something
  // could not be written: kCancelled when nobody reads any more.
  Status Print();

  // Everything so far on one page that needs nothing beside it.
  std::string ToHtml() const;

 private:
  struct Counts {
    size_t latency = 0, throughput = 0, tokenizer = 0, cold_start = 0, load = 0;
  };
  // Of the figures from these on.
  std::string Tables(const Counts& from) const;
  void PrintLine(const std::string& line);

  std::string title_;
  bool json_;
  Status written_;
  Counts printed_;
  std::vector<LatencyResult> latency_;
  std::vector<ThroughputResult> throughput_;
  std::vector<TokenizerResult> tokenizer_;
  std::vector<ColdStartResult> cold_start_;
  std::vector<LoadResult> load_;
};

}  // namespace bertie::cli
