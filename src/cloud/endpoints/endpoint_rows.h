// What is kept of endpoints.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cloud/database.h"
#include "cloud/failure.h"
#include "cloud/paging.h"
#include "cloud/schema.h"
#include "cloud/times.h"

namespace bertie::cloud {

// In SageMaker's words.
inline constexpr char kCreating[] = "Creating";
inline constexpr char kUpdating[] = "Updating";
inline constexpr char kRollingBack[] = "RollingBack";
inline constexpr char kInService[] = "InService";
inline constexpr char kDeleting[] = "Deleting";
inline constexpr char kFailed[] = "Failed";

struct EndpointRow {
  std::string name;
  Milliseconds created = 0;
  Milliseconds modified = 0;
  std::string request = {};  // CreateEndpoint's
  std::string status = {};
  std::string failure = {};
  std::string current =
      {};  // the deployment that serves (cloud/endpoints/endpoint_plan.h); "": none
  std::string target = {};  // the one that is to take its place; "": none
};

SchemaPart EndpointSchema();

Outcome<std::vector<EndpointRow>> ReadEndpoints(Database& database);
// Inserts or replaces.
Done WriteEndpoint(Database& database, const EndpointRow& row);
Done DeleteEndpointRow(Database& database, const std::string& name);

}  // namespace bertie::cloud
