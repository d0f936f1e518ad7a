// Content-Type and Accept: what comes in and what goes out.
#pragma once

#include <string_view>
#include <variant>

#include "http/message.h"
#include "serve/invocation.h"

namespace bertie::serve {

// "application/json" or "text/csv".
std::string_view MediaTypeName(MediaType type);

// The body's form, JSON where Content-Type is absent. Refused with 415: other types, character sets
// other than UTF-8, a Content-Encoding.
std::variant<MediaType, http::Refusal> RequestType(const http::RequestHead& head);

// The answer's form. Accept is read as SageMaker's serving toolkit does: the first type in it that
// is known here, whatever its q; fallback where it is absent or says */*. Refused with 406 when
// none is known.
std::variant<MediaType, http::Refusal> AnswerType(const http::RequestHead& head,
                                                  MediaType fallback);

}  // namespace bertie::serve
