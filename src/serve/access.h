// Who may ask for what.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "http/message.h"
#include "serve/route.h"

namespace bertie::serve {

// Secrets that clients show as "Authorization: Bearer SECRET". Several of a kind, so that one can
// be changed without a moment when neither works.
struct AccessKeys {
  std::vector<std::string> api;    // none: everybody may ask
  std::vector<std::string> admin;  // none: nobody may administer; they open all else too
};

// Why a route is closed to a request: 401, which says nothing more, or 403 where no key could open
// it. How long it takes tells nothing about the keys but their sizes. Any thread.
std::optional<http::Refusal> CheckAccess(const AccessKeys& keys, Access access,
                                         const http::RequestHead& head);

}  // namespace bertie::serve
