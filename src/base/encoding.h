// Bytes as text: hexadecimal, base64 (RFC 4648 section 4), percent-encoding (RFC 3986 section 2.1).
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace bertie {

// Lower-case digits.
std::string Hex(std::string_view bytes);

// With padding, without line ends.
std::string Base64(std::string_view bytes);
// Strict: canonical padding, no blanks, unused bits zero. nullopt for anything else.
std::optional<std::string> DecodeBase64(std::string_view text);

// All but A-Z a-z 0-9 - . _ ~ becomes %XX with upper-case digits; keep: characters left as they
// are.
std::string PercentEncode(std::string_view text, std::string_view keep = {});
// nullopt where a % is not followed by two hexadecimal digits. A plus stays a plus.
std::optional<std::string> PercentDecode(std::string_view text);

// Bytes as the text that most of base/ takes and gives.
std::string_view AsText(std::span<const std::byte> bytes);

}  // namespace bertie
