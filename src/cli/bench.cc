#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "cli/classify.h"
#include "cli/commands.h"
#include "cli/table.h"
#include "model/model_source.h"
#include "model/open.h"

namespace bertie::cli {
namespace {

using Clock = std::chrono::steady_clock;

struct Flags {
  std::string model;
  std::vector<int64_t> lengths = {8, 16, 32, 64, 128};
  int threads = 0;
  std::string precision;
  double seconds = 2;
  bool json = false;
};

struct Latency {
  double minimum = 0;
  double p50 = 0;
  double p99 = 0;
};

double Milliseconds(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// One sentence of `length` pseudo-random tokens, again and again.
Result<Latency> Measure(const model::Classifier& classifier, int64_t length, double seconds,
                        ThreadPool& pool) {
  std::vector<int32_t> ids, types(static_cast<size_t>(length), 0);
  uint32_t state = 1;
  const auto vocabulary = static_cast<uint32_t>(classifier.config().vocab_size);
  for (int64_t i = 0; i < length; ++i) {
    state = state * 1664525u + 1013904223u;
    ids.push_back(static_cast<int32_t>((state >> 8) % vocabulary));
  }
  model::PackedBatch batch;
  batch.Add(ids, types);
  constexpr int kWarmUp = 5;
  for (int i = 0; i < kWarmUp; ++i) {
    BERTIE_RETURN_IF_ERROR([&]() -> Status {
      auto logits = classifier.Forward(batch, pool);
      return logits.ok() ? Status() : logits.error();
    }());
  }
  std::vector<double> times;
  const auto begin = Clock::now();
  while (Milliseconds(begin) < seconds * 1e3 || times.size() < 10) {
    const auto start = Clock::now();
    auto logits = classifier.Forward(batch, pool);
    times.push_back(Milliseconds(start));
  }
  std::sort(times.begin(), times.end());
  return Latency{times.front(), times[times.size() / 2], times[times.size() * 99 / 100]};
}

Result<int> RunBench(const Flags& flags) {
  const int threads = flags.threads > 0 ? flags.threads : ThreadPool::DefaultThreads();
  ThreadPool pool(threads);
  BERTIE_ASSIGN_OR_RETURN(const model::ModelSource source, model::ModelSource::Open(flags.model));
  model::OpenOptions options{flags.model, {}};
  if (!flags.precision.empty()) options.precision = model::ParsePrecision(flags.precision);
  BERTIE_ASSIGN_OR_RETURN(const model::OpenedModel opened,
                          model::OpenClassifier(source.dir(), options, pool));
  const model::Classifier& classifier = opened.classifier;
  Table table({"tokens", "min ms", "p50 ms", "p99 ms"});
  table.AlignRight({0, 1, 2, 3});
  for (int64_t length : flags.lengths) {
    BERTIE_ASSIGN_OR_RETURN(const Latency latency,
                            Measure(classifier, length, flags.seconds, pool));
    if (flags.json) {
      std::cout << "{\"engine\":\"bertie\",\"threads\":" << threads << ",\"tokens\":" << length
                << ",\"min_ms\":" << FormatFixed(latency.minimum, 3)
                << ",\"p50_ms\":" << FormatFixed(latency.p50, 3)
                << ",\"p99_ms\":" << FormatFixed(latency.p99, 3) << "}" << std::endl;
    } else {
      table.Add({std::to_string(length), FormatFixed(latency.minimum, 3),
                 FormatFixed(latency.p50, 3), FormatFixed(latency.p99, 3)});
    }
  }
  if (!flags.json) {
    std::cout << "one sentence at a time, " << threads << " threads\n" << table.ToString();
  }
  return kExitOk;
}

}  // namespace

void AddBench(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command =
      app.add_subcommand("bench", "Measure how long a model takes for one sentence");
  command->add_option("MODEL", flags->model, "A fine-tuned model: folder or .tar.gz")->required();
  command->add_option("--lengths", flags->lengths, "Tokens of the sentence")
      ->delimiter(',')
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  AddPrecisionFlag(*command, flags->precision);
  command->add_option("-t,--threads", flags->threads, "0: all processors")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  command->add_option("--seconds", flags->seconds, "Time spent on each length")
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str();
  command->add_flag("--json", flags->json, "One JSON object a line");
  command->callback([flags, &exit_code] {
    auto code = RunBench(*flags);
    exit_code = code.ok() ? *code : ReportError(code.error());
  });
}

}  // namespace bertie::cli
