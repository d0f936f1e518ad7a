// What GET /info tells, as TEI's does.
#pragma once

#include "formats/json.h"
#include "serve/context.h"

namespace bertie::serve {

// A model with one label is a "reranker", any other a "classifier".
formats::Json TeiInfo(const ServeContext& context, const LoadedModel& model);

}  // namespace bertie::serve
