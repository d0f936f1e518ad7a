// Twice the text takes about twice the time, whatever the text: no input is a weapon.
#include <gtest/gtest.h>
#include <malloc.h>
#include <time.h>

#include <algorithm>
#include <limits>
#include <string>

#include "text/small_tokenizer.h"
#include "text/tokenizer.h"

namespace bertie::text {
namespace {

constexpr size_t kMegabyte = size_t{1} << 20;

struct HostileText {
  const char* name;
  const char* unit;
};

void PrintTo(const HostileText& text, std::ostream* out) { *out << text.name; }

std::string Repeated(const std::string& unit, size_t bytes) {
  std::string text;
  while (text.size() < bytes) {
    text += unit;
  }
  return text;
}

double ThreadSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

class LinearTimeTest : public testing::TestWithParam<HostileText> {
 protected:
  // Memory that goes back to the system between the runs would put the kernel's page faults into
  // the figures.
  static void SetUpTestSuite() {
    mallopt(M_MMAP_THRESHOLD, std::numeric_limits<int>::max());
    mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  }

  double BestSeconds(const std::string& text) const {
    double best = std::numeric_limits<double>::max();
    for (int run = 0; run < 5; ++run) {
      const double start = ThreadSeconds();
      const Encoding encoding = tokenizer_.Encode(text);
      best = std::min(best, ThreadSeconds() - start);
      EXPECT_GE(encoding.ids.size(), 2u);
    }
    return best;
  }

  const Tokenizer tokenizer_ = SmallTokenizer();
};

TEST_P(LinearTimeTest, Holds) {
  constexpr double kMaxRatio = 2.3;
  // A busy machine spoils single measurements; a loop that is not linear fails every time.
  constexpr int kAttempts = 8;
  double ratio_2 = 0;
  double ratio_4 = 0;
  double seconds = 0;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    seconds = BestSeconds(Repeated(GetParam().unit, kMegabyte));
    const double seconds_2 = BestSeconds(Repeated(GetParam().unit, 2 * kMegabyte));
    const double seconds_4 = BestSeconds(Repeated(GetParam().unit, 4 * kMegabyte));
    ratio_2 = seconds_2 / seconds;
    ratio_4 = seconds_4 / seconds_2;
    if (ratio_2 < kMaxRatio && ratio_4 < kMaxRatio) {
      break;
    }
  }
  EXPECT_LT(ratio_2, kMaxRatio);
  EXPECT_LT(ratio_4, kMaxRatio);
  // 50 ms is the aim, which is printed; this bound only tells a hang.
  EXPECT_LT(seconds, 10);
  RecordProperty("milliseconds_per_megabyte", std::to_string(seconds * 1e3));
}

const HostileText kHostileTexts[] = {
    {"english", "Hello, unaffable world! "},
    {"no_blank", "a"},
    {"blanks", " "},
    {"punctuation", "!?"},
    {"one_combining_mark", "\u0301"},
    {"one_mark_that_stays", "\u302E"},
    {"marks_in_wrong_order", "\u302E\uA953\U0001D165"},
    {"ideographs", "你好"},
    {"hangul_without_blank", "한국"},
    {"capital_i_with_dot", "\u0130"},
    {"zero_width", "\u200B"},
    {"right_to_left_marks", "\u200F\u202E"},
    {"emoji_joined", "\U0001F468\u200D\U0001F469\u200D"},
    {"private_use", "\uE000"},
    {"replacement", "\uFFFD"},
    {"invalid_utf8", "\xFF"},
    {"invalid_utf8_in_words", "a\xE4\xBD"},
    {"special_tokens", "[SEP]"},
    {"nearly_special_tokens", "[MAS"},
    {"brackets", "["},
    {"words_of_100",
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "aaaaaaaaaaaaaaaaaaaaaaa "},
};

INSTANTIATE_TEST_SUITE_P(HostileTexts, LinearTimeTest, testing::ValuesIn(kHostileTexts),
                         [](const auto& text) { return std::string(text.param.name); });

TEST(LinearTime, ATextThatIsCutIsNotReadToItsEnd) {
  const Tokenizer tokenizer = SmallTokenizer();
  const std::string text = Repeated("Hello, unaffable world! ", 64 * kMegabyte);
  const double start = ThreadSeconds();
  EXPECT_EQ(tokenizer.Encode(text, 64).ids.size(), 64u);
  // All of it takes about half a second.
  EXPECT_LT(ThreadSeconds() - start, 0.2);
}

}  // namespace
}  // namespace bertie::text
