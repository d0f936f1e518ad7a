// BERT's normalisation of text, as Hugging Face's BertNormalizer does it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bertie::text {

struct NormalizerOptions {
  bool clean_text = true;    // drop control characters and U+FFFD, make every white space a blank
  bool separate_cjk = true;  // a blank on both sides of each CJK ideograph
  bool lower_case = true;
  // Decompose (NFD) and drop nonspacing marks; unset: as lower_case.
  std::optional<bool> strip_accents = std::nullopt;

  bool strips_accents() const { return strip_accents.value_or(lower_case); }
  bool operator==(const NormalizerOptions&) const = default;
};

// Immutable; const members may be called from any thread.
class Normalizer {
 public:
  // Takes some milliseconds, to work out what each character of the first plane becomes.
  explicit Normalizer(const NormalizerOptions& options);

  // The normalised text goes into out, in place of what it held. The text must be valid UTF-8, and
  // so is the result. Linear in the text's length, whatever it holds.
  void Normalize(std::string_view text, std::string& out) const;

  const NormalizerOptions& options() const { return options_; }

 private:
  class Output;

  // What a character becomes.
  struct Mapping {
    enum Kind : uint8_t {
      kText,      // length bytes at offset in mapped_, and a run of marks ends before it
      kNothing,   // dropped, and a run of marks goes on
      kMark,      // a mark to hold back
      kLookAgain  // AppendChar knows
    };
    uint32_t offset = 0;
    uint8_t length = 0;
    uint8_t combining_class = 0;
    Kind kind = kLookAgain;
  };

  void MapFirstPlane();
  void AppendAscii(std::string_view text, Output& out) const;
  void AppendChar(char32_t c, Output& out) const;
  void AppendDecomposed(char32_t c, Output& out) const;

  NormalizerOptions options_;
  bool strip_accents_;
  uint64_t upper_case_bits_;          // one for each byte of a block that is lowered
  std::array<uint8_t, 128> ascii_;    // what each becomes; kDropped for nothing
  std::vector<Mapping> first_plane_;  // by character, up to U+FFFF
  std::string mapped_;
};

}  // namespace bertie::text
