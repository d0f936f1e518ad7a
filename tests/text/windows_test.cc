#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "expect_error.h"
#include "text/small_tokenizer.h"
#include "text/tokenizer.h"

namespace bertie::text {
namespace {

class WindowsTest : public testing::Test {
 protected:
  Windows Read(const std::string& a, const std::optional<std::string>& b,
               const WindowOptions& options) {
    auto windows = tokenizer_.EncodeWindows(a, b, options);
    EXPECT_TRUE(windows.ok()) << windows.error().message;
    return *std::move(windows);
  }
  static std::vector<Ids> IdsOf(const Windows& windows) {
    std::vector<Ids> ids;
    for (const Encoding& each : windows.encodings) {
      EXPECT_EQ(each.type_ids.size(), each.ids.size());
      EXPECT_FALSE(each.truncated);
      ids.push_back(each.ids);
    }
    EXPECT_EQ(windows.added.size(), ids.size());
    return ids;
  }

  const Tokenizer tokenizer_ = SmallTokenizer();
};

TEST_F(WindowsTest, ATextThatFitsIsAsEncodeMakesIt) {
  for (const std::string text : {"", "a", "a b c"}) {
    const Windows one = Read(text, {}, {.max_length = 5});
    EXPECT_EQ(IdsOf(one), std::vector<Ids>{tokenizer_.Encode(text, 5).ids});
    const Windows pair = Read(text, "b", {.max_length = 7});
    ASSERT_EQ(pair.encodings.size(), 1U);
    EXPECT_EQ(pair.encodings[0].ids, tokenizer_.EncodePair(text, "b").ids);
    EXPECT_EQ(pair.encodings[0].type_ids, tokenizer_.EncodePair(text, "b").type_ids);
  }
}

TEST_F(WindowsTest, NeighboursShareTheStride) {
  const Windows windows = Read("a b c a b c a", {}, {.max_length = 6, .stride = 2});
  EXPECT_EQ(IdsOf(windows), (std::vector<Ids>{{kCls, 12, 13, 14, 12, kSep},
                                              {kCls, 14, 12, 13, 14, kSep},
                                              {kCls, 13, 14, 12, kSep}}));
  EXPECT_EQ(windows.added, (std::vector<uint32_t>{4, 2, 1}));
}

TEST_F(WindowsTest, NoWindowIsOnlyOverlap) {
  const Windows windows = Read("a b c a b c", {}, {.max_length = 6, .stride = 2});
  EXPECT_EQ(windows.added, (std::vector<uint32_t>{4, 2}));
}

TEST_F(WindowsTest, AQuarterIsSharedUnlessTold) {
  EXPECT_EQ(IdsOf(Read("a b c a b", {}, {.max_length = 6}))[1], (Ids{kCls, 12, 13, kSep}));
  // Too few for a quarter.
  EXPECT_EQ(IdsOf(Read("a b c a", {}, {.max_length = 5}))[1], (Ids{kCls, 12, kSep}));
}

TEST_F(WindowsTest, TheSecondTextIsWholeInEachWindow) {
  const Windows windows = Read("a b c a", "c b", {.max_length = 8, .stride = 1});
  EXPECT_EQ(IdsOf(windows), (std::vector<Ids>{{kCls, 12, 13, 14, kSep, 14, 13, kSep},
                                              {kCls, 14, 12, kSep, 14, 13, kSep}}));
  EXPECT_EQ(windows.encodings[1].type_ids, (Ids{0, 0, 0, 0, 1, 1, 1}));
}

TEST_F(WindowsTest, WithoutRoomTheErrorSaysWhatWouldFit) {
  const auto error = [&](const std::optional<std::string>& b, const WindowOptions& options) {
    const auto windows = tokenizer_.EncodeWindows("a b c a", b, options);
    EXPECT_FALSE(windows.ok());
    if (windows.ok()) return std::string();
    EXPECT_EQ(windows.error().code, ErrorCode::kInvalidArgument);
    return windows.error().message;
  };
  EXPECT_EQ(error("c b a c", {.max_length = 7}),
            "has a second text of 4 tokens, kept whole in windows of 7 tokens; expected at most 3");
  EXPECT_EQ(error("c b", {.max_length = 7, .stride = 2}),
            "has a second text of 2 tokens, kept whole in windows of 7 tokens that overlap by 2 "
            "(the stride); expected at most 1");
  EXPECT_EQ(error({}, {.max_length = 5, .stride = 3}),
            "cannot be read in windows of 5 tokens that overlap by 3 (the stride); expected an "
            "overlap under 3");
  EXPECT_FALSE(CheckWindows({.max_length = 5, .stride = 3}).ok());
  EXPECT_TRUE(CheckWindows({.max_length = 5, .stride = 2}).ok());
  EXPECT_TRUE(Read("a", "c b a", {.max_length = 7}).encodings.size() == 1) << "it fits";
}

TEST_F(WindowsTest, TokensOfAllWindowsAreCountedBeforeTheyAreMade) {
  WindowOptions options{.max_length = 6, .stride = 2, .max_tokens = 17};
  EXPECT_EQ(Read("a b c a b c a", {}, options).encodings.size(), 3U);
  options.max_tokens = 16;
  EXPECT_ERROR(tokenizer_.EncodeWindows("a b c a b c a", {}, options),
               ErrorCode::kResourceExhausted, "has 17 tokens in its 3 windows; the limit is 16");
}

TEST(Windows, ATracedModelsArePadded) {
  TokenizerSpec spec = SmallSpec();
  spec.trace = {.pad_to = 5, .single_type = true};
  auto tokenizer = Tokenizer::Create(spec);
  ASSERT_TRUE(tokenizer.ok());
  auto windows = tokenizer->EncodeWindows("a b c a", {}, {.max_length = 9, .stride = 1});
  ASSERT_TRUE(windows.ok());
  ASSERT_EQ(windows->encodings.size(), 2U);
  EXPECT_EQ(windows->encodings[1].ids, (Ids{kCls, 14, 12, kSep, kPad}));
}

}  // namespace
}  // namespace bertie::text
