// Names of models and of their revisions.
#pragma once

#include <string>

#include "base/status.h"

namespace bertie::hub {

// "name" or "organisation/name", as hubs allow them: letters, digits, "-", "_" and ".", at most 96,
// without "--" and "..". kInvalidArgument says what is wrong.
Status CheckModelId(const std::string& id);
// A branch, a tag, a commit or "refs/pr/N": no "..", no control characters, no "/" at an end.
Status CheckRevision(const std::string& revision);
// 40 hexadecimal digits.
bool IsCommit(const std::string& text);

// "ID@REVISION" in its two parts; the revision "main" where none is given.
struct ModelName {
  std::string id;
  std::string revision = "main";
};
ModelName ParseModelName(const std::string& name);

}  // namespace bertie::hub
