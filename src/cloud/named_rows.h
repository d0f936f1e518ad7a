// Things that are made once, never change, and are known by a name: models and endpoint
// configurations. A row holds the request that made it.
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

enum class NamedKind { kModel, kEndpointConfig };

struct NamedRow {
  std::string name;
  Milliseconds created = 0;
  std::string request;  // JSON, as it came
};

SchemaPart NamedSchema();

Outcome<std::optional<NamedRow>> FindNamed(Database& database, NamedKind kind,
                                           const std::string& name);
// False: the name is taken.
Outcome<bool> InsertNamed(Database& database, NamedKind kind, const NamedRow& row);
// False: there is none.
Outcome<bool> DeleteNamed(Database& database, NamedKind kind, const std::string& name);
Outcome<std::vector<Listed>> ListNamed(Database& database, NamedKind kind);

}  // namespace bertie::cloud
