#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "model/batch.h"

namespace bertie::model {
namespace {

// Sentence i holds `lengths[i]` tokens, all i.
PackedBatch Make(const std::vector<int>& lengths) {
  PackedBatch batch;
  for (size_t i = 0; i < lengths.size(); ++i) {
    const std::vector<int32_t> ids(static_cast<size_t>(lengths[i]), static_cast<int32_t>(i));
    batch.Add(ids, std::vector<int32_t>(ids.size(), 0));
  }
  return batch;
}

TEST(ShareOut, EverySentenceGoesWholeIntoOneShare) {
  const std::vector<int> lengths = {9, 11, 3, 20, 8, 8, 14, 5, 17, 12, 6};
  const auto shares = ShareOut(Make(lengths), 3);
  ASSERT_EQ(shares.size(), 3u);
  std::vector<int64_t> seen;
  for (const BatchShare& share : shares) {
    ASSERT_EQ(share.batch.size(), static_cast<int64_t>(share.sentences.size()));
    for (size_t i = 0; i < share.sentences.size(); ++i) {
      const auto first = share.batch.cumulative_seq_lengths[i];
      const auto last = share.batch.cumulative_seq_lengths[i + 1];
      EXPECT_EQ(last - first, lengths[static_cast<size_t>(share.sentences[i])]);
      for (auto t = first; t < last; ++t) {
        EXPECT_EQ(share.batch.token_ids[static_cast<size_t>(t)], share.sentences[i]);
      }
    }
    seen.insert(seen.end(), share.sentences.begin(), share.sentences.end());
  }
  std::sort(seen.begin(), seen.end());
  std::vector<int64_t> all(lengths.size());
  std::iota(all.begin(), all.end(), int64_t{0});
  EXPECT_EQ(seen, all);
}

TEST(ShareOut, ThreadsStayTogetherWhereSharesWouldBeUneven) {
  EXPECT_TRUE(ShareOut(Make({40}), 2).empty());
  EXPECT_TRUE(ShareOut(Make({40, 40}), 3).empty());
  EXPECT_TRUE(ShareOut(Make({100, 3, 5}), 2).empty());
  EXPECT_TRUE(ShareOut(Make({10, 10, 10}), 1).empty());
  EXPECT_EQ(ShareOut(Make({10, 11}), 2).size(), 2u);
  EXPECT_EQ(ShareOut(Make({100, 50, 48}), 2).size(), 2u);
}

}  // namespace
}  // namespace bertie::model
