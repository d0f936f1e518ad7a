#include "cli/doctor/advice.h"

#include <algorithm>
#include <cmath>

#include "base/figures.h"
#include "cli/progress.h"

namespace bertie::cli {
namespace {

constexpr double kGigabyte = 1e9;
// Below this gain a lower precision is not worth a check of its accuracy.
constexpr double kWorthwhile = 1.2;
// The shares of the products' speed that whole models reach (docs/performance.md): softmax,
// LayerNorm and GELU take the rest; in training AdamW and packing weights for each step too.
constexpr double kServingShare = 0.85;
constexpr double kTrainingShare = 0.65;

struct Size {
  const char* name;
  double layers, hidden, feed_forward;

  // Of the matrices that every token is multiplied by.
  double weights() const { return layers * (4 * hidden * hidden + 2 * hidden * feed_forward); }
  // Attention's two products, which grow with the square of the length.
  double attention(double tokens) const { return layers * 4 * tokens * tokens * hidden; }
};
constexpr Size kSizes[] = {{"bert-base", 12, 768, 3072}, {"MiniLM-L6", 6, 384, 1536}};

struct PrecisionSpeed {
  const char* name;
  double rate;   // 10^9 operations a second
  double bytes;  // of one weight
};

PrecisionSpeed Find(const Speed& speed, const std::string& name) {
  if (name == "int8") return {"int8", speed.int8, 1};
  return name == "bf16" ? PrecisionSpeed{"bf16", speed.bf16, 2}
                        : PrecisionSpeed{"fp32", speed.fp32, 4};
}

std::string Times(double ratio) { return FormatFixed(ratio, 1) + " times"; }

std::string Gops(double rate) { return FormatSpeed(rate) + " G/s"; }

void ChoosePrecisions(const Facts& facts, const Speed& speed, Advice& advice) {
  const double int8_gain = speed.int8 / speed.fp32, bf16_gain = speed.bf16 / speed.fp32;
  if (int8_gain >= kWorthwhile && int8_gain >= bf16_gain) {
    advice.serving_precision = "int8";
    advice.serving_reason = "its products are " + Times(int8_gain) + " as quick as fp32's (" +
                            Gops(speed.int8) + " by " + facts.int8 + ", " + Gops(speed.fp32) +
                            " by " + facts.fp32 +
                            ") and its weights a quarter as large; 'bertie compile MODEL --data "
                            "test.csv' makes it and checks what it costs in accuracy";
  } else if (bf16_gain >= kWorthwhile) {
    advice.serving_precision = "bf16";
    advice.serving_reason = "its products are " + Times(bf16_gain) + " as quick as fp32's (" +
                            Gops(speed.bf16) + " by " + facts.bf16 + ", " + Gops(speed.fp32) +
                            ") and its weights half as large";
  } else {
    advice.serving_precision = "fp32";
    advice.serving_reason = "int8 is " + Times(int8_gain) + " and bf16 " + Times(bf16_gain) +
                            " as quick, which is not worth their rounding";
  }
  const bool bf16 = facts.trains_in_bf16 && bf16_gain >= kWorthwhile;
  advice.training_precision = bf16 ? "bf16" : "fp32";
  advice.training_reason =
      bf16 ? "its products are " + Times(bf16_gain) + " as quick as fp32's (" + Gops(speed.bf16) +
                 " by " + facts.bf16 +
                 "); weights and sums stay fp32 ('bertie train --precision "
                 "bf16')"
      : facts.trains_in_bf16
          ? "bf16's products are only " + Times(bf16_gain) + " as quick"
          : "this processor has no instructions that multiply bfloat16 (AVX512_BF16, AMX)";
}

void ChooseThreads(const Facts& facts, Advice& advice) {
  advice.threads = facts.threads;
  std::string& why = advice.threads_reason;
  why = "the machine has " + std::to_string(facts.processors) + " processors";
  if (facts.allowed < facts.processors) {
    why += ", of which this process may use " + std::to_string(facts.allowed) + " (cpuset)";
  }
  if (facts.cgroup.processors) {
    why += ", and the control group's quota is the time of " +
           FormatFixed(*facts.cgroup.processors, 2);
  }
  why += "; where other programs need some, give fewer with --threads";
}

// The same sentence in batches and alone.
Expectation Expect(const Size& size, int64_t tokens, const Advice& advice, const Speed& speed) {
  const auto length = static_cast<double>(tokens);
  const double products = 2 * size.weights() * length, attention = size.attention(length);
  const PrecisionSpeed serving = Find(speed, advice.serving_precision);
  const PrecisionSpeed training = Find(speed, advice.training_precision);
  Expectation expected{.model = size.name, .tokens = tokens, .precision = serving.name};
  const double work = products / serving.rate + attention / speed.fp32;  // nanoseconds
  expected.serving = kServingShare * 1e9 / work;
  // Forward, and twice that backward.
  expected.training =
      kTrainingShare * 1e9 / (3 * (products / training.rate + attention / speed.fp32));
  const double reading = size.weights() * serving.bytes / speed.read;
  expected.latency = std::max(work, reading) / kServingShare / 1e6;
  return expected;
}

class Findings {
 public:
  explicit Findings(std::vector<Finding>& list) : list_(list) {}

  void Warn(bool found, const char* what, const std::string& text) {
    if (found) list_.push_back({Finding::Level::kWarning, what, text});
  }
  void Fail(bool found, const char* what, const std::string& text) {
    if (found) list_.push_back({Finding::Level::kError, what, text});
  }

 private:
  std::vector<Finding>& list_;
};

std::string InPercent(double share) { return FormatFixed(100 * share, 0) + " %"; }

void LookAtProcessor(const Facts& facts, const Speed& speed, Findings& found) {
  found.Warn(facts.fp32 == "sse4" || facts.fp32 == "scalar", "avx2",
             "the processor has no AVX2: bertie runs by its " + facts.fp32 +
                 " kernels, several times slower than on processors since 2013 or so; a virtual "
                 "machine may hide it (set its processor model to 'host')");
  for (const std::string& variable : facts.held_back) {
    found.Warn(true, "environment", variable + " holds instructions back; unset it");
  }
  const double quota = facts.cgroup.processors.value_or(facts.allowed);
  found.Warn(quota < 1, "quota",
             "the control group allows " + FormatFixed(quota, 2) +
                 " of a processor: after each such share of a tenth of a second everything stands "
                 "still, so answers take up to 100 ms more; allow at least 1");
  found.Warn(quota >= 1 && quota < facts.allowed && std::abs(quota - std::round(quota)) > 0.01,
             "quota",
             "the control group's quota of " + FormatFixed(quota, 2) +
                 " processors is no whole number: " + std::to_string(facts.threads) +
                 " threads use it up early and then stand still, or leave some of it");
  found.Warn(
      !facts.governor.empty() && facts.governor != "performance" && facts.governor != "schedutil",
      "governor",
      "the clock's governor is '" + facts.governor +
          "': short requests find a slow clock; 'cpupower frequency-set -g performance'");
  found.Warn(speed.stolen > 0.02, "neighbours",
             "other machines of this host took " + InPercent(speed.stolen) +
                 " of the processors' time while this was measured");
  found.Warn(speed.spread > 0.3, "neighbours",
             "the slowest tenth of equal pieces of work took " + InPercent(speed.spread) +
                 " longer than the best: other programs or a noisy neighbour; these figures, and "
                 "answers' times, vary as much");
  found.Warn(speed.pauses.lost >= 0.01, "pauses",
             "with all processors at work each stands still for " + InPercent(speed.pauses.lost) +
                 " of the time, for up to " + FormatFixed(speed.pauses.longest_ms, 1) +
                 " ms at once: the slowest answers take that much longer, whatever serves them; "
                 "give bertie processors of its own, or whole ones by quota");
}

void LookAtMemory(const Facts& facts, Findings& found) {
  constexpr double kLeast = 0.2 * kGigabyte, kGood = 1.2 * kGigabyte;
  const auto usable = static_cast<double>(facts.usable_memory());
  found.Fail(usable < kLeast, "memory",
             FormatMegabytes(facts.usable_memory()) +
                 " of memory are left to use; even a small model in int8 needs 200 MB");
  found.Warn(usable >= kLeast && usable < kGood, "memory",
             FormatMegabytes(facts.usable_memory()) +
                 " of memory are left to use: bert-base in fp32 needs about 1,000 MB to be served "
                 "and 3,000 to be trained; int8 needs a quarter to be served");
  found.Warn(
      facts.swap_used > 0, "swap",
      FormatMegabytes(facts.swap_used) +
          " are swapped out: an answer that touches such a page waits for the disk; swapoff, "
          "or memory.swap.max=0 for the control group");
  found.Warn(facts.huge_pages == "never", "huge pages",
             "transparent huge pages are off: weights cost more address look-ups; echo madvise > "
             "/sys/kernel/mm/transparent_hugepage/enabled");
}

void LookAtFilesAndPorts(const Facts& facts, const Speed& speed, Findings& found) {
  constexpr uint64_t kServed = 4096 + 64;  // bertie serve's connections, and files
  found.Fail(facts.open_files < 32, "open files",
             "ulimit -n is " + std::to_string(facts.open_files) + "; raise it to 1024 at least");
  found.Warn(facts.open_files >= 32 && facts.open_files < kServed, "open files",
             "ulimit -n is " + std::to_string(facts.open_files) +
                 ", less than the 4096 connections that 'bertie serve' takes: raise it (at most " +
                 std::to_string(facts.most_open_files) + " here), or lower --max-connections");
  found.Warn(
      !facts.cache_writable, "cache",
      facts.cache.string() +
          " cannot be written: models cannot be pulled by name; set HF_HOME, or give folders");
  found.Warn(facts.cache_writable && static_cast<double>(facts.disk_free) < kGigabyte, "disk",
             "there are " + FormatMegabytes(facts.disk_free) + " free at " + facts.cache.string() +
                 "; bert-base takes 440 MB, and a training run several times its model");
  found.Warn(speed.disk > 0 && speed.disk < 50, "disk",
             facts.cache.string() + " takes " + FormatSpeed(speed.disk) +
                 " MB/s: checkpoints of a large model will hold training up");
  for (const PortFact& port : facts.ports) {
    found.Warn(!port.free, "port",
               "port " + std::to_string(port.port) + ", which '" + port.command +
                   "' takes unless told otherwise, is in use");
  }
}

}  // namespace

Advice Advise(const Facts& facts, const Speed& speed) {
  Advice advice;
  ChoosePrecisions(facts, speed, advice);
  ChooseThreads(facts, advice);
  for (const Size& size : kSizes) {
    for (const int64_t tokens : {int64_t{16}, int64_t{128}}) {
      advice.expectations.push_back(Expect(size, tokens, advice, speed));
    }
  }
  Findings found(advice.findings);
  LookAtProcessor(facts, speed, found);
  LookAtMemory(facts, found);
  LookAtFilesAndPorts(facts, speed, found);
  return advice;
}

}  // namespace bertie::cli
