#include "text/vocabulary.h"

#include <unordered_map>
#include <utility>

#include "base/quote.h"
#include "text/unicode.h"

namespace bertie::text {
namespace {

Error TooManyTokens(size_t count) {
  return {ErrorCode::kResourceExhausted, "the vocabulary has " + std::to_string(count) +
                                             " tokens, more than the " +
                                             std::to_string(Vocabulary::kMaxTokens) + " supported"};
}

}  // namespace

Result<Vocabulary> Vocabulary::Create(std::vector<std::string> tokens) {
  if (tokens.size() > kMaxTokens) {
    return TooManyTokens(tokens.size());
  }
  Vocabulary vocabulary;
  std::vector<std::pair<std::string_view, int32_t>> keys;
  keys.reserve(tokens.size());
  for (size_t id = 0; id < tokens.size(); ++id) {
    if (ValidUtf8Prefix(tokens[id]) != tokens[id].size()) {
      return Error{ErrorCode::kInvalidData,
                   "token " + std::to_string(id) + " is not valid UTF-8: " + Quote(tokens[id])};
    }
    keys.emplace_back(tokens[id], static_cast<int32_t>(id));
    vocabulary.count_ += !tokens[id].empty();
  }
  BERTIE_ASSIGN_OR_RETURN(vocabulary.trie_, Trie::Build(std::move(keys)));
  for (size_t id = 0; id < tokens.size(); ++id) {
    if (tokens[id].empty()) {
      continue;
    }
    Trie::Node node = Trie::kRoot;
    vocabulary.trie_.Walk(node, tokens[id]);
    const int32_t found = vocabulary.trie_.value(node);
    if (found != static_cast<int32_t>(id)) {
      return Error{ErrorCode::kInvalidData, "token " + Quote(tokens[id]) + " has two ids, " +
                                                std::to_string(found) + " and " +
                                                std::to_string(id)};
    }
  }
  vocabulary.tokens_ = std::move(tokens);
  return vocabulary;
}

Result<std::vector<std::string>> Vocabulary::ParseLines(std::string_view text,
                                                        const std::string& where) {
  std::vector<std::string> tokens;
  std::unordered_map<std::string_view, size_t> line_of;
  for (size_t line = 1; !text.empty(); ++line) {
    const auto end = std::min(text.find_first_of("\r\n"), text.size());
    const std::string_view token = text.substr(0, end);
    text.remove_prefix(end);
    text.remove_prefix(text.starts_with("\r\n") ? 2 : text.empty() ? 0 : 1);
    const std::string place = where + ":" + std::to_string(line) + ": ";
    if (ValidUtf8Prefix(token) != token.size()) {
      return Error{ErrorCode::kInvalidData, place + "not valid UTF-8: " + Quote(token)};
    }
    const auto [first, is_new] = line_of.emplace(token, line);
    if (!is_new && !token.empty()) {
      return Error{
          ErrorCode::kInvalidData,
          place + "token " + Quote(token) + " is already on line " + std::to_string(first->second)};
    }
    if (tokens.size() == kMaxTokens) {
      return TooManyTokens(tokens.size() + 1).WithContext(where);
    }
    tokens.emplace_back(token);
  }
  return tokens;
}

int32_t Vocabulary::Find(std::string_view token) const {
  Trie::Node node = Trie::kRoot;
  return !token.empty() && trie_.Walk(node, token) && trie_.HasValue(node) ? trie_.value(node)
                                                                           : kNoId;
}

std::string_view Vocabulary::token(int32_t id) const {
  return id >= 0 && static_cast<size_t>(id) < tokens_.size() ? std::string_view(tokens_[id])
                                                             : std::string_view();
}

}  // namespace bertie::text
