#include "serve/metrics.h"

#include <gtest/gtest.h>

namespace bertie::serve {
namespace {

bool Has(const std::string& page, const std::string& line) {
  return ("\n" + page).find("\n" + line + "\n") != std::string::npos;
}

TEST(Histogram, CountsAreCumulative) {
  Histogram histogram(1, 2);
  for (double value : {0.5, 1.0, 1.5, 1e9}) histogram.Observe(value);
  std::string out;
  histogram.Append("h", "", out);
  EXPECT_TRUE(Has(out, "h_bucket{le=\"1\"} 2")) << out;
  EXPECT_TRUE(Has(out, "h_bucket{le=\"2\"} 3")) << out;
  EXPECT_TRUE(Has(out, "h_bucket{le=\"8192\"} 3")) << out;
  EXPECT_TRUE(Has(out, "h_bucket{le=\"+Inf\"} 4")) << out;
  EXPECT_TRUE(Has(out, "h_count 4")) << out;
  EXPECT_TRUE(Has(out, "h_sum 1e+09")) << out;
}

TEST(Metrics, FormatsWhatWasCounted) {
  Metrics metrics;
  metrics.CountRequest("/invocations", 200);
  metrics.CountRequest("/invocations", 200);
  metrics.CountRequest("other", 404);
  metrics.CountTexts(5, 1);
  metrics.ObserveBatch(2, 30);
  metrics.ObserveInvocation(0.001, 0.002, 0.003, 0.006);
  std::string page = metrics.Format({.queue_depth = 3, .queue_tokens = 40, .connections = 2});
  EXPECT_TRUE(Has(page, "bertie_requests_total{route=\"/invocations\",code=\"200\"} 2")) << page;
  EXPECT_TRUE(Has(page, "bertie_requests_total{route=\"other\",code=\"404\"} 1"));
  EXPECT_TRUE(Has(page, "# TYPE bertie_request_duration_seconds histogram"));
  EXPECT_TRUE(Has(page, "bertie_request_duration_seconds_count 1"));
  EXPECT_TRUE(Has(page, "bertie_phase_duration_seconds_sum{phase=\"queue\"} 0.002"));
  EXPECT_TRUE(Has(page, "bertie_batch_tokens_sum 30"));
  EXPECT_TRUE(Has(page, "bertie_texts_total 5"));
  EXPECT_TRUE(Has(page, "bertie_truncated_total 1"));
  EXPECT_TRUE(Has(page, "bertie_queue_depth 3"));
  EXPECT_TRUE(Has(page, "bertie_connections 2"));
}

}  // namespace
}  // namespace bertie::serve
