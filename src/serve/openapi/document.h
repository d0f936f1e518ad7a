// The OpenAPI 3.1 document of a server's routes.
#pragma once

#include <string_view>

#include "formats/json.h"
#include "serve/openapi/operation.h"
#include "serve/route_table.h"

namespace bertie::serve {

// Every route of the table is in it and no other: Route::describe says what it takes and answers,
// Protocol::DescribeRefusal how it refuses.
formats::Json OpenApiDocument(const RouteTable& routes, const DocModel& model,
                              std::string_view server_version);

// The document as a page for people, which loads nothing and runs nothing.
std::string OpenApiPage(const formats::Json& document);

}  // namespace bertie::serve
