#include "cli/doctor/speed.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/directory.h"
#include "base/elapsed.h"
#include "base/fd.h"
#include "base/file.h"
#include "kernels/matmul.h"

namespace bertie::cli {
namespace {

using kernels::PackedMatrix;
using kernels::WeightType;
using Watch = std::chrono::steady_clock;

// Seconds of each of at least three runs of the work, in order; further ones until time is up.
template <class Work>
std::vector<double> TimeRuns(double seconds, const Work& work) {
  std::vector<double> times;
  work();  // pages touched, threads awake
  const auto begin = Watch::now();
  while (times.size() < 3 || SecondsSince(begin) < seconds) {
    const auto start = Watch::now();
    work();
    times.push_back(SecondsSince(start));
  }
  std::sort(times.begin(), times.end());
  return times;
}

// A product as in bert-base's feed-forward network, of as many tokens as `rows`.
class Product {
 public:
  Product(WeightType type, int64_t rows, ThreadPool& pool) : rows_(rows), pool_(pool) {
    for (size_t i = 0; i < values_.size(); ++i)
      values_[i] = static_cast<float>(i % 13) * 0.1f - 0.6f;
    // Rows that overlap: the same values serve for matrices of any size.
    weights_ = PackedMatrix::Pack({values_.data(), kDepth, kColumns, 1, 1}, type, pool);
    result_.Resize(rows * kColumns);
  }

  void Run() {
    MatMul({values_.data(), rows_, kDepth, 1, 1}, weights_, result_.data(), kColumns, {}, scratch_,
           pool_);
  }

  // Multiplications and additions.
  double work() const { return 2.0 * static_cast<double>(rows_ * kDepth * kColumns); }

 private:
  static constexpr int64_t kDepth = 768, kColumns = 3072;

  int64_t rows_;
  ThreadPool& pool_;
  std::vector<float> values_ = std::vector<float>(kDepth + kColumns);
  PackedMatrix weights_;
  Buffer result_;
  kernels::MatMulScratch scratch_;
};

// As many as products are at their quickest with; fewer where even those would take long (a quota
// of a tenth of a processor, an emulator).
int64_t TokensToMeasure(ThreadPool& pool) {
  constexpr int64_t kFew = 16, kMany = 128;
  Product few(WeightType::kF32, kFew, pool);
  const auto start = Watch::now();
  few.Run();
  return SecondsSince(start) > 0.05 ? kFew : kMany;
}

// In turn, so that a busy moment of the machine does not make one precision look slow.
void MeasureProducts(ThreadPool& pool, Speed& speed) {
  const int64_t tokens = TokensToMeasure(pool);
  Product products[] = {{WeightType::kF32, tokens, pool},
                        {WeightType::kBF16, tokens, pool},
                        {WeightType::kI8, tokens, pool}};
  double best[std::size(products)] = {};
  const auto begin = Watch::now();
  for (int round = 0; round < 4 || SecondsSince(begin) < 0.5; ++round) {
    for (size_t i = 0; i < std::size(products); ++i) {
      const auto start = Watch::now();
      products[i].Run();
      const double took = SecondsSince(start);
      if (round > 0) best[i] = round == 1 ? took : std::min(best[i], took);
    }
  }
  speed.fp32 = products[0].work() / best[0] / 1e9;
  speed.bf16 = products[1].work() / best[1] / 1e9;
  speed.int8 = products[2].work() / best[2] / 1e9;
}

// One token times weights that are in no cache.
double ReadRate(int64_t bytes, ThreadPool& pool) {
  constexpr int64_t kDepth = 1024;
  const int64_t columns = bytes / kDepth / static_cast<int64_t>(sizeof(float));
  std::vector<float> row(static_cast<size_t>(columns + kDepth), 0.5f);
  const PackedMatrix weights =
      PackedMatrix::Pack({row.data(), kDepth, columns, 1, 1}, WeightType::kF32, pool);
  Buffer c(columns);
  kernels::MatMulScratch scratch;
  const auto times = TimeRuns(0.15, [&] {
    MatMul({row.data(), 1, kDepth, kDepth, 1}, weights, c.data(), columns, {}, scratch, pool);
  });
  return static_cast<double>(weights.bytes().size()) / times.front() / 1e9;
}

double CopyRate(int64_t bytes, ThreadPool& pool) {
  constexpr int64_t kPiece = int64_t{1} << 20;
  const int64_t pieces = std::max<int64_t>(1, bytes / 2 / kPiece);
  Buffer from(pieces * kPiece / 4), to(pieces * kPiece / 4);
  std::memset(from.data(), 1, static_cast<size_t>(pieces * kPiece));
  const auto times = TimeRuns(0.15, [&] {
    pool.ParallelFor(pieces, [&](int64_t piece, int) {
      const int64_t begin = piece * kPiece / 4;
      std::memcpy(to.data() + begin, from.data() + begin, kPiece);
    });
  });
  return 2.0 * static_cast<double>(pieces * kPiece) / times.front() / 1e9;
}

// Written and synced; 0 where the folder cannot be written.
double DiskRate(const std::filesystem::path& folder) {
  constexpr size_t kPiece = size_t{4} << 20;
  constexpr int64_t kMost = int64_t{64} << 20;
  const auto scratch = TemporaryDirectory::Create(".bertie-doctor-", folder);
  if (!scratch.ok()) return 0;
  const auto file = scratch->path() / "speed";
  const Fd fd(open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  const std::string piece(kPiece, 'b');
  int64_t written = 0;
  const auto begin = Watch::now();
  while (written < kMost && SecondsSince(begin) < 0.25) {
    if (!WriteAll(fd.get(), piece, file).ok() || fdatasync(fd.get()) != 0) return 0;
    written += static_cast<int64_t>(kPiece);
  }
  return static_cast<double>(written) / SecondsSince(begin) / 1e6;
}

struct ProcessorTime {
  double all = 0, stolen = 0;
};

ProcessorTime ReadProcessorTime() {
  std::ifstream file("/proc/stat");
  std::string name;
  ProcessorTime time;
  file >> name;
  double value = 0;
  // user nice system idle iowait irq softirq steal
  for (int i = 0; i < 8 && file >> value; ++i) {
    time.all += value;
    if (i == 7) time.stolen = value;
  }
  return time;
}

}  // namespace

Speed MeasureSpeed(const Facts& facts, ThreadPool& pool) {
  Speed speed;
  const ProcessorTime before = ReadProcessorTime();
  MeasureProducts(pool, speed);
  // Past every cache, within what there is.
  constexpr int64_t kMegabyte = int64_t{1} << 20;
  const int64_t most = std::clamp(facts.usable_memory() / 4, 64 * kMegabyte, 512 * kMegabyte);
  const int64_t bytes = std::clamp(4 * facts.last_cache, 64 * kMegabyte, most);
  speed.read = ReadRate(bytes, pool);
  speed.copy = CopyRate(bytes, pool);
  Product small(WeightType::kF32, 32, pool);
  const std::vector<double> times = TimeRuns(0.15, [&small] { small.Run(); });
  speed.spread = times[times.size() * 9 / 10] / times.front() - 1;
  speed.pauses = MeasurePauses(1, pool);
  const ProcessorTime after = ReadProcessorTime();
  if (after.all > before.all) {
    speed.stolen = (after.stolen - before.stolen) / (after.all - before.all);
  }
  if (facts.cache_writable) speed.disk = DiskRate(facts.disk_folder);
  return speed;
}

}  // namespace bertie::cli
