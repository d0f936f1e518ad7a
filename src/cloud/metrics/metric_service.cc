#include "cloud/metrics/metric_service.h"

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/ascii.h"
#include "base/quote.h"
#include "cloud/query_service.h"

namespace bertie::cloud {
namespace {

using formats::Json;

// Of all lists in a form together; GetMetricData takes 500 queries.
constexpr size_t kMaxListItems = 10'000;
constexpr int kMaxMemberDepth = 8;  // requests have four levels

bool IsForm(const http::RequestHead& head) {
  const std::string* type = head.Find("Content-Type");
  return type != nullptr && AsciiLower(*type).starts_with("application/x-www-form-urlencoded");
}

// "2024-01-31T12:00:00Z", with a fraction or without, to seconds since 1970.
std::optional<double> SecondsOf(const std::string& text) {
  std::tm parts{};
  const char* rest = strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (rest == nullptr) return std::nullopt;
  double fraction = 0;
  if (*rest == '.') {
    char* end = nullptr;
    fraction = std::strtod(rest, &end);
    rest = end;
  }
  const std::string_view zone = rest;
  if (zone != "Z" && zone != "+00:00" && !zone.empty()) return std::nullopt;
  return static_cast<double>(timegm(&parts)) + fraction;
}

// A form knows text alone: what the members are says what they hold.
Json ValueOf(std::string_view member, const std::string& text) {
  if (member == "StartTime" || member == "EndTime") {
    if (const auto seconds = SecondsOf(text)) return *seconds;
  }
  if (member == "Period" || member == "MaxDatapoints") {
    const bool digits = !text.empty() && text.size() < 10 &&
                        text.find_first_not_of("0123456789") == std::string::npos;
    if (digits) return std::stoll(text);
  }
  if (member == "ReturnData") return text == "true";
  return text;
}

// Puts "Dimensions.member.1.Name" where it belongs. False for what is no such path, or when there
// are more levels or items than may be.
bool Place(Json& root, std::string_view path, const std::string& text, size_t& items) {
  Json* at = &root;
  for (int depth = 0; depth < kMaxMemberDepth; ++depth) {
    const size_t dot = std::min(path.find('.'), path.size());
    const std::string member(path.substr(0, dot));
    if (member.empty() || !(at->is_object() || at->is_null())) return false;
    at = &(*at)[member];
    path.remove_prefix(std::min(dot + 1, path.size()));
    if (path.starts_with("member.")) {
      path.remove_prefix(7);
      const size_t end = std::min(path.find('.'), path.size());
      const std::string number(path.substr(0, end));
      const size_t index =
          number.size() < 6 ? static_cast<size_t>(std::strtoul(number.c_str(), nullptr, 10)) : 0;
      if (index == 0 || !(at->is_array() || at->is_null())) return false;
      while (at->size() < index) {
        if (++items > kMaxListItems) return false;
        at->push_back(nullptr);
      }
      at = &(*at)[index - 1];
      path.remove_prefix(std::min(end + 1, path.size()));
    }
    if (path.empty()) {
      *at = ValueOf(member, text);
      return true;
    }
  }
  return false;
}

std::string TextOf(const Json& value, bool is_time) {
  if (value.is_string()) return value.get<std::string>();
  if (!is_time || !value.is_number()) return formats::DumpJson(value);
  return IsoTimeSeconds(static_cast<Milliseconds>(value.get<double>() * 1000));
}

// as: the element's name, where it is not the member's.
void Write(const std::string& member, const std::string& as, const Json& value, XmlWriter& xml) {
  if (!value.is_structured()) {
    xml.Text(as, TextOf(value, member.starts_with("Timestamp")));
    return;
  }
  xml.Open(as);
  if (value.is_array()) {
    for (const Json& item : value) Write(member, "member", item, xml);
  } else if (member == "ExtendedStatistics") {
    for (const auto& [key, number] : value.items()) {
      xml.Open("entry").Text("key", key).Text("value", TextOf(number, false)).Close();
    }
  } else {
    for (const auto& [key, inner] : value.items()) Write(key, key, inner, xml);
  }
  xml.Close();
}

}  // namespace

class MetricService::Forms : public QueryService {
 public:
  explicit Forms(Operations operations)
      : QueryService("http://monitoring.amazonaws.com/doc/2010-08-01/"),
        operations_(std::move(operations)) {}

 private:
  Done Act(const std::string& action, const Query& form, const Caller& caller,
           XmlWriter& result) override {
    const auto found = operations_.find(action);
    if (found == operations_.end()) {
      return Failure("InvalidAction",
                     "Could not find operation " + action + " for version 2010-08-01");
    }
    Json request = Json::object();
    size_t items = 0;
    for (const Parameter& parameter : form.parameters()) {
      if (parameter.name == "Action" || parameter.name == "Version") continue;
      if (!Place(request, parameter.name, parameter.value, items)) {
        return Failure("MalformedQueryString",
                       Quote(parameter.name) + " is no member of a request, or one too many");
      }
    }
    auto answer = found->second(formats::DumpJson(request), caller);
    if (!answer.ok()) return answer.error();
    const auto json = formats::ParseJson(*answer, "the answer");
    for (const auto& [key, value] : json->items()) Write(key, key, value, result);
    return std::monostate();
  }

  Operations operations_;
};

MetricService::MetricService(const Operations& operations)
    : JsonService(operations), forms_(std::make_unique<Forms>(operations)) {}

MetricService::~MetricService() = default;

http::Response MetricService::Deny(const http::RequestHead& head, const AuthError& error,
                                   const std::string& request_id) {
  return IsForm(head) ? forms_->Deny(head, error, request_id)
                      : JsonService::Deny(head, error, request_id);
}

void MetricService::Handle(Call call, std::shared_ptr<http::Exchange> exchange) {
  if (IsForm(call.request.head)) return forms_->Handle(std::move(call), std::move(exchange));
  auto named = std::make_shared<http::Exchange>([exchange](std::optional<http::Response> response) {
    if (!response) return;  // exchange, let go of, answers
    if (response->status >= 400) {
      const auto body = formats::ParseJson(response->body, "the answer");
      const char* side = response->status < 500 ? ";Sender" : ";Receiver";
      if (body.ok() && body->is_object()) {
        response->fields.push_back({"x-amzn-query-error", body->value("__type", "") + side});
      }
    }
    exchange->Respond(*std::move(response));
  });
  JsonService::Handle(std::move(call), std::move(named));
}

}  // namespace bertie::cloud
