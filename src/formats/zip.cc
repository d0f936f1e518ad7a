#include "formats/zip.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "base/quote.h"

namespace bertie::formats {
namespace {

constexpr uint32_t kLocalSignature = 0x04034b50;
constexpr uint32_t kCentralSignature = 0x02014b50;
constexpr uint32_t kEndSignature = 0x06054b50;
constexpr uint32_t kEnd64Signature = 0x06064b50;
constexpr uint32_t kLocator64Signature = 0x07064b50;
constexpr size_t kLocalBytes = 30;
constexpr size_t kCentralBytes = 46;
constexpr size_t kEndBytes = 22;
constexpr size_t kEnd64Bytes = 56;
constexpr size_t kLocator64Bytes = 20;
constexpr uint16_t kZip64Extra = 1;
constexpr uint16_t kFlagEncrypted = 1;
constexpr uint16_t kFlagSizesFollow = 8;  // the local header has zeros, a descriptor comes later
constexpr uint16_t kDeflated = 8;
constexpr uint64_t kMaxRatio = 200;  // of code; a bomb reaches 1,000
constexpr uint64_t kZipRatioFrom = uint64_t{1} << 20;
constexpr uint64_t kMaxEntries = 65'536;
constexpr size_t kMaxZipNameBytes = 1'024;

// Little-endian numbers out of a record whose size the caller has checked.
class Record {
 public:
  Record(std::span<const std::byte> bytes, size_t offset) : data_(bytes.data() + offset) {}
  uint16_t U16(size_t at) const { return Get<uint16_t>(at); }
  uint32_t U32(size_t at) const { return Get<uint32_t>(at); }
  uint64_t U64(size_t at) const { return Get<uint64_t>(at); }

 private:
  template <class T>
  T Get(size_t at) const {
    T value;
    std::memcpy(&value, data_ + at, sizeof(T));
    return value;
  }
  const std::byte* data_;
};

// True when [offset, offset + size) lies in [0, limit).
bool Fits(uint64_t offset, uint64_t size, uint64_t limit) {
  return offset <= limit && size <= limit - offset;
}

// Why a name cannot be an entry's, or "".
std::string NameFault(std::string_view name) {
  if (name.empty()) return "is empty";
  if (name.size() > kMaxZipNameBytes) return "is too long";
  if (name.find('\0') != std::string_view::npos) return "holds a NUL";
  if (name.find('\\') != std::string_view::npos) return "holds a backslash";
  if (name.front() == '/') return "is absolute";
  if (name.size() > 1 && name[1] == ':') return "has a drive";
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('/', begin), name.size());
    if (name.substr(begin, end - begin) == "..") return "has a '..'";
    begin = end + 1;
  }
  return "";
}

// The directory's own place, out of the end record.
struct Directory {
  uint64_t entries = 0;
  uint64_t size = 0;
  uint64_t offset = 0;
};

// What the directory says of one entry.
struct CentralHeader {
  std::string name;
  uint16_t flags = 0;
  uint16_t method = 0;
  uint64_t compressed = 0;
  uint64_t size = 0;
  uint64_t local_offset = 0;
};

class DirectoryReader {
 public:
  DirectoryReader(std::span<const std::byte> bytes, const std::string& where)
      : bytes_(bytes), where_(where) {}

  Result<std::map<std::string, ZipEntry>> Read() {
    BERTIE_ASSIGN_OR_RETURN(const Directory directory, FindDirectory());
    data_end_ = directory.offset;
    std::map<std::string, ZipEntry> entries;
    uint64_t at = directory.offset;
    const uint64_t end = directory.offset + directory.size;
    for (uint64_t i = 0; i < directory.entries; ++i) {
      BERTIE_ASSIGN_OR_RETURN(const CentralHeader header, ReadCentral(at, end));
      BERTIE_ASSIGN_OR_RETURN(const ZipEntry entry, ReadLocal(header));
      if (!entries.emplace(header.name, entry).second) {
        return Bad("the entry " + Quote(header.name) + " comes twice");
      }
    }
    BERTIE_RETURN_IF_ERROR(CheckOverlaps());
    return entries;
  }

 private:
  struct Extent {
    uint64_t begin;
    uint64_t end;
  };

  Error Bad(const std::string& what) const {
    return {ErrorCode::kInvalidData, where_ + ": not a whole zip archive: " + what};
  }

  Result<Directory> FindDirectory() const {
    // The end record is followed by a comment of at most 65,535 bytes, whose length it tells.
    if (bytes_.size() < kEndBytes) return Bad("too short for an end record");
    const size_t last = bytes_.size() - kEndBytes;
    const size_t first = last > 0xffff ? last - 0xffff : 0;
    for (size_t at = last + 1; at-- > first;) {
      const Record end(bytes_, at);
      if (end.U32(0) == kEndSignature && at + kEndBytes + end.U16(20) == bytes_.size()) {
        return ReadEnd(at);
      }
    }
    return Bad("no end record; the file may be cut short");
  }

  Result<Directory> ReadEnd(size_t at) const {
    const Record end(bytes_, at);
    Directory directory{end.U16(10), end.U32(12), end.U32(16)};
    uint64_t limit = at;
    bool parts = end.U16(4) != end.U16(6) || end.U16(8) != end.U16(10);
    if (at >= kLocator64Bytes &&
        Record(bytes_, at - kLocator64Bytes).U32(0) == kLocator64Signature) {
      const uint64_t end64_at = Record(bytes_, at - kLocator64Bytes).U64(8);
      if (!Fits(end64_at, kEnd64Bytes, at - kLocator64Bytes) ||
          Record(bytes_, end64_at).U32(0) != kEnd64Signature) {
        return Bad("the zip64 end record is not where its locator says");
      }
      const Record end64(bytes_, end64_at);
      directory = {end64.U64(32), end64.U64(40), end64.U64(48)};
      parts = end64.U32(16) != end64.U32(20) || end64.U64(24) != end64.U64(32);
      limit = end64_at;
    }
    if (parts) {
      return Error{ErrorCode::kUnsupported, where_ + ": a zip archive in several parts"};
    }
    if (!Fits(directory.offset, directory.size, limit)) return Bad("the directory leaves the file");
    if (directory.entries > kMaxEntries || directory.entries > directory.size / kCentralBytes) {
      const bool over = directory.entries > kMaxEntries;
      return Error{over ? ErrorCode::kResourceExhausted : ErrorCode::kInvalidData,
                   where_ + ": a zip archive of " + std::to_string(directory.entries) +
                       " entries, expected at most " +
                       std::to_string(over ? kMaxEntries : directory.size / kCentralBytes)};
    }
    return directory;
  }

  // Moves `at` behind the header.
  Result<CentralHeader> ReadCentral(uint64_t& at, uint64_t end) const {
    if (!Fits(at, kCentralBytes, end) || Record(bytes_, at).U32(0) != kCentralSignature) {
      return Bad("the directory has no entry at byte " + std::to_string(at));
    }
    const Record record(bytes_, at);
    const size_t name_bytes = record.U16(28);
    const size_t extra_bytes = record.U16(30);
    const size_t all = kCentralBytes + name_bytes + extra_bytes + record.U16(32);
    if (!Fits(at, all, end)) return Bad("an entry leaves the directory");
    CentralHeader header;
    header.name.assign(reinterpret_cast<const char*>(bytes_.data()) + at + kCentralBytes,
                       name_bytes);
    if (const std::string fault = NameFault(header.name); !fault.empty()) {
      return Bad("the name " + Quote(header.name) + " " + fault);
    }
    header.flags = record.U16(8);
    header.method = record.U16(10);
    header.compressed = record.U32(20);
    header.size = record.U32(24);
    header.local_offset = record.U32(42);
    BERTIE_RETURN_IF_ERROR(
        ReadZip64(bytes_.subspan(at + kCentralBytes + name_bytes, extra_bytes), header));
    at += all;
    return header;
  }

  // Fields that are all ones stand in the zip64 extra field instead, in this order.
  Status ReadZip64(std::span<const std::byte> extra, CentralHeader& header) const {
    std::vector<uint64_t*> wide;
    for (uint64_t* field : {&header.size, &header.compressed, &header.local_offset}) {
      if (*field == 0xffffffff) wide.push_back(field);
    }
    if (wide.empty()) return {};
    while (extra.size() >= 4) {
      const Record field(extra, 0);
      const size_t size = field.U16(2);
      if (size > extra.size() - 4) break;
      if (field.U16(0) == kZip64Extra && size >= 8 * wide.size()) {
        for (size_t i = 0; i < wide.size(); ++i) *wide[i] = field.U64(4 + 8 * i);
        return {};
      }
      extra = extra.subspan(4 + size);
    }
    return Bad("the entry " + Quote(header.name) + " lacks its zip64 sizes");
  }

  Result<ZipEntry> ReadLocal(const CentralHeader& header) {
    const auto bad = [&](const std::string& what) {
      return Bad("the entry " + Quote(header.name) + ": " + what);
    };
    if (!Fits(header.local_offset, kLocalBytes, data_end_) ||
        Record(bytes_, header.local_offset).U32(0) != kLocalSignature) {
      return bad("no local header at byte " + std::to_string(header.local_offset));
    }
    const Record local(bytes_, header.local_offset);
    const uint64_t name_at = header.local_offset + kLocalBytes;
    const size_t name_bytes = local.U16(26);
    const size_t before_data = name_bytes + local.U16(28);
    if (!Fits(name_at, before_data, data_end_)) return bad("its local header leaves the file");
    const std::string_view name(reinterpret_cast<const char*>(bytes_.data()) + name_at, name_bytes);
    if (name != header.name || local.U16(8) != header.method || !SizesAgree(local, header)) {
      return bad("its local header says something else than the directory");
    }
    const uint64_t data_at = name_at + before_data;
    if (!Fits(data_at, header.compressed, data_end_)) return bad("its data leaves the file");
    extents_.push_back({header.local_offset, data_at + header.compressed});

    ZipEntry entry;
    entry.packed = bytes_.subspan(data_at, header.compressed);
    entry.size = header.size;
    entry.method = header.method;
    entry.encrypted = ((header.flags | local.U16(6)) & kFlagEncrypted) != 0;
    if (entry.method == 0 && !entry.encrypted) {
      if (header.compressed != header.size) return bad("is stored, but its two sizes differ");
      entry.data = bytes_.subspan(data_at, header.size);
    }
    return entry;
  }

  static bool SizesAgree(const Record& local, const CentralHeader& header) {
    const uint32_t compressed = local.U32(18);
    const uint32_t size = local.U32(22);
    if ((local.U16(6) & kFlagSizesFollow) != 0 && compressed == 0 && size == 0) return true;
    // All ones: the sizes are in a zip64 field, and the directory's are the ones that count.
    return (compressed == header.compressed || compressed == 0xffffffff) &&
           (size == header.size || size == 0xffffffff);
  }

  Status CheckOverlaps() {
    std::sort(extents_.begin(), extents_.end(),
              [](const Extent& a, const Extent& b) { return a.begin < b.begin; });
    for (size_t i = 1; i < extents_.size(); ++i) {
      if (extents_[i].begin < extents_[i - 1].end) {
        return Bad("two entries overlap at byte " + std::to_string(extents_[i].begin));
      }
    }
    return {};
  }

  std::span<const std::byte> bytes_;
  const std::string& where_;
  uint64_t data_end_ = 0;  // entries lie before the directory
  std::vector<Extent> extents_;
};

// Raw deflate data that must give exactly out's size. Returns what is wrong, or "".
std::string Inflate(std::span<const std::byte> packed, std::string& out) {
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) return "cannot be inflated: no memory";
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int result = inflate(&stream, Z_FINISH);
  const bool whole = result == Z_STREAM_END && stream.avail_out == 0;
  inflateEnd(&stream);
  return whole ? "" : "its compressed data is damaged or gives another size than the directory's";
}

}  // namespace

Result<ZipArchive> ZipArchive::Parse(std::span<const std::byte> bytes, const std::string& where) {
  ZipArchive archive;
  archive.where_ = where;
  BERTIE_ASSIGN_OR_RETURN(archive.entries_, DirectoryReader(bytes, where).Read());
  return archive;
}

bool ZipArchive::Sniff(std::span<const std::byte> bytes) {
  return bytes.size() >= 4 && Record(bytes, 0).U32(0) == kLocalSignature;
}

Result<std::span<const std::byte>> ZipArchive::Read(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    return Error{ErrorCode::kNotFound, where_ + ": the archive has no entry " + Quote(name)};
  }
  const ZipEntry& entry = found->second;
  if (entry.encrypted || entry.method != 0) {
    return Error{
        ErrorCode::kUnsupported,
        where_ + ": the entry " + Quote(name) + " is " +
            (entry.encrypted ? std::string("encrypted")
                             : "compressed (method " + std::to_string(entry.method) + ")") +
            ", expected it stored as torch.save does"};
  }
  return entry.data;
}

Result<std::string> ZipArchive::ReadText(const std::string& name, uint64_t max_bytes) const {
  const auto found = entries_.find(name);
  if (found == entries_.end() || found->second.encrypted || found->second.method != kDeflated) {
    BERTIE_ASSIGN_OR_RETURN(const auto data, Read(name));
    if (data.size() > max_bytes) return TooLarge(name, data.size(), max_bytes);
    return std::string(reinterpret_cast<const char*>(data.data()), data.size());
  }
  const ZipEntry& entry = found->second;
  uint64_t limit = max_bytes;
  if (entry.size > kZipRatioFrom) limit = std::min(limit, entry.packed.size() * kMaxRatio);
  if (entry.size > limit || entry.packed.size() > max_bytes) {
    return TooLarge(name, entry.size, limit);
  }
  std::string text(entry.size, '\0');
  if (const std::string fault = Inflate(entry.packed, text); !fault.empty()) {
    return Error{ErrorCode::kInvalidData, where_ + ": the entry " + Quote(name) + ": " + fault};
  }
  return text;
}

Error ZipArchive::TooLarge(const std::string& name, uint64_t size, uint64_t limit) const {
  return {ErrorCode::kResourceExhausted, where_ + ": the entry " + Quote(name) + " has " +
                                             std::to_string(size) + " bytes, expected at most " +
                                             std::to_string(limit)};
}

}  // namespace bertie::formats
