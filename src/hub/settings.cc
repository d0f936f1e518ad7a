#include "hub/settings.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <initializer_list>

#include "base/cache_folder.h"
#include "base/file.h"
#include "base/quote.h"

namespace bertie::hub {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxTokenBytes = 64 * 1024;

// The first of them that is set and not empty, or "".
std::string Variable(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const char* value = std::getenv(name);
    if (value != nullptr && *value != '\0') return value;
  }
  return "";
}

bool IsTrue(std::string value) {
  std::transform(value.begin(), value.end(), value.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return value == "1" || value == "ON" || value == "YES" || value == "TRUE";
}

fs::path HubHome() {
  if (const std::string home = Variable({"HF_HOME"}); !home.empty()) return ExpandHome(home);
  return CacheFolder() / "huggingface";
}

std::string Trimmed(std::string text) {
  const auto blank = [](unsigned char c) { return std::isspace(c) != 0; };
  text.erase(text.begin(), std::find_if_not(text.begin(), text.end(), blank));
  text.erase(std::find_if_not(text.rbegin(), text.rend(), blank).base(), text.end());
  return text;
}

Status ReadToken(Settings& settings, const fs::path& home) {
  if (IsTrue(Variable({"HF_HUB_DISABLE_IMPLICIT_TOKEN"}))) return {};
  settings.token = Trimmed(Variable({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}));
  settings.token_source = "HF_TOKEN";
  if (settings.token.empty()) {
    const std::string named = Variable({"HF_TOKEN_PATH"});
    const fs::path file = named.empty() ? home / "token" : ExpandHome(named);
    auto content = ReadFile(file, kMaxTokenBytes);
    if (content.ok()) settings.token = Trimmed(*std::move(content));
    settings.token_source = file.string();
  }
  // It becomes part of a header.
  const bool plain = std::all_of(settings.token.begin(), settings.token.end(),
                                 [](unsigned char c) { return c > 0x20 && c < 0x7f; });
  if (!plain) {
    return Error{ErrorCode::kInvalidArgument,
                 "the token from " + settings.token_source +
                     " has blanks or control characters in it; expected one word (hf_...)"};
  }
  return {};
}

}  // namespace

Result<Settings> FromEnvironment() {
  Settings settings;
  if (std::string endpoint = Variable({"HF_ENDPOINT"}); !endpoint.empty()) {
    while (endpoint.ends_with('/')) endpoint.pop_back();
    if (!endpoint.starts_with("http://") && !endpoint.starts_with("https://")) {
      return Error{ErrorCode::kInvalidArgument,
                   "HF_ENDPOINT is " + Quote(endpoint) + "; expected https://HOST"};
    }
    settings.endpoint = std::move(endpoint);
  }
  const fs::path home = HubHome();
  const std::string cache = Variable({"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"});
  settings.cache = cache.empty() ? home / "hub" : ExpandHome(cache);
  settings.offline = IsTrue(Variable({"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"}));
  if (const std::string limit = Variable({"HF_HUB_DOWNLOAD_TIMEOUT"}); !limit.empty()) {
    int seconds = 0;
    const auto [end, error] = std::from_chars(limit.data(), limit.data() + limit.size(), seconds);
    if (error != std::errc() || end != limit.data() + limit.size() || seconds < 1) {
      return Error{ErrorCode::kInvalidArgument,
                   "HF_HUB_DOWNLOAD_TIMEOUT is " + Quote(limit) + "; expected seconds, from 1"};
    }
    settings.stall_limit = std::chrono::seconds(seconds);
  }
  settings.ca_file = Variable({"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"});
  BERTIE_RETURN_IF_ERROR(ReadToken(settings, home));
  return settings;
}

}  // namespace bertie::hub
