#include "kernels/onednn_matmul.h"

#include <omp.h>

#include <algorithm>
#include <cstdlib>
#include <list>
#include <map>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>
#include <string_view>
#include <tuple>

#include "tensor/buffer.h"

namespace bertie::kernels {
namespace {

using dnnl::memory;

// A product's shape and layout, which decide its primitive.
struct Key {
  memory::data_type type;  // of A and B
  int64_t rows, columns, depth;
  int64_t a_row, a_column, b_row, b_column, c_row;
  bool bias, accumulate;

  auto operator<=>(const Key&) const = default;
};

memory::desc Describe(memory::data_type type, int64_t rows, int64_t columns, int64_t row_stride,
                      int64_t column_stride) {
  return {{rows, columns}, type, memory::dims{row_stride, column_stride}};
}

memory::desc DescribeFloats(int64_t rows, int64_t columns, int64_t row_stride) {
  return Describe(memory::data_type::f32, rows, columns, row_stride, 1);
}

// A primitive, and the memory that it works in, which every thread that runs it has to bring: two
// threads may run one at the same time.
struct Product {
  dnnl::matmul primitive;
  memory::desc scratchpad;
};

// Primitives by shape: making one generates code. Token counts vary from batch to batch, so that
// the cache is emptied when it grows large.
class Primitives {
 public:
  static Primitives& Instance() {
    // oneDNN's own engine and code cache are per process too.
    static Primitives primitives;
    return primitives;
  }

  Product Get(const Key& key) {
    std::lock_guard lock(mutex_);
    auto found = cache_.find(key);
    if (found != cache_.end()) return found->second;
    constexpr size_t kMost = 512;
    if (cache_.size() >= kMost) cache_.clear();
    return cache_.emplace(key, Make(key)).first->second;
  }

  const dnnl::engine& engine() const { return engine_; }

 private:
  Product Make(const Key& key) const {
    const auto a = Describe(key.type, key.rows, key.depth, key.a_row, key.a_column);
    const auto b = Describe(key.type, key.depth, key.columns, key.b_row, key.b_column);
    const auto c = DescribeFloats(key.rows, key.columns, key.c_row);
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    if (key.accumulate) {
      dnnl::post_ops sum;
      sum.append_sum(1.0f);
      attributes.set_post_ops(sum);
    }
    const auto description =
        key.bias ? dnnl::matmul::desc(a, b, DescribeFloats(1, key.columns, key.columns), c)
                 : dnnl::matmul::desc(a, b, c);
    const dnnl::matmul::primitive_desc made(description, attributes, engine_);
    return {dnnl::matmul(made), made.scratchpad_desc()};
  }

  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  std::mutex mutex_;  // guards cache_
  std::map<Key, Product> cache_;
};

memory::data_type TypeOf(const MatrixView&) { return memory::data_type::f32; }
memory::data_type TypeOf(const BF16View&) { return memory::data_type::bf16; }

// Columns [first, first + count) of the product, on this thread.
template <class View>
void Multiply(const View& a, const View& b, float* c, int64_t c_stride,
              const MatMulOptions& options, int64_t first, int64_t count) {
  Primitives& primitives = Primitives::Instance();
  const bool bias = options.epilogue == Epilogue::kBias;
  const Key key{TypeOf(a),         a.rows,       count,           a.columns, a.row_stride,
                a.column_stride,   b.row_stride, b.column_stride, c_stride,  bias,
                options.accumulate};
  const Product product = primitives.Get(key);
  const dnnl::engine& engine = primitives.engine();
  dnnl::stream stream(engine);
  auto view = [&](const memory::desc& desc, const auto* data) {
    return memory(desc, engine, const_cast<void*>(static_cast<const void*>(data)));
  };
  std::unordered_map<int, memory> arguments = {
      {DNNL_ARG_SRC,
       view(Describe(key.type, a.rows, a.columns, a.row_stride, a.column_stride), a.data)},
      {DNNL_ARG_WEIGHTS, view(Describe(key.type, b.rows, count, b.row_stride, b.column_stride),
                              b.data + first * b.column_stride)},
      {DNNL_ARG_DST, view(DescribeFloats(a.rows, count, c_stride), c + first)}};
  if (bias) {
    arguments.emplace(DNNL_ARG_BIAS, view(DescribeFloats(1, count, count), options.bias + first));
  }
  thread_local Buffer scratchpad;
  const auto bytes = static_cast<int64_t>(product.scratchpad.get_size());
  if (bytes > 0) {
    arguments.emplace(DNNL_ARG_SCRATCHPAD,
                      view(product.scratchpad, scratchpad.Resize((bytes + 3) / 4)));
  }
  product.primitive.execute(stream, arguments);
  stream.wait();
}

template <class View>
void MultiplyAll(const View& a, const View& b, float* c, int64_t c_stride,
                 const MatMulOptions& options, ThreadPool& pool) {
  // Whole cache lines of C for each worker.
  constexpr int64_t kColumns = 64;
  const int64_t blocks = (b.columns + kColumns - 1) / kColumns;
  const int64_t parts = std::min<int64_t>(pool.size(), blocks);
  const int64_t width = (blocks + parts - 1) / parts * kColumns;
  pool.ParallelFor(parts, [&](int64_t part, int) {
    // OpenMP's count is one thread's own: oneDNN must not start a team inside our pool.
    omp_set_num_threads(1);
    const int64_t first = part * width;
    if (first >= b.columns) return;
    Multiply(a, b, c, c_stride, options, first, std::min(width, b.columns - first));
  });
}

}  // namespace

bool UseOneDnn() {
  static const bool use = [] {
    const char* choice = std::getenv("BERTIE_MATMUL");
    if (choice != nullptr && std::string_view(choice) == "onednn") return true;
    if (choice != nullptr && std::string_view(choice) == "own") return false;
    return __builtin_cpu_supports("avx512f") != 0;
  }();
  return use;
}

void OneDnnMatMul(const MatrixView& a, const MatrixView& b, float* c, int64_t c_stride,
                  const MatMulOptions& options, ThreadPool& pool) {
  MultiplyAll(a, b, c, c_stride, options, pool);
}

void OneDnnMatMul(const BF16View& a, const BF16View& b, float* c, int64_t c_stride,
                  const MatMulOptions& options, ThreadPool& pool) {
  MultiplyAll(a, b, c, c_stride, options, pool);
}

}  // namespace bertie::kernels
