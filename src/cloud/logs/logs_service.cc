#include "cloud/logs/logs_service.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <system_error>
#include <utility>

#include "base/encoding.h"
#include "cloud/logs/log_events.h"
#include "cloud/processes/stamped_log.h"
#include "cloud/request_reader.h"

namespace bertie::cloud {
namespace {

using formats::Json;
using Sources = std::vector<const LogSource*>;

constexpr int64_t kMaxEvents = 10'000;

Failure NotFound(const char* what) {
  return {"ResourceNotFoundException",
          std::string("The specified log ") + what + " does not exist."};
}

// Those of the wanted names that have begun, by name. Files of others are not looked at.
template <class Wanted>
Outcome<std::vector<LogStream>> StreamsOf(const Sources& sources, const std::string& group,
                                          const Wanted& wanted) {
  for (const LogSource* source : sources) {
    auto streams = source->Streams(group);
    if (!streams) continue;
    std::erase_if(*streams, [&](const LogStream& stream) {
      if (!wanted(stream.name)) return true;
      std::error_code error;
      const auto size = std::filesystem::file_size(stream.file, error);
      return error || size == 0;
    });
    std::sort(streams->begin(), streams->end(),
              [](const LogStream& a, const LogStream& b) { return a.name < b.name; });
    return *std::move(streams);
  }
  return NotFound("group");
}

// "f/123": the position, with a letter for the direction.
std::optional<uint64_t> PositionIn(const std::string& token, char letter) {
  uint64_t position = 0;
  if (token.size() < 3 || token[0] != letter || token[1] != '/') return std::nullopt;
  const char* end = token.data() + token.size();
  const auto [at, error] = std::from_chars(token.data() + 2, end, position);
  return error == std::errc() && at == end ? std::optional(position) : std::nullopt;
}

std::string GroupIn(RequestReader& reader) {
  return reader.Text("logGroupName", Presence::kRequired,
                     {.max = 512, .pattern = "[.\\-_/#A-Za-z0-9]+"});
}

std::string NameIn(RequestReader& reader, const char* member, Presence presence) {
  return reader.Text(member, presence, {.max = 512});
}

LogSpan SpanIn(RequestReader& reader) {
  const int64_t most = std::numeric_limits<int64_t>::max();
  return {.from = reader.Integer("startTime", Presence::kOptional, 0, most, 0),
          .until = reader.Integer("endTime", Presence::kOptional, 0, most, most)};
}

// At most max, and that where nothing is asked for.
size_t LimitIn(RequestReader& reader, int64_t max) {
  return static_cast<size_t>(reader.Integer("limit", Presence::kOptional, 1, max, max));
}

std::string Arn(const Settings& settings, const std::string& group) {
  return "arn:aws:logs:" + settings.region + ":" + settings.account + ":log-group:" + group;
}

Outcome<Json> DescribeGroups(const Settings& settings, const Sources& sources, const Json& json) {
  RequestReader reader(json);
  const std::string prefix = NameIn(reader, "logGroupNamePrefix", Presence::kOptional);
  if (auto failure = reader.failure()) return *failure;
  Json answer{{"logGroups", Json::array()}};
  for (const LogSource* source : sources) {
    for (const std::string& group : source->Groups()) {
      if (!group.starts_with(prefix)) continue;
      answer["logGroups"].push_back({{"logGroupName", group},
                                     {"arn", Arn(settings, group) + ":*"},
                                     {"creationTime", 0},
                                     {"metricFilterCount", 0},
                                     {"storedBytes", 0}});
    }
  }
  return answer;
}

Outcome<Json> StreamInfo(const Settings& settings, const std::string& group,
                         const LogStream& stream) {
  BERTIE_ASSIGN_OR_RETURN(const LogPage first, ReadPageFrom(stream, {}, 0, 1));
  BERTIE_ASSIGN_OR_RETURN(const std::optional<LogEvent> last, LastEvent(stream));
  Json info{{"logStreamName", stream.name},
            {"creationTime", stream.created},
            {"arn", Arn(settings, group) + ":log-stream:" + stream.name},
            {"storedBytes", 0}};
  if (!first.events.empty()) info["firstEventTimestamp"] = first.events.front().time;
  if (last) {
    info["lastEventTimestamp"] = last->time;
    info["lastIngestionTime"] = last->time;
  }
  return info;
}

// A token only where there is more: SageMaker's SDK, given one, asks for ever.
Outcome<Json> DescribeStreams(const Settings& settings, const Sources& sources, const Json& json) {
  RequestReader reader(json);
  const std::string group = GroupIn(reader);
  const std::string prefix = NameIn(reader, "logStreamNamePrefix", Presence::kOptional);
  const std::string order =
      reader.Text("orderBy", Presence::kOptional, {.one_of = {"LogStreamName", "LastEventTime"}});
  const bool down = reader.Flag("descending");
  const size_t limit = LimitIn(reader, 50);
  const std::string token = reader.Text("nextToken", Presence::kOptional);
  const uint64_t from = PositionIn(token, 'n').value_or(0);
  if (auto failure = reader.failure()) return *failure;
  auto streams =
      StreamsOf(sources, group, [&](const std::string& name) { return name.starts_with(prefix); });
  if (!streams.ok()) return streams.error();
  std::vector<Json> infos;
  for (const LogStream& stream : *streams) {
    auto info = StreamInfo(settings, group, stream);
    if (!info.ok()) return info.error();
    infos.push_back(*std::move(info));
  }
  if (order == "LastEventTime") {
    std::stable_sort(infos.begin(), infos.end(), [](const Json& a, const Json& b) {
      return a.value("lastEventTimestamp", int64_t{0}) < b.value("lastEventTimestamp", int64_t{0});
    });
  }
  if (down) std::reverse(infos.begin(), infos.end());
  Json answer{{"logStreams", Json::array()}};
  for (uint64_t at = from; at < infos.size() && at < from + limit; ++at) {
    answer["logStreams"].push_back(std::move(infos[at]));
  }
  if (from + limit < infos.size()) answer["nextToken"] = "n/" + std::to_string(from + limit);
  return answer;
}

Outcome<Json> GetEvents(const Sources& sources, const Json& json) {
  RequestReader reader(json);
  const std::string group = GroupIn(reader);
  const std::string name = NameIn(reader, "logStreamName", Presence::kRequired);
  const LogSpan span = SpanIn(reader);
  const bool from_head = reader.Flag("startFromHead");
  const size_t limit = LimitIn(reader, kMaxEvents);
  const std::string token = reader.Text("nextToken", Presence::kOptional);
  if (auto failure = reader.failure()) return *failure;
  auto streams = StreamsOf(sources, group, [&](const std::string& one) { return one == name; });
  if (!streams.ok()) return streams.error();
  if (streams->empty()) return NotFound("stream");
  const LogStream& stream = streams->front();
  const auto forward = PositionIn(token, 'f');
  const auto backward = PositionIn(token, 'b');
  if (!token.empty() && !forward && !backward) {
    return Failure("InvalidParameterException", "The specified nextToken is invalid.");
  }
  const bool ahead = forward || (!backward && from_head);
  auto page = ahead
                  ? ReadPageFrom(stream, span, forward.value_or(0), limit)
                  : ReadPageBefore(stream, span,
                                   backward.value_or(std::numeric_limits<uint64_t>::max()), limit);
  if (!page.ok()) return page.error();
  Json answer{{"events", Json::array()},
              {"nextForwardToken", "f/" + std::to_string(page->end)},
              {"nextBackwardToken", "b/" + std::to_string(page->begin)}};
  for (const LogEvent& event : page->events) {
    answer["events"].push_back(
        {{"timestamp", event.time}, {"message", event.text}, {"ingestionTime", event.time}});
  }
  return answer;
}

// Where each stream has been read to: in a token, Base64 of an object.
std::optional<std::map<std::string, uint64_t>> ReadPositions(const std::string& token) {
  const auto text = DecodeBase64(token);
  if (!text) return std::nullopt;
  const auto json = formats::ParseJson(*text, "token");
  if (!json.ok() || !json->is_object()) return std::nullopt;
  std::map<std::string, uint64_t> positions;
  for (const auto& [name, position] : json->items()) {
    if (!position.is_number_unsigned()) return std::nullopt;
    positions[name] = position.get<uint64_t>();
  }
  return positions;
}

struct Found {
  const LogStream* stream;
  LogEvent event;
};

// What one stream adds to a page: matching events from its position on. Moves the position over
// those before them that do not match.
Status Collect(const LogStream& stream, const LogSpan& span, const LogFilter& filter, size_t limit,
               uint64_t& position, std::vector<Found>& found) {
  const size_t before = found.size();
  while (found.size() - before < limit) {
    BERTIE_ASSIGN_OR_RETURN(LogPage page, ReadPageFrom(stream, span, position, limit));
    const bool none = found.size() == before;
    for (LogEvent& event : page.events) {
      if (filter.Matches(event.text)) found.push_back({&stream, std::move(event)});
    }
    if (page.events.empty()) return {};
    if (!none || found.size() != before) return {};
    position = page.end;
  }
  return {};
}

Outcome<Json> FilterEvents(const Sources& sources, const Json& json) {
  RequestReader reader(json);
  const std::string group = GroupIn(reader);
  const std::string prefix = NameIn(reader, "logStreamNamePrefix", Presence::kOptional);
  const auto names = reader.Texts("logStreamNames", Presence::kOptional, 1, 100, {.max = 512});
  const LogSpan span = SpanIn(reader);
  const size_t limit = LimitIn(reader, kMaxEvents);
  const std::string token =
      reader.Text("nextToken", Presence::kOptional, {.min = 1, .max = 1 << 20});
  auto positions = token.empty() ? std::map<std::string, uint64_t>() : ReadPositions(token);
  if (!positions) reader.Fault("nextToken", "of another listing", "Member must be a nextToken");
  const auto filter = LogFilter::Parse(reader.Text("filterPattern", Presence::kOptional));
  if (!filter.ok()) return Failure("InvalidParameterException", filter.error().message);
  if (auto failure = reader.failure()) return *failure;
  auto streams = StreamsOf(sources, group, [&](const std::string& name) {
    return name.starts_with(prefix) &&
           (names.empty() || std::find(names.begin(), names.end(), name) != names.end());
  });
  if (!streams.ok()) return streams.error();
  std::vector<Found> found;
  for (const LogStream& stream : *streams) {
    BERTIE_RETURN_IF_ERROR(
        Collect(stream, span, filter.value(), limit, (*positions)[stream.name], found));
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const Found& a, const Found& b) { return a.event.time < b.event.time; });
  Json answer{{"events", Json::array()}, {"searchedLogStreams", Json::array()}};
  for (size_t at = 0; at < std::min(limit, found.size()); ++at) {
    const auto& [stream, event] = found[at];
    (*positions)[stream->name] = event.end;
    answer["events"].push_back({{"logStreamName", stream->name},
                                {"timestamp", event.time},
                                {"message", event.text},
                                {"ingestionTime", event.time},
                                {"eventId", stream->name + "/" + std::to_string(event.begin)}});
  }
  // An empty page is the last one; any other may have more behind it.
  if (!found.empty()) answer["nextToken"] = Base64(formats::DumpJson(Json(*positions)));
  return answer;
}

}  // namespace

std::map<std::string, JsonService::Operation> LogOperations(const Settings& settings,
                                                            std::vector<const LogSource*> sources) {
  using Body = const std::string&;
  return {{"DescribeLogGroups", ParsedOperation([&settings, sources](const Json& json, Body) {
             return DescribeGroups(settings, sources, json);
           })},
          {"DescribeLogStreams", ParsedOperation([&settings, sources](const Json& json, Body) {
             return DescribeStreams(settings, sources, json);
           })},
          {"GetLogEvents",
           ParsedOperation([sources](const Json& json, Body) { return GetEvents(sources, json); })},
          {"FilterLogEvents", ParsedOperation([sources](const Json& json, Body) {
             return FilterEvents(sources, json);
           })}};
}

}  // namespace bertie::cloud
