#include "hub/names.h"

#include <algorithm>
#include <cctype>

#include "base/quote.h"

namespace bertie::hub {
namespace {

constexpr size_t kMaxIdLength = 96;

bool IsName(const std::string& name) {
  const auto allowed = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
  };
  const auto at_end = [](char c) { return c == '-' || c == '.'; };
  return !name.empty() && std::all_of(name.begin(), name.end(), allowed) && !at_end(name.front()) &&
         !at_end(name.back()) && name.find("--") == std::string::npos &&
         name.find("..") == std::string::npos;
}

}  // namespace

Status CheckModelId(const std::string& id) {
  const size_t slash = id.find('/');
  const bool good = slash == std::string::npos
                        ? IsName(id)
                        : IsName(id.substr(0, slash)) && IsName(id.substr(slash + 1));
  if (good && id.size() <= kMaxIdLength) return {};
  return Error{ErrorCode::kInvalidArgument,
               Quote(id) +
                   " is no model's name on a hub; expected NAME or ORGANISATION/NAME, such "
                   "as bert-base-uncased"};
}

Status CheckRevision(const std::string& revision) {
  const bool plain = std::all_of(revision.begin(), revision.end(), [](unsigned char c) {
    return c > 0x20 && c != 0x7f && c != '\\' && c != ':' && c != '?' && c != '*';
  });
  const bool good = plain && !revision.empty() && revision.size() <= 200 &&
                    revision.find("..") == std::string::npos &&
                    revision.find("//") == std::string::npos && revision.front() != '/' &&
                    revision.front() != '.' && revision.back() != '/';
  if (good) return {};
  return Error{ErrorCode::kInvalidArgument,
               Quote(revision) + " is no revision; expected a branch, a tag or a commit"};
}

bool IsCommit(const std::string& text) {
  return text.size() == 40 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

ModelName ParseModelName(const std::string& name) {
  const size_t at = name.find('@');
  if (at == std::string::npos) return {.id = name};
  return {.id = name.substr(0, at), .revision = name.substr(at + 1)};
}

}  // namespace bertie::hub
