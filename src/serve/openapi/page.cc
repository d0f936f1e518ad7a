#include <map>
#include <string>
#include <string_view>

#include "base/markup.h"
#include "serve/openapi/document.h"

namespace bertie::serve {
namespace {

using formats::Json;

constexpr const char* kPageHead =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
    "style-src 'unsafe-inline'\"><title>bertie serve</title><style>"
    ":root{color-scheme:light dark}"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem}"
    "details{border:1px solid #8885;border-radius:6px;margin:.4rem 0;padding:.3rem .7rem}"
    "summary{cursor:pointer}summary code{font-weight:600}"
    "pre{background:#8881;border-radius:6px;padding:.6rem;overflow-x:auto;font-size:.9em}"
    "h2{margin-top:2rem}</style></head><body>\n";

std::string Escape(const std::string& text) {
  std::string out;
  for (const char c : text) {
    const std::string_view reference = MarkupReference(static_cast<unsigned char>(c));
    out += reference.empty() ? std::string_view(&c, 1) : reference;
  }
  return out;
}

// The examples of a body's media types.
void AppendContent(const Json& content, const std::string& title, std::string& out) {
  for (const auto& [type, media] : content.items()) {
    out += "<p>" + title + " <code>" + Escape(type) + "</code></p>";
    if (!media.contains("example")) continue;
    const Json& example = media["example"];
    out +=
        "<pre>" +
        Escape(example.is_string() && type != "application/json" ? example.get<std::string>()
                                                                 : formats::DumpJson(example, 2)) +
        "</pre>";
  }
}

void AppendOperation(const std::string& method, const std::string& path, const Json& operation,
                     std::string& out) {
  out += "<details><summary><code>" + method + " " + Escape(path) + "</code> " +
         Escape(operation.value("summary", "")) + "</summary>";
  const std::string description = operation.value("description", "");
  if (!description.empty()) out += "<p>" + Escape(description) + "</p>";
  if (operation.contains("requestBody")) {
    AppendContent(operation["requestBody"]["content"], "Body:", out);
  }
  const Json& responses = operation["responses"];
  for (const auto& [status, answer] : responses.items()) {
    if (answer.contains("content")) AppendContent(answer["content"], "Answer " + status + ":", out);
  }
  out += "</details>\n";
}

std::string UpperCase(std::string text) {
  for (char& c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return text;
}

}  // namespace

std::string OpenApiPage(const Json& document) {
  std::map<std::string, std::string> groups;
  for (const auto& [path, methods] : document["paths"].items()) {
    for (const auto& [method, operation] : methods.items()) {
      AppendOperation(UpperCase(method), path, operation,
                      groups[operation["tags"][0].get<std::string>()]);
    }
  }
  std::string page = kPageHead;
  page +=
      "<h1>bertie serve</h1><p>The routes of this server, from <a "
      "href=\"/openapi.json\">/openapi.json</a>.</p>\n";
  for (const auto& [tag, operations] : groups) {
    page += "<h2>" + Escape(tag) + "</h2>\n" + operations;
  }
  return page + "</body></html>\n";
}

}  // namespace bertie::serve
