// The machine's limits: multiply-adds a second in registers, in fp32, bf16 and int8, and bytes a
// second read from memory. AMX is not counted: a processor with it can do more in bf16 and int8.
// usage: peak THREADS -> one JSON line. Built by bench/peers/run for the machine it runs on.
#include <immintrin.h>

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

// Products of bytes, summed up to 32 bits: by one instruction where the processor has VNNI, else by
// the three that AVX2 has for it.
constexpr int kByteProducts = kLanes * 4;
float MultiplyAddBytes(long rounds) {
#if defined(__AVX512F__) && defined(__AVX512VNNI__)
  __m512i sums[10], x = _mm512_set1_epi8(3), y = _mm512_set1_epi8(1);
  for (__m512i& sum : sums) sum = _mm512_setzero_si512();
  for (long r = 0; r < rounds; ++r) {
    asm volatile("" : "+v"(x), "+v"(y));
    for (__m512i& sum : sums) sum = _mm512_dpbusd_epi32(sum, x, y);
  }
  for (int i = 1; i < 10; ++i) sums[0] = _mm512_add_epi32(sums[0], sums[i]);
  return static_cast<float>(_mm512_reduce_add_epi32(sums[0]));
#elif defined(__AVX512BW__)
  __m512i sums[10], x = _mm512_set1_epi8(3), y = _mm512_set1_epi8(1);
  const __m512i ones = _mm512_set1_epi16(1);
  for (__m512i& sum : sums) sum = _mm512_setzero_si512();
  for (long r = 0; r < rounds; ++r) {
    for (__m512i& sum : sums) {
      asm volatile("" : "+v"(x), "+v"(y));
      const __m512i pairs = _mm512_maddubs_epi16(x, y);
      sum = _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, ones));
    }
  }
  for (int i = 1; i < 10; ++i) sums[0] = _mm512_add_epi32(sums[0], sums[i]);
  return static_cast<float>(_mm512_reduce_add_epi32(sums[0]));
#elif defined(__AVX2__)
  __m256i sums[10], x = _mm256_set1_epi8(3), y = _mm256_set1_epi8(1);
#if !defined(__AVXVNNI__)
  const __m256i ones = _mm256_set1_epi16(1);
#endif
  for (__m256i& sum : sums) sum = _mm256_setzero_si256();
  for (long r = 0; r < rounds; ++r) {
    for (__m256i& sum : sums) {
      asm volatile("" : "+x"(x), "+x"(y));
#if defined(__AVXVNNI__)
      sum = _mm256_dpbusd_avx_epi32(sum, x, y);
#else
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(x, y), ones));
#endif
    }
  }
  for (int i = 1; i < 10; ++i) sums[0] = _mm256_add_epi32(sums[0], sums[i]);
  return static_cast<float>(_mm256_extract_epi32(sums[0], 0));
#else
  return MultiplyAdd(rounds * 4);
#endif
}

#if defined(__AVX512BF16__)
constexpr int kHalfProducts = kLanes * 2;
float MultiplyAddHalves(long rounds) {
  __m512 sums[10];
  __m512bh x = (__m512bh)_mm512_set1_epi16(0x3f80), y = (__m512bh)_mm512_set1_epi16(0x3c00);
  for (__m512& sum : sums) sum = _mm512_setzero_ps();
  for (long r = 0; r < rounds; ++r) {
    asm volatile("" : "+v"(x), "+v"(y));
    for (__m512& sum : sums) sum = _mm512_dpbf16_ps(sum, x, y);
  }
  for (int i = 1; i < 10; ++i) sums[0] = _mm512_add_ps(sums[0], sums[i]);
  return _mm512_reduce_add_ps(sums[0]);
}
#else
// Without instructions for it bf16 is computed in fp32.
constexpr int kHalfProducts = kLanes;
float MultiplyAddHalves(long rounds) { return MultiplyAdd(rounds); }
#endif

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
  const double halves = BestRate(threads, 3, 2.0 * kHalfProducts * 10 * kRounds, [&](int i) {
    results[static_cast<size_t>(i) * 64] = MultiplyAddHalves(kRounds);
  });
  const double bytes_rate = BestRate(threads, 3, 2.0 * kByteProducts * 10 * kRounds, [&](int i) {
    results[static_cast<size_t>(i) * 64] = MultiplyAddBytes(kRounds);
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
  std::printf("{\"threads\": %d, \"gflops\": %.1f, \"bf16_gflops\": %.1f, \"int8_gops\": %.1f, "
              "\"read_gb_s\": %.1f, \"checksum\": %g}\n",
              threads, flops / 1e9, halves / 1e9, bytes_rate / 1e9, bytes / 1e9,
              std::accumulate(results.begin(), results.end(), 0.0));
}
