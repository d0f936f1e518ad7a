#include "text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstring>
#include <iterator>

namespace bertie::text {
namespace {

enum DifferenceFlag : uint8_t {
  kNotControl = 1 << 0,
  kMark = 1 << 1,
  kNotMark = 1 << 2,
  kPunctuation = 1 << 3,
  kNotPunctuation = 1 << 4,
  kStarter = 1 << 5,
  kWhole = 1 << 6,  // has no decomposition
  kWord = 1 << 7,
};

struct Difference {
  char32_t first;
  char32_t last;
  uint8_t flags;
  int32_t lower;
};

constexpr Difference kDifferences[] = {
#include "text/unicode_differences.inc"
};

constexpr Difference kNoDifference = {0, 0, 0, 0};

const Difference& DifferenceOf(char32_t c) {
  // Most alphabets lie below the first entry.
  if (c < kDifferences[0].first) {
    return kNoDifference;
  }
  const Difference* found =
      std::upper_bound(std::begin(kDifferences), std::end(kDifferences), c,
                       [](char32_t value, const Difference& entry) { return value < entry.first; });
  --found;
  return c <= found->last ? *found : kNoDifference;
}

const utf8proc_property_t& Property(char32_t c) {
  return *utf8proc_get_property(static_cast<utf8proc_int32_t>(c));
}

// The number of bytes of the sequence at text[i], or minus the length of its maximal invalid part.
int SequenceLength(std::string_view text, size_t i) {
  const auto lead = static_cast<uint8_t>(text[i]);
  if (lead < 0x80) {
    return 1;
  }
  if (lead < 0xC2 || lead > 0xF4) {
    return -1;
  }
  const int length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  for (int k = 1; k < length; ++k) {
    // The second byte's range keeps out overlong forms, surrogates and what is past U+10FFFF.
    const uint8_t low = k > 1 ? 0x80 : lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    const uint8_t high = k > 1 ? 0xBF : lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (i + k >= text.size() || static_cast<uint8_t>(text[i + k]) < low ||
        static_cast<uint8_t>(text[i + k]) > high) {
      return -k;
    }
  }
  return length;
}

}  // namespace

size_t ValidUtf8Prefix(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    uint64_t block = 0;
    if (i + sizeof(block) <= text.size()) {
      std::memcpy(&block, text.data() + i, sizeof(block));
      if ((block & 0x8080808080808080u) == 0) {
        i += sizeof(block);
        continue;
      }
    }
    const int length = SequenceLength(text, i);
    if (length < 0) {
      return i;
    }
    i += length;
  }
  return i;
}

std::string ReplaceInvalidUtf8(std::string_view text) {
  constexpr std::string_view kReplacement = "\uFFFD";
  std::string out;
  out.reserve(text.size() + 16);
  size_t i = 0;
  while (i < text.size()) {
    const int length = SequenceLength(text, i);
    if (length > 0) {
      const size_t valid = ValidUtf8Prefix(text.substr(i));
      out.append(text, i, valid);
      i += valid;
    } else {
      out.append(kReplacement);
      i -= length;
    }
  }
  return out;
}

size_t EncodeUtf8(char32_t c, char out[4]) {
  return utf8proc_encode_char(static_cast<utf8proc_int32_t>(c),
                              reinterpret_cast<utf8proc_uint8_t*>(out));
}

bool IsWhitespace(char32_t c) {
  if (c < 0x80) {
    return c == ' ' || (c >= '\t' && c <= '\r');
  }
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool IsControl(char32_t c) {
  switch (Property(c).category) {
    case UTF8PROC_CATEGORY_CC:
      return c != '\t' && c != '\n' && c != '\r';
    case UTF8PROC_CATEGORY_CF:
      return (DifferenceOf(c).flags & kNotControl) == 0;
    case UTF8PROC_CATEGORY_CO:
      return true;
    default:
      return false;
  }
}

bool IsPunctuation(char32_t c) {
  if (c < 0x80) {
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
           (c >= '{' && c <= '~');
  }
  switch (Property(c).category) {
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
      return (DifferenceOf(c).flags & kNotPunctuation) == 0;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_SO:
      return (DifferenceOf(c).flags & kPunctuation) != 0;
    default:
      return false;
  }
}

bool IsCjk(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B81F) ||
         (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0xF900 && c <= 0xFAFF) ||
         (c >= 0x2F800 && c <= 0x2FA1F);
}

bool IsWordCharacter(char32_t c) {
  switch (Property(c).category) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      return (DifferenceOf(c).flags & kWord) != 0;
  }
}

bool IsNonspacingMark(char32_t c) {
  switch (Property(c).category) {
    case UTF8PROC_CATEGORY_MN:
      return (DifferenceOf(c).flags & kNotMark) == 0;
    case UTF8PROC_CATEGORY_MC:
      return (DifferenceOf(c).flags & kMark) != 0;
    default:
      return false;
  }
}

uint8_t CombiningClass(char32_t c) {
  const auto combining_class = static_cast<uint8_t>(Property(c).combining_class);
  return combining_class != 0 && (DifferenceOf(c).flags & kStarter) != 0 ? 0 : combining_class;
}

int Decompose(char32_t c, char32_t out[kMaxDecomposed]) {
  const utf8proc_property_t& property = Property(c);
  const bool is_hangul_syllable = c >= 0xAC00 && c <= 0xD7A3;
  if ((property.decomp_type != 0 || property.decomp_seqindex == UINT16_MAX) &&
      !is_hangul_syllable) {
    out[0] = c;
    return 1;
  }
  utf8proc_int32_t decomposed[kMaxDecomposed];
  int boundary_class = 0;
  const auto count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), decomposed,
                                             kMaxDecomposed, UTF8PROC_DECOMPOSE, &boundary_class);
  if (count <= 0 || count > kMaxDecomposed || (DifferenceOf(c).flags & kWhole) != 0) {
    out[0] = c;
    return 1;
  }
  std::copy_n(decomposed, count, out);
  return static_cast<int>(count);
}

int Lower(char32_t c, char32_t out[kMaxLowered]) {
  constexpr char32_t kCapitalIWithDot = 0x130;
  constexpr char32_t kDotAbove = 0x307;
  if (c == kCapitalIWithDot) {
    out[0] = 'i';
    out[1] = kDotAbove;
    return 2;
  }
  const utf8proc_property_t& property = Property(c);
  out[0] = c;
  if (property.lowercase_seqindex != UINT16_MAX) {
    out[0] = static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
  } else if (property.category == UTF8PROC_CATEGORY_CN) {
    out[0] = c + DifferenceOf(c).lower;
  }
  return 1;
}

}  // namespace bertie::text
