#include "cloud/logs_service.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <system_error>
#include <utility>

#include "base/encoding.h"
#include "cloud/json_member.h"
#include "cloud/log_events.h"
#include "cloud/stamped_log.h"

namespace bertie::cloud {
namespace {

using formats::Json;
using Sources = std::vector<const LogSource*>;

constexpr int64_t kMaxEvents = 10'000;

Failure NotFound(const char* what) {
  return {"ResourceNotFoundException",
          std::string("The specified log ") + what + " does not exist."};
}

// Those that have begun, by name.
Outcome<std::vector<LogStream>> StreamsOf(const Sources& sources, const std::string& group) {
  for (const LogSource* source : sources) {
    auto streams = source->Streams(group);
    if (!streams) continue;
    std::erase_if(*streams, [](const LogStream& stream) {
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

std::string GroupIn(const Member& request) {
  const Member group = request["logGroupName"];
  return group.Required().Text(512, "[.\\-_/#A-Za-z0-9]+");
}

LogSpan SpanIn(const Member& request) {
  const int64_t most = std::numeric_limits<int64_t>::max();
  return {.from = request["startTime"].Int(0, most, 0),
          .until = request["endTime"].Int(0, most, most)};
}

std::string Arn(const Settings& settings, const std::string& group) {
  return "arn:aws:logs:" + settings.region + ":" + settings.account + ":log-group:" + group;
}

Outcome<Json> DescribeGroups(const Settings& settings, const Sources& sources, const Json& json) {
  std::optional<Failure> failure;
  const std::string prefix = Member(json, failure)["logGroupNamePrefix"].Text(512);
  if (failure) return *failure;
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
  std::optional<Failure> failure;
  const Member request(json, failure);
  const std::string group = GroupIn(request);
  const std::string prefix = request["logStreamNamePrefix"].Text(512);
  const bool by_time =
      request["orderBy"].OneOf({"LogStreamName", "LastEventTime"}) == "LastEventTime";
  const bool down = request["descending"].Flag();
  const auto limit = static_cast<size_t>(request["limit"].Int(1, 50, 50));
  const std::string token = request["nextToken"].Text();
  const uint64_t from = PositionIn(token, 'n').value_or(0);
  if (failure) return *failure;
  auto streams = StreamsOf(sources, group);
  if (!streams.ok()) return streams.error();
  std::vector<Json> infos;
  for (const LogStream& stream : *streams) {
    if (!stream.name.starts_with(prefix)) continue;
    auto info = StreamInfo(settings, group, stream);
    if (!info.ok()) return info.error();
    infos.push_back(*std::move(info));
  }
  if (by_time) {
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
  std::optional<Failure> failure;
  const Member request(json, failure);
  const std::string group = GroupIn(request);
  const std::string name = request["logStreamName"].Required().Text(512);
  const LogSpan span = SpanIn(request);
  const bool from_head = request["startFromHead"].Flag();
  const auto limit = static_cast<size_t>(request["limit"].Int(1, kMaxEvents, kMaxEvents));
  const std::string token = request["nextToken"].Text();
  if (failure) return *failure;
  auto streams = StreamsOf(sources, group);
  if (!streams.ok()) return streams.error();
  const auto stream = std::find_if(streams->begin(), streams->end(),
                                   [&](const LogStream& one) { return one.name == name; });
  if (stream == streams->end()) return NotFound("stream");
  const auto forward = PositionIn(token, 'f');
  const auto backward = PositionIn(token, 'b');
  if (!token.empty() && !forward && !backward) {
    return Failure("InvalidParameterException", "The specified nextToken is invalid.");
  }
  const bool ahead = forward || (!backward && from_head);
  auto page = ahead
                  ? ReadPageFrom(*stream, span, forward.value_or(0), limit)
                  : ReadPageBefore(*stream, span,
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
  std::optional<Failure> failure;
  const Member request(json, failure);
  const std::string group = GroupIn(request);
  const std::string prefix = request["logStreamNamePrefix"].Text(512);
  std::vector<std::string> names;
  for (const Member& name : request["logStreamNames"].Items(1, 100)) {
    names.push_back(name.Text(512));
  }
  const LogSpan span = SpanIn(request);
  const auto limit = static_cast<size_t>(request["limit"].Int(1, kMaxEvents, kMaxEvents));
  const Member token = request["nextToken"];
  auto positions =
      token.there() ? ReadPositions(token.Text(1 << 20)) : std::map<std::string, uint64_t>();
  if (!positions) token.RefuseWith("The specified nextToken is invalid.");
  const auto filter = LogFilter::Parse(request["filterPattern"].Text());
  if (!filter.ok()) return Failure("InvalidParameterException", filter.error().message);
  if (failure) return *failure;
  auto streams = StreamsOf(sources, group);
  if (!streams.ok()) return streams.error();
  std::erase_if(*streams, [&](const LogStream& stream) {
    return !stream.name.starts_with(prefix) ||
           (!names.empty() && std::find(names.begin(), names.end(), stream.name) == names.end());
  });
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
