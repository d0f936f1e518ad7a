// Bytes as text: hexadecimal and base64 (RFC 4648 section 4).
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

// Bytes as the text that most of base/ takes and gives.
std::string_view AsText(std::span<const std::byte> bytes);

}  // namespace bertie
