#include "text/trie.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "expect_error.h"

namespace bertie::text {
namespace {

using Keys = std::vector<std::pair<std::string_view, int32_t>>;

struct Match {
  size_t length = 0;
  int32_t value = -1;
  bool operator==(const Match&) const = default;
};

Match Longest(const Trie& trie, std::string_view text) {
  Match match;
  match.length = trie.LongestMatch(text, Trie::kRoot, match.value);
  return match;
}

TEST(Trie, EmptyMatchesNothing) {
  for (const Trie& trie : {Trie(), *Trie::Build({}), *Trie::Build({{"", 7}})}) {
    EXPECT_EQ(Longest(trie, ""), Match());
    EXPECT_EQ(Longest(trie, "abc"), Match());
    EXPECT_EQ(Longest(trie, std::string_view("\0\0\1", 3)), Match());
  }
}

TEST(Trie, TheLongestKeyWins) {
  const Trie trie = *Trie::Build({{"a", 1}, {"abc", 2}, {"abcde", 3}, {"b", 4}});
  EXPECT_EQ(Longest(trie, "ax"), (Match{1, 1}));
  EXPECT_EQ(Longest(trie, "abx"), (Match{1, 1}));
  EXPECT_EQ(Longest(trie, "abcd"), (Match{3, 2}));
  EXPECT_EQ(Longest(trie, "abcdef"), (Match{5, 3}));
  EXPECT_EQ(Longest(trie, "xabc"), Match());
}

TEST(Trie, OfEqualKeysTheFirstCounts) {
  const Trie trie = *Trie::Build({{"b", 9}, {"a", 1}, {"a", 2}});
  EXPECT_EQ(Longest(trie, "a"), (Match{1, 1}));
}

TEST(Trie, EveryByteIsAllowed) {
  std::vector<std::string> keys;
  for (int byte = 0; byte < 256; ++byte) {
    keys.push_back(std::string(1, static_cast<char>(byte)));
    keys.push_back(std::string(2, static_cast<char>(byte)));
  }
  Keys views;
  for (size_t i = 0; i < keys.size(); ++i) {
    views.emplace_back(keys[i], static_cast<int32_t>(i));
  }
  const Trie trie = *Trie::Build(views);
  for (size_t i = 0; i < keys.size(); ++i) {
    EXPECT_EQ(Longest(trie, keys[i]), (Match{keys[i].size(), static_cast<int32_t>(i)}));
    const std::string other(1, static_cast<char>(keys[i][0] + 1));
    EXPECT_EQ(Longest(trie, keys[i] + other).value, static_cast<int32_t>(i));
  }
}

TEST(Trie, EqualsAMapOnRandomKeys) {
  std::mt19937 random(7);
  for (const int alphabet : {2, 3, 20, 256}) {
    std::map<std::string, int32_t> map;
    for (int i = 0; i < 3000; ++i) {
      std::string key;
      for (size_t length = 1 + random() % 8; key.size() < length;) {
        key.push_back(static_cast<char>(random() % alphabet));
      }
      map.emplace(key, i);
    }
    const Trie trie = *Trie::Build(Keys(map.begin(), map.end()));
    for (int i = 0; i < 20000; ++i) {
      std::string text;
      for (size_t length = random() % 12; text.size() < length;) {
        text.push_back(static_cast<char>(random() % alphabet));
      }
      Match expected;
      for (size_t length = 1; length <= text.size(); ++length) {
        if (const auto found = map.find(text.substr(0, length)); found != map.end()) {
          expected = {length, found->second};
        }
      }
      ASSERT_EQ(Longest(trie, text), expected) << ::testing::PrintToString(text);
    }
  }
}

TEST(Trie, WalksFromAnyNode) {
  const Trie trie = *Trie::Build({{"##able", 1}, {"##a", 2}, {"able", 3}});
  Trie::Node node = Trie::kRoot;
  ASSERT_TRUE(trie.Walk(node, "##"));
  int32_t value = -1;
  EXPECT_EQ(trie.LongestMatch("ables", node, value), 4u);
  EXPECT_EQ(value, 1);
  EXPECT_FALSE(trie.Walk(node, "x"));
}

TEST(Trie, RefusesAKeyThatIsTooLong) {
  const std::string fits(Trie::kMaxKeyBytes, 'x');
  const std::string too_long = fits + "x";
  EXPECT_TRUE(Trie::Build({{fits, 1}}).ok());
  EXPECT_ERROR(Trie::Build({{too_long, 1}}), ErrorCode::kResourceExhausted, "has 1025 bytes");
}

TEST(Trie, RefusesTooManyNodes) {
  std::vector<std::string> keys;
  for (int i = 0; i < 5000; ++i) {
    keys.push_back(std::to_string(10'000 + i) + std::string(Trie::kMaxKeyBytes - 5, 'x'));
  }
  Keys views;
  for (const auto& key : keys) {
    views.emplace_back(key, 0);
  }
  EXPECT_ERROR(Trie::Build(views), ErrorCode::kResourceExhausted, "4194304 trie nodes");
}

}  // namespace
}  // namespace bertie::text
