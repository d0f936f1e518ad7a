// Matrix products of BERT's shapes, ours beside oneDNN's, in GFLOP/s. bench/peers/peak.cc measures
// what the machine can do.
//
//   cmake --preset bench && cmake --build --preset bench --target matmul_bench
//   build/bench/bench/matmul_bench

#include <benchmark/benchmark.h>

#include <vector>

#include "kernels/matmul.h"
#include "kernels/onednn_matmul.h"

namespace bertie::kernels {
namespace {

// As many weights as do not fit any cache, taken in turn: a forward pass streams them from memory.
constexpr int64_t kWeightFloats = 32 << 20;

void Shapes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"rows", "columns", "depth", "threads"});
  for (int64_t threads : {1, 2}) {
    for (int64_t rows : {8, 16, 32, 64, 128, 704}) {
      benchmark->Args({rows, 768, 768, threads});
      benchmark->Args({rows, 3072, 768, threads});
      benchmark->Args({rows, 768, 3072, threads});
    }
  }
  benchmark->UseRealTime()->Unit(benchmark::kMicrosecond);
}

void Count(benchmark::State& state) {
  const auto flops = 2.0 * static_cast<double>(state.range(0) * state.range(1) * state.range(2));
  state.counters["GFLOP/s"] =
      benchmark::Counter(flops * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}

void Packed(benchmark::State& state, WeightType type) {
  const int64_t rows = state.range(0), columns = state.range(1), depth = state.range(2);
  ThreadPool pool(static_cast<int>(state.range(3)));
  const std::vector<float> a(static_cast<size_t>(rows * depth), 0.5f);
  const std::vector<float> b(static_cast<size_t>(columns * depth), 0.25f);
  std::vector<float> c(static_cast<size_t>(rows * columns));
  std::vector<PackedMatrix> weights;
  for (int64_t i = 0; i <= kWeightFloats / (columns * depth); ++i) {
    weights.push_back(PackedMatrix::Pack(RowMajor(b.data(), depth, columns), type, pool));
  }
  MatMulScratch scratch;
  size_t turn = 0;
  for (auto _ : state) {
    MatMul(RowMajor(a.data(), rows, depth), weights[turn++ % weights.size()], c.data(), columns, {},
           scratch, pool);
  }
  Count(state);
}
BENCHMARK_CAPTURE(Packed, fp32, WeightType::kF32)->Apply(Shapes);
BENCHMARK_CAPTURE(Packed, bf16, WeightType::kBF16)->Apply(Shapes);
BENCHMARK_CAPTURE(Packed, int8, WeightType::kI8)->Apply(Shapes);

void OneDnn(benchmark::State& state) {
  const int64_t rows = state.range(0), columns = state.range(1), depth = state.range(2);
  ThreadPool pool(static_cast<int>(state.range(3)));
  const std::vector<float> a(static_cast<size_t>(rows * depth), 0.5f);
  std::vector<float> c(static_cast<size_t>(rows * columns));
  std::vector<std::vector<float>> weights(
      static_cast<size_t>(kWeightFloats / (columns * depth) + 1),
      std::vector<float>(static_cast<size_t>(columns * depth), 0.25f));
  size_t turn = 0;
  for (auto _ : state) {
    OneDnnMatMul(RowMajor(a.data(), rows, depth),
                 RowMajor(weights[turn++ % weights.size()].data(), columns, depth).Transposed(),
                 c.data(), columns, {}, pool);
  }
  Count(state);
}
BENCHMARK(OneDnn)->Apply(Shapes);

}  // namespace
}  // namespace bertie::kernels
