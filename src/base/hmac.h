// Proof that somebody knows a secret: HMAC with SHA-256 (RFC 2104, FIPS 198-1), and what goes with
// it. Any thread.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

namespace bertie {

using Digest256 = std::array<std::byte, 32>;

// key may be empty.
Digest256 HmacSha256(std::string_view key, std::string_view message);

// Whether both hold the same bytes; how long it takes tells nothing about where they differ. Their
// sizes are no secret.
bool ConstantTimeEqual(std::span<const std::byte> a, std::span<const std::byte> b);

// Bytes that nobody can foresee.
Digest256 RandomBytes32();

}  // namespace bertie
