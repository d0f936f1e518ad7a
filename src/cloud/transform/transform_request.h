// What CreateTransformJob asks for.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "cloud/failure.h"
#include "cloud/s3/s3_uri.h"
#include "formats/json.h"

namespace bertie::cloud {

// How what lies in an input object is asked.
enum class RecordForm {
  kAsIs,  // goes to the server as it is
  kJson,  // each line is a request in JSON
  kText,  // each line is a text, asked as a JSON string
};

struct TransformRequest {
  std::string name;
  std::string model;
  S3Uri input;
  bool manifest = false;  // input is a list of objects
  std::string content_type;
  bool gzip = false;
  bool by_line = false;        // SplitType Line
  bool single_record = false;  // a request for each record
  S3Uri output;                // a folder: a key without a slash at its end
  std::string accept;
  bool line_ends = false;                    // AssembleWith Line
  bool join = false;                         // answers stand beside what they are to
  uint64_t max_payload = uint64_t{6} << 20;  // bytes of a request; 0: any
  int64_t concurrent = 4;                    // requests to an instance
  std::chrono::seconds time_limit{600};      // of a request
  int64_t retries = 3;
  std::vector<std::pair<std::string, std::string>> environment;
  std::string instance_type;
  int64_t instances = 1;
  std::map<std::string, std::string> tags;

  RecordForm form() const;
  // What the server is asked to answer in; "" where that is left to it.
  std::string accept_field() const;
};

// Members that are not known are left alone. ValidationException with all that is wrong, and for
// what this cloud does not do: filters, records in binary forms, augmented manifests, data capture.
Outcome<TransformRequest> ParseTransformRequest(const formats::Json& request);

// Of a request that ParseTransformRequest has taken; 0 of one that it would not take for them.
int64_t TransformInstancesIn(const formats::Json& request);

}  // namespace bertie::cloud
