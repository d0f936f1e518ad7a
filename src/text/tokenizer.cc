#include "text/tokenizer.h"

#include <algorithm>
#include <limits>
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

// Where the ids of one text end, so that [CLS] and [SEP] fit around them: 0 is no limit.
size_t Room(size_t max_length, size_t around) {
  if (max_length == 0) {
    return std::numeric_limits<size_t>::max();
  }
  return max_length > around ? max_length - around : 0;
}

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

}  // namespace

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
  impl_->AppendIds(text, room == std::numeric_limits<size_t>::max() ? room : room + 1, ids);
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
  // Both in full: which one is longer decides how they are cut.
  constexpr size_t kNoLimit = std::numeric_limits<size_t>::max();
  impl_->AppendIds(a, kNoLimit, ids_a);
  impl_->AppendIds(b, kNoLimit, ids_b);
  const auto [kept_a, kept_b] =
      LongestFirst(ids_a.size(), ids_b.size(), Room(impl_->Longest(max_length), kAround));
  Encoding encoding;
  encoding.truncated = kept_a < ids_a.size() || kept_b < ids_b.size();
  auto& ids = encoding.ids;
  ids.reserve(kept_a + kept_b + kAround);
  ids.push_back(impl_->cls_id);
  ids.insert(ids.end(), ids_a.begin(), ids_a.begin() + static_cast<ptrdiff_t>(kept_a));
  ids.push_back(impl_->sep_id);
  const size_t first_part = ids.size();
  ids.insert(ids.end(), ids_b.begin(), ids_b.begin() + static_cast<ptrdiff_t>(kept_b));
  ids.push_back(impl_->sep_id);
  encoding.type_ids.assign(ids.size(), 1);
  std::fill_n(encoding.type_ids.begin(), first_part, 0);
  return impl_->Finish(std::move(encoding));
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
