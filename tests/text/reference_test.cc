// Ids and normalised texts that Hugging Face's `tokenizers` made; see make_references.py.
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "base/file.h"
#include "formats/json.h"
#include "text/normalizer.h"
#include "text/small_tokenizer.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

namespace bertie::text {
namespace {

using formats::Json;

const std::string kReferences = std::string(BERTIE_TESTS_DIR) + "/text/references/";

const std::array<NormalizerOptions, 4> kVariants = {{
    {.clean_text = true, .separate_cjk = true, .lower_case = true},
    {.clean_text = true, .separate_cjk = true, .lower_case = false},
    {.clean_text = true, .separate_cjk = true, .lower_case = true, .strip_accents = false},
    {.clean_text = false, .separate_cjk = false, .lower_case = false, .strip_accents = true},
}};

Tokenizer ReferenceTokenizer(const NormalizerOptions& options) {
  TokenizerSpec spec = SmallSpec();
  const std::string vocabulary = *ReadFile(kReferences + "vocab.txt", 1 << 20);
  spec.vocabulary = *Vocabulary::ParseLines(vocabulary, "vocab.txt");
  spec.normalizer = options;
  return *Tokenizer::Create(std::move(spec));
}

std::string Text(const Json& line, const std::string& name) {
  if (line.contains(name)) {
    return line[name].get<std::string>();
  }
  std::string text;
  for (const Json& byte : line[name + "_bytes"]) {
    text.push_back(static_cast<char>(byte.get<int>()));
  }
  return text;
}

TEST(References, HardStringsHaveTheSameIds) {
  std::vector<Tokenizer> tokenizers;
  for (const NormalizerOptions& options : kVariants) {
    tokenizers.push_back(ReferenceTokenizer(options));
  }
  std::ifstream file(kReferences + "strings.jsonl");
  std::string content;
  int lines = 0;
  for (; std::getline(file, content); ++lines) {
    SCOPED_TRACE("line " + std::to_string(lines + 1));
    const auto line = formats::ParseJson(content, "strings.jsonl");
    ASSERT_TRUE(line.ok()) << line.error().message;
    const Tokenizer& tokenizer = tokenizers[(*line)["variant"].get<size_t>()];
    const auto max_length = (*line)["max_length"].get<size_t>();
    const bool has_pair = line->contains("pair") || line->contains("pair_bytes");
    const Encoding encoding =
        has_pair ? tokenizer.EncodePair(Text(*line, "text"), Text(*line, "pair"), max_length)
                 : tokenizer.Encode(Text(*line, "text"), max_length);
    EXPECT_EQ(encoding.ids, (*line)["ids"].get<Ids>());
    EXPECT_EQ(encoding.truncated, (*line)["truncated"].get<bool>());
    const auto second = (*line)["second"].get<size_t>();
    Ids types(encoding.ids.size() - second, 0);
    types.insert(types.end(), second, 1);
    EXPECT_EQ(encoding.type_ids, types);
  }
  EXPECT_EQ(lines, 2000);
}

class Fnv1a {
 public:
  void Add(std::string_view text) {
    for (const char byte : text) {
      state_ = (state_ ^ static_cast<uint8_t>(byte)) * 0x100000001B3u;
    }
  }
  uint64_t state() const { return state_; }

 private:
  uint64_t state_ = 0xCBF29CE484222325u;
};

std::string Utf8(char32_t c) {
  char bytes[4];
  return {bytes, EncodeUtf8(c, bytes)};
}

TEST(References, EveryCodePointIsTreatedTheSame) {
  std::ifstream file(kReferences + "codepoints.txt");
  std::string line;
  int blocks = 0;
  std::vector<Normalizer> normalizers(kVariants.begin(), kVariants.end());
  for (; std::getline(file, line); ++blocks) {
    std::istringstream fields(line);
    char32_t block = 0;
    uint32_t first = 0;
    fields >> std::hex >> first;
    block = first;
    std::array<Fnv1a, kVariants.size() + 1> hashes;
    std::string out;
    for (char32_t c = block; c < block + 4096; ++c) {
      if (c >= 0xD800 && c <= 0xDFFF) {
        continue;
      }
      const std::string text = "a\u302E" + Utf8(c) + "\U0001D165b";
      for (size_t i = 0; i < normalizers.size(); ++i) {
        normalizers[i].Normalize(text, out);
        hashes[i].Add(out);
      }
      hashes.back().Add(IsWhitespace(c) ? "s" : IsPunctuation(c) ? "p" : "w");
    }
    for (size_t i = 0; i < hashes.size(); ++i) {
      uint64_t expected = 0;
      fields >> expected;
      EXPECT_EQ(hashes[i].state(), expected)
          << (i < normalizers.size() ? "normaliser " + std::to_string(i) : "classes")
          << " differs between U+" << std::hex << first << " and U+" << first + 4095;
    }
  }
  EXPECT_EQ(blocks, 272);
}

}  // namespace
}  // namespace bertie::text
