// BERT's normalisation of text, as Hugging Face's BertNormalizer does it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace bertie::text {

struct NormalizerOptions {
  bool clean_text = true;    // drop control characters and U+FFFD, make every white space a blank
  bool separate_cjk = true;  // a blank on both sides of each CJK ideograph
  bool lower_case = true;
  // Decompose (NFD) and drop nonspacing marks; unset: as lower_case.
  std::optional<bool> strip_accents;

  bool strips_accents() const { return strip_accents.value_or(lower_case); }
  bool operator==(const NormalizerOptions&) const = default;
};

// Immutable; const members may be called from any thread.
class Normalizer {
 public:
  explicit Normalizer(const NormalizerOptions& options);

  // Appends the normalised text. The text must be valid UTF-8, and so is what is appended. Linear
  // in the text's length, whatever it holds.
  void Append(std::string_view text, std::string& out) const;

  const NormalizerOptions& options() const { return options_; }

 private:
  struct Marks;

  void AppendAscii(std::string_view text, std::string& out) const;
  void AppendChar(char32_t c, Marks& marks, std::string& out) const;
  void AppendDecomposed(char32_t c, Marks& marks, std::string& out) const;
  void AppendCased(char32_t c, std::string& out) const;
  void Flush(Marks& marks, std::string& out) const;

  NormalizerOptions options_;
  bool strip_accents_;
  // What each ASCII character becomes; kDropped for none.
  std::array<uint8_t, 128> ascii_;
};

}  // namespace bertie::text
