#include "formats/json.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <chrono>
#include <cmath>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "base/directory.h"
#include "expect_error.h"

namespace bertie::formats {
namespace {

using std::string_literals::operator""s;

TEST(ParseJson, ReadsEachKindOfValue) {
  const auto json = ParseJson(
      R"({"a": [1, -2, 2.5e3, true, false, null, "x\u00e9\ud83d\ude00\n"], "b": {}})", "t");
  ASSERT_TRUE(json.ok()) << json.error().message;
  const Json& a = (*json)["a"];
  EXPECT_EQ(a[0], 1);
  EXPECT_EQ(a[1], -2);
  EXPECT_EQ(a[2], 2500.0);
  EXPECT_EQ(a[3], true);
  EXPECT_TRUE(a[5].is_null());
  EXPECT_EQ(a[6].get<std::string>(), "x\u00e9\U0001F600\n");
  EXPECT_TRUE((*json)["b"].is_object());
}

TEST(ParseJson, KeepsIntegersOf64Bits) {
  const auto json =
      ParseJson("[9223372036854775807, -9223372036854775808, 18446744073709551615]", "t");
  EXPECT_EQ((*json)[0].get<int64_t>(), std::numeric_limits<int64_t>::max());
  EXPECT_EQ((*json)[1].get<int64_t>(), std::numeric_limits<int64_t>::min());
  EXPECT_EQ((*json)[2].get<uint64_t>(), std::numeric_limits<uint64_t>::max());
  EXPECT_TRUE((*ParseJson("[18446744073709551616]", "t"))[0].is_number_float());
}

// The corners of RFC 8259 that readers get wrong.
TEST(ParseJson, AcceptsAllThatIsJson) {
  for (const std::string& text :
       {"0"s, "-0"s, " \t\r\n[ ] \n"s, "\"\""s, "true"s, "null"s, "1e5"s, "1E+5"s, "-1.5e-05"s,
        "[[[[[]]]]]"s, "\"\\/\\b\\f\\u0000\""s, "\"\x7f\""s, "{\"\":0}"s, "\"\\uFFFF\""s,
        "\"\xf4\x8f\xbf\xbf\""s, "\"\u2028\""s, "1e-400"s, "{\"a\":{\"a\":{\"a\":1}}}"s}) {
    const auto json = ParseJson(text, "t");
    EXPECT_TRUE(json.ok()) << text << ": " << (json.ok() ? "" : json.error().message);
  }
}

TEST(ParseJson, RefusesAllThatIsNot) {
  for (const std::string& text : {""s,          " "s,          "["s,
                                  "]"s,         "{"s,          "[1,]"s,
                                  "[,1]"s,      "[1 2]"s,      "{\"a\"}"s,
                                  "{\"a\":}"s,  "{\"a\":1,}"s, "{a:1}"s,
                                  "{'a':1}"s,   "{1:1}"s,      "tru"s,
                                  "True"s,      "nul"s,        "NaN"s,
                                  "[NaN]"s,     "Infinity"s,   "-Infinity"s,
                                  "+1"s,        "01"s,         "-"s,
                                  "-01"s,       "1."s,         ".5"s,
                                  "1e"s,        "1e+"s,        "0x1"s,
                                  "1_000"s,     "\""s,         "\"\\\""s,
                                  "\"\\x41\""s, "\"\\u12\""s,  "\"\\u12g4\""s,
                                  "\"\n\""s,    "\"\t\""s,     "\"\x01\""s,
                                  "1 2"s,       "{} []"s,      "[1]x"s,
                                  "/* */ 1"s,   "// \n1"s,     "[1]\0"s,
                                  "12\0"s,      "\"a\0b\""s,   "\0"s,
                                  "\x0c[]"s,    "\xa0[]"s,     "[\"a\"\xe2\x81\xa0]"s}) {
    EXPECT_ERROR(ParseJson(text, "t"), ErrorCode::kInvalidData, "t:");
  }
}

TEST(ParseJson, RefusesWhatIsLeftToReaders) {
  struct Case {
    const char* why;
    std::string text;
  };
  for (const Case& c : {
           Case{"byte order mark", "\xef\xbb\xbf[]"},
           Case{"UTF-16", "\xff\xfe[\0]\0"s},
           Case{"invalid UTF-8", "\"\xff\""},
           Case{"overlong UTF-8", "\"\xc0\xaf\""},
           Case{"surrogate in UTF-8", "\"\xed\xa0\x80\""},
           Case{"beyond U+10FFFF", "\"\xf4\x90\x80\x80\""},
           Case{"cut UTF-8", "\"\xe2\x82\""},
           Case{"lone high surrogate", "\"\\ud800\""},
           Case{"lone low surrogate", "\"\\udc00x\""},
           Case{"two high surrogates", "\"\\ud800\\ud800\""},
           Case{"no double", "1e400"},
           Case{"no double", "[-1e9999]"},
       }) {
    SCOPED_TRACE(c.why);
    EXPECT_ERROR(ParseJson(c.text, "t"), ErrorCode::kInvalidData, "t:1:");
  }
}

TEST(ParseJson, MessagesSayWhereAndWhat) {
  EXPECT_ERROR(ParseJson("{\n  \"a\": 1,\n  \"b\" 2\n}", "f.json"), ErrorCode::kInvalidData,
               "f.json:3:7: not JSON: ");
  EXPECT_ERROR(ParseJson("[1, nul]", "f.json"), ErrorCode::kInvalidData, "f.json:1:8: not JSON: ");
  EXPECT_ERROR(ParseJson("[", "f.json"), ErrorCode::kInvalidData, "f.json:1:");
  EXPECT_ERROR(ParseJson("[1]\0x"s, "f.json"), ErrorCode::kInvalidData,
               "f.json:1:4: not JSON: holds a NUL byte");
}

TEST(ParseJson, MessagesHoldLittleOfTheText) {
  const std::string secret(5'000, 's');
  for (const std::string& text :
       {"[" + secret + "]", "\"" + secret, "\"" + secret + "\n\"",
        "1" + std::string(5'000, '0') + "e9999999", "{\"a\":" + secret, secret,
        "\"\\u12" + secret + "\"", "\"" + secret + "'; expected"}) {
    const auto json = ParseJson(text, "t");
    ASSERT_FALSE(json.ok());
    EXPECT_LT(json.error().message.size(), 300u) << json.error().message;
    EXPECT_EQ(json.error().message.find(std::string(101, 's')), std::string::npos);
  }
  const auto control = ParseJson("\"\x1b[31m", "t");
  EXPECT_EQ(control.error().message.find('\x1b'), std::string::npos);
}

TEST(ParseJson, LimitsDepth) {
  const auto nested = [](size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_TRUE(ParseJson(nested(64), "t").ok());
  EXPECT_ERROR(ParseJson(nested(65), "t"), ErrorCode::kResourceExhausted,
               "t: JSON deeper than 64 levels");
  JsonLimits limits;
  limits.max_depth = 2;
  EXPECT_ERROR(ParseJson("[{\"a\": []}]", "t", limits), ErrorCode::kResourceExhausted,
               "deeper than 2");
}

// 100 kB, 250 kB and 6 MB of openings, on a stack of 64 kB.
TEST(ParseJson, DepthBombsCostNeitherStackNorTime) {
  const auto parse_bombs = [](void*) -> void* {
    std::string mixed;
    for (int i = 0; i < 50'000; ++i) mixed += "[{\"\":";
    for (const std::string& bomb :
         {std::string(100'000, '['), mixed, std::string(6'000'000, '[')}) {
      const auto start = std::chrono::steady_clock::now();
      EXPECT_ERROR(ParseJson(bomb, "t"), ErrorCode::kResourceExhausted, "deeper than 64");
      EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
    }
    return nullptr;
  };
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  constexpr size_t kStack = 1 << 20;  // the sanitizers' own frames are large
#else
  constexpr size_t kStack = 64 << 10;
#endif
  pthread_attr_setstacksize(&attributes, kStack);
  pthread_t thread;
  ASSERT_EQ(pthread_create(&thread, &attributes, parse_bombs, nullptr), 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
}

TEST(ParseJson, LimitsBytesAndValues) {
  JsonLimits limits;
  limits.max_bytes = 5;
  EXPECT_TRUE(ParseJson("[1,2]", "t", limits).ok());
  EXPECT_ERROR(ParseJson("[1,23]", "t", limits), ErrorCode::kResourceExhausted,
               "t: JSON of 6 bytes, over the limit of 5");
  limits = {};
  limits.max_values = 3;
  EXPECT_TRUE(ParseJson("[1,2]", "t", limits).ok());
  EXPECT_ERROR(ParseJson("[1,2,3]", "t", limits), ErrorCode::kResourceExhausted,
               "t: JSON of more than 3 values");
}

TEST(ParseJson, DuplicateKeys) {
  EXPECT_EQ(*ParseJson(R"({"a": {"b": 1}, "a": 2})", "t"), Json({{"a", 2}}));
  JsonLimits limits;
  limits.duplicate_keys = DuplicateKeys::kRefuse;
  EXPECT_ERROR(ParseJson(R"({"x": {"a": 1, "a": 2}})", "t", limits), ErrorCode::kInvalidData,
               "t: found the key 'a' a second time");
  EXPECT_TRUE(ParseJson(R"({"x": {"a": 1}, "a": 2})", "t", limits).ok());
}

TEST(ReadJsonFile, NamesTheFile) {
  const auto dir = TemporaryDirectory::Create();
  const auto path = dir->path() / "bad.json";
  std::ofstream(path) << "[1,\n2";
  EXPECT_ERROR(ReadJsonFile(path), ErrorCode::kInvalidData, path.string() + ":2:");
  EXPECT_ERROR(ReadJsonFile(dir->path() / "absent"), ErrorCode::kNotFound, "No such file");
}

TEST(DumpJson, WritesWhatParseReads) {
  const Json value = {{"a", {1, 2.5, nullptr, true}}, {"text", "caf\u00e9 \"q\" \\ \n"}};
  EXPECT_EQ(*ParseJson(DumpJson(value), "t"), value);
  EXPECT_EQ(*ParseJson(DumpJson(value, 2), "t"), value);
  EXPECT_EQ(DumpJson(Json{{"a", 1}}), "{\"a\":1}");
  EXPECT_EQ(DumpJson(Json{{"a", 1}}, 2), "{\n  \"a\": 1\n}");
}

TEST(DumpJson, NeverThrows) {
  EXPECT_EQ(DumpJson(Json("a\xff")), "\"a\xef\xbf\xbd\"");
  EXPECT_EQ(DumpJson(Json(std::nan(""))), "null");
  EXPECT_EQ(DumpJson(Json(std::numeric_limits<double>::infinity())), "null");
}

TEST(JsonTypeName, NamesEachKind) {
  EXPECT_STREQ(JsonTypeName(Json("x")), "a string");
  EXPECT_STREQ(JsonTypeName(Json::array()), "an array");
  EXPECT_STREQ(JsonTypeName(Json::object()), "an object");
  EXPECT_STREQ(JsonTypeName(Json(1)), "an integer");
  EXPECT_STREQ(JsonTypeName(Json(1.5)), "a number");
  EXPECT_STREQ(JsonTypeName(Json(true)), "a boolean");
  EXPECT_STREQ(JsonTypeName(Json()), "null");
}

}  // namespace
}  // namespace bertie::formats
