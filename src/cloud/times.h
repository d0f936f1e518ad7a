// Points in time as Amazon's protocols write them. All UTC.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace bertie::cloud {

// Milliseconds since 1970.
using Milliseconds = int64_t;

Milliseconds Now();

std::string IsoTime(Milliseconds time);         // 2020-01-31T12:00:00.000Z
std::string IsoTimeSeconds(Milliseconds time);  // 2020-01-31T12:00:00Z
std::string HttpTime(Milliseconds time);        // Fri, 31 Jan 2020 12:00:00 GMT
std::string BasicTime(Milliseconds time);       // 20200131T120000Z

// nullopt for anything else than exactly that form.
std::optional<Milliseconds> ParseHttpTime(std::string_view text);
std::optional<Milliseconds> ParseBasicTime(std::string_view text);

}  // namespace bertie::cloud
