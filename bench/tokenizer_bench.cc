// Bytes of text a second that become token ids, by one thread.
//
//   cmake --preset bench && cmake --build --preset bench --target tokenizer_bench
//   BERTIE_MINILM=.cache/minilm-l6 BERTIE_COLA=.cache/cola build/bench/bench/tokenizer_bench
//
// english.h says what the variables do.

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "english.h"
#include "text/tokenizer.h"

namespace bertie::bench {
namespace {

constexpr size_t kMegabyte = size_t{1} << 20;

void CountBytes(benchmark::State& state, size_t bytes) {
  state.SetBytesProcessed(static_cast<int64_t>(bytes));
}

// Each sentence by itself, as a request brings it.
void Sentences(benchmark::State& state) {
  const auto& sentences = EnglishSentences();
  size_t bytes = 0;
  size_t turn = 0;
  for (auto _ : state) {
    const std::string& sentence = sentences[turn++ % sentences.size()];
    benchmark::DoNotOptimize(BenchTokenizer().Encode(sentence));
    bytes += sentence.size();
  }
  CountBytes(state, bytes);
}
BENCHMARK(Sentences);

void LongText(benchmark::State& state, const std::string& text) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(BenchTokenizer().Encode(text));
  }
  CountBytes(state, static_cast<size_t>(state.iterations()) * text.size());
}

std::string Repeated(std::string_view unit) {
  std::string text;
  while (text.size() < kMegabyte) {
    text += unit;
  }
  return text;
}

void English(benchmark::State& state) {
  std::string text;
  while (text.size() < kMegabyte) {
    for (const std::string& sentence : EnglishSentences()) {
      text += sentence + " ";
    }
  }
  LongText(state, text);
}
BENCHMARK(English)->Unit(benchmark::kMillisecond);

void Hostile(benchmark::State& state, std::string_view unit) { LongText(state, Repeated(unit)); }

// Words of 100 characters, the most that are looked up. Those of the vocabularies that share a long
// beginning are the dear ones: each place is tried again after a match that was nearly longer.
BENCHMARK_CAPTURE(Hostile, one_word, "unaffordable")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Hostile, near_matches,
                  "unaffordableunaffordableunaffordableunaffordableunaffordable"
                  "unaffordableunaffordableunaffordableunaf ")
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Hostile, nearly_long_tokens,
                  "internationaliinternationaliinternationaliinternationaliinternationali"
                  "internationaliinternationalint ")
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Hostile, one_letter,
                  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa ")
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Hostile, punctuation, "!?")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Hostile, blanks, " ")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Hostile, brackets, "[MAS")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Hostile, special_tokens, "[SEP]")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Hostile, ideographs, "你好世界")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Hostile, hangul, "한국어 문장 ")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Hostile, accents, "Élève naïve, café déjà vu; ")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Hostile, combining_marks, "e\u0301\u302E\uA953")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Hostile, cyrillic, "Все счастливые семьи похожи ")->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(Hostile, invalid_utf8, "a\xE4\xBD ")->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace bertie::bench
