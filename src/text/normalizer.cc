#include "text/normalizer.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "text/unicode.h"

namespace bertie::text {
namespace {

constexpr uint8_t kDropped = 0xFF;

size_t AsciiPrefix(const char* p, const char* end) {
  const char* start = p;
  uint64_t block = 0;
  while (end - p >= static_cast<ptrdiff_t>(sizeof(block))) {
    std::memcpy(&block, p, sizeof(block));
    if ((block & 0x8080808080808080u) != 0) {
      break;
    }
    p += sizeof(block);
  }
  while (p < end && static_cast<uint8_t>(*p) < 0x80) {
    ++p;
  }
  return p - start;
}

}  // namespace

// Marks that stay in the text and are no starters (spacing ones, and some that are younger than
// the tables), held back until the next starter shows that their run is whole. Those that are
// dropped need not be held: a stable sort of the rest is the same without them.
struct Normalizer::Marks {
  struct Mark {
    char32_t c;
    uint8_t combining_class;
  };
  std::vector<Mark> run;
  std::vector<Mark> sorted;
};

Normalizer::Normalizer(const NormalizerOptions& options)
    : options_(options), strip_accents_(options.strips_accents()) {
  for (size_t i = 0; i < ascii_.size(); ++i) {
    const auto c = static_cast<char32_t>(i);
    uint8_t mapped = static_cast<uint8_t>(i);
    if (options_.lower_case && c >= 'A' && c <= 'Z') {
      mapped = static_cast<uint8_t>(c - 'A' + 'a');
    }
    if (options_.clean_text && IsControl(c)) {
      mapped = kDropped;
    } else if (options_.clean_text && IsWhitespace(c)) {
      mapped = ' ';
    }
    ascii_[i] = mapped;
  }
}

void Normalizer::Append(std::string_view text, std::string& out) const {
  // Characters seldom grow; where they do, the string grows by itself.
  out.reserve(out.size() + text.size() + 16);
  Marks marks;
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p < end) {
    if (static_cast<uint8_t>(*p) < 0x80) {
      const size_t count = AsciiPrefix(p, end);
      // All that is ASCII and dropped leaves a run of marks as it is.
      if (!marks.run.empty() && std::any_of(p, p + count, [this](char c) {
            return ascii_[static_cast<uint8_t>(c)] != kDropped;
          })) {
        Flush(marks, out);
      }
      AppendAscii({p, count}, out);
      p += count;
    } else {
      AppendChar(NextChar(p), marks, out);
    }
  }
  Flush(marks, out);
}

void Normalizer::AppendAscii(std::string_view text, std::string& out) const {
  const size_t old_size = out.size();
  out.resize(old_size + text.size());
  char* write = out.data() + old_size;
  for (const char c : text) {
    const uint8_t mapped = ascii_[static_cast<uint8_t>(c)];
    *write = static_cast<char>(mapped);
    write += mapped != kDropped;
  }
  out.resize(write - out.data());
}

void Normalizer::AppendChar(char32_t c, Marks& marks, std::string& out) const {
  if (options_.clean_text) {
    if (c == kReplacementCharacter || IsControl(c)) {
      return;
    }
    if (IsWhitespace(c)) {
      Flush(marks, out);
      out.push_back(' ');
      return;
    }
  }
  if (options_.separate_cjk && IsCjk(c)) {
    Flush(marks, out);
    out.push_back(' ');
    AppendDecomposed(c, marks, out);
    Flush(marks, out);
    out.push_back(' ');
    return;
  }
  AppendDecomposed(c, marks, out);
}

void Normalizer::AppendDecomposed(char32_t c, Marks& marks, std::string& out) const {
  if (!strip_accents_) {
    AppendCased(c, out);
    return;
  }
  char32_t parts[kMaxDecomposed];
  const int count = Decompose(c, parts);
  for (int i = 0; i < count; ++i) {
    const uint8_t combining_class = CombiningClass(parts[i]);
    if (combining_class == 0) {
      Flush(marks, out);
    }
    if (IsNonspacingMark(parts[i])) {
      continue;
    }
    if (combining_class == 0) {
      AppendCased(parts[i], out);
    } else {
      marks.run.push_back({parts[i], combining_class});
    }
  }
}

void Normalizer::AppendCased(char32_t c, std::string& out) const {
  if (options_.lower_case) {
    AppendLower(c, out);
  } else {
    AppendUtf8(c, out);
  }
}

void Normalizer::Flush(Marks& marks, std::string& out) const {
  auto& run = marks.run;
  if (run.empty()) {
    return;
  }
  const auto by_class = [](const Marks::Mark& a, const Marks::Mark& b) {
    return a.combining_class < b.combining_class;
  };
  if (!std::is_sorted(run.begin(), run.end(), by_class)) {
    // By counting, since a hostile text is one long run.
    std::array<size_t, 257> begin{};
    for (const auto& mark : run) {
      ++begin[mark.combining_class + 1];
    }
    for (size_t i = 1; i < begin.size(); ++i) {
      begin[i] += begin[i - 1];
    }
    marks.sorted.resize(run.size());
    for (const auto& mark : run) {
      marks.sorted[begin[mark.combining_class]++] = mark;
    }
    run.swap(marks.sorted);
  }
  for (const auto& mark : run) {
    AppendCased(mark.c, out);
  }
  run.clear();
}

}  // namespace bertie::text
