// What SageMaker's List operations have in common: filters, order, pages.
#pragma once

#include <string>
#include <vector>

#include "cloud/failure.h"
#include "cloud/times.h"
#include "formats/json.h"

namespace bertie::cloud {

struct Listed {
  std::string name;
  Milliseconds created = 0;
  Milliseconds modified = 0;
  std::string status = {};  // empty where there is none to filter by
};

struct Page {
  std::vector<Listed> items;
  std::string next_token = {};  // empty at the end
};

// What differs between listings.
struct ListRules {
  std::vector<std::string> statuses = {};  // that there are to filter by; empty: any text
  bool descending = true;                  // unless told
};

// What the request asks for: SortBy (Name, CreationTime, Status), SortOrder, NameContains,
// StatusEquals, CreationTimeAfter and -Before, LastModifiedTimeAfter and -Before, MaxResults,
// NextToken. By CreationTime unless told. ValidationException.
Outcome<Page> SelectPage(const formats::Json& request, std::vector<Listed> items,
                         const ListRules& rules = {});

// Points in time in JSON answers: seconds since 1970 with a fraction.
formats::Json JsonTime(Milliseconds time);

}  // namespace bertie::cloud
