#include "text/tokenizer.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "base/file.h"
#include "base/quote.h"
#include "formats/json.h"
#include "text/added_tokens.h"
#include "text/normalizer.h"
#include "text/tokenizer_config.h"
#include "text/tokenizer_json.h"
#include "text/tokenizer_spec.h"
#include "text/unicode.h"
#include "text/vocabulary.h"
#include "text/wordpiece.h"

namespace bertie::text {
namespace {

constexpr size_t kNoLimit = std::numeric_limits<size_t>::max();

// Where the ids of one text end, so that [CLS] and [SEP] fit around them: 0 is no limit.
size_t Room(size_t max_length, size_t around) {
  if (max_length == 0) return kNoLimit;
  return max_length > around ? max_length - around : 0;
}

// How many ids are read of a text to know whether it has more than there is room for.
size_t OneMore(size_t room) { return room == kNoLimit ? kNoLimit : room + 1; }

// A piece of text that can be treated by itself, since a blank follows it: small enough for the
// caches, and all that is looked at of a long text that is cut.
std::string_view FirstChunk(std::string_view text) {
  constexpr size_t kChunkBytes = size_t{16} << 10;
  return text.size() <= kChunkBytes ? text : text.substr(0, text.find(' ', kChunkBytes));
}

// The lengths to which "longest_first" cuts two texts so that both fit into room. The shorter one
// is cut only when both are longer than half; of an odd room the longer one gets the odd place, and
// the second text where they are equally long.
std::pair<size_t, size_t> LongestFirst(size_t a, size_t b, size_t room) {
  if (a <= room && b <= room - a) {
    return {a, b};
  }
  const size_t shorter = std::min(a, b);
  const size_t half = room / 2;
  const size_t kept_of_shorter = std::min(shorter, half);
  const size_t kept_of_longer = room - kept_of_shorter;
  return a > b ? std::pair(kept_of_longer, kept_of_shorter)
               : std::pair(kept_of_shorter, kept_of_longer);
}

// What a window has of the first text.
struct WindowShape {
  size_t room = 0;
  size_t stride = 0;  // less than room
};

// around: the tokens of a window that are not the first text's; more than 2 where there is a
// second.
Result<WindowShape> ShapeOf(size_t length, size_t around, std::optional<size_t> stride) {
  const size_t room = Room(length, around);
  const WindowShape shape{room, stride.value_or(room / 4)};
  if (shape.stride < room) return shape;
  const std::string windows = "windows of " + std::to_string(length) + " tokens";
  const std::string overlap =
      stride ? " that overlap by " + std::to_string(*stride) + " (the stride)" : std::string();
  if (around == 2) {
    return Error{ErrorCode::kInvalidArgument, "cannot be read in " + windows + overlap +
                                                  "; expected an overlap under " +
                                                  std::to_string(room)};
  }
  const size_t most = Room(length, 4 + stride.value_or(0));
  return Error{ErrorCode::kInvalidArgument, "has a second text of " + std::to_string(around - 3) +
                                                " tokens, kept whole in " + windows + overlap +
                                                "; expected at most " + std::to_string(most)};
}

// size: of the first text, which is longer than a window's room.
Status CheckTotal(const WindowShape& shape, size_t size, size_t around, size_t most) {
  const size_t step = shape.room - shape.stride;
  const size_t further = (size - shape.room + step - 1) / step;  // windows after the first
  const size_t total = size + further * shape.stride + (further + 1) * around;
  if (total <= most) return {};
  return Error{ErrorCode::kResourceExhausted, "has " + std::to_string(total) + " tokens in its " +
                                                  std::to_string(further + 1) +
                                                  " windows; the limit is " + std::to_string(most)};
}

}  // namespace

Windows InOneWindow(Encoding encoding) {
  Windows windows;
  windows.encodings.push_back(std::move(encoding));
  windows.added.push_back(0);
  return windows;
}

Status CheckWindows(const WindowOptions& options) {
  auto shape = ShapeOf(options.max_length, 2, options.stride);
  return shape.ok() ? Status() : shape.error();
}

struct Tokenizer::Impl {
  Impl(Vocabulary words, const NormalizerOptions& normalizer_options)
      : vocabulary(std::move(words)), normalizer(normalizer_options) {}

  // Appends the ids of the text without anything around it; may stop once over max_ids.
  void AppendIds(std::string_view text, size_t max_ids, std::vector<int32_t>& ids) const;

  std::string_view token(int32_t id) const {
    const std::string_view added_token = added.token(id);
    return added_token.empty() ? vocabulary.token(id) : added_token;
  }

  Result<int32_t> FindSpecial(const AddedToken& token) const;
  Status AddTokens(const TokenizerSpec& spec);
  Status ResolveSpecial(const TokenizerSpec& spec);

  const Vocabulary vocabulary;
  const Normalizer normalizer;
  std::optional<WordPiece> wordpiece;
  AddedTokens added;
  // What every encoding ends with.
  Encoding Finish(Encoding encoding) const {
    if (trace.single_type) std::fill(encoding.type_ids.begin(), encoding.type_ids.end(), 0);
    if (encoding.ids.size() < trace.pad_to) {
      encoding.ids.resize(trace.pad_to, pad_id);
      encoding.type_ids.resize(trace.pad_to, 0);
    }
    return encoding;
  }

  // [CLS] a [SEP], or [CLS] a [SEP] b [SEP].
  Encoding Join(std::span<const int32_t> a, std::optional<std::span<const int32_t>> b) const;

  // A text is never longer than what it is padded to.
  size_t Longest(size_t max_length) const {
    if (trace.pad_to == 0) return max_length;
    return max_length == 0 ? trace.pad_to : std::min(max_length, trace.pad_to);
  }

  SpecialTokens special;
  TokenizerTrace trace;
  int32_t cls_id = 0;
  int32_t sep_id = 0;
  int32_t pad_id = 0;
};

Encoding Tokenizer::Impl::Join(std::span<const int32_t> a,
                               std::optional<std::span<const int32_t>> b) const {
  Encoding encoding;
  auto& ids = encoding.ids;
  ids.reserve(a.size() + (b ? b->size() : 0) + 3);
  ids.push_back(cls_id);
  ids.insert(ids.end(), a.begin(), a.end());
  ids.push_back(sep_id);
  encoding.type_ids.assign(ids.size(), 0);
  if (b) {
    ids.insert(ids.end(), b->begin(), b->end());
    ids.push_back(sep_id);
    encoding.type_ids.resize(ids.size(), 1);
  }
  return Finish(std::move(encoding));
}

void Tokenizer::Impl::AppendIds(std::string_view text, size_t max_ids,
                                std::vector<int32_t>& ids) const {
  std::string repaired;
  if (ValidUtf8Prefix(text) != text.size()) {
    repaired = ReplaceInvalidUtf8(text);
    text = repaired;
  }
  std::string normalized;
  const auto on_token = [&ids](int32_t id) { ids.push_back(id); };
  const auto on_words = [&](std::string_view words) { wordpiece->AppendText(words, max_ids, ids); };
  const auto on_raw_text = [&](std::string_view part) {
    while (!part.empty() && ids.size() <= max_ids) {
      const std::string_view chunk = added.any_normalized() ? part : FirstChunk(part);
      part.remove_prefix(chunk.size());
      normalizer.Normalize(chunk, normalized);
      if (added.any_normalized()) {
        added.Split(normalized, AddedTokens::Stage::kNormalized, on_words, on_token);
      } else {
        on_words(normalized);
      }
    }
  };
  added.Split(text, AddedTokens::Stage::kRaw, on_raw_text, on_token);
}

Status Tokenizer::Impl::AddTokens(const TokenizerSpec& spec) {
  for (const AddedToken& token : spec.added) {
    added.Add(token, vocabulary);
  }
  for (const AddedToken& token : spec.special.others) {
    if (added.Find(token.content) == Vocabulary::kNoId) {
      added.Add(token, vocabulary);
    }
  }
  // Where the vocabulary lacks one of these, transformers gives it an id past the end, for which
  // the model has no embedding. Here it is then ordinary text ([MASK]) or an error (the others).
  for (const AddedToken* token :
       {&spec.special.unknown, &spec.special.separator, &spec.special.padding,
        &spec.special.classification, &spec.special.mask}) {
    if (added.Find(token->content) == Vocabulary::kNoId &&
        vocabulary.Find(token->content) != Vocabulary::kNoId) {
      added.Add(*token, vocabulary);
    }
  }
  if (spec.added_normalizer && *spec.added_normalizer != spec.normalizer) {
    return added.Build(Normalizer(*spec.added_normalizer));
  }
  return added.Build(normalizer);
}

Result<int32_t> Tokenizer::Impl::FindSpecial(const AddedToken& token) const {
  const int32_t added_id = added.Find(token.content);
  const int32_t id = added_id == Vocabulary::kNoId ? vocabulary.Find(token.content) : added_id;
  if (id == Vocabulary::kNoId) {
    return Error{ErrorCode::kInvalidData, "the special token " + Quote(token.content) +
                                              " is not in the vocabulary of " +
                                              std::to_string(vocabulary.count()) + " tokens"};
  }
  return id;
}

Status Tokenizer::Impl::ResolveSpecial(const TokenizerSpec& spec) {
  special = spec.special;
  struct Place {
    const std::optional<int32_t>& given;
    const AddedToken& token;
    int32_t& id;
  };
  for (const Place& place : {Place{spec.cls_id, special.classification, cls_id},
                             Place{spec.sep_id, special.separator, sep_id}}) {
    if (!place.given) {
      BERTIE_ASSIGN_OR_RETURN(place.id, FindSpecial(place.token));
      continue;
    }
    place.id = *place.given;
    if (token(place.id).empty()) {
      return Error{ErrorCode::kInvalidData, "the post_processor's id " + std::to_string(place.id) +
                                                " is not in the vocabulary of " +
                                                std::to_string(vocabulary.count()) + " tokens"};
    }
  }
  BERTIE_ASSIGN_OR_RETURN(pad_id, FindSpecial(special.padding));
  return {};
}

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Result<Tokenizer> Tokenizer::Load(const std::filesystem::path& model_dir) {
  BERTIE_ASSIGN_OR_RETURN(TokenizerSpec spec, ReadTokenizerSpec(model_dir));
  auto tokenizer = Create(std::move(spec));
  if (!tokenizer.ok()) {
    return tokenizer.error().WithContext(model_dir.string());
  }
  return tokenizer;
}

Result<Tokenizer> Tokenizer::Create(TokenizerSpec spec) {
  BERTIE_ASSIGN_OR_RETURN(Vocabulary vocabulary, Vocabulary::Create(std::move(spec.vocabulary)));
  auto impl = std::make_unique<Impl>(std::move(vocabulary), spec.normalizer);
  BERTIE_ASSIGN_OR_RETURN(impl->wordpiece, WordPiece::Create(impl->vocabulary, spec.wordpiece));
  BERTIE_RETURN_IF_ERROR(impl->AddTokens(spec));
  BERTIE_RETURN_IF_ERROR(impl->ResolveSpecial(spec));
  impl->trace = spec.trace;
  return Tokenizer(std::move(impl));
}

Encoding Tokenizer::Encode(std::string_view text, size_t max_length) const {
  constexpr size_t kAround = 2;
  const size_t room = Room(impl_->Longest(max_length), kAround);
  Encoding encoding;
  auto& ids = encoding.ids;
  // English has about four bytes a token.
  ids.reserve(kAround + std::min(room, text.size() / 4 + 16));
  ids.push_back(impl_->cls_id);
  impl_->AppendIds(text, OneMore(room), ids);
  encoding.truncated = ids.size() - 1 > room;
  if (encoding.truncated) {
    ids.resize(room + 1);
  }
  ids.push_back(impl_->sep_id);
  encoding.type_ids.assign(ids.size(), 0);
  return impl_->Finish(std::move(encoding));
}

Encoding Tokenizer::EncodePair(std::string_view a, std::string_view b, size_t max_length) const {
  constexpr size_t kAround = 3;
  std::vector<int32_t> ids_a;
  std::vector<int32_t> ids_b;
  const size_t room = Room(impl_->Longest(max_length), kAround);
  const auto read = [&](size_t most) {
    ids_a.clear();
    ids_b.clear();
    impl_->AppendIds(a, most, ids_a);
    impl_->AppendIds(b, most, ids_b);
  };
  read(OneMore(room));
  // Where both are cut, which one is longer decides who gets the odd place, and nothing else.
  const bool both_cut = ids_a.size() > room && ids_b.size() > room;
  if (both_cut && room % 2 == 1) read(kNoLimit);
  const auto [kept_a, kept_b] = LongestFirst(ids_a.size(), ids_b.size(), room);
  Encoding encoding =
      impl_->Join(std::span(ids_a).first(kept_a), std::span<const int32_t>(ids_b).first(kept_b));
  encoding.truncated = kept_a < ids_a.size() || kept_b < ids_b.size();
  return encoding;
}

Encoding Tokenizer::Encode(std::string_view a, const std::optional<std::string>& b,
                           size_t max_length) const {
  return b ? EncodePair(a, *b, max_length) : Encode(a, max_length);
}

Result<Windows> Tokenizer::EncodeWindows(std::string_view a, const std::optional<std::string>& b,
                                         const WindowOptions& options) const {
  std::vector<int32_t> ids_a;
  std::vector<int32_t> ids_b;
  impl_->AppendIds(a, kNoLimit, ids_a);
  if (b) impl_->AppendIds(*b, kNoLimit, ids_b);
  const std::optional<std::span<const int32_t>> second =
      b ? std::optional<std::span<const int32_t>>(ids_b) : std::nullopt;
  const size_t around = (b ? 3 : 2) + ids_b.size();
  const size_t length = impl_->Longest(options.max_length);
  Windows windows;
  if (around + ids_a.size() <= length) {
    windows.encodings.push_back(impl_->Join(ids_a, second));
    windows.added.push_back(static_cast<uint32_t>(ids_a.size()));
    return windows;
  }
  BERTIE_ASSIGN_OR_RETURN(const WindowShape shape, ShapeOf(length, around, options.stride));
  BERTIE_RETURN_IF_ERROR(CheckTotal(shape, ids_a.size(), around, options.max_tokens));
  for (size_t begin = 0, end = 0; end < ids_a.size(); begin += shape.room - shape.stride) {
    const size_t before = end;
    end = std::min(begin + shape.room, ids_a.size());
    windows.encodings.push_back(impl_->Join(std::span(ids_a).subspan(begin, end - begin), second));
    windows.added.push_back(static_cast<uint32_t>(end - before));
  }
  return windows;
}

size_t Tokenizer::vocab_size() const {
  const auto& added = impl_->added.by_id();
  const size_t past_added = added.empty() ? 0 : static_cast<size_t>(added.rbegin()->first) + 1;
  return std::max(impl_->vocabulary.size(), past_added);
}

int32_t Tokenizer::cls_id() const { return impl_->cls_id; }
int32_t Tokenizer::sep_id() const { return impl_->sep_id; }
int32_t Tokenizer::pad_id() const { return impl_->pad_id; }
int32_t Tokenizer::unk_id() const { return impl_->wordpiece->unknown_id(); }
bool Tokenizer::lower_case() const { return impl_->normalizer.options().lower_case; }
std::string_view Tokenizer::token(int32_t id) const { return impl_->token(id); }

bool Tokenizer::special(int32_t id) const {
  const auto& added = impl_->added.by_id();
  const auto found = added.find(id);
  return found != added.end() && found->second.special;
}

std::string_view Tokenizer::continuation_prefix() const {
  return impl_->wordpiece->options().continuation_prefix;
}

const Normalizer& Tokenizer::normalizer() const { return impl_->normalizer; }

Status Tokenizer::Save(const std::filesystem::path& dir, size_t max_length) const {
  TokenizerSpec spec;
  spec.vocabulary = impl_->vocabulary.tokens();
  spec.normalizer = impl_->normalizer.options();
  spec.wordpiece = impl_->wordpiece->options();
  spec.special = impl_->special;
  spec.cls_id = impl_->cls_id;
  spec.sep_id = impl_->sep_id;
  spec.trace = impl_->trace;
  return WriteTokenizerSpec(spec, impl_->added, max_length, dir);
}

}  // namespace bertie::text
