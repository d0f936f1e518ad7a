// The tokenizer and the English sentences that benchmarks of text use, from two variables:
//
// BERTIE_MINILM: a model folder, for its tokenizer; without it a small vocabulary of the tests.
// BERTIE_COLA: the folder of CoLA's raw tsv files, for its sentences; without it they are made of
// the vocabulary's words. Figures depend on both.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/tokenizer.h"

namespace bertie::bench {

inline const text::Tokenizer& BenchTokenizer() {
  static const text::Tokenizer tokenizer = [] {
    const char* folder = std::getenv("BERTIE_MINILM");
    auto loaded =
        text::Tokenizer::Load(folder != nullptr ? folder : BERTIE_TESTS_DIR "/text/references");
    if (!loaded.ok()) {
      std::fprintf(stderr, "%s\n", loaded.error().message.c_str());
      std::exit(1);
    }
    return *std::move(loaded);
  }();
  return tokenizer;
}

// The last field of each line, which is the sentence.
inline std::vector<std::string> ColaSentences(const std::filesystem::path& file) {
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

inline std::vector<std::string> MadeSentences() {
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

inline const std::vector<std::string>& EnglishSentences() {
  static const std::vector<std::string> sentences = [] {
    const char* folder = std::getenv("BERTIE_COLA");
    return folder == nullptr ? MadeSentences()
                             : ColaSentences(std::filesystem::path(folder) / "in_domain_train.tsv");
  }();
  return sentences;
}

}  // namespace bertie::bench
