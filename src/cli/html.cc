#include "cli/html.h"

#include "base/markup.h"
#include "text/unicode.h"

namespace bertie::cli {
namespace {

// --cN: the colours of curves, read well on paper and by most who tell few colours apart.
constexpr const char* kStyle = R"(
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1d2733; --soft: #586573;
  --line: #d8dee5; --band: #f4f6f8; --right: 11, 107, 203; --wrong: 196, 70, 10;
  --c0: #0b6bcb; --c1: #c4460a; --c2: #7a3fb5; --c3: #1c7c4a; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14181d; --ink: #dfe5ec; --soft: #9aa7b4; --line: #323a44; --band: #1c2229;
    --right: 102, 178, 255; --wrong: 255, 154, 92;
    --c0: #66b2ff; --c1: #ff9a5c; --c2: #c79bff; --c3: #6fd39b; } }
* { box-sizing: border-box; }
body { background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif;
  max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; line-height: 1.25; overflow-wrap: anywhere; margin: 0 0 .25rem; }
h2 { font-size: 1.1rem; margin: 2.25rem 0 .5rem; }
p { margin: .5rem 0; } .soft { color: var(--soft); }
a { color: var(--c0); }
svg { display: block; width: 100%; height: auto; font-size: 12px; }
svg text { fill: var(--ink); font-family: system-ui, sans-serif; }
.grid { stroke: var(--line); } polyline { fill: none; stroke-width: 2; stroke-linejoin: round; }
polyline.dense { stroke-width: 1.25; opacity: .6; }
polyline.c0 { stroke: var(--c0); } circle.c0 { fill: var(--c0); }
polyline.c1 { stroke: var(--c1); } circle.c1 { fill: var(--c1); }
polyline.c2 { stroke: var(--c2); } circle.c2 { fill: var(--c2); }
polyline.c3 { stroke: var(--c3); } circle.c3 { fill: var(--c3); }
pre { overflow-x: auto; font: 13px/1.45 ui-monospace, monospace; }
.scroll { overflow-x: auto; }
.scroll:focus-visible, summary:focus-visible { outline: 2px solid var(--c0); outline-offset: 2px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; text-align: left; } thead th { border-bottom-width: 2px; }
.n { text-align: right; white-space: nowrap; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(6.3rem, 1fr)); gap: .6rem;
  margin: 1rem 0; }
.figures div { background: var(--band); border-radius: .4rem; padding: .5rem .75rem; }
.figures dt { color: var(--soft); font-size: .85rem; }
.figures dd { margin: 0; font-size: 1.25rem; font-weight: 600; }
.texts { padding-left: 2rem; } .texts li { margin: .8rem 0; } .texts p { margin: .1rem 0; }
.texts [dir] { overflow-wrap: anywhere; white-space: pre-wrap; }
details { margin: .5rem 0; } summary { cursor: pointer; color: var(--soft); }
@media (max-width: 40rem) {
  body { margin: 1rem auto; } th, td { padding: .3rem .45rem; }
  svg { font-size: 17px; } }
@media print { body { max-width: none; } h2 { break-after: avoid; } }
)";

void AppendEscaped(char32_t c, std::string_view bytes, std::string& out) {
  const bool control = (c < 0x20 && c != '\t' && c != '\n') || (c >= 0x7f && c < 0xa0);
  if (control) {
    out += "\xef\xbf\xbd";
  } else if (c == '\'') {
    out += "&#39;";
  } else {
    const std::string_view reference = MarkupReference(c);
    out += reference.empty() ? bytes : reference;
  }
}

}  // namespace

std::string EscapeHtml(std::string_view text) {
  const std::string valid = text::ReplaceInvalidUtf8(text);
  std::string out;
  for (const char *p = valid.data(), *end = p + valid.size(); p < end;) {
    const char* begin = p;
    const char32_t c = text::NextChar(p);
    AppendEscaped(c, std::string_view(begin, static_cast<size_t>(p - begin)), out);
  }
  return out;
}

std::string HtmlPage(const std::string& title, const std::string& body) {
  return "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
         "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
         "'unsafe-inline'\">\n<title>" +
         EscapeHtml(title) + "</title>\n<style>" + kStyle + "</style>\n</head>\n<body>\n" + body +
         "</body>\n</html>\n";
}

}  // namespace bertie::cli
