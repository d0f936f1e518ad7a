// The pages for browsers that the servers carry in themselves, whole: nothing of them is loaded
// from elsewhere.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "http/message.h"

namespace bertie::pages {

// Under what the files of the pages are found: "/ui/shared/style.css". Too short for the name of a
// bucket, so that no object of S3 lies there.
inline constexpr std::string_view kFilesPath = "/ui/";

enum class Page { kPlayground, kConsole };

// Whether the request is a browser's, for a page to look at.
bool AsksForHtml(const http::RequestHead& head);

// The page itself, or 304 where the client has it already. head: of a GET or HEAD.
http::Response PageAnswer(Page page, const http::RequestHead& head);

// A file of the page, by head.path; nullopt where there is none. head: of a GET or HEAD.
std::optional<http::Response> FileAnswer(Page page, const http::RequestHead& head);

}  // namespace bertie::pages
