// Characters as BERT's tokenizer sees them: UTF-8, categories, canonical decomposition, lower case.
//
// The answers are those of Hugging Face's `tokenizers`, whose tables are of several Unicode
// versions (categories of 8.0, decompositions of 9.0, lower case of 17.0); they come from utf8proc
// with the differences of unicode_differences.inc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace bertie::text {

inline constexpr char32_t kReplacementCharacter = 0xFFFD;

// The length of the longest prefix that is valid UTF-8 (no surrogates, no overlong forms, nothing
// past U+10FFFF); text.size() when all of it is.
size_t ValidUtf8Prefix(std::string_view text);

// The text with U+FFFD for each maximal part of an invalid sequence (Unicode 15, section 3.9), as
// Python's bytes.decode("utf-8", errors="replace") has it.
std::string ReplaceInvalidUtf8(std::string_view text);

// Reads the character at p and moves p past it. The text must be valid UTF-8.
inline char32_t NextChar(const char*& p) {
  const auto byte = [&p](int i) { return static_cast<char32_t>(static_cast<uint8_t>(p[i])); };
  const char32_t lead = byte(0);
  if (lead < 0x80) {
    p += 1;
    return lead;
  }
  if (lead < 0xE0) {
    const char32_t c = (lead & 0x1F) << 6 | (byte(1) & 0x3F);
    p += 2;
    return c;
  }
  if (lead < 0xF0) {
    const char32_t c = (lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    p += 3;
    return c;
  }
  const char32_t c =
      (lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
  p += 4;
  return c;
}

inline bool IsContinuationByte(char c) { return (static_cast<uint8_t>(c) & 0xC0) == 0x80; }

// Writes c as UTF-8; returns how many bytes that took.
size_t EncodeUtf8(char32_t c, char out[4]);

// Unicode's White_Space.
bool IsWhitespace(char32_t c);

// Removed by BERT's cleaning: controls, formats and private use (Cc, Cf, Co), but not \t, \n, \r.
bool IsControl(char32_t c);

// A category P*, or one of ASCII's symbols.
bool IsPunctuation(char32_t c);

// Set apart by blanks: the blocks of CJK ideographs that BERT names. (BERT's own code also has
// U+2B820..U+2B91F; Hugging Face's has not.)
bool IsCjk(char32_t c);

// \w of the regular expressions that decide whether an added token stands alone.
bool IsWordCharacter(char32_t c);

// A nonspacing mark (Mn): what stripping accents removes.
bool IsNonspacingMark(char32_t c);

// Canonical_Combining_Class; 0 for a starter.
uint8_t CombiningClass(char32_t c);

// One character becomes at most this many.
inline constexpr int kMaxDecomposed = 8;

// Canonical decomposition, all the way; returns how many characters were written.
int Decompose(char32_t c, char32_t out[kMaxDecomposed]);

// Lower case by Unicode's full mapping without context: U+0130 becomes two characters, a final
// sigma is like any other. Returns how many characters were written.
inline constexpr int kMaxLowered = 2;
int Lower(char32_t c, char32_t out[kMaxLowered]);

}  // namespace bertie::text
