// CloudWatch's metrics: what is kept, and the operations that read it.
#include <gtest/gtest.h>

#include <cmath>

#include "cloud/endpoints/endpoint_metrics.h"
#include "cloud/metrics/distribution.h"
#include "cloud/metrics/metric_operations.h"
#include "cloud/metrics/metric_service.h"
#include "cloud/metrics/metric_store.h"
#include "cloud/metrics/statistic.h"

namespace bertie::cloud {
namespace {

using formats::Json;

constexpr Milliseconds kNoon = 1'700'000'040'000;  // a whole minute

TEST(Distribution, KeepsCountsExactAndPercentilesNear) {
  Distribution values;
  EXPECT_EQ(values.Percentile(0.5), 0);
  for (int i = 1; i <= 1000; ++i) values.Add(i);
  EXPECT_EQ(values.count(), 1000u);
  EXPECT_EQ(values.sum(), 500'500);
  EXPECT_EQ(values.min(), 1);
  EXPECT_EQ(values.max(), 1000);
  EXPECT_NEAR(values.Percentile(0.5), 500, 500 * 0.026);
  EXPECT_NEAR(values.Percentile(0.99), 990, 990 * 0.026);
  EXPECT_EQ(values.Percentile(0), 1);
  EXPECT_EQ(values.Percentile(1), 1000);
}

TEST(Distribution, TakesZeroAndValuesBelowIt) {
  Distribution values;
  for (const double value : {-3.0, 0.0, 1e-300, 1e300}) values.Add(value);
  EXPECT_EQ(values.min(), -3);
  EXPECT_EQ(values.max(), 1e300);
  EXPECT_EQ(values.Percentile(0.5), 0);
}

TEST(Distribution, SumsAreThoseOfBoth) {
  Distribution a, b;
  for (int i = 0; i < 100; ++i) (i % 2 == 0 ? a : b).Add(i);
  a.Add(b);
  EXPECT_EQ(a.count(), 100u);
  EXPECT_EQ(a.sum(), 4950);
  EXPECT_EQ(a.max(), 99);
}

TEST(Statistic, KnowsCloudWatchsNames) {
  Distribution values;
  for (const double value : {1.0, 2.0, 6.0}) values.Add(value);
  EXPECT_EQ(Statistic::Parse("Average")->Of(values), 3);
  EXPECT_EQ(Statistic::Parse("Sum")->Of(values), 9);
  EXPECT_EQ(Statistic::Parse("SampleCount")->Of(values), 3);
  EXPECT_EQ(Statistic::Parse("p100")->Of(values), 6);
  EXPECT_TRUE(Statistic::Parse("p99.9")->extended());
  for (const char* name : {"", "p", "p101", "p-1", "p1e1", "average", "p9.9.9", "tm99"}) {
    EXPECT_FALSE(Statistic::Parse(name)) << name;
  }
}

TEST(MetricStore, KeepsSecondsForTenMinutesAndMinutesForADay) {
  MetricStore store;
  const MetricId id{"space", "name", {{"a", "b"}}};
  for (Milliseconds time = kNoon; time < kNoon + 3'600'000; time += 1000) {
    store.Record(id, "Count", 1, time);
  }
  EXPECT_EQ(store.Read(id, {}, false).size(), 600u);
  const auto minutes = store.Read(id, {}, true);
  ASSERT_EQ(minutes.size(), 60u);
  EXPECT_EQ(minutes.front().time, kNoon);
  EXPECT_EQ(minutes.front().values.count(), 60u);
  EXPECT_EQ(store.Read(id, {kNoon, kNoon + 60'000}, true).size(), 1u);
  EXPECT_TRUE(store.Read({"space", "name", {}}, {}, true).empty());
  store.Record(id, "Count", 1, kNoon + 48 * 3'600'000LL);
  EXPECT_EQ(store.Read(id, {}, true).size(), 1u);
}

TEST(MetricStore, TimeThatGoesBackCountsAsTheLast) {
  MetricStore store;
  const MetricId id{"space", "name"};
  store.Record(id, "Count", 1, kNoon + 5000);
  store.Record(id, "Count", 1, kNoon);
  ASSERT_EQ(store.Read(id, {}, false).size(), 1u);
  EXPECT_EQ(store.Read(id, {}, false)[0].values.count(), 2u);
}

TEST(MetricStore, StaysWithinItsMemory) {
  MetricStore store({.max_bytes = 100'000});
  for (int i = 0; i < 20'000; ++i) {
    const MetricId id{"space", "name", {{"variant", std::to_string(i % 7)}}};
    store.Record(id, "Microseconds", std::exp(i % 300 / 20.0), kNoon + i * 300LL);
    ASSERT_LE(store.bytes(), 100'000u);
  }
  EXPECT_EQ(store.Metrics().size(), 7u);
}

TEST(MetricStore, ForgetsTheMetricThatWasMeasuredLongestAgo) {
  MetricStore store({.max_series = 2});
  store.Record({"space", "a"}, "Count", 1, kNoon);
  store.Record({"space", "b"}, "Count", 1, kNoon + 1000);
  store.Record({"space", "a"}, "Count", 1, kNoon + 2000);
  store.Record({"space", "c"}, "Count", 1, kNoon + 3000);
  const auto metrics = store.Metrics();
  ASSERT_EQ(metrics.size(), 2u);
  EXPECT_EQ(metrics[0].name, "a");
  EXPECT_EQ(metrics[1].name, "c");
}

class MetricOperationsTest : public testing::Test {
 protected:
  Json Ask(const std::string& operation, const Json& request) {
    auto answer = operations.at(operation)(formats::DumpJson(request), {});
    return answer.ok() ? *formats::ParseJson(*answer, "answer")
                       : Json{{"code", answer.error().code}, {"message", answer.error().message}};
  }
  Json Statistics(const Json& more) {
    Json request{{"Namespace", "space"},
                 {"MetricName", "latency"},
                 {"Dimensions", {{{"Name", "v"}, {"Value", "x"}}}},
                 {"StartTime", kNoon / 1000},
                 {"EndTime", kNoon / 1000 + 120},
                 {"Period", 60},
                 {"Statistics", {"Sum"}}};
    request.update(more);
    return Ask("GetMetricStatistics", request);
  }
  void SetUp() override {
    for (int i = 0; i < 120; ++i) store.Record(id, "Microseconds", i + 1, kNoon + i * 1000LL);
  }

  const MetricId id{"space", "latency", {{"v", "x"}}};
  MetricStore store;
  JsonService::Operations operations = MetricOperations({&store});
};

TEST_F(MetricOperationsTest, StatisticsByPeriod) {
  const Json answer = Statistics({{"Statistics", {"Sum", "SampleCount", "Maximum"}}});
  EXPECT_EQ(answer["Label"], "latency");
  ASSERT_EQ(answer["Datapoints"].size(), 2u);
  const Json& point = answer["Datapoints"][0];
  EXPECT_EQ(point["Timestamp"], kNoon / 1000);
  EXPECT_EQ(point["Unit"], "Microseconds");
  EXPECT_EQ(point["Sum"], 60 * 61 / 2);
  EXPECT_EQ(point["SampleCount"], 60);
  EXPECT_EQ(point["Maximum"], 60);
  EXPECT_FALSE(point.contains("Minimum"));
}

TEST_F(MetricOperationsTest, ShortPeriodsAndPercentiles) {
  const Json answer = Statistics(
      {{"Period", 30}, {"Statistics", nullptr}, {"ExtendedStatistics", {"p50", "p100"}}});
  ASSERT_EQ(answer["Datapoints"].size(), 4u) << answer;
  EXPECT_NEAR(answer["Datapoints"][0]["ExtendedStatistics"]["p50"].get<double>(), 15, 0.6);
  EXPECT_EQ(answer["Datapoints"][3]["ExtendedStatistics"]["p100"], 120);
}

TEST_F(MetricOperationsTest, TheEndIsExclusiveAndAnotherUnitHasNothing) {
  EXPECT_EQ(Statistics({{"EndTime", kNoon / 1000 + 60}})["Datapoints"].size(), 1u);
  EXPECT_EQ(Statistics({{"Unit", "Count"}})["Datapoints"].size(), 0u);
  EXPECT_EQ(Statistics({{"Unit", "Microseconds"}})["Datapoints"].size(), 2u);
}

TEST_F(MetricOperationsTest, RefusesInWords) {
  EXPECT_EQ(Statistics({{"Period", 7}})["code"], "ValidationException");
  EXPECT_EQ(Statistics({{"Statistics", nullptr}})["code"], "InvalidParameterCombination");
  EXPECT_EQ(Statistics({{"Statistics", {"p99"}}})["code"], "InvalidParameterValue");
  EXPECT_EQ(Statistics({{"EndTime", 0}})["code"], "ValidationException");
  EXPECT_EQ(Statistics({{"StartTime", 0}})["code"], "InvalidParameterCombination");
  EXPECT_EQ(Statistics({{"MetricName", nullptr}})["code"], "ValidationException");
}

TEST_F(MetricOperationsTest, DataInPagesEitherWayRound) {
  const Json metric{{"Namespace", "space"},
                    {"MetricName", "latency"},
                    {"Dimensions", {{{"Name", "v"}, {"Value", "x"}}}}};
  Json request{
      {"StartTime", kNoon / 1000},
      {"EndTime", kNoon / 1000 + 120},
      {"MaxDatapoints", 3},
      {"MetricDataQueries",
       {{{"Id", "a"}, {"MetricStat", {{"Metric", metric}, {"Period", 30}, {"Stat", "Maximum"}}}},
        {{"Id", "b"},
         {"Label", "other"},
         {"MetricStat", {{"Metric", metric}, {"Period", 60}, {"Stat", "SampleCount"}}}}}}};
  Json page = Ask("GetMetricData", request);
  ASSERT_EQ(page["MetricDataResults"].size(), 2u) << page;
  EXPECT_EQ(page["MetricDataResults"][0]["Values"], Json({120, 90, 60}));
  EXPECT_EQ(page["MetricDataResults"][0]["StatusCode"], "PartialData");
  request["NextToken"] = page["NextToken"];
  page = Ask("GetMetricData", request);
  EXPECT_EQ(page["MetricDataResults"][0]["Values"], Json({30}));
  EXPECT_EQ(page["MetricDataResults"][1]["Values"], Json({60, 60}));
  EXPECT_EQ(page["MetricDataResults"][1]["Label"], "other");
  EXPECT_FALSE(page.contains("NextToken"));
  request.erase("NextToken");
  request["ScanBy"] = "TimestampAscending";
  EXPECT_EQ(Ask("GetMetricData", request)["MetricDataResults"][0]["Values"], Json({30, 60, 90}));
  request["NextToken"] = "x";
  EXPECT_EQ(Ask("GetMetricData", request)["code"], "InvalidNextToken");
}

TEST_F(MetricOperationsTest, ListsByNamespaceNameAndDimensions) {
  store.Record({"space", "other", {{"v", "y"}}}, "Count", 1, kNoon);
  const auto count = [&](const Json& request) {
    return Ask("ListMetrics", request)["Metrics"].size();
  };
  EXPECT_EQ(count(Json::object()), 2u);
  EXPECT_EQ(count({{"MetricName", "other"}}), 1u);
  EXPECT_EQ(count({{"Dimensions", {{{"Name", "v"}}}}}), 2u);
  EXPECT_EQ(count({{"Dimensions", {{{"Name", "v"}, {"Value", "y"}}}}}), 1u);
  EXPECT_EQ(count({{"Namespace", "none"}}), 0u);
  EXPECT_EQ(Ask("ListMetrics", {{"MetricName", "other"}})["Metrics"][0],
            Json({{"Namespace", "space"},
                  {"MetricName", "other"},
                  {"Dimensions", {{{"Name", "v"}, {"Value", "y"}}}}}));
}

TEST_F(MetricOperationsTest, FormsAreAnsweredInXml) {
  MetricService service(operations);
  http::Response response;
  const auto ask = [&](const std::string& form) {
    http::Request request;
    request.head = {
        .method = "POST",
        .path = "/",
        .query = {},
        .fields = {{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"}}};
    request.body = form;
    service.Handle({.request = request, .request_id = "id", .caller = {}},
                   std::make_shared<http::Exchange>(
                       [&](std::optional<http::Response> answer) { response = *answer; }));
    return response.body;
  };
  const std::string times = "&StartTime=2023-11-14T22%3A14%3A00Z&EndTime=2023-11-14T22%3A16%3A00Z";
  const std::string body =
      ask("Action=GetMetricStatistics&Version=2010-08-01&Namespace=space&MetricName=latency"
          "&Dimensions.member.1.Name=v&Dimensions.member.1.Value=x&Period=60"
          "&ExtendedStatistics.member.1=p100&Statistics.member.1=Sum" +
          times);
  EXPECT_EQ(response.status, 200) << body;
  EXPECT_NE(body.find("<GetMetricStatisticsResult><Datapoints><member>"), std::string::npos)
      << body;
  EXPECT_NE(body.find("<Timestamp>2023-11-14T22:14:00Z</Timestamp>"), std::string::npos) << body;
  EXPECT_NE(body.find("<entry><key>p100</key><value>60.0</value></entry>"), std::string::npos)
      << body;
  EXPECT_NE(ask("Action=ListMetrics&Version=2010-08-01")
                .find("<Metrics><member><Dimensions><member><Name>v</Name>"),
            std::string::npos)
      << response.body;
  ask("Action=GetMetricStatistics&Version=2010-08-01&Namespace=space");
  EXPECT_EQ(response.status, 400);
  ask("Action=ListMetrics&Dimensions.member.99999.Name=v");
  EXPECT_EQ(response.status, 400);
  std::string many = "Action=ListMetrics";
  for (int i = 0; i < 12; ++i) many += "&L" + std::to_string(i) + ".member.1000.Name=v";
  ask(many);
  EXPECT_EQ(response.status, 400);
  std::string deep = "Action=ListMetrics&a";
  for (int i = 0; i < 100'000; ++i) deep += ".a";
  ask(deep + "=v");
  EXPECT_EQ(response.status, 400);
  ask("Action=ListMetrics&Dimensions..=v");
  EXPECT_EQ(response.status, 400);
  ask("Action=PutMetricData&Version=2010-08-01");
  EXPECT_NE(response.body.find("InvalidAction"), std::string::npos);
}

TEST(EndpointMetrics, CountsByVariantInMicroseconds) {
  EndpointMetrics metrics;
  using std::chrono::milliseconds;
  metrics.Record({"e", "v", 200, milliseconds(3), milliseconds(5)});
  metrics.Record({"e", "v", 424, milliseconds(1), milliseconds(1)});
  metrics.Record({"e", "v", 503, milliseconds(1), milliseconds(1)});
  const auto all = [&](const char* name) {
    Distribution values;
    const MetricId id{"AWS/SageMaker", name, {{"EndpointName", "e"}, {"VariantName", "v"}}};
    for (const MetricSlot& slot : metrics.source().Read(id, {}, true)) values.Add(slot.values);
    return values;
  };
  EXPECT_EQ(all("Invocations").sum(), 3);
  EXPECT_EQ(all("Invocation4XXErrors").sum(), 1);
  EXPECT_EQ(all("Invocation5XXErrors").sum(), 1);
  EXPECT_EQ(all("ModelLatency").max(), 3000);
  EXPECT_EQ(all("OverheadLatency").max(), 2000);
  EXPECT_EQ(all("OverheadLatency").min(), 0);
}

}  // namespace
}  // namespace bertie::cloud
