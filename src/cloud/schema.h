// Tables of the state's database, by who owns them, and how they come to their present form.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "cloud/database.h"

namespace bertie::cloud {

// One owner's tables. Step n, from 1, takes them from version n - 1 to n: a script of SQL. Steps
// that were once released are never changed, only added to.
struct SchemaPart {
  std::string name;
  std::vector<std::string> steps;
};

// Takes the part's tables to the last step, in one transaction; nothing where they are there
// already. kUnsupported where a newer bertie has written them.
Status Migrate(Database& database, const SchemaPart& part);

}  // namespace bertie::cloud
