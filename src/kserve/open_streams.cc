#include "kserve/open_streams.h"

#include <grpc/grpc.h>
#include <grpc/support/alloc.h>

#include <charconv>
#include <memory>
#include <string>

#include "formats/json.h"

namespace bertie::kserve {
namespace {

using formats::Json;

constexpr intptr_t kPage = 500;  // sockets asked for at once

// text: gRPC's, which is freed.
Json Parsed(char* text) {
  const std::unique_ptr<char, decltype(&gpr_free)> owned(text, &gpr_free);
  if (text == nullptr) return Json::object();
  auto json = formats::ParseJson(text, "channelz");
  return json.ok() ? *std::move(json) : Json::object();
}

// The list that is a member.
Json ListIn(const Json& json, const char* member) {
  const auto found = json.find(member);
  return found != json.end() && found->is_array() ? *found : Json::array();
}

// What is at a path like "/data/streamsStarted". Proto3's JSON has such numbers as strings, and no
// zeros.
int64_t NumberAt(const Json& json, const char* path) {
  const Json::json_pointer pointer(path);
  if (!json.contains(pointer) || !json[pointer].is_string()) return 0;
  const auto& text = json[pointer].get_ref<const std::string&>();
  int64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

int64_t OpenOn(int64_t socket) {
  const Json json = Parsed(grpc_channelz_get_socket(socket));
  return NumberAt(json, "/socket/data/streamsStarted") -
         NumberAt(json, "/socket/data/streamsSucceeded") -
         NumberAt(json, "/socket/data/streamsFailed");
}

}  // namespace

int64_t OpenStreams() {
  int64_t open = 0;
  for (const Json& server : ListIn(Parsed(grpc_channelz_get_servers(0)), "server")) {
    const int64_t id = NumberAt(server, "/ref/serverId");
    for (int64_t last = 0, before = -1; last != before;) {
      before = last;
      const Json page = Parsed(grpc_channelz_get_server_sockets(id, last + 1, kPage));
      for (const Json& socket : ListIn(page, "socketRef")) {
        last = NumberAt(socket, "/socketId");
        open += OpenOn(last);
      }
    }
  }
  return open;
}

}  // namespace bertie::kserve
