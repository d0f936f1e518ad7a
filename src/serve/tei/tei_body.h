// What the readers of TEI's bodies share.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "formats/json.h"
#include "http/message.h"

namespace bertie::serve {

// A body, or a refusal with one of TEI's kinds as its type: Validation (413), Empty (400); or, for
// what TEI's web framework refuses in plain text, PlainText (400, 415, 422).
template <class Body>
using TeiParsed = std::variant<Body, http::Refusal>;

// PlainText 422. Its message is what is wrong, until OfTeiBody says that it is so with a body.
http::Refusal WrongTeiForm(std::string detail);
http::Refusal WrongTeiForm(const std::string& where, const formats::Json& found,
                           const std::string& expected);

// What TEI's web framework says of a body that does not have the form that the route takes; other
// refusals as they are.
http::Refusal OfTeiBody(http::Refusal refusal);

http::Refusal EmptyTeiList(const char* name);  // Empty
// Validation.
std::optional<http::Refusal> CheckTeiBatchSize(size_t size, size_t most);

// Of a request's queries, which are read anew with each of their texts: without a bound a small
// body could stand for gigabytes.
std::optional<http::Refusal> CheckTeiQueryBytes(size_t bytes);

std::optional<http::Refusal> FindTeiField(formats::Json& body, const char* key,
                                          formats::Json*& out);

// The body, which is an object.
TeiParsed<formats::Json> ParseTeiObject(std::string_view text);

// read(Json&, Body&) -> std::optional<http::Refusal> reads the body's object.
template <class Body, class Read>
TeiParsed<Body> ParseTeiBody(std::string_view text, Read read) {
  auto parsed = ParseTeiObject(text);
  if (auto* refusal = std::get_if<http::Refusal>(&parsed)) return std::move(*refusal);
  Body out;
  if (auto refusal = read(std::get<formats::Json>(parsed), out)) {
    return OfTeiBody(*std::move(refusal));
  }
  return out;
}

}  // namespace bertie::serve
