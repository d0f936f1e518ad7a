#include "cloud/metrics/metric_operations.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

#include "base/quote.h"
#include "cloud/metrics/statistic.h"
#include "cloud/paging.h"
#include "cloud/request_reader.h"

namespace bertie::cloud {
namespace {

using formats::Json;
using MetricSources = std::vector<const MetricSource*>;

constexpr int64_t kMaxPeriod = 86'400;
constexpr Milliseconds kMinute = 60'000;
constexpr Milliseconds kMaxStatisticsPoints = 1440;
constexpr size_t kMaxDataPoints = 100'800;
constexpr size_t kMaxQueries = 500;
constexpr size_t kListPage = 500;

const TextRule kNameText{.min = 1, .max = 255};

MetricId MetricIn(RequestReader& reader) {
  MetricId id{.space = reader.Text("Namespace", Presence::kRequired, kNameText),
              .name = reader.Text("MetricName", Presence::kRequired, kNameText)};
  reader.EachObject("Dimensions", Presence::kOptional, 0, 30, [&](RequestReader& dimension) {
    const std::string name = dimension.Text("Name", Presence::kRequired, kNameText);
    id.dimensions[name] = dimension.Text("Value", Presence::kRequired, {.min = 1, .max = 1024});
  });
  return id;
}

int64_t PeriodIn(RequestReader& reader) {
  const int64_t period = reader.Integer("Period", Presence::kRequired, 1, kMaxPeriod, 60);
  const bool known = period % 60 == 0 || period == 1 || period == 5 || period == 10 ||
                     period == 20 || period == 30;
  if (!known) {
    reader.Fault("Period", std::to_string(period), "Member must be 1, 5, 10, 20, 30 or n * 60");
  }
  return period;
}

MetricSpan TimesIn(RequestReader& reader) {
  const auto begin = reader.Time("StartTime");
  const auto end = reader.Time("EndTime");
  if (!begin) reader.Fault("StartTime", "null", "Member must not be null");
  if (!end) reader.Fault("EndTime", "null", "Member must not be null");
  if (begin && end && *begin >= *end) {
    reader.Fault("StartTime", std::to_string(*begin / 1000), "Member must be before EndTime");
  }
  return {begin.value_or(0), end.value_or(0)};
}

struct Measured {
  const char* unit = "None";
  std::vector<MetricSlot> points;  // a period each
};

// Periods begin at whole ones since 1970; the first holds the span's begin.
Measured Measure(const MetricSources& sources, const MetricId& id, MetricSpan span,
                 int64_t period_s, const std::string& unit) {
  const Milliseconds period = period_s * 1000;
  span.from -= span.from % period;
  Measured measured;
  for (const MetricSource* source : sources) {
    for (MetricSlot& slot : source->Read(id, span, period % kMinute == 0)) {
      const Milliseconds begin = slot.time - slot.time % period;
      if (measured.points.empty() || measured.points.back().time != begin) {
        measured.points.push_back({begin, {}});
      }
      measured.points.back().values.Add(slot.values);
      measured.unit = source->UnitOf(id);
    }
  }
  if (!unit.empty() && unit != measured.unit) measured.points.clear();
  return measured;
}

// The statistics of both kinds, by name.
Outcome<std::vector<std::pair<std::string, Statistic>>> StatisticsIn(
    const std::vector<std::string>& plain, const std::vector<std::string>& extended) {
  if (plain.empty() && extended.empty()) {
    return Failure("InvalidParameterCombination",
                   "At least one of the parameters Statistics and ExtendedStatistics must be "
                   "specified.");
  }
  std::vector<std::pair<std::string, Statistic>> statistics;
  for (const auto* names : {&plain, &extended}) {
    for (const std::string& name : *names) {
      const auto statistic = Statistic::Parse(name);
      if (!statistic || statistic->extended() != (names == &extended)) {
        return Failure("InvalidParameterValue",
                       "The value " + Quote(name) + " is no statistic that is known here.");
      }
      statistics.emplace_back(name, *statistic);
    }
  }
  return statistics;
}

Outcome<Json> GetStatistics(const MetricSources& sources, const Json& request) {
  RequestReader reader(request);
  const MetricId id = MetricIn(reader);
  const MetricSpan span = TimesIn(reader);
  const int64_t period = PeriodIn(reader);
  const auto plain = reader.Texts("Statistics", Presence::kOptional, 1, 5, {});
  const auto extended = reader.Texts("ExtendedStatistics", Presence::kOptional, 1, 10, {});
  const std::string unit = reader.Text("Unit", Presence::kOptional);
  if (auto failure = reader.failure()) return *failure;
  const auto statistics = StatisticsIn(plain, extended);
  if (!statistics.ok()) return statistics.error();
  const Milliseconds points = (span.until - span.from) / (period * 1000);
  if (points > kMaxStatisticsPoints) {
    return Failure("InvalidParameterCombination",
                   "You have requested up to " + std::to_string(points) +
                       " datapoints, which exceeds the limit of 1,440. You may reduce the "
                       "datapoints requested by increasing Period, or decreasing the time range.");
  }
  const Measured measured = Measure(sources, id, span, period, unit);
  Json answer{{"Label", id.name}, {"Datapoints", Json::array()}};
  for (const MetricSlot& point : measured.points) {
    Json item{{"Timestamp", JsonTime(point.time)}, {"Unit", measured.unit}};
    for (const auto& [name, statistic] : statistics.value()) {
      Json& where = statistic.extended() ? item["ExtendedStatistics"] : item;
      where[name] = statistic.Of(point.values);
    }
    answer["Datapoints"].push_back(std::move(item));
  }
  return answer;
}

// One entry of MetricDataQueries.
struct DataQuery {
  std::string id;
  std::string label;
  MetricId metric;
  int64_t period = 60;
  std::string statistic;
  std::string unit;
  bool wanted = true;
};

DataQuery QueryIn(RequestReader& reader) {
  DataQuery query;
  query.id = reader.Text("Id", Presence::kRequired,
                         {.min = 1, .max = 255, .pattern = "[a-z][a-zA-Z0-9_]*"});
  query.label = reader.Text("Label", Presence::kOptional);
  query.wanted = !reader.Has("ReturnData") || reader.Flag("ReturnData");
  if (reader.Has("Expression")) {
    reader.Fault("Expression", "given",
                 "Member must be absent: bertie cloud does not offer expressions");
  }
  const Json* stat = reader.Object("MetricStat", Presence::kRequired);
  if (stat == nullptr) return query;
  RequestReader inside = reader.Inside("MetricStat", *stat);
  query.period = PeriodIn(inside);
  query.statistic = inside.Text("Stat", Presence::kRequired);
  if (!query.statistic.empty() && !Statistic::Parse(query.statistic)) {
    inside.Fault("Stat", Quote(query.statistic), "Member must be a statistic that is known here");
  }
  query.unit = inside.Text("Unit", Presence::kOptional);
  if (const Json* metric = inside.Object("Metric", Presence::kRequired)) {
    RequestReader metric_reader = inside.Inside("Metric", *metric);
    query.metric = MetricIn(metric_reader);
  }
  return query;
}

// What is left of points, by time, of a page: skipped ones belong to earlier pages.
Json ResultOf(const DataQuery& query, const std::vector<MetricSlot>& points, bool descending,
              size_t& skip, size_t& room) {
  const Statistic statistic = *Statistic::Parse(query.statistic);
  Json result{{"Id", query.id},
              {"Label", query.label.empty() ? query.metric.name : query.label},
              {"Timestamps", Json::array()},
              {"Values", Json::array()},
              {"StatusCode", "Complete"}};
  for (size_t i = 0; i < points.size(); ++i) {
    if (skip > 0) {
      --skip;
      continue;
    }
    if (room == 0) {
      result["StatusCode"] = "PartialData";
      break;
    }
    --room;
    const MetricSlot& point = points[descending ? points.size() - 1 - i : i];
    result["Timestamps"].push_back(JsonTime(point.time));
    result["Values"].push_back(statistic.Of(point.values));
  }
  return result;
}

// A listing's token is the number of what was given before.
std::optional<size_t> PlaceIn(RequestReader& reader) {
  const std::string token = reader.Text("NextToken", Presence::kOptional);
  if (token.empty()) return 0;
  const bool digits = token.size() < 10 && token.find_first_not_of("0123456789") == token.npos;
  return digits ? std::optional<size_t>(std::stoull(token)) : std::nullopt;
}

Failure BadToken() { return {"InvalidNextToken", "The next token specified is invalid."}; }

Outcome<Json> GetData(const MetricSources& sources, const Json& request) {
  RequestReader reader(request);
  const MetricSpan span = TimesIn(reader);
  const bool descending =
      reader.Text("ScanBy", Presence::kOptional,
                  {.one_of = {"", "TimestampDescending", "TimestampAscending"}}) !=
      "TimestampAscending";
  const auto page = static_cast<size_t>(
      reader.Integer("MaxDatapoints", Presence::kOptional, 1, kMaxDataPoints, kMaxDataPoints));
  std::vector<DataQuery> queries;
  reader.EachObject("MetricDataQueries", Presence::kRequired, 1, kMaxQueries,
                    [&](RequestReader& item) { queries.push_back(QueryIn(item)); });
  const auto place = PlaceIn(reader);
  if (auto failure = reader.failure()) return *failure;
  if (!place) return BadToken();
  size_t skip = *place, room = page;
  Json answer{{"MetricDataResults", Json::array()}, {"Messages", Json::array()}};
  bool whole = true;
  for (const DataQuery& query : queries) {
    if (!query.wanted) continue;
    const auto measured = Measure(sources, query.metric, span, query.period, query.unit);
    Json result = ResultOf(query, measured.points, descending, skip, room);
    whole = whole && result["StatusCode"] == "Complete";
    answer["MetricDataResults"].push_back(std::move(result));
  }
  if (!whole) answer["NextToken"] = std::to_string(*place + page);
  return answer;
}

Outcome<Json> ListAll(const MetricSources& sources, const Json& request) {
  RequestReader reader(request);
  const std::string space = reader.Text("Namespace", Presence::kOptional);
  const std::string name = reader.Text("MetricName", Presence::kOptional);
  std::vector<std::pair<std::string, std::optional<std::string>>> wanted;
  reader.EachObject("Dimensions", Presence::kOptional, 0, 10, [&](RequestReader& dimension) {
    auto& [key, value] = wanted.emplace_back();
    key = dimension.Text("Name", Presence::kRequired, kNameText);
    if (dimension.Has("Value")) value = dimension.Text("Value", Presence::kOptional);
  });
  const auto place = PlaceIn(reader);
  if (auto failure = reader.failure()) return *failure;
  if (!place) return BadToken();
  const auto meant = [&](const MetricId& id) {
    return (space.empty() || id.space == space) && (name.empty() || id.name == name) &&
           std::all_of(wanted.begin(), wanted.end(), [&](const auto& pair) {
             const auto found = id.dimensions.find(pair.first);
             return found != id.dimensions.end() && (!pair.second || *pair.second == found->second);
           });
  };
  std::vector<MetricId> found;
  for (const MetricSource* source : sources) {
    for (MetricId& id : source->Metrics()) {
      if (meant(id)) found.push_back(std::move(id));
    }
  }
  Json answer{{"Metrics", Json::array()}};
  for (size_t i = *place; i < std::min(found.size(), *place + kListPage); ++i) {
    Json dimensions = Json::array();
    for (const auto& [key, value] : found[i].dimensions) {
      dimensions.push_back({{"Name", key}, {"Value", value}});
    }
    answer["Metrics"].push_back({{"Namespace", found[i].space},
                                 {"MetricName", found[i].name},
                                 {"Dimensions", std::move(dimensions)}});
  }
  if (*place + kListPage < found.size()) answer["NextToken"] = std::to_string(*place + kListPage);
  return answer;
}

}  // namespace

JsonService::Operations MetricOperations(MetricSources sources) {
  using Body = const std::string&;
  return {{"GetMetricStatistics", ParsedOperation([sources](const Json& json, Body) {
             return GetStatistics(sources, json);
           })},
          {"GetMetricData",
           ParsedOperation([sources](const Json& json, Body) { return GetData(sources, json); })},
          {"ListMetrics",
           ParsedOperation([sources](const Json& json, Body) { return ListAll(sources, json); })}};
}

}  // namespace bertie::cloud
