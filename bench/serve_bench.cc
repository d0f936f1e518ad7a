// What the server itself adds to a request: from the bytes of the body to token ids, and from
// logits to the bytes of the answer. Bodies of one CoLA sentence and of a hundred.
//
//   cmake --preset bench && cmake --build --preset bench --target serve_bench
//   BERTIE_MINILM=.cache/minilm-l6 BERTIE_COLA=.cache/cola build/bench/bench/serve_bench
//
// english.h says what the variables do.

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "english.h"
#include "formats/json.h"
#include "serve/answer.h"
#include "serve/invocation.h"
#include "text/tokenizer.h"

namespace bertie::bench {
namespace {

enum Form : int64_t { kList, kInputs };

std::string Body(const benchmark::State& state) {
  const auto& sentences = EnglishSentences();
  formats::Json texts = formats::Json::array();
  for (int64_t i = 0; i < state.range(0); ++i) {
    texts.push_back(sentences[static_cast<size_t>(i) % sentences.size()]);
  }
  return formats::DumpJson(state.range(1) == kInputs ? formats::Json{{"inputs", texts}} : texts);
}

void Requests(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"texts", "inputs"});
  for (const int64_t texts : {1, 100}) {
    benchmark->Args({texts, kList})->Args({texts, kInputs});
  }
  benchmark->Unit(benchmark::kMicrosecond);
}

serve::Invocation MustParse(const std::string& body) {
  return std::get<serve::Invocation>(
      serve::ParseInvocation(body, serve::MediaType::kJson, serve::InvocationLimits{}));
}

void ParseBody(benchmark::State& state) {
  const std::string body = Body(state);
  for (auto _ : state) {
    benchmark::DoNotOptimize(MustParse(body));
  }
}
BENCHMARK(ParseBody)->Apply(Requests);

void BodyToIds(benchmark::State& state) {
  const std::string body = Body(state);
  const text::Tokenizer& tokenizer = BenchTokenizer();
  for (auto _ : state) {
    const serve::Invocation invocation = MustParse(body);
    for (const serve::TextInput& input : invocation.texts) {
      benchmark::DoNotOptimize(tokenizer.Encode(input.text, 512));
    }
  }
}
BENCHMARK(BodyToIds)->Apply(Requests);

void LogitsToAnswer(benchmark::State& state) {
  const serve::Invocation invocation = MustParse(Body(state));
  const serve::LabelScheme scheme{{"unacceptable", "acceptable"}};
  std::vector<float> logits;
  for (int64_t i = 0; i < state.range(0); ++i) {
    logits.push_back(-1.5970893f + 0.01f * static_cast<float>(i));
    logits.push_back(1.6378864f - 0.02f * static_cast<float>(i));
  }
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        serve::FormatAnswer(invocation, logits, scheme, serve::MediaType::kJson));
  }
}
BENCHMARK(LogitsToAnswer)->Apply(Requests);

}  // namespace
}  // namespace bertie::bench
