// Text to BERT token ids: the whole pipeline (normalise, split, WordPiece, special tokens,
// truncation), equal to Hugging Face's BertTokenizerFast id for id.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace bertie::text {

class Normalizer;
struct TokenizerSpec;

// One tokenised input: [CLS] a [SEP], or [CLS] a [SEP] b [SEP].
struct Encoding {
  std::vector<int32_t> ids;
  std::vector<int32_t> type_ids;  // 0 up to the first [SEP], 1 after it; as long as ids
  bool truncated = false;         // tokens were dropped to fit max_length
};

struct WindowOptions {
  size_t max_length = 0;  // tokens of a window, the special ones counted: at least 3, of pairs 4
  // Tokens that neighbouring windows share, as transformers' stride; absent: a quarter of the
  // text's tokens in a window.
  std::optional<size_t> stride = {};
  // Most tokens of one text's windows together, the special ones counted.
  size_t max_tokens = std::numeric_limits<size_t>::max();
};

// One text, read in overlapping windows: [CLS] piece [SEP], or [CLS] piece [SEP] b [SEP]. A text
// that fits into one is what Encode, or EncodePair, makes of it.
struct Windows {
  std::vector<Encoding> encodings;  // at least one
  std::vector<uint32_t> added;      // of each: the text's tokens that no window before it has
};

// What Encode or EncodePair made of a text, as its only window.
Windows InOneWindow(Encoding encoding);

// Whether windows have room for their overlap, in texts without a second one. The error,
// kInvalidArgument, is what follows the name of a text ("cannot ...").
Status CheckWindows(const WindowOptions& options);

// Immutable after it is made; every const member may be called from any thread.
class Tokenizer {
 public:
  // Reads a model folder: tokenizer.json if it is there, else vocab.txt; tokenizer_config.json (or
  // none) for do_lower_case, strip_accents, tokenize_chinese_chars and the special tokens' names.
  // Errors name the file and what is wrong in it (missing special token, duplicate token, a
  // tokenizer.json whose model is not WordPiece).
  static Result<Tokenizer> Load(const std::filesystem::path& model_dir);

  // From the parts themselves (tokenizer_spec.h). kInvalidData: a special token that is missing, a
  // token twice; kResourceExhausted: one that is too long, or too many.
  static Result<Tokenizer> Create(TokenizerSpec spec);

  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  // max_length counts the special tokens; 0 means no truncation. Truncation drops from the right
  // end and keeps [CLS] and [SEP] (max_length >= 3 for one text, >= 4 for a pair). Invalid UTF-8 is
  // read as U+FFFD for each maximal invalid part, as Python's errors="replace" does.
  // Where the model folder says bertie_pad_to (tokenizer_spec.h), longer texts are cut to that, and
  // shorter ones end with [PAD], counted as tokens of the text.
  // Time is linear in the text's length.
  Encoding Encode(std::string_view text, size_t max_length = 0) const;

  // Drops tokens one at a time from the longer of the two ("longest_first").
  Encoding EncodePair(std::string_view a, std::string_view b, size_t max_length = 0) const;

  // EncodePair where there is a second text, else Encode.
  Encoding Encode(std::string_view a, const std::optional<std::string>& b, size_t max_length) const;

  // Cuts nothing: the windows of `a`, each followed by the whole of `b`, as Hugging Face's
  // tokenizers give them with stride, overflowing tokens and only_first; the last may be shorter.
  // Errors are what follows the text's name ("has ..."): kInvalidArgument, b (or the overlap)
  // leaves no room for a piece; kResourceExhausted, the windows would have over max_tokens.
  Result<Windows> EncodeWindows(std::string_view a, const std::optional<std::string>& b,
                                const WindowOptions& options) const;

  size_t vocab_size() const;
  int32_t cls_id() const;
  int32_t sep_id() const;
  int32_t pad_id() const;
  int32_t unk_id() const;
  bool lower_case() const;
  // The token of an id; "" when out of range.
  std::string_view token(int32_t id) const;
  // [CLS], [MASK] and their like: tokens that stand for no text.
  bool special(int32_t id) const;
  std::string_view continuation_prefix() const;  // "##"
  const Normalizer& normalizer() const;

  // Writes vocab.txt, tokenizer.json, tokenizer_config.json and special_tokens_map.json into dir,
  // so that transformers' AutoTokenizer loads the same tokenizer. max_length goes into
  // model_max_length.
  Status Save(const std::filesystem::path& dir, size_t max_length) const;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bertie::text
