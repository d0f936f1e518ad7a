// XML as S3, STS and IAM speak it: elements and text. Attributes, comments and instructions are
// skipped; document types and entities of one's own are refused.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace bertie::cloud {

class XmlWriter {
 public:
  // Begins with the declaration.
  XmlWriter();

  // name: an XML name; xmlns: the element's namespace, where it declares one.
  XmlWriter& Open(std::string_view name, std::string_view xmlns = {});
  XmlWriter& Close();
  XmlWriter& Text(std::string_view name, std::string_view text);

  // Closes what is open.
  std::string Finish();

 private:
  std::string out_;
  std::vector<std::string> open_;
};

struct XmlElement {
  std::string name;  // without a prefix
  std::string text;  // of the element itself, all of it, with the references resolved
  std::vector<XmlElement> children;

  // The first child of that name; null when there is none.
  const XmlElement* Find(std::string_view child) const;
  // The first child's text, or "".
  std::string Get(std::string_view child) const;
};

// kInvalidData with the byte's position for anything that is not one well-formed element, for a
// document type, for more than 16 levels, or more than 100,000 elements.
Result<XmlElement> ParseXml(std::string_view text);

}  // namespace bertie::cloud
