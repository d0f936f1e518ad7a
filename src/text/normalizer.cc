#include "text/normalizer.h"

#include <algorithm>
#include <cstring>

#include "text/unicode.h"

namespace bertie::text {
namespace {

constexpr uint8_t kDropped = 0xFF;
constexpr size_t kMappedPlane = 0x10000;

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

constexpr uint64_t Bytes(uint8_t byte) { return byte * uint64_t{0x0101010101010101}; }

// Maps eight ASCII characters at once, whose top bits are free to take the carry of comparisons;
// false, with anything written, where one is a control character, which may have to go.
// upper_case_bits: those of Bytes(0x80) to lower A to Z, 0 to keep them.
bool MapPlainBlock(const char* in, uint64_t upper_case_bits, char* out) {
  uint64_t block = 0;
  std::memcpy(&block, in, sizeof(block));
  const uint64_t from_blank = block + Bytes(0x80 - ' ');
  const uint64_t from_delete = block + Bytes(0x80 - 0x7F);
  const uint64_t from_a = block + Bytes(0x80 - 'A');
  const uint64_t past_z = block + Bytes(0x80 - 'Z' - 1);
  const uint64_t upper_case = from_a & ~past_z & upper_case_bits;
  block |= upper_case >> 2;  // 0x20, by which the cases differ
  std::memcpy(out, &block, sizeof(block));
  return (from_blank & ~from_delete & Bytes(0x80)) == Bytes(0x80);
}

}  // namespace

// Text on its way out, and the marks that are held back until the next starter shows that their run
// is whole: those that stay in the text. Those that are dropped need not be held, since a stable
// sort of the rest is the same without them.
class Normalizer::Output {
 public:
  // Mappings are copied in blocks of this many bytes.
  static constexpr size_t kBlock = 16;

  Output(std::string& text, size_t expected, bool lower_case)
      : text_(text), lower_case_(lower_case) {
    text_.resize(expected + kBlock);
  }

  // Room for at least count more bytes.
  char* Reserve(size_t count) {
    if (text_.size() - size_ < count) {
      text_.resize(std::max(2 * text_.size(), size_ + count));
    }
    return text_.data() + size_;
  }
  void Advance(size_t count) { size_ += count; }

  void Put(char c) {
    *Reserve(1) = c;
    ++size_;
  }

  void PutCased(char32_t c) {
    char32_t chars[kMaxLowered] = {c};
    const int count = lower_case_ ? Lower(c, chars) : 1;
    for (int i = 0; i < count; ++i) {
      size_ += EncodeUtf8(chars[i], Reserve(4));
    }
  }

  void HoldMark(char32_t c, uint8_t combining_class) { marks_.push_back({c, combining_class}); }
  size_t held_marks() const { return marks_.size(); }
  bool LastMarkIs(char32_t c) const { return !marks_.empty() && marks_.back().c == c; }
  std::string_view written() const { return std::string_view(text_).substr(0, size_); }

  void FlushMarks() {
    if (!marks_.empty()) {
      WriteMarks();
    }
  }

  void Clear() {
    size_ = 0;
    marks_.clear();
  }

  void Finish() {
    FlushMarks();
    text_.resize(size_);
  }

 private:
  struct Mark {
    char32_t c;
    uint8_t combining_class;
  };

  void WriteMarks() {
    SortMarks();
    for (const Mark& mark : marks_) {
      PutCased(mark.c);
    }
    marks_.clear();
  }

  void SortMarks() {
    const auto by_class = [](const Mark& a, const Mark& b) {
      return a.combining_class < b.combining_class;
    };
    if (std::is_sorted(marks_.begin(), marks_.end(), by_class)) {
      return;
    }
    // Real text has two or three marks on a letter; a hostile one is one long run.
    constexpr size_t kFewMarks = 16;
    if (marks_.size() <= kFewMarks) {
      SortFewMarks();
    } else {
      SortManyMarks();
    }
  }

  // By insertion, which keeps the order of equal ones.
  void SortFewMarks() {
    for (size_t i = 1; i < marks_.size(); ++i) {
      const Mark mark = marks_[i];
      size_t place = i;
      for (; place > 0 && marks_[place - 1].combining_class > mark.combining_class; --place) {
        marks_[place] = marks_[place - 1];
      }
      marks_[place] = mark;
    }
  }

  // By counting.
  void SortManyMarks() {
    std::array<size_t, 257> begin{};
    for (const Mark& mark : marks_) {
      ++begin[mark.combining_class + 1];
    }
    for (size_t i = 1; i < begin.size(); ++i) {
      begin[i] += begin[i - 1];
    }
    sorted_.resize(marks_.size());
    for (const Mark& mark : marks_) {
      sorted_[begin[mark.combining_class]++] = mark;
    }
    marks_.swap(sorted_);
  }

  std::string& text_;  // longer than what is in it
  size_t size_ = 0;
  bool lower_case_;
  std::vector<Mark> marks_;
  std::vector<Mark> sorted_;
};

Normalizer::Normalizer(const NormalizerOptions& options)
    : options_(options),
      strip_accents_(options.strips_accents()),
      upper_case_bits_(options.lower_case ? Bytes(0x80) : 0) {
  for (size_t i = 0; i < ascii_.size(); ++i) {
    const auto c = static_cast<char32_t>(i);
    ascii_[i] = static_cast<uint8_t>(i);
    if (options_.lower_case && c >= 'A' && c <= 'Z') {
      ascii_[i] = static_cast<uint8_t>(c - 'A' + 'a');
    } else if (options_.clean_text && IsControl(c)) {
      ascii_[i] = kDropped;
    } else if (options_.clean_text && IsWhitespace(c)) {
      ascii_[i] = ' ';
    }
  }
  MapFirstPlane();
}

// Tries AppendChar on each character behind a mark that is held back: whether the mark went out,
// and what came after it, tells what the character does anywhere.
void Normalizer::MapFirstPlane() {
  constexpr char32_t kMark = 0x302E;
  constexpr uint8_t kMarkClass = 224;
  constexpr std::string_view kMarkBytes = "\u302E";
  first_plane_.resize(kMappedPlane);
  std::string text;
  Output out(text, 0, options_.lower_case);
  for (char32_t c = 0x80; c < kMappedPlane; ++c) {
    const bool is_surrogate = c >= 0xD800 && c <= 0xDFFF;
    if (is_surrogate) {
      continue;
    }
    out.Clear();
    if (strip_accents_) {
      out.HoldMark(kMark, kMarkClass);
    }
    AppendChar(c, out);
    std::string_view written = out.written();
    const size_t held_before = strip_accents_ ? 1 : 0;
    Mapping& mapping = first_plane_[c];
    if (written.empty() && out.held_marks() == held_before) {
      mapping.kind = Mapping::kNothing;
    } else if (written.empty() && out.LastMarkIs(c)) {
      mapping.kind = Mapping::kMark;
      mapping.combining_class = CombiningClass(c);
    } else if (out.held_marks() == 0) {
      if (strip_accents_) {
        written.remove_prefix(kMarkBytes.size());
      }
      if (written.size() <= Output::kBlock) {
        mapping.kind = Mapping::kText;
        mapping.offset = static_cast<uint32_t>(mapped_.size());
        mapping.length = static_cast<uint8_t>(written.size());
        mapped_ += written;
      }
    }
  }
  mapped_.resize(mapped_.size() + Output::kBlock);
}

void Normalizer::Normalize(std::string_view text, std::string& out_text) const {
  // Characters seldom grow; where they do, the output grows with them.
  Output out(out_text, text.size(), options_.lower_case);
  const char* p = text.data();
  const char* const end = p + text.size();
  while (p < end) {
    if (static_cast<uint8_t>(*p) < 0x80) {
      const size_t count = AsciiPrefix(p, end);
      AppendAscii({p, count}, out);
      p += count;
      continue;
    }
    const char32_t c = NextChar(p);
    const Mapping mapping = c < kMappedPlane ? first_plane_[c] : Mapping{};
    if (mapping.kind == Mapping::kText) {
      out.FlushMarks();
      std::memcpy(out.Reserve(Output::kBlock), mapped_.data() + mapping.offset, Output::kBlock);
      out.Advance(mapping.length);
    } else if (mapping.kind == Mapping::kMark) {
      out.HoldMark(c, mapping.combining_class);
    } else if (mapping.kind == Mapping::kLookAgain) {
      AppendChar(c, out);
    }
  }
  out.Finish();
}

void Normalizer::AppendAscii(std::string_view text, Output& out) const {
  // Where all of it is dropped, a run of marks goes on.
  if (out.held_marks() > 0 && std::any_of(text.begin(), text.end(), [this](char c) {
        return ascii_[static_cast<uint8_t>(c)] != kDropped;
      })) {
    out.FlushMarks();
  }
  char* const begin = out.Reserve(text.size());
  char* write = begin;
  const char* p = text.data();
  const char* const end = p + text.size();
  constexpr ptrdiff_t kBlock = sizeof(uint64_t);
  while (p < end) {
    if (end - p >= kBlock && MapPlainBlock(p, upper_case_bits_, write)) {
      p += kBlock;
      write += kBlock;
      continue;
    }
    const char* const block_end = p + std::min(kBlock, end - p);
    for (; p < block_end; ++p) {
      const uint8_t mapped = ascii_[static_cast<uint8_t>(*p)];
      *write = static_cast<char>(mapped);
      write += mapped != kDropped;
    }
  }
  out.Advance(write - begin);
}

void Normalizer::AppendChar(char32_t c, Output& out) const {
  if (options_.clean_text) {
    if (c == kReplacementCharacter || IsControl(c)) {
      return;
    }
    if (IsWhitespace(c)) {
      out.FlushMarks();
      out.Put(' ');
      return;
    }
  }
  if (options_.separate_cjk && IsCjk(c)) {
    out.FlushMarks();
    out.Put(' ');
    AppendDecomposed(c, out);
    out.FlushMarks();
    out.Put(' ');
    return;
  }
  AppendDecomposed(c, out);
}

void Normalizer::AppendDecomposed(char32_t c, Output& out) const {
  if (!strip_accents_) {
    out.PutCased(c);
    return;
  }
  char32_t parts[kMaxDecomposed];
  const int count = Decompose(c, parts);
  for (int i = 0; i < count; ++i) {
    const uint8_t combining_class = CombiningClass(parts[i]);
    if (combining_class == 0) {
      out.FlushMarks();
    }
    if (IsNonspacingMark(parts[i])) {
      continue;
    }
    if (combining_class == 0) {
      out.PutCased(parts[i]);
    } else {
      out.HoldMark(parts[i], combining_class);
    }
  }
}

}  // namespace bertie::text
