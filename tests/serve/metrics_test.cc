#include "serve/metrics.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

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
  const auto model = metrics.ForModel("mail", "2");
  EXPECT_EQ(metrics.ForModel("mail", "2"), model);
  model->CountRequest("/invocations", 200);
  model->CountRequest("/invocations", 200, 0.006);
  metrics.CountRequest("other", 404);
  model->ObserveInference(
      {.texts = 5, .truncated = 1, .windowed = 2, .times = {0.001, 0.002, 0.003}});
  model->CountPredictions(std::vector<size_t>{1, 1, 0});
  model->ObserveBatch(2, 30);
  model->Enter();
  const std::vector<std::string> labels = {"ham", "\"spam\""};
  std::string page = metrics.Format({.models = {{.metrics = model,
                                                 .queue_depth = 3,
                                                 .queue_tokens = 40,
                                                 .labels = labels,
                                                 .dtype = "fp32",
                                                 .sha256 = "0123"}},
                                     .connections = 2});
  const std::string of = "model=\"mail\",version=\"2\"";
  EXPECT_TRUE(Has(page, "bertie_requests_total{" + of + ",route=\"/invocations\",code=\"200\"} 2"))
      << page;
  EXPECT_TRUE(Has(page, "bertie_requests_total{route=\"other\",code=\"404\"} 1"));
  EXPECT_TRUE(Has(page, "# TYPE bertie_request_duration_seconds histogram"));
  EXPECT_TRUE(
      Has(page, "bertie_request_duration_seconds_count{" + of + ",route=\"/invocations\"} 1"));
  EXPECT_TRUE(Has(page, "bertie_phase_duration_seconds_sum{" + of + ",phase=\"queue\"} 0.002"));
  EXPECT_TRUE(Has(page, "bertie_batch_tokens_sum{" + of + "} 30"));
  EXPECT_TRUE(Has(page, "bertie_texts_total{" + of + "} 5"));
  EXPECT_TRUE(Has(page, "bertie_truncated_total{" + of + "} 1"));
  EXPECT_TRUE(Has(page, "bertie_windowed_total{" + of + "} 2"));
  EXPECT_TRUE(Has(page, "bertie_predicted_total{" + of + ",label=\"ham\"} 1"));
  EXPECT_TRUE(Has(page, "bertie_predicted_total{" + of + ",label=\"\\\"spam\\\"\"} 2"));
  EXPECT_TRUE(Has(page, "bertie_inflight{" + of + "} 1"));
  EXPECT_TRUE(Has(page, "bertie_queue_depth{" + of + "} 3"));
  EXPECT_TRUE(Has(page, "bertie_model_loaded_info{" + of + ",dtype=\"fp32\",sha256=\"0123\"} 1"));
  EXPECT_TRUE(Has(page, "bertie_connections 2"));
}

TEST(Metrics, TwoLabelsOfOneNameAreOneLine) {
  Metrics metrics;
  const auto model = metrics.ForModel("m", "1");
  model->CountPredictions(std::vector<size_t>{0, 1, 1});
  const std::vector<std::string> labels = {"same", "same"};
  const std::string page =
      metrics.Format({.models = {{.metrics = model, .labels = labels}}, .connections = 0});
  EXPECT_TRUE(Has(page, "bertie_predicted_total{model=\"m\",version=\"1\",label=\"same\"} 3"))
      << page;
}

TEST(Metrics, AForgottenModelHasNoLines) {
  Metrics metrics;
  metrics.ForModel("mail", "1")->CountRequest("/invocations", 200);
  metrics.Forget("mail", "1");
  EXPECT_EQ(metrics.Format({}).find("mail"), std::string::npos);
}

}  // namespace
}  // namespace bertie::serve
