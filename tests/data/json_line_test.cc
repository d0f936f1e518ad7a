#include "data/json_line.h"

#include <gtest/gtest.h>

#include "data/whole_number.h"

namespace bertie::data {
namespace {

std::string Field(const char* json) {
  const formats::Json object = formats::Json::parse(json);
  auto field = JsonField(object, "k");
  if (!field.ok()) return "error: " + field.error().message;
  return field->value_or("(none)");
}

TEST(JsonLine, FieldsBecomeText) {
  EXPECT_EQ(Field(R"({"k": "a\u00e9"})"), "a\xc3\xa9");
  EXPECT_EQ(Field(R"({"k": 7})"), "7");
  EXPECT_EQ(Field(R"({"k": -1})"), "-1");
  EXPECT_EQ(Field(R"({"k": 1.0})"), "1");
  EXPECT_EQ(Field(R"({"k": 1.5})"), "1.5");
  EXPECT_EQ(Field(R"({"k": 18446744073709551615})"), "18446744073709551615");
  EXPECT_EQ(Field(R"({"k": true})"), "true");
  EXPECT_EQ(Field(R"({"k": null})"), "(none)");
  EXPECT_EQ(Field(R"({"x": 1})"), "(none)");
}

TEST(JsonLine, ListsAndObjectsAreNoFields) {
  EXPECT_EQ(Field(R"({"k": ["a"]})"), "error: 'k' is an array; expected a string or a number");
  EXPECT_EQ(Field(R"({"k": {}})"), "error: 'k' is an object; expected a string or a number");
}

TEST(JsonLine, ErrorsNameTheFilesLine) {
  auto bad = ParseJsonLine("{\"a\": }", "f.jsonl", 17);
  ASSERT_FALSE(bad.ok());
  EXPECT_TRUE(bad.error().message.starts_with("f.jsonl:17:")) << bad.error().message;
  EXPECT_FALSE(bad.error().message.starts_with("f.jsonl:17:1:")) << bad.error().message;
  auto array = ParseJsonLine("[1]", "f.jsonl", 3);
  ASSERT_FALSE(array.ok());
  EXPECT_TRUE(array.error().message.starts_with("f.jsonl:3: found an array; expected an object"));
}

TEST(WholeNumber, OnlyAsToStringWritesIt) {
  EXPECT_EQ(ParseWholeNumber("0"), 0);
  EXPECT_EQ(ParseWholeNumber("-12"), -12);
  for (const char* text : {"", "-", "+1", "01", "-01", "-0", "1.0", "1 ", " 1", "1e3", "0x1",
                           "99999999999999999999"}) {
    EXPECT_FALSE(ParseWholeNumber(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace bertie::data
