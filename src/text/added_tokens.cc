#include "text/added_tokens.h"

#include <algorithm>
#include <utility>

namespace bertie::text {
namespace {

// The character that ends just before end, and where it begins; end must not be 0.
char32_t PreviousChar(std::string_view text, size_t end, size_t& begin) {
  begin = end - 1;
  while (begin > 0 && IsContinuationByte(text[begin])) {
    --begin;
  }
  const char* p = text.data() + begin;
  return NextChar(p);
}

}  // namespace

void AddedTokens::Add(const AddedToken& token, const Vocabulary& vocabulary) {
  if (token.content.empty()) {
    return;
  }
  if (token.special && special_normalized_.emplace(token.content, token.normalized).second) {
    special_.push_back(token);
  }
  const int32_t added_id = Find(token.content);
  if (added_id != Vocabulary::kNoId && by_id_.at(added_id) == token) {
    return;
  }
  int32_t id = added_id != Vocabulary::kNoId ? added_id : vocabulary.Find(token.content);
  if (id == Vocabulary::kNoId) {
    id = std::max(static_cast<int32_t>(vocabulary.count()), highest_id_ + 1);
  }
  ids_[token.content] = id;
  highest_id_ = std::max(highest_id_, id);
  AddedToken& stored = by_id_[id];
  stored = token;
  if (const auto special = special_normalized_.find(token.content);
      special != special_normalized_.end()) {
    stored.normalized = special->second;
  } else {
    ordinary_.push_back(token);
  }
}

Status AddedTokens::Build(const Normalizer& normalizer) {
  std::vector<std::pair<std::string, int32_t>> raw;
  std::vector<std::pair<std::string, int32_t>> normalized;
  for (const auto* tokens : {&special_, &ordinary_}) {
    for (const AddedToken& token : *tokens) {
      const int32_t id = ids_.at(token.content);
      if (!token.normalized) {
        raw.emplace_back(token.content, id);
        continue;
      }
      std::string form;
      normalizer.Normalize(token.content, form);
      normalized.emplace_back(std::move(form), id);
    }
  }
  BERTIE_ASSIGN_OR_RETURN(raw_, MakePattern(raw));
  BERTIE_ASSIGN_OR_RETURN(normalized_, MakePattern(normalized));
  return {};
}

Result<AddedTokens::Pattern> AddedTokens::MakePattern(
    const std::vector<std::pair<std::string, int32_t>>& keys) {
  Pattern pattern;
  std::vector<std::pair<std::string_view, int32_t>> views;
  for (const auto& [content, id] : keys) {
    if (content.empty()) {
      continue;
    }
    views.emplace_back(content, id);
    pattern.begins[static_cast<uint8_t>(content[0])] = true;
    pattern.trie_is_empty = false;
  }
  if (std::count(pattern.begins.begin(), pattern.begins.end(), true) == 1) {
    pattern.only_begin = views.front().first[0];
  }
  BERTIE_ASSIGN_OR_RETURN(pattern.trie, Trie::Build(std::move(views)));
  return pattern;
}

std::string_view AddedTokens::token(int32_t id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? std::string_view() : std::string_view(found->second.content);
}

int32_t AddedTokens::Find(std::string_view content) const {
  const auto found = ids_.find(content);
  return found == ids_.end() ? Vocabulary::kNoId : found->second;
}

size_t AddedTokens::NextBegin(const Pattern& pattern, std::string_view text, size_t from) {
  if (pattern.only_begin) {
    return std::min(text.find(*pattern.only_begin, from), text.size());
  }
  while (from < text.size() && !pattern.begins[static_cast<uint8_t>(text[from])]) {
    ++from;
  }
  return from;
}

bool AddedTokens::Search(const Pattern& pattern, std::string_view text, size_t begin,
                         Found& found) {
  if (pattern.trie_is_empty) {
    return false;
  }
  for (; (begin = NextBegin(pattern, text, begin)) < text.size(); ++begin) {
    const size_t length = pattern.trie.LongestMatch(text.substr(begin), Trie::kRoot, found.id);
    if (length > 0) {
      found.begin = begin;
      found.end = begin + length;
      return true;
    }
  }
  return false;
}

bool AddedTokens::StandsAlone(std::string_view text, const Found& found) {
  if (found.begin > 0) {
    size_t begin = 0;
    if (IsWordCharacter(PreviousChar(text, found.begin, begin))) {
      return false;
    }
  }
  const char* next = text.data() + found.end;
  return found.end == text.size() || !IsWordCharacter(NextChar(next));
}

size_t AddedTokens::SkipSpaceBack(std::string_view text, size_t from, size_t lowest) {
  while (from > lowest) {
    size_t begin = 0;
    if (!IsWhitespace(PreviousChar(text, from, begin))) {
      break;
    }
    from = begin;
  }
  return from;
}

size_t AddedTokens::SkipSpace(std::string_view text, size_t from) {
  const char* p = text.data() + from;
  const char* const end = text.data() + text.size();
  while (p < end) {
    const char* next = p;
    if (!IsWhitespace(NextChar(next))) {
      break;
    }
    p = next;
  }
  return p - text.data();
}

}  // namespace bertie::text
