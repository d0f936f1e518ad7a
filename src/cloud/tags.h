// Tags of SageMaker's entities, by ARN: ListTags, AddTags, DeleteTags.
#pragma once

#include <map>
#include <string>

#include "cloud/json_service.h"
#include "cloud/schema.h"
#include "cloud/state.h"

namespace bertie::cloud {

SchemaPart TagSchema();

// Adds them to the entity's; those of the same keys are replaced. With a database: as a part of the
// change that makes the entity.
Done AddTags(State& state, const std::string& arn, const std::map<std::string, std::string>& tags);
Done AddTags(Database& database, const std::string& arn,
             const std::map<std::string, std::string>& tags);
// When the entity is removed.
Done DropTags(State& state, const std::string& arn);
Done DropTags(Database& database, const std::string& arn);

// The operations, for a JsonService. An ARN that nothing is known of has no tags.
std::map<std::string, JsonService::Operation> TagOperations(State& state);

}  // namespace bertie::cloud
