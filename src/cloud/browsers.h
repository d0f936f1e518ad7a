// Browsers at the cloud's door: the console page for those who open it, and a no to pages of others
// that would work with the cloud through a browser on this machine.
#pragma once

#include <optional>

#include "cloud/settings.h"
#include "http/message.h"

namespace bertie::cloud {

// By the head alone. The console where a browser asks for / or /console, and its files below /ui/;
// 403 where signatures are not checked and
//   - Host is a name that somebody else may point to this machine (DNS rebinding): neither an
//     address nor localhost, the settings' domain, Amazon's, a name without dots or in .internal,
//     which nobody can register, nor one of the settings' allowed hosts;
//   - Origin, or Sec-Fetch-Site, tells of a page of another origin. Links that lead here are let
//   in.
// nullopt: the request goes its way.
std::optional<http::Response> AnswerBrowser(const http::RequestHead& head, const Settings& settings,
                                            bool checks_signatures);

}  // namespace bertie::cloud
