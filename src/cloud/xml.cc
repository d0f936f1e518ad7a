#include "cloud/xml.h"

#include <cstdint>
#include <cstdio>

#include "base/markup.h"

namespace bertie::cloud {
namespace {

constexpr int kMaxDepth = 16;
constexpr int kMaxElements = 100'000;

// Control characters, which XML 1.0 has no way to write, become references as S3 writes them.
void AppendEscaped(std::string_view text, std::string& out) {
  for (const char c : text) {
    const std::string_view known = MarkupReference(static_cast<unsigned char>(c));
    if (!known.empty()) {
      out += known;
    } else if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') {
      char reference[8];
      std::snprintf(reference, sizeof(reference), "&#x%x;", static_cast<unsigned>(c));
      out += reference;
    } else {
      out += c;
    }
  }
}

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

bool IsNameCharacter(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.' || c == ':' || static_cast<unsigned char>(c) >= 0x80;
}

void AppendUtf8(uint32_t code, std::string& out) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0 | code >> 6);
    out += static_cast<char>(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xe0 | code >> 12);
    out += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (code & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | code >> 18);
    out += static_cast<char>(0x80 | (code >> 12 & 0x3f));
    out += static_cast<char>(0x80 | (code >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (code & 0x3f));
  }
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<XmlElement> Document() {
    if (text_.starts_with("\xef\xbb\xbf")) at_ = 3;
    BERTIE_RETURN_IF_ERROR(SkipMisc());
    XmlElement root;
    BERTIE_RETURN_IF_ERROR(Element(root, 1));
    BERTIE_RETURN_IF_ERROR(SkipMisc());
    if (at_ != text_.size()) return Bad("something follows the document's element");
    return root;
  }

 private:
  Error Bad(const std::string& what) const {
    return {ErrorCode::kInvalidData, "XML, byte " + std::to_string(at_) + ": " + what};
  }
  bool Take(std::string_view token) {
    if (!text_.substr(at_).starts_with(token)) return false;
    at_ += token.size();
    return true;
  }
  void SkipBlanks() {
    while (at_ < text_.size() && IsBlank(text_[at_])) ++at_;
  }
  Status SkipPast(std::string_view end) {
    const size_t found = text_.find(end, at_);
    if (found == std::string_view::npos) return Bad("the text ends before " + std::string(end));
    at_ = found + end.size();
    return {};
  }

  // Blanks, comments and instructions between elements.
  Status SkipMisc() {
    while (true) {
      SkipBlanks();
      if (Take("<?")) {
        BERTIE_RETURN_IF_ERROR(SkipPast("?>"));
      } else if (Take("<!--")) {
        BERTIE_RETURN_IF_ERROR(SkipPast("-->"));
      } else {
        return {};
      }
    }
  }

  std::string_view Name() {
    const size_t begin = at_;
    while (at_ < text_.size() && IsNameCharacter(text_[at_])) ++at_;
    return text_.substr(begin, at_ - begin);
  }

  // After an element's name, to the end of its tag. empty: it was <NAME/>.
  Status Attributes(bool& empty) {
    while (true) {
      SkipBlanks();
      if (Take("/>")) return empty = true, Status();
      if (Take(">")) return empty = false, Status();
      if (Name().empty()) return Bad("expected an attribute or the tag's end");
      SkipBlanks();
      if (!Take("=")) return Bad("expected = after an attribute's name");
      SkipBlanks();
      if (at_ == text_.size() || (text_[at_] != '"' && text_[at_] != '\'')) {
        return Bad("expected an attribute's value in quotes");
      }
      const char quote = text_[at_++];
      BERTIE_RETURN_IF_ERROR(SkipPast(std::string_view(&quote, 1)));
    }
  }

  Status Reference(std::string& out) {
    const size_t end = text_.find(';', at_);
    if (end == std::string_view::npos || end - at_ > 10) return Bad("a reference without its end");
    const std::string_view name = text_.substr(at_, end - at_);
    constexpr std::pair<std::string_view, char> kNamed[] = {
        {"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
    for (const auto& [known, c] : kNamed) {
      if (name == known) return out += c, at_ = end + 1, Status();
    }
    if (!name.starts_with('#')) return Bad("an entity other than the five of XML");
    const bool hex = name.size() > 1 && name[1] == 'x';
    const std::string_view digits = name.substr(hex ? 2 : 1);
    uint32_t code = 0;
    for (const char c : digits) {
      const bool letter = hex && ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'));
      if (!letter && (c < '0' || c > '9')) return Bad("a reference that is no number");
      code = code * (hex ? 16 : 10) + static_cast<uint32_t>(letter ? (c | 32) - 'a' + 10 : c - '0');
      if (code > 0x10ffff) return Bad("a reference beyond Unicode");
    }
    if (digits.empty() || code == 0 || (code >= 0xd800 && code < 0xe000)) {
      return Bad("a reference to no character");
    }
    AppendUtf8(code, out);
    at_ = end + 1;
    return {};
  }

  Status Element(XmlElement& element, int depth) {
    if (!Take("<")) return Bad("expected an element");
    if (depth > kMaxDepth) return Bad("more than 16 levels");
    if (++elements_ > kMaxElements) return Bad("more than 100000 elements");
    const std::string_view name = Name();
    if (name.empty()) return Bad("expected an element's name");
    element.name = name.substr(name.rfind(':') + 1);
    bool empty = false;
    BERTIE_RETURN_IF_ERROR(Attributes(empty));
    while (!empty) {
      if (at_ == text_.size()) return Bad("the text ends inside " + element.name);
      const char c = text_[at_];
      if (c == '&') {
        ++at_;
        BERTIE_RETURN_IF_ERROR(Reference(element.text));
      } else if (c != '<') {
        const size_t end = std::min(text_.find_first_of("<&", at_), text_.size());
        element.text.append(text_.substr(at_, end - at_));
        at_ = end;
      } else if (Take("</")) {
        if (Name() != name) return Bad("the end tag of " + element.name + " has another name");
        SkipBlanks();
        if (!Take(">")) return Bad("expected > at the end tag of " + element.name);
        return {};
      } else if (Take("<!--")) {
        BERTIE_RETURN_IF_ERROR(SkipPast("-->"));
      } else if (Take("<![CDATA[")) {
        const size_t begin = at_;
        BERTIE_RETURN_IF_ERROR(SkipPast("]]>"));
        element.text.append(text_.substr(begin, at_ - 3 - begin));
      } else {
        BERTIE_RETURN_IF_ERROR(Element(element.children.emplace_back(), depth + 1));
      }
    }
    return {};
  }

  std::string_view text_;
  size_t at_ = 0;
  int elements_ = 0;
};

}  // namespace

XmlWriter::XmlWriter() : out_("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n") {}

XmlWriter& XmlWriter::Open(std::string_view name, std::string_view xmlns) {
  out_.append("<").append(name);
  if (!xmlns.empty()) out_.append(" xmlns=\"").append(xmlns).append("\"");
  out_ += '>';
  open_.emplace_back(name);
  return *this;
}

XmlWriter& XmlWriter::Close() {
  out_.append("</").append(open_.back()).append(">");
  open_.pop_back();
  return *this;
}

XmlWriter& XmlWriter::Text(std::string_view name, std::string_view text) {
  out_.append("<").append(name).append(">");
  AppendEscaped(text, out_);
  out_.append("</").append(name).append(">");
  return *this;
}

std::string XmlWriter::Finish() {
  while (!open_.empty()) Close();
  return std::move(out_);
}

const XmlElement* XmlElement::Find(std::string_view child) const {
  for (const XmlElement& element : children) {
    if (element.name == child) return &element;
  }
  return nullptr;
}

std::string XmlElement::Get(std::string_view child) const {
  const XmlElement* found = Find(child);
  return found == nullptr ? std::string() : found->text;
}

Result<XmlElement> ParseXml(std::string_view text) { return Parser(text).Document(); }

}  // namespace bertie::cloud
