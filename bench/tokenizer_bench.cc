// Bytes of text a second that become token ids, by one thread.
//
//   cmake --preset bench && cmake --build --preset bench --target tokenizer_bench
//   BERTIE_MINILM=.cache/minilm-l6 BERTIE_COLA=.cache/cola build/bench/bench/tokenizer_bench
//
// BERTIE_MINILM: a model folder, for its tokenizer; without it a small vocabulary of the tests.
// BERTIE_COLA: the folder of CoLA's raw tsv files, for English sentences; without it sentences are
// made of the vocabulary's words. The ids differ with both, and so do the figures.

#include <benchmark/benchmark.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace bertie::text {
namespace {

constexpr size_t kMegabyte = size_t{1} << 20;

const Tokenizer& BenchTokenizer() {
  static const Tokenizer tokenizer = [] {
    const char* folder = std::getenv("BERTIE_MINILM");
    auto loaded = Tokenizer::Load(folder != nullptr ? folder : BERTIE_TESTS_DIR "/text/references");
    if (!loaded.ok()) {
      std::fprintf(stderr, "%s\n", loaded.error().message.c_str());
      std::exit(1);
    }
    return *std::move(loaded);
  }();
  return tokenizer;
}

// The last field of each line, which is the sentence.
std::vector<std::string> ColaSentences(const std::filesystem::path& file) {
  std::vector<std::string> sentences;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    sentences.push_back(line.substr(line.rfind('\t') + 1));
  }
  if (sentences.empty()) {
    std::fprintf(stderr, "%s: no sentence in it\n", file.c_str());
    std::exit(1);
  }
  return sentences;
}

std::vector<std::string> MadeSentences() {
  std::vector<std::string_view> words;
  for (size_t id = 0; id < BenchTokenizer().vocab_size(); ++id) {
    const std::string_view token = BenchTokenizer().token(static_cast<int32_t>(id));
    if (token.size() > 1 && token[0] >= 'a' && token[0] <= 'z') {
      words.push_back(token);
    }
  }
  std::mt19937 random(1);
  std::vector<std::string> sentences;
  for (int i = 0; i < 8000; ++i) {
    std::string sentence;
    for (size_t count = 4 + random() % 9; count > 0; --count) {
      sentence += words[random() % words.size()];
      sentence += count > 1 ? " " : ".";
    }
    sentence[0] = static_cast<char>(sentence[0] - 'a' + 'A');
    sentences.push_back(std::move(sentence));
  }
  return sentences;
}

const std::vector<std::string>& EnglishSentences() {
  static const std::vector<std::string> sentences = [] {
    const char* folder = std::getenv("BERTIE_COLA");
    return folder == nullptr ? MadeSentences()
                             : ColaSentences(std::filesystem::path(folder) / "in_domain_train.tsv");
  }();
  return sentences;
}

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
}  // namespace bertie::text
