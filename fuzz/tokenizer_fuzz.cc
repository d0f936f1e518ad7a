// Tokenizer: any bytes give [CLS] ... [SEP] with ids of the vocabulary, and a text that is cut is
// the beginning of the whole; of windows each begins with the end of the one before, and what they
// add makes up the whole.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <utility>
#include <vector>

#include "text/tokenizer.h"
#include "text/tokenizer_spec.h"

namespace {

using bertie::text::Encoding;
using bertie::text::Tokenizer;
using bertie::text::TokenizerSpec;

void Check(bool holds) {
  if (!holds) std::abort();
}

// The bits of options choose what is done to the text.
Tokenizer MakeTokenizer(unsigned options) {
  TokenizerSpec spec;
  spec.vocabulary = {"[PAD]",  "[UNK]",    "[CLS]",        "[SEP]",  "[MASK]",  "a",
                     "##a",    "b",        "##b",          "abc",    "##bca",   "e",
                     "é",      "##é",      "你",           "i",      ".",       "[",
                     "\u302E", "##\u302E", "##\U0001D165", "\u1112", "##\u1161"};
  spec.normalizer.clean_text = (options & 1) == 0;
  spec.normalizer.separate_cjk = (options & 2) == 0;
  spec.normalizer.lower_case = (options & 4) == 0;
  if ((options & 8) != 0) spec.normalizer.strip_accents = (options & 16) != 0;
  spec.wordpiece.max_word_chars = (options & 32) != 0 ? 3 : 100;
  spec.special = {{.content = "[UNK]", .special = true},
                  {.content = "[SEP]", .special = true},
                  {.content = "[PAD]", .special = true},
                  {.content = "[CLS]", .special = true},
                  {.content = "[MASK]", .lstrip = true, .special = true},
                  {}};
  if ((options & 64) != 0) {
    spec.added = {{.content = "ab", .single_word = true, .rstrip = true},
                  {.content = " ", .rstrip = true},
                  {.content = "É", .lstrip = true, .rstrip = true, .normalized = true},
                  {.content = "a b", .single_word = true, .normalized = true}};
  }
  return *Tokenizer::Create(std::move(spec));
}

void CheckFrame(const Tokenizer& tokenizer, const Encoding& encoding, size_t max_length) {
  Check(encoding.ids.size() == encoding.type_ids.size());
  Check(max_length == 0 || encoding.ids.size() <= max_length);
  Check(encoding.ids.front() == tokenizer.cls_id() && encoding.ids.back() == tokenizer.sep_id());
  Check(std::is_sorted(encoding.type_ids.begin(), encoding.type_ids.end()));
  for (const int32_t id : encoding.ids) {
    Check(id >= 0 && static_cast<size_t>(id) < tokenizer.vocab_size());
    Check(!tokenizer.token(id).empty());
  }
}

void CheckWindows(const Tokenizer& tokenizer, std::string_view text, const Encoding& whole,
                  size_t max_length, size_t stride) {
  auto windows = tokenizer.EncodeWindows(text, {}, {.max_length = max_length, .stride = stride});
  Check(windows.ok());
  Check(windows->encodings.size() == windows->added.size());
  std::vector<int32_t> joined = {tokenizer.cls_id()};
  for (size_t i = 0; i < windows->added.size(); ++i) {
    const std::vector<int32_t>& ids = windows->encodings[i].ids;
    CheckFrame(tokenizer, windows->encodings[i], max_length);
    const size_t shared = ids.size() - 2 - windows->added[i];
    Check(shared == (i == 0 ? 0 : stride));
    const auto fresh = ids.begin() + 1 + static_cast<ptrdiff_t>(shared);
    Check(std::equal(ids.begin() + 1, fresh, joined.end() - static_cast<ptrdiff_t>(shared)));
    joined.insert(joined.end(), fresh, ids.end() - 1);
  }
  joined.push_back(tokenizer.sep_id());
  Check(joined == whole.ids);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static std::vector<std::pair<unsigned, Tokenizer>> made;
  if (size < 3) return 0;
  const unsigned options = data[0] & 127;
  auto found = std::find_if(made.begin(), made.end(),
                            [options](const auto& entry) { return entry.first == options; });
  if (found == made.end()) {
    found = made.insert(made.end(), {options, MakeTokenizer(options)});
  }
  const Tokenizer& tokenizer = found->second;
  const size_t max_length = 4 + data[1] % 32;
  const std::string_view text(reinterpret_cast<const char*>(data) + 3, size - 3);

  const Encoding whole = tokenizer.Encode(text);
  CheckFrame(tokenizer, whole, 0);
  Check(!whole.truncated);
  const Encoding cut = tokenizer.Encode(text, max_length);
  CheckFrame(tokenizer, cut, max_length);
  Check(cut.truncated == (whole.ids.size() > max_length));
  Check(std::equal(cut.ids.begin(), cut.ids.end() - 1, whole.ids.begin()));
  CheckWindows(tokenizer, text, whole, max_length, data[2] % (max_length - 2));

  const std::string_view first = text.substr(0, data[2] % (text.size() + 1));
  const std::string_view second = text.substr(first.size());
  const size_t length =
      tokenizer.Encode(first).ids.size() + tokenizer.Encode(second).ids.size() - 1;
  const Encoding pair = tokenizer.EncodePair(first, second, max_length);
  CheckFrame(tokenizer, pair, max_length);
  Check(pair.ids.size() == std::min(length, max_length));
  Check(pair.truncated == (length > max_length));
  return 0;
}
