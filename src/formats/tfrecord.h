// TFRecord, the framing of TensorFlow's record files ("TFRecord and tf.train.Example" in its
// documentation), and the checksum that it uses.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace bertie::formats {

// CRC-32C (Castagnoli; RFC 3720, appendix B.4).
uint32_t Crc32c(std::string_view bytes);

// One record as it stands in the file: the payload's length, a checksum of the length, the payload,
// a checksum of the payload; little-endian. Checksums are rotated and shifted, so that a record may
// hold records.
std::string FrameTfRecord(std::string_view payload);

}  // namespace bertie::formats
