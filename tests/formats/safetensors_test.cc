#include "formats/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "base/directory.h"
#include "base/file.h"
#include "expect_error.h"

namespace bertie::formats {
namespace {

// A file's bytes from a header and a number of bytes of data.
std::string Bytes(const std::string& header, size_t data_bytes) {
  const uint64_t length = header.size();
  std::string bytes(reinterpret_cast<const char*>(&length), sizeof(length));
  return bytes + header + std::string(data_bytes, '\1');
}

Result<SafetensorsFile> Parse(const std::string& bytes) {
  return SafetensorsFile::Parse(std::as_bytes(std::span(bytes)), "f");
}

Result<SafetensorsFile> ParseParts(const std::string& header, size_t data_bytes) {
  return Parse(Bytes(header, data_bytes));
}

std::string Entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

TEST(Safetensors, ReadsTensorsAndMetadata) {
  const std::string bytes =
      Bytes(R"({"__metadata__":{"format":"pt"},"b":)" + Entry("F32", "[2,1]", "[4,12]") +
                R"(,"a":)" + Entry("BF16", "[2]", "[0,4]") + "}  ",
            12);
  const auto file = Parse(bytes);
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(file->metadata.at("format"), "pt");
  ASSERT_EQ(file->tensors.size(), 2u);
  EXPECT_EQ(file->tensors.at("a").dtype, DType::kBF16);
  EXPECT_EQ(file->tensors.at("a").shape, Shape{2});
  EXPECT_EQ(file->tensors.at("b").shape, (Shape{2, 1}));
  EXPECT_EQ(file->tensors.at("b").data - file->tensors.at("a").data, 4);
}

TEST(Safetensors, ReadsScalarsEmptyTensorsAndNoTensors) {
  EXPECT_TRUE(ParseParts("{}", 0).ok());
  const auto file = ParseParts(
      R"({"e":)" + Entry("F32", "[0,5]", "[4,4]") + R"(,"s":)" + Entry("F32", "[]", "[0,4]") + "}",
      4);
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(file->tensors.at("s").elements(), 1);
  EXPECT_EQ(file->tensors.at("e").elements(), 0);
}

TEST(Safetensors, KnowsEveryElementTypeOfItsOwn) {
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kF64, DType::kI64,
                           DType::kI32, DType::kI16, DType::kI8, DType::kU8, DType::kBool}) {
    const auto size = std::to_string(DTypeSize(type));
    EXPECT_TRUE(ParseParts(R"({"a":)" + Entry(DTypeName(type), "[1]", "[0," + size + "]") + "}",
                           DTypeSize(type))
                    .ok())
        << DTypeName(type);
  }
}

struct Refused {
  const char* name;
  std::string header;
  size_t data_bytes;
  const char* message;
  ErrorCode code = ErrorCode::kInvalidData;
};

std::ostream& operator<<(std::ostream& out, const Refused& hostile) {
  return out << hostile.header.substr(0, 100);
}

class HostileSafetensors : public testing::TestWithParam<Refused> {};

TEST_P(HostileSafetensors, IsRefused) {
  EXPECT_ERROR(ParseParts(GetParam().header, GetParam().data_bytes), GetParam().code,
               GetParam().message);
}

std::string One(const std::string& shape, const std::string& offsets) {
  return R"({"a":)" + Entry("F32", shape, offsets) + "}";
}

std::string Two(const std::string& first, const std::string& second) {
  return R"({"a":)" + Entry("F32", "[1]", first) + R"(,"b":)" + Entry("F32", "[1]", second) + "}";
}

INSTANTIATE_TEST_SUITE_P(
    Headers, HostileSafetensors,
    testing::Values(
        Refused{"not_an_object", "[]", 0, "begins with '[', expected '{'"},
        Refused{"empty", "", 0, "begins with '', expected '{'"},
        Refused{"blank_first", " {}", 0, "begins with ' '"},
        Refused{"not_json", "{\"a\"}", 0, "f: header:1:5: not JSON"},
        Refused{"text_after", "{} x", 0, "not JSON"},
        Refused{"nul_padding", std::string("{}\0\0", 4), 0, "NUL"},
        Refused{"invalid_utf8", "{\"\xff\":1}", 0, "not JSON"},
        Refused{"duplicate_name",
                R"({"a":)" + Entry("F32", "[1]", "[0,4]") + R"(,"a":)" +
                    Entry("F32", "[1]", "[4,8]") + "}",
                8, "the key 'a' a second time"},
        Refused{"duplicate_member",
                R"({"a":{"dtype":"F32","dtype":"F16","shape":[1],"data_offsets":[0,4]}})", 4,
                "the key 'dtype' a second time"},
        Refused{"too_deep", R"({"a":{"dtype":"F32","shape":[[[1]]],"data_offsets":[0,4]}})", 4,
                "deeper than 4 levels", ErrorCode::kResourceExhausted},
        Refused{"entry_is_a_number", R"({"a":1})", 0, "tensor 'a': is an integer"},
        Refused{"no_dtype", R"({"a":{"shape":[1],"data_offsets":[0,4]}})", 4,
                "expected the members"},
        Refused{"extra_member", R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}})",
                4, "expected the members"},
        Refused{"dtype_number", R"({"a":{"dtype":1,"shape":[1],"data_offsets":[0,4]}})", 4,
                "dtype is an integer"},
        Refused{"unknown_dtype", R"({"a":)" + Entry("F8_E5M2", "[4]", "[0,4]") + "}", 4,
                "tensor 'a': element type 'F8_E5M2' is not supported", ErrorCode::kUnsupported},
        Refused{"shape_is_text", One("\"1\"", "[0,4]"), 4, "shape is not an array"},
        Refused{"negative_size", One("[-1]", "[0,4]"), 4, "a size in shape"},
        Refused{"fractional_size", One("[1.0]", "[0,4]"), 4, "a size in shape"},
        Refused{"size_beyond_63_bits", One("[9223372036854775808]", "[0,4]"), 4, "a size in shape"},
        Refused{"many_dimensions", One("[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "[0,4]"), 4,
                "at most 16 sizes"},
        Refused{"product_overflows", One("[4294967296,4294967296]", "[0,4]"), 4, "overflows"},
        Refused{"bytes_overflow", One("[4611686018427387904]", "[0,0]"), 0, "overflows"},
        Refused{"overflow_times_zero", One("[9223372036854775807,9223372036854775807,0]", "[0,0]"),
                0, "overflows"},
        Refused{"offsets_text", One("[1]", "\"0,4\""), 4, "not a pair of integers"},
        Refused{"offsets_three", One("[1]", "[0,4,8]"), 4, "not a pair of integers"},
        Refused{"offsets_negative", One("[1]", "[-4,0]"), 4, "not a pair of integers"},
        Refused{"offsets_float", One("[1]", "[0,4.0]"), 4, "not a pair of integers"},
        Refused{"offsets_reversed", One("[1]", "[4,0]"), 4, "leave the 4 bytes"},
        Refused{"offsets_leave_the_file", One("[2]", "[0,8]"), 4,
                "data_offsets [0, 8] leave the 4 bytes of data"},
        Refused{"offsets_huge", One("[1]", "[18446744073709551612,18446744073709551615]"), 4,
                "leave the 4 bytes"},
        Refused{"offsets_disagree", One("[3]", "[0,8]"), 8,
                "data_offsets hold 8 bytes, F32 [3] needs 12"},
        Refused{"overlap", Two("[0,4]", "[2,6]"), 6, "tensor 'b': overlaps the one before it"},
        Refused{"same_place", Two("[0,4]", "[0,4]"), 4, "overlaps"},
        Refused{"hole", Two("[0,4]", "[5,9]"), 9, "tensor 'b': leaves a hole before it"},
        Refused{"hole_at_the_beginning", One("[1]", "[1,5]"), 5, "leaves a hole"},
        Refused{"trailing_bytes", One("[1]", "[0,4]"), 5,
                "the tensors end at byte 4 of the data, but it has 5"},
        Refused{"data_without_tensors", "{}", 1, "end at byte 0"},
        Refused{"metadata_is_a_list", R"({"__metadata__":[]})", 0, "__metadata__ is an array"},
        Refused{"metadata_number", R"({"__metadata__":{"a":1}})", 0,
                "__metadata__ 'a' is an integer, expected a string"}),
    [](const auto& param_info) { return param_info.param.name; });

TEST(HostileSafetensorsFile, LengthsAreCheckedBeforeAnythingElse) {
  const auto with_length = [](uint64_t length, const std::string& rest) {
    return std::string(reinterpret_cast<const char*>(&length), 8) + rest;
  };
  EXPECT_ERROR(Parse(""), ErrorCode::kInvalidData, "found 0 bytes, expected at least 8");
  EXPECT_ERROR(Parse("1234567"), ErrorCode::kInvalidData, "found 7 bytes");
  EXPECT_ERROR(Parse(with_length(3, "{}")), ErrorCode::kInvalidData,
               "a header of 3 bytes in a file of 10");
  EXPECT_ERROR(Parse(with_length(uint64_t{1} << 24 | 1, "{}")), ErrorCode::kInvalidData,
               "expected at most 16777216");
  EXPECT_ERROR(Parse(with_length(std::numeric_limits<uint64_t>::max(), "{}")),
               ErrorCode::kInvalidData, "expected at most");
}

TEST(HostileSafetensorsFile, ManyValuesStopAtTheLimit) {
  std::string header = R"({"a":{"dtype":"F32","shape":[1)";
  for (int i = 0; i < 400'000; ++i) header += ",1";
  header += R"(],"data_offsets":[0,4]}})";
  EXPECT_ERROR(ParseParts(header, 4), ErrorCode::kResourceExhausted, "more than 262144 values");
}

// Any file that was cut short is refused, wherever the cut.
TEST(HostileSafetensorsFile, CutFilesAreRefused) {
  const std::string bytes = Bytes(Two("[0,4]", "[4,8]"), 8);
  ASSERT_TRUE(Parse(bytes).ok());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(Parse(bytes.substr(0, size)).ok()) << size;
  }
}

class SafetensorsFileTest : public testing::Test {
 protected:
  std::filesystem::path Path() const { return dir_.path() / "model.safetensors"; }
  TemporaryDirectory dir_ = TemporaryDirectory::Create().value();
};

TEST_F(SafetensorsFileTest, ReadsBackWhatItWrites) {
  const std::vector<float> weights = {1.5f, -2.0f, 3.25f};
  const std::vector<int64_t> ids = {7};
  const std::vector<SafetensorsEntry> entries = {
      {"z \"quoted\" \u00e9",
       {DType::kF32, {3}, reinterpret_cast<const std::byte*>(weights.data())}},
      {"a", {DType::kI64, {1, 1}, reinterpret_cast<const std::byte*>(ids.data())}},
      {"empty", {DType::kF32, {0}, nullptr}}};
  ASSERT_TRUE(WriteSafetensors(Path(), entries).ok());
  const auto file = SafetensorsFile::Open(Path());
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(file->metadata.at("format"), "pt");
  ASSERT_EQ(file->tensors.size(), 3u);
  const TensorView& z = file->tensors.at("z \"quoted\" \u00e9");
  EXPECT_EQ(std::memcmp(z.data, weights.data(), 12), 0);
  EXPECT_EQ(std::memcmp(file->tensors.at("a").data, ids.data(), 8), 0);
  // In the order given, on a multiple of 8 behind the header.
  EXPECT_EQ(file->tensors.at("a").data - z.data, 12);
  const std::string bytes = *ReadFile(Path(), 10'000);
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  EXPECT_EQ(length % 8, 0u);
}

TEST_F(SafetensorsFileTest, WritingTwiceGivesTheSameBytes) {
  const std::vector<float> weights(100, 0.1f);
  const std::vector<SafetensorsEntry> entries = {
      {"w", {DType::kF32, {10, 10}, reinterpret_cast<const std::byte*>(weights.data())}}};
  ASSERT_TRUE(WriteSafetensors(Path(), entries).ok());
  const std::string first = *ReadFile(Path(), 10'000);
  ASSERT_TRUE(WriteSafetensors(Path(), entries).ok());
  EXPECT_EQ(*ReadFile(Path(), 10'000), first);
}

TEST_F(SafetensorsFileTest, RefusesToWriteANameTwice) {
  const float value = 1;
  const TensorView view{DType::kF32, {}, reinterpret_cast<const std::byte*>(&value)};
  EXPECT_ERROR(WriteSafetensors(Path(), {{"a", view}, {"a", view}}), ErrorCode::kInternal,
               "tensor 'a' given twice");
  EXPECT_FALSE(std::filesystem::exists(Path()));
}

TEST_F(SafetensorsFileTest, StorageKeepsTheMappingAlive) {
  const float value = 2.5f;
  const TensorView view{DType::kF32, {}, reinterpret_cast<const std::byte*>(&value)};
  ASSERT_TRUE(WriteSafetensors(Path(), {{"a", view}}).ok());
  TensorView read;
  std::shared_ptr<const void> storage;
  {
    auto file = *SafetensorsFile::Open(Path());
    read = file.tensors.at("a");
    storage = file.storage;
  }
  std::filesystem::remove(Path());
  float number = 0;
  ASSERT_TRUE(CopyToFloat(read, &number));
  EXPECT_EQ(number, 2.5f);
}

TEST_F(SafetensorsFileTest, OpenErrorsNameTheFile) {
  EXPECT_ERROR(SafetensorsFile::Open(Path()), ErrorCode::kNotFound, Path().string());
  std::ofstream(Path()) << "version https://git-lfs.github.com/spec/v1\n";
  EXPECT_ERROR(SafetensorsFile::Open(Path()), ErrorCode::kInvalidData, Path().string() + ": not a");
}

}  // namespace
}  // namespace bertie::formats
