#include "cloud/browsers.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "base/ascii.h"
#include "base/quote.h"
#include "cloud/s3/s3_request.h"
#include "cloud/xml.h"
#include "formats/json.h"
#include "pages/pages.h"

namespace bertie::cloud {
namespace {

// In the form of the service that is most likely meant.
http::Response Forbid(const http::RequestHead& head, const std::string& message) {
  if (head.Find("X-Amz-Target") != nullptr) {
    return {.status = 403,
            .content_type = "application/x-amz-json-1.1",
            .body = formats::DumpJson({{"__type", "AccessDeniedException"}, {"message", message}})};
  }
  XmlWriter xml;
  xml.Open("Error").Text("Code", "AccessDenied").Text("Message", message);
  return {.status = 403, .content_type = "application/xml", .body = xml.Finish()};
}

// "Name:80" to "name", "[::1]:80" to "[::1]".
std::string NameOfHost(const std::string& field) {
  const size_t colon = field.rfind(':');
  const bool port = colon != field.npos && field.find(']', colon) == field.npos;
  return AsciiLower(port ? field.substr(0, colon) : field);
}

bool IsAddress(const std::string& name) {
  return name.starts_with('[') || name.find_first_not_of("0123456789.") == name.npos;
}

bool IsIn(std::string_view name, const std::string& domain) {
  return name == domain || (name.size() > domain.size() && name.ends_with(domain) &&
                            name[name.size() - domain.size() - 1] == '.');
}

bool IsAllowed(const std::string& name, const Settings& settings) {
  return std::any_of(settings.allowed_hosts.begin(), settings.allowed_hosts.end(),
                     [&](const std::string& host) { return AsciiLower(host) == name; });
}

// Names that no foreigner can have lead here.
bool IsOurs(const std::string& name, const Settings& settings) {
  return IsAddress(name) || name.find('.') == name.npos || IsIn(name, "localhost") ||
         IsIn(name, "internal") || IsIn(name, "amazonaws.com") ||
         IsIn(name, AsciiLower(settings.domain)) || IsAllowed(name, settings);
}

std::optional<http::Response> RefuseForeigner(const http::RequestHead& head,
                                              const Settings& settings) {
  const std::string* host = head.Find("Host");
  if (host != nullptr && !IsOurs(NameOfHost(*host), settings)) {
    return Forbid(head, "Host is " + Quote(*host) +
                            ", a name that is not known here, and signatures are not checked: "
                            "bertie cloud --allow-host NAME lets it in");
  }
  if (const std::string* origin = head.Find("Origin")) {
    const size_t scheme = origin->find("://");
    const std::string authority = scheme == origin->npos ? "" : origin->substr(scheme + 3);
    const bool same =
        host != nullptr && !authority.empty() && http::EqualsIgnoreCase(authority, *host);
    if (!same && !IsAllowed(NameOfHost(authority), settings)) {
      return Forbid(head, "the request comes from a page of " + Quote(*origin) +
                              ", and signatures are not checked: bertie cloud --allow-host NAME "
                              "lets pages of that host in");
    }
    return std::nullopt;
  }
  const std::string* site = head.Find("Sec-Fetch-Site");
  const std::string* mode = head.Find("Sec-Fetch-Mode");
  const bool link = mode != nullptr && *mode == "navigate";
  if (site != nullptr && *site == "cross-site" && !link) {
    return Forbid(head,
                  "the request comes from a page of another site, and signatures are not "
                  "checked");
  }
  return std::nullopt;
}

bool NamesBucketByHost(http::RequestHead head, const Settings& settings) {
  head.path = "/";
  auto request = ReadS3Request(head, settings);
  return !request.ok() || !request->bucket.empty();
}

bool IsSigned(const http::RequestHead& head) {
  return head.Find("Authorization") != nullptr || !head.query.empty();
}

}  // namespace

std::optional<http::Response> AnswerBrowser(const http::RequestHead& head, const Settings& settings,
                                            bool checks_signatures) {
  if (!checks_signatures) {
    if (auto refused = RefuseForeigner(head, settings)) return refused;
  }
  if ((head.method != "GET" && head.method != "HEAD") || IsSigned(head)) return std::nullopt;
  const bool page = (head.path == "/" || head.path == "/console") && pages::AsksForHtml(head);
  const bool file = head.path.starts_with(pages::kFilesPath);
  if ((!page && !file) || NamesBucketByHost(head, settings)) return std::nullopt;
  if (page) return pages::PageAnswer(pages::Page::kConsole, head);
  return pages::FileAnswer(pages::Page::kConsole, head);
}

}  // namespace bertie::cloud
