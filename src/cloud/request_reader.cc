#include "cloud/request_reader.h"

#include <algorithm>
#include <cmath>
#include <regex>
#include <utility>

#include "base/ascii.h"
#include "base/quote.h"

namespace bertie::cloud {
namespace {

using formats::Json;

// Longer values are not shown whole.
constexpr size_t kShown = 100;

std::string Shown(const std::string& text) { return Quote(text, kShown); }

std::string Join(const std::vector<std::string>& words) {
  std::string joined;
  for (const std::string& word : words) joined += (joined.empty() ? "" : ", ") + word;
  return joined;
}

std::string Plain(double number) { return formats::DumpJson(Json(number)); }

}  // namespace

TextRule NameRule() { return {.min = 1, .max = 63, .pattern = "[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"}; }
// The pattern is the same: it lets hyphens repeat.
TextRule ModelNameRule() { return NameRule(); }
TextRule RoleArnRule() {
  return {.min = 20,
          .max = 2048,
          .pattern = R"(arn:aws[a-z\-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+)"};
}

std::string RequestReader::PathOf(const char* member) const {
  std::string path = member;
  if (!path.empty()) path[0] = AsciiLower(path[0]);
  return prefix_ + path;
}

std::string RequestReader::Place(std::optional<size_t> at) {
  return at ? "." + std::to_string(*at + 1) + ".member" : "";
}

void RequestReader::Fault(const char* member, const std::string& value,
                          const std::string& constraint) {
  faults_->push_back("Value " + value + " at '" + PathOf(member) +
                     "' failed to satisfy constraint: " + constraint);
}

std::optional<Failure> RequestReader::failure() const {
  if (faults_->empty()) return std::nullopt;
  std::string text = std::to_string(faults_->size()) +
                     (faults_->size() == 1 ? " validation error" : " validation errors") +
                     " detected: ";
  for (size_t i = 0; i < faults_->size(); ++i) text += (i > 0 ? "; " : "") + (*faults_)[i];
  return Failure("ValidationException", text);
}

const Json* RequestReader::Find(const char* member, Presence presence) {
  const auto found = object_.find(member);
  if (found != object_.end() && !found->is_null()) return &*found;
  if (presence == Presence::kRequired) Fault(member, "null", "Member must not be null");
  return nullptr;
}

void RequestReader::CheckText(const char* member, const std::string& text, const TextRule& rule) {
  if (text.size() < rule.min) {
    Fault(member, Shown(text),
          "Member must have length greater than or equal to " + std::to_string(rule.min));
  } else if (text.size() > rule.max) {
    Fault(member, Shown(text),
          "Member must have length less than or equal to " + std::to_string(rule.max));
  } else if (!rule.one_of.empty() &&
             std::find(rule.one_of.begin(), rule.one_of.end(), text) == rule.one_of.end()) {
    Fault(member, Shown(text), "Member must satisfy enum value set: [" + Join(rule.one_of) + "]");
  } else if (rule.pattern != nullptr && !std::regex_match(text, std::regex(rule.pattern))) {
    Fault(member, Shown(text),
          std::string("Member must satisfy regular expression pattern: ") + rule.pattern);
  }
}

std::string RequestReader::Text(const char* member, Presence presence, const TextRule& rule) {
  const Json* found = Find(member, presence);
  if (found == nullptr) return "";
  if (!found->is_string()) {
    Fault(member, Shown(formats::DumpJson(*found)), "Member must be a string");
    return "";
  }
  const auto& text = found->get_ref<const std::string&>();
  CheckText(member, text, rule);
  return text;
}

int64_t RequestReader::Integer(const char* member, Presence presence, int64_t min, int64_t max,
                               int64_t fallback) {
  const Json* found = Find(member, presence);
  if (found == nullptr) return fallback;
  if (!found->is_number_integer()) {
    Fault(member, Shown(formats::DumpJson(*found)), "Member must be an integer");
    return fallback;
  }
  const bool huge = found->is_number_unsigned() && found->get<uint64_t>() > uint64_t{1} << 62;
  const int64_t value = huge ? int64_t{1} << 62 : found->get<int64_t>();
  if (value < min) {
    Fault(member, Shown(formats::DumpJson(*found)),
          "Member must have value greater than or equal to " + std::to_string(min));
  } else if (value > max) {
    Fault(member, Shown(formats::DumpJson(*found)),
          "Member must have value less than or equal to " + std::to_string(max));
  }
  return value;
}

double RequestReader::Number(const char* member, double min, double fallback) {
  const Json* found = Find(member, Presence::kOptional);
  if (found == nullptr) return fallback;
  if (!found->is_number()) {
    Fault(member, Shown(formats::DumpJson(*found)), "Member must be a number");
    return fallback;
  }
  const double value = found->get<double>();
  if (!(value >= min) || !std::isfinite(value)) {
    Fault(member, Plain(value), "Member must have value greater than or equal to " + Plain(min));
  }
  return value;
}

bool RequestReader::Flag(const char* member) {
  const Json* found = Find(member, Presence::kOptional);
  if (found == nullptr) return false;
  if (found->is_boolean()) return found->get<bool>();
  Fault(member, Shown(formats::DumpJson(*found)), "Member must be true or false");
  return false;
}

std::optional<int64_t> RequestReader::Time(const char* member) {
  const Json* found = Find(member, Presence::kOptional);
  if (found == nullptr) return std::nullopt;
  constexpr double kMost = 1e12;  // seconds
  if (found->is_number() && std::abs(found->get<double>()) < kMost) {
    return static_cast<int64_t>(std::llround(found->get<double>() * 1000));
  }
  Fault(member, Shown(formats::DumpJson(*found)), "Member must be seconds since 1970");
  return std::nullopt;
}

const Json* RequestReader::Object(const char* member, Presence presence) {
  const Json* found = Find(member, presence);
  if (found == nullptr || found->is_object()) return found;
  Fault(member, Shown(formats::DumpJson(*found)), "Member must be an object");
  return nullptr;
}

const Json* RequestReader::Array(const char* member, Presence presence, size_t min, size_t max) {
  const Json* found = Find(member, presence);
  if (found == nullptr) return nullptr;
  if (!found->is_array()) {
    Fault(member, Shown(formats::DumpJson(*found)), "Member must be a list");
    return nullptr;
  }
  if (found->size() < min) {
    Fault(member, Shown(formats::DumpJson(*found)),
          "Member must have length greater than or equal to " + std::to_string(min));
  } else if (found->size() > max) {
    Fault(member, Shown(formats::DumpJson(*found)),
          "Member must have length less than or equal to " + std::to_string(max));
  } else {
    return found;
  }
  return nullptr;
}

std::vector<std::pair<std::string, std::string>> RequestReader::Map(const char* member,
                                                                    size_t max_size,
                                                                    const TextRule& key,
                                                                    const TextRule& value) {
  std::vector<std::pair<std::string, std::string>> entries;
  const Json* found = Object(member, Presence::kOptional);
  if (found == nullptr) return entries;
  if (found->size() > max_size) {
    Fault(member, "with " + std::to_string(found->size()) + " entries",
          "Member must have length less than or equal to " + std::to_string(max_size));
    return entries;
  }
  for (const auto& [name, entry] : found->items()) {
    CheckText(member, name, key);
    if (!entry.is_string()) {
      Fault(member, Shown(formats::DumpJson(entry)), "Map value must be a string");
      continue;
    }
    CheckText(member, entry.get_ref<const std::string&>(), value);
    entries.emplace_back(name, entry.get<std::string>());
  }
  return entries;
}

void RequestReader::EachObject(const char* member, Presence presence, size_t min, size_t max,
                               const std::function<void(RequestReader& item)>& read) {
  const Json* found = Array(member, presence, min, max);
  for (size_t i = 0; found != nullptr && i < found->size(); ++i) {
    const Json& element = (*found)[i];
    if (element.is_object()) {
      RequestReader item = Inside(member, element, i);
      read(item);
    } else {
      Fault((member + Place(i)).c_str(), Shown(formats::DumpJson(element)),
            "Member must be an object");
    }
  }
}

std::vector<std::string> RequestReader::Texts(const char* member, Presence presence, size_t min,
                                              size_t max, const TextRule& rule) {
  std::vector<std::string> texts;
  const Json* found = Array(member, presence, min, max);
  for (size_t i = 0; found != nullptr && i < found->size(); ++i) {
    const std::string place = member + Place(i);
    const Json& element = (*found)[i];
    if (element.is_string()) {
      texts.push_back(element.get<std::string>());
      CheckText(place.c_str(), texts.back(), rule);
    } else {
      Fault(place.c_str(), Shown(formats::DumpJson(element)), "Member must be a string");
    }
  }
  return texts;
}

std::map<std::string, std::string> RequestReader::Tags(Presence presence) {
  std::map<std::string, std::string> tags;
  EachObject("Tags", presence, 0, 50, [&](RequestReader& tag) {
    const std::string key = tag.Text("Key", Presence::kRequired, {.min = 1, .max = 128});
    tags[key] = tag.Text("Value", Presence::kRequired, {.max = 256});
  });
  return tags;
}

int64_t CountIn(const Json& json, const char* object, const char* member, int64_t most) {
  RequestReader request(json);
  const Json* inside = request.Object(object, Presence::kOptional);
  if (inside == nullptr) return 0;
  const int64_t count =
      request.Inside(object, *inside).Integer(member, Presence::kOptional, 1, most);
  return request.failure() ? 0 : count;
}

}  // namespace bertie::cloud
