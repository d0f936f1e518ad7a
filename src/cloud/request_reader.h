// Reads the members of a JSON request, and says of all that are wrong, in SageMaker's words, what.
// Source: the constraints in SageMaker's API reference; members that are not read are let be.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cloud/failure.h"
#include "formats/json.h"

namespace bertie::cloud {

enum class Presence { kRequired, kOptional };

struct TextRule {
  size_t min = 0;
  size_t max = 1024;
  const char* pattern = nullptr;  // ECMAScript; of all of the text
  std::vector<std::string> one_of = {};
};

// Names of training jobs, endpoints, configurations, variants.
TextRule NameRule();
// Names of models, with several hyphens in a row.
TextRule ModelNameRule();
TextRule RoleArnRule();

// A number in an object of a request, without reading all of it; 0 where it is not there or is not
// one from 1 to most.
int64_t CountIn(const formats::Json& request, const char* object, const char* member, int64_t most);

class RequestReader {
 public:
  // object must outlive the reader, and be an object.
  explicit RequestReader(const formats::Json& object) : RequestReader(object, "", nullptr) {}
  RequestReader(const RequestReader&) = delete;
  RequestReader& operator=(const RequestReader&) = delete;

  bool Has(const char* member) { return Find(member, Presence::kOptional) != nullptr; }
  // What is there; else "", the fallback, null. A null counts as absent.
  std::string Text(const char* member, Presence presence, const TextRule& rule = {});
  int64_t Integer(const char* member, Presence presence, int64_t min, int64_t max,
                  int64_t fallback = 0);
  double Number(const char* member, double min, double fallback);
  bool Flag(const char* member);
  const formats::Json* Object(const char* member, Presence presence);
  const formats::Json* Array(const char* member, Presence presence, size_t min, size_t max);
  // Points in time: seconds since 1970 as a number; in milliseconds.
  std::optional<int64_t> Time(const char* member);
  // A map of text to text.
  std::vector<std::pair<std::string, std::string>> Map(const char* member, size_t max_size,
                                                       const TextRule& key, const TextRule& value);
  // Calls read with a reader of each object in an array; other elements are faults.
  void EachObject(const char* member, Presence presence, size_t min, size_t max,
                  const std::function<void(RequestReader& item)>& read);
  // An array of texts.
  std::vector<std::string> Texts(const char* member, Presence presence, size_t min, size_t max,
                                 const TextRule& rule);
  // The Tags member, by key.
  std::map<std::string, std::string> Tags(Presence presence = Presence::kOptional);

  // A reader of an object inside, whose faults come to this one. at: its place in an array.
  RequestReader Inside(const char* member, const formats::Json& object,
                       std::optional<size_t> at = std::nullopt) {
    return RequestReader(object, PathOf(member) + Place(at) + ".", faults_);
  }

  // Notes that a member is not as it should be. value: as it is shown.
  void Fault(const char* member, const std::string& value, const std::string& constraint);

  // ValidationException with all that was noted.
  std::optional<Failure> failure() const;

 private:
  RequestReader(const formats::Json& object, std::string prefix, std::vector<std::string>* faults)
      : object_(object),
        prefix_(std::move(prefix)),
        faults_(faults == nullptr ? &own_faults_ : faults) {}
  const formats::Json* Find(const char* member, Presence presence);
  std::string PathOf(const char* member) const;
  static std::string Place(std::optional<size_t> at);
  void CheckText(const char* member, const std::string& text, const TextRule& rule);

  const formats::Json& object_;
  std::string prefix_;
  std::vector<std::string> own_faults_;
  std::vector<std::string>* faults_;
};

}  // namespace bertie::cloud
