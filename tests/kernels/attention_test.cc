#include "kernels/attention.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "kernels/gradient_check.h"
#include "kernels/random_values.h"

namespace bertie::kernels {
namespace {

// Sentences of these lengths; heads of 20 columns reach the panels' edge.
struct Problem {
  std::vector<int32_t> lengths;
  int64_t heads;
  int64_t head_size;
  bool cls_only;  // one query a sentence, as in the last layer

  std::vector<int32_t> Offsets(bool queries) const {
    std::vector<int32_t> offsets = {0};
    for (int32_t length : lengths)
      offsets.push_back(offsets.back() + (queries && cls_only ? 1 : length));
    return offsets;
  }
};

struct Example {
  explicit Example(const Problem& problem)
      : p(problem), queries(p.Offsets(true)), keys(p.Offsets(false)), width(p.heads * p.head_size) {
    q = RandomValues(queries.back() * width, 1);
    k = RandomValues(keys.back() * width, 2);
    v = RandomValues(keys.back() * width, 3);
    d_out = RandomValues(queries.back() * width, 4);
  }

  AttentionInput Input(Dropout dropout = {}) const {
    return {q.data(), k.data(),       v.data(),    width,
            width,    queries.data(), keys.data(), static_cast<int64_t>(p.lengths.size()),
            p.heads,  p.head_size,    dropout};
  }

  std::vector<float> Forward(ThreadPool& pool, Dropout dropout = {},
                             bool bf16_products = false) const {
    std::vector<float> out(q.size());
    Buffer scratch;
    AttentionInput input = Input(dropout);
    input.bf16_products = bf16_products;
    Attention(input, out.data(), width, scratch, pool);
    return out;
  }

  // sum(out * d_out), whose gradients AttentionBackward computes.
  double Value(ThreadPool& pool, Dropout dropout) const {
    const auto out = Forward(pool, dropout);
    double sum = 0;
    for (size_t i = 0; i < out.size(); ++i) {
      sum += static_cast<double>(out[i]) * static_cast<double>(d_out[i]);
    }
    return sum;
  }

  Problem p;
  std::vector<int32_t> queries, keys;
  int64_t width;
  std::vector<float> q, k, v, d_out;
};

const Problem kProblems[] = {
    {{1, 2, 11, 17, 5}, 3, 64, false}, {{1, 2, 11, 17, 5}, 3, 64, true},
    {{130, 3}, 2, 20, false},  // more queries than one block
    {{16, 32, 40}, 1, 8, false},       {{1, 33, 64}, 2, 7, false},
};

// Of query i of sentence s, the column c of its head: by the formula, in double.
double Expected(const Example& run, size_t s, int64_t i, int64_t h, int64_t column) {
  const auto at = [&](const std::vector<float>& x, int64_t row, int64_t d) {
    return static_cast<double>(x[static_cast<size_t>(row * run.width + h * run.p.head_size + d)]);
  };
  double total = 0, sum = 0;
  for (int64_t j = run.keys[s]; j < run.keys[s + 1]; ++j) {
    double score = 0;
    for (int64_t d = 0; d < run.p.head_size; ++d) score += at(run.q, i, d) * at(run.k, j, d);
    const double weight = std::exp(score / std::sqrt(static_cast<double>(run.p.head_size)));
    total += weight;
    sum += weight * at(run.v, j, column);
  }
  return sum / total;
}

void CheckFormula(bool bf16_products, double tolerance) {
  for (const Problem& problem : kProblems) {
    const Example run(problem);
    ThreadPool pool(2);
    const auto out = run.Forward(pool, {}, bf16_products);
    for (size_t s = 0; s < problem.lengths.size(); ++s) {
      for (int64_t h = 0; h < problem.heads; ++h) {
        for (int64_t i = run.queries[s]; i < run.queries[s + 1]; ++i) {
          for (int64_t d = 0; d < problem.head_size; ++d) {
            const auto at = static_cast<size_t>(i * run.width + h * problem.head_size + d);
            ASSERT_NEAR(out[at], Expected(run, s, i, h, d), tolerance) << s << ' ' << i << ' ' << d;
          }
        }
      }
    }
  }
}

TEST(Attention, EqualsTheFormulaInDouble) { CheckFormula(false, 2e-6); }

TEST(Attention, OfBF16ProductsEqualsTheFormulaAsNearlyAsBF16Can) { CheckFormula(true, 4e-3); }

TEST(Attention, HidesNoNan) {
  ThreadPool pool(1);
  for (const bool bf16_products : {false, true}) {
    // Whatever its sign and its last bits, as of a file that is damaged.
    for (const uint32_t bits : {0x7fc00000U, 0x7fc00001U, 0xffffffffU, 0x7fffffffU}) {
      Example run(kProblems[0]);
      run.q[3] = std::bit_cast<float>(bits);
      const auto out = run.Forward(pool, {}, bf16_products);
      EXPECT_TRUE(std::isnan(out[0])) << bf16_products << bits;  // all of that query and head
      EXPECT_FALSE(std::isnan(out[static_cast<size_t>(run.width)])) << bf16_products << bits;
    }
  }
}

TEST(Attention, OfBF16ProductsDoesNotDependOnTheSentencesBeside) {
  ThreadPool pool(2);
  const Example all({{7, 40, 33}, 2, 32, false});
  Example last({{33}, 2, 32, false});
  const auto from = static_cast<std::ptrdiff_t>(47 * all.width);
  for (auto [to, source] : {std::pair{&last.q, &all.q}, {&last.k, &all.k}, {&last.v, &all.v}}) {
    to->assign(source->begin() + from, source->end());
  }
  const auto together = all.Forward(pool, {}, true);
  EXPECT_EQ(last.Forward(pool, {}, true),
            std::vector<float>(together.begin() + from, together.end()));
}

// Central differences of Value along a random direction in each of q, k and v.
void CheckGradients(const Problem& problem, Dropout dropout) {
  Example run(problem);
  ThreadPool pool(2);
  std::vector<float> dq(run.q.size()), dk(run.k.size()), dv(run.v.size());
  Buffer scratch;
  AttentionBackward(run.Input(dropout), run.d_out.data(), run.width,
                    {dq.data(), dk.data(), dv.data(), run.width, run.width}, scratch, pool);
  auto value = [&] { return run.Value(pool, dropout); };
  ExpectPredicts(run.q, dq, 1e-2f, value);
  ExpectPredicts(run.k, dk, 1e-2f, value);
  ExpectPredicts(run.v, dv, 1e-2f, value);
}

TEST(Attention, GradientsPredictTheValue) {
  for (const Problem& problem : kProblems) CheckGradients(problem, {});
}

TEST(Attention, GradientsWithDropoutPredictTheValue) {
  for (const Problem& problem : kProblems) CheckGradients(problem, {0.3f, DropoutKey(1, 2, 3)});
}

TEST(Attention, SameBitsForAnyThreadCount) {
  const Example run(kProblems[0]);
  ThreadPool one(1), four(4);
  const Dropout dropout{0.1f, 77};
  EXPECT_EQ(run.Forward(one, dropout), run.Forward(four, dropout));
}

}  // namespace
}  // namespace bertie::kernels
