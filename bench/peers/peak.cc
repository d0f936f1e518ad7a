// The machine's limits: multiply-adds a second in registers, and bytes a second read from memory.
// usage: peak THREADS -> one JSON line. Built by bench/peers/run for the machine it runs on.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <thread>
#include <vector>

namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#else
constexpr int kLanes = 8;
#endif
typedef float Vector __attribute__((vector_size(kLanes * sizeof(float))));
typedef float UnalignedVector __attribute__((vector_size(kLanes * sizeof(float)), aligned(4)));

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Ten sums that do not wait for each other keep two units of latency 4 or 5 busy.
float MultiplyAdd(long rounds) {
  Vector sums[10];
  for (int i = 0; i < 10; ++i) sums[i] = Vector{} + static_cast<float>(i);
  Vector x = Vector{} + 0.999f;
  Vector y = Vector{} + 0.001f;
  for (long r = 0; r < rounds; ++r) {
    asm volatile("" : "+x"(x), "+x"(y));
    for (Vector& sum : sums) sum = sum * x + y;
  }
  Vector total{};
  for (const Vector& sum : sums) total += sum;
  return total[0];
}

// Best rate of `tries`, with work(thread) run on every thread at once.
template <class Work>
double BestRate(int threads, int tries, double amount, const Work& work) {
  double best = 0;
  for (int t = 0; t < tries; ++t) {
    const double start = Seconds();
    std::vector<std::thread> pool;
    for (int i = 0; i < threads; ++i) pool.emplace_back(work, i);
    for (std::thread& thread : pool) thread.join();
    best = std::max(best, amount * threads / (Seconds() - start));
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 1;
  std::vector<float> results(static_cast<size_t>(threads) * 64);
  constexpr long kRounds = 20'000'000;
  const double flops = BestRate(threads, 5, 2.0 * kLanes * 10 * kRounds, [&](int i) {
    results[static_cast<size_t>(i) * 64] = MultiplyAdd(kRounds);
  });
  constexpr size_t kBytes = size_t{256} << 20;
  std::vector<std::vector<float>> data(static_cast<size_t>(threads),
                                       std::vector<float>(kBytes / sizeof(float), 1.0f));
  const double bytes = BestRate(threads, 5, static_cast<double>(kBytes), [&](int i) {
    const std::vector<float>& mine = data[static_cast<size_t>(i)];
    Vector sums[4] = {};
    for (size_t at = 0; at + 4 * kLanes <= mine.size(); at += 4 * kLanes) {
      for (int s = 0; s < 4; ++s) {
        sums[s] +=
            *reinterpret_cast<const UnalignedVector*>(&mine[at + static_cast<size_t>(s) * kLanes]);
      }
    }
    results[static_cast<size_t>(i) * 64] += sums[0][0] + sums[1][0] + sums[2][0] + sums[3][0];
  });
  std::printf("{\"threads\": %d, \"gflops\": %.1f, \"read_gb_s\": %.1f, \"checksum\": %g}\n",
              threads, flops / 1e9, bytes / 1e9,
              std::accumulate(results.begin(), results.end(), 0.0));
}
