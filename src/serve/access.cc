#include "serve/access.h"

#include <span>
#include <string_view>

#include "base/hmac.h"

namespace bertie::serve {
namespace {

bool IsOneOfKeys(std::string_view shown, const std::vector<std::string>& keys) {
  bool found = false;
  for (const std::string& key : keys) {
    found |= ConstantTimeEqual(std::as_bytes(std::span(shown)), std::as_bytes(std::span(key)));
  }
  return found;
}

// "" where there is none.
std::string_view BearerToken(const http::RequestHead& head) {
  constexpr std::string_view kScheme = "Bearer ";
  const std::string* field = head.Find("Authorization");
  if (!field || field->size() <= kScheme.size()) return {};
  const std::string_view text = *field;
  if (!http::EqualsIgnoreCase(text.substr(0, kScheme.size()), kScheme)) return {};
  const size_t begin = text.find_first_not_of(' ', kScheme.size());
  return begin == std::string_view::npos ? std::string_view() : text.substr(begin);
}

}  // namespace

std::optional<http::Refusal> CheckAccess(const AccessKeys& keys, Access access,
                                         const http::RequestHead& head) {
  if (access == Access::kOpen) return std::nullopt;
  if (access == Access::kAdmin && keys.admin.empty()) {
    return http::Refusal{403, "Forbidden",
                         "this server takes no administration: it was started without "
                         "--admin-token-file"};
  }
  if (access == Access::kKey && keys.api.empty()) return std::nullopt;
  const std::string_view shown = BearerToken(head);
  const bool admin = IsOneOfKeys(shown, keys.admin);
  const bool key = IsOneOfKeys(shown, keys.api);
  if (admin || (key && access == Access::kKey)) return std::nullopt;
  return http::Refusal{401, "Unauthorized", ""};
}

}  // namespace bertie::serve
