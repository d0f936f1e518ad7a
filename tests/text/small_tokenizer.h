// A tokenizer over a vocabulary that fits on a screen, and folders with its files.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "text/tokenizer.h"
#include "text/tokenizer_spec.h"

namespace bertie::text {

// Ids:                                               0       1       2       3       4
inline const std::vector<std::string> kSmallVocabulary = {
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]",
    // 5 to 11
    "un", "##aff", "##able", "hello", "world", "!", ",",
    // 12 to 19
    "a", "b", "c", "##a", "##b", "##c", "Hello", "é",
    // 20 to 24
    "e", "你", "i", "ss", "##e"};

inline constexpr int32_t kPad = 0, kUnk = 1, kCls = 2, kSep = 3, kMask = 4;

inline TokenizerSpec SmallSpec() {
  TokenizerSpec spec;
  spec.vocabulary = kSmallVocabulary;
  const auto special = [](const char* content) {
    AddedToken token;
    token.content = content;
    token.special = true;
    return token;
  };
  spec.special = {special("[UNK]"), special("[SEP]"),  special("[PAD]"),
                  special("[CLS]"), special("[MASK]"), {}};
  return spec;
}

inline Tokenizer SmallTokenizer() {
  auto tokenizer = Tokenizer::Create(SmallSpec());
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  return *std::move(tokenizer);
}

inline std::string Lines(const std::vector<std::string>& tokens) {
  std::string lines;
  for (const std::string& token : tokens) {
    lines += token + "\n";
  }
  return lines;
}

inline void WriteText(const std::filesystem::path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

using Ids = std::vector<int32_t>;

}  // namespace bertie::text
