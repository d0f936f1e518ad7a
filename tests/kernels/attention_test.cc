#include "kernels/attention.h"

#include <gtest/gtest.h>

#include <cmath>
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

  std::vector<float> Forward(ThreadPool& pool, Dropout dropout = {}) const {
    std::vector<float> out(q.size());
    Buffer scratch;
    Attention(Input(dropout), out.data(), width, scratch, pool);
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
    {{1, 2, 11, 17, 5}, 3, 64, false},
    {{1, 2, 11, 17, 5}, 3, 64, true},
    {{130, 3}, 2, 20, false},  // more queries than one block
    {{16, 32, 40}, 1, 8, false},
};

TEST(Attention, EqualsTheFormulaInDouble) {
  for (const Problem& problem : kProblems) {
    const Example run(problem);
    ThreadPool pool(2);
    const auto out = run.Forward(pool);
    for (size_t s = 0; s < problem.lengths.size(); ++s) {
      for (int64_t h = 0; h < problem.heads; ++h) {
        for (int64_t i = run.queries[s]; i < run.queries[s + 1]; ++i) {
          std::vector<double> weights;
          double total = 0;
          for (int64_t j = run.keys[s]; j < run.keys[s + 1]; ++j) {
            double score = 0;
            for (int64_t d = 0; d < problem.head_size; ++d) {
              const int64_t c = h * problem.head_size + d;
              score += static_cast<double>(run.q[static_cast<size_t>(i * run.width + c)]) *
                       static_cast<double>(run.k[static_cast<size_t>(j * run.width + c)]);
            }
            weights.push_back(std::exp(score / std::sqrt(static_cast<double>(problem.head_size))));
            total += weights.back();
          }
          for (int64_t d = 0; d < problem.head_size; ++d) {
            const int64_t c = h * problem.head_size + d;
            double expected = 0;
            for (size_t j = 0; j < weights.size(); ++j) {
              const auto at =
                  static_cast<size_t>((run.keys[s] + static_cast<int64_t>(j)) * run.width + c);
              expected += weights[j] / total * static_cast<double>(run.v[at]);
            }
            ASSERT_NEAR(out[static_cast<size_t>(i * run.width + c)], expected, 2e-6);
          }
        }
      }
    }
  }
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
