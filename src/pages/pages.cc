#include "pages/pages.h"

#include <algorithm>
#include <array>
#include <utility>

#include "pages/embedded.h"

namespace bertie::pages {
namespace {

// Scripts, styles and requests of the page's own server alone; no page may frame it.
constexpr const char* kPolicy =
    "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; object-src 'none'";

constexpr std::array kTypes = {
    std::pair{".html", "text/html; charset=utf-8"}, std::pair{".css", "text/css; charset=utf-8"},
    std::pair{".js", "text/javascript; charset=utf-8"}, std::pair{".svg", "image/svg+xml"}};

std::string_view TypeOf(std::string_view name) {
  const auto found = std::find_if(kTypes.begin(), kTypes.end(),
                                  [&](const auto& type) { return name.ends_with(type.first); });
  return found == kTypes.end() ? "application/octet-stream" : found->second;
}

std::string_view FolderOf(Page page) {
  return page == Page::kPlayground ? "playground/" : "console/";
}

const EmbeddedFile* Find(std::string_view name) {
  for (const EmbeddedFile& file : EmbeddedFiles()) {
    if (file.name == name) return &file;
  }
  return nullptr;
}

bool Has(const http::RequestHead& head, std::string_view etag) {
  const std::string* known = head.Find("If-None-Match");
  return known != nullptr && (known->find(etag) != std::string::npos || *known == "*");
}

http::Response Give(const EmbeddedFile& file, const http::RequestHead& head) {
  http::Response response;
  response.fields = {{"ETag", std::string(file.etag)},
                     {"Cache-Control", "no-cache"},  // kept, and asked about each time
                     {"Content-Security-Policy", kPolicy},
                     {"X-Content-Type-Options", "nosniff"},
                     {"Referrer-Policy", "no-referrer"},
                     {"Vary", "Accept"}};
  if (Has(head, file.etag)) {
    response.status = 304;
    return response;
  }
  response.content_type = TypeOf(file.name);
  response.body = file.bytes;
  return response;
}

}  // namespace

bool AsksForHtml(const http::RequestHead& head) {
  const std::string* accept = head.Find("Accept");
  return (head.method == "GET" || head.method == "HEAD") && accept != nullptr &&
         accept->find("text/html") != std::string::npos;
}

http::Response PageAnswer(Page page, const http::RequestHead& head) {
  return Give(*Find(std::string(FolderOf(page)) + "index.html"), head);  // each page has one
}

std::optional<http::Response> FileAnswer(Page page, const http::RequestHead& head) {
  std::string_view name = head.path;
  if (!name.starts_with(kFilesPath)) return std::nullopt;
  name.remove_prefix(kFilesPath.size());
  if (!name.starts_with("shared/") && !name.starts_with(FolderOf(page))) return std::nullopt;
  const EmbeddedFile* file = Find(name);
  return file == nullptr ? std::nullopt : std::optional(Give(*file, head));
}

}  // namespace bertie::pages
