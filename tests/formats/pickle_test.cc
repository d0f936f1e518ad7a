#include "formats/pickle.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "expect_error.h"

namespace bertie::formats {
namespace {

using std::string_literals::operator""s;

// Pieces of pickles, by the names that pickletools has for them.
const std::string kProto2 = "\x80\x02";
const std::string kTuple1Op = "\x85";
const std::string kTuple2Op = "\x86";
const std::string kTuple3Op = "\x87";
const std::string kFalse = "\x89";

std::string Unicode(const std::string& text) {
  return "X" + std::string{static_cast<char>(text.size()), 0, 0, 0} + text;
}
std::string Int(int32_t value) {
  return "J" + std::string(reinterpret_cast<const char*>(&value), 4);
}
std::string Long(int64_t value) {
  return "\x8a\x08" + std::string(reinterpret_cast<const char*>(&value), 8);
}
std::string Global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
std::string Storage(int64_t elements, const std::string& type = "FloatStorage") {
  return "(" + Unicode("storage") + Global("torch", type) + Unicode("0") + Unicode("cpu") +
         Long(elements) + "tQ";
}
std::string Tensor(int64_t elements, int64_t offset, const std::string& shape,
                   const std::string& strides) {
  return Global("torch._utils", "_rebuild_tensor_v2") + "(" + Storage(elements) + Long(offset) +
         "(" + shape + "t(" + strides + "t" + kFalse + Global("collections", "OrderedDict") +
         ")RtR";
}

Result<Pickle> Read(const std::string& text, const PickleLimits& limits = {}) {
  return ReadPickle(std::as_bytes(std::span(text)), "f", limits);
}

// The root of a good pickle, as T.
template <class T>
T Root(const std::string& text) {
  const auto pickle = Read(text);
  EXPECT_TRUE(pickle.ok()) << pickle.error().message;
  const T* root = pickle.ok() ? pickle->root->As<T>() : nullptr;
  EXPECT_NE(root, nullptr) << "a root of another kind";
  return root == nullptr ? T{} : *root;
}

TEST(Pickle, ReadsNumbers) {
  EXPECT_EQ(Root<int64_t>("K\xff."), 255);
  EXPECT_EQ(Root<int64_t>("M\xff\xff."), 65535);
  EXPECT_EQ(Root<int64_t>(Int(-5) + "."), -5);
  EXPECT_EQ(Root<int64_t>("\x8a\x00."s), 0);
  EXPECT_EQ(Root<int64_t>("\x8a\x01\xff."), -1);
  EXPECT_EQ(Root<int64_t>("\x8a\x02\xff\x00."s), 255);
  EXPECT_EQ(Root<int64_t>(Long(INT64_MIN) + "."), INT64_MIN);
  EXPECT_EQ(Root<PickleValue::BigInteger>("\x8a\x09" + std::string(9, '\x01') + ".").bytes,
            std::string(9, '\x01'));
  EXPECT_EQ(Root<double>("G\x3f\xf8\0\0\0\0\0\0."s), 1.5);
  EXPECT_EQ(Root<bool>("\x88."), true);
  EXPECT_EQ(Root<bool>("\x89."), false);
  Root<PickleValue::None>("N.");
}

TEST(Pickle, ReadsText) {
  EXPECT_EQ(Root<std::string>(Unicode("caf\u00e9") + "."), "caf\u00e9");
  EXPECT_EQ(Root<std::string>("\x8c\x02hi."), "hi");
  EXPECT_EQ(Root<PickleValue::Bytes>("C\x02\x00\xff."s).bytes, "\x00\xff"s);
}

TEST(Pickle, ReadsCollections) {
  EXPECT_EQ(Root<PickleValue::Tuple>(").").items.size(), 0u);
  EXPECT_EQ(Root<PickleValue::Tuple>("(K\1K\2K\3K\4t.").items.size(), 4u);
  EXPECT_EQ(Root<PickleValue::Tuple>("K\1K\2" + kTuple2Op + ".").items.size(), 2u);
  EXPECT_EQ(Root<PickleValue::List>("](K\1K\2eK\3a.").items.size(), 3u);
  EXPECT_EQ(Root<PickleValue::List>("(K\1K\2l.").items.size(), 2u);
  EXPECT_EQ(Root<PickleValue::Dict>("}(K\1K\2K\3K\4uK\5K\6s.").items.size(), 3u);
  EXPECT_EQ(Root<PickleValue::Dict>("(K\1K\2d.").items.size(), 1u);
}

TEST(Pickle, ReadsOrderedDicts) {
  const std::string ordered = Global("collections", "OrderedDict");
  const auto dict = Read(ordered + ")R(" + Unicode("a") + "K\1" + Unicode("a") + "K\2u}b.");
  ASSERT_TRUE(dict.ok()) << dict.error().message;
  const auto* items = dict->root->As<PickleValue::Dict>();
  ASSERT_NE(items, nullptr);
  EXPECT_EQ(*FindItem(*items, "a")->As<int64_t>(), 2) << "the last of two equal keys counts";
  EXPECT_EQ(FindItem(*items, "b"), nullptr);
  // Python 2 gave the items as an argument.
  EXPECT_EQ(
      Root<PickleValue::Dict>(ordered + "](](" + Unicode("a") + "K\1e" + "e" + kTuple1Op + "R.")
          .items.size(),
      1u);
}

TEST(Pickle, ReadsMemoAndFrames) {
  EXPECT_EQ(Root<PickleValue::Tuple>("K\7q\x00h\x00h\x00\x87."s).items.size(), 3u);
  EXPECT_EQ(Root<PickleValue::Tuple>("K\7r\x00\x01\x00\x00j\x00\x01\x00\x00\x86."s).items.size(),
            2u);
  EXPECT_EQ(Root<PickleValue::Tuple>("\x80\4\x95\x0a\0\0\0\0\0\0\0K\7\x94h\0\x86."s).items.size(),
            2u);
}

TEST(Pickle, ReadsTensors) {
  const auto tensor = Root<PickleTensor>(kProto2 + Tensor(10, 4, "K\2K\3", "K\3K\1") + ".");
  EXPECT_EQ(tensor.storage.dtype, DType::kF32);
  EXPECT_EQ(tensor.storage.key, "0");
  EXPECT_EQ(tensor.storage.elements, 10);
  EXPECT_EQ(tensor.offset, 4);
  EXPECT_EQ(tensor.shape, (Shape{2, 3}));
  EXPECT_EQ(tensor.strides, (Shape{3, 1}));
  // A parameter is a tensor; a size is a tuple; no dimension is one element.
  Root<PickleTensor>(Global("torch._utils", "_rebuild_parameter") + "(" +
                     Tensor(10, 4, "K\2K\3", "K\3K\1") + kFalse + "NtR.");
  Root<PickleTensor>(Tensor(1, 0, "", "") + ".");
  EXPECT_EQ(Root<PickleValue::Tuple>(Global("torch", "Size") + "(K\2K\3t" + kTuple1Op + "R.")
                .items.size(),
            2u);
}

TEST(Pickle, StopsAtStop) {
  const auto pickle = Read("K\1.K\2.");
  ASSERT_TRUE(pickle.ok());
  EXPECT_EQ(pickle->consumed, 3u);
}

// A list that holds itself is legal; reading and dropping it must end.
TEST(Pickle, ValuesMayHoldThemselves) {
  const auto pickle = Read("]q\0h\0a."s);
  ASSERT_TRUE(pickle.ok());
  EXPECT_EQ(pickle->root->As<PickleValue::List>()->items[0], pickle->root);
}

struct Hostile {
  const char* name;
  std::string text;
  const char* message;
  ErrorCode code = ErrorCode::kUnsupported;
};

const std::string kArgument = Unicode("touch x") + kTuple1Op;

TEST(Pickle, RefusesToRunAnything) {
  for (const Hostile& hostile : {
           Hostile{"os.system", Global("os", "system") + kArgument + "R.", "asks for 'os.system'"},
           Hostile{"eval", Global("__builtin__", "eval") + kArgument + "R.",
                   "asks for '__builtin__.eval', which no state dict needs; nothing was executed"},
           Hostile{"stack global", Unicode("builtins") + Unicode("exec") + "\x93.",
                   "asks for 'builtins.exec'"},
           Hostile{"dotted name",
                   Unicode("torch._utils") + Unicode("_rebuild_tensor_v2.__globals__") + "\x93.",
                   "asks for 'torch._utils._rebuild_tensor_v2.__globals__'"},
           Hostile{"dotted module", Global("torch._utils.os", "system") + ".",
                   "asks for 'torch._utils.os.system'"},
           Hostile{"torch.load", Global("torch", "load") + ".", "asks for 'torch.load'"},
           Hostile{"inst", "(" + Unicode("x") + "ios\nsystem\n.", "asks for 'os.system'"},
           Hostile{"inst of an allowed name", "(icollections\nOrderedDict\n.",
                   "asks for 'collections.OrderedDict'"},
           Hostile{"in an argument",
                   Global("collections", "OrderedDict") + "(" + Global("posix", "system") + "tR.",
                   "asks for 'posix.system'"},
           Hostile{"in a persistent id", "(" + Unicode("storage") + Global("os", "_exit") + "tQ.",
                   "asks for 'os._exit'"},
           Hostile{"control characters", Global("o\x1b[31ms", "x") + ".",
                   "asks for 'o\\x1b[31ms.x'"},
           Hostile{"obj", "(" + Global("collections", "OrderedDict") + "o.", "the operation 'o'"},
           Hostile{"newobj", Global("collections", "OrderedDict") + ")\x81.",
                   "the operation '\\x81'"},
           Hostile{"extension", "\x82\x01.", "the operation '\\x82'"},
           Hostile{"text persistent id", "Pmodule\n.", "the operation 'P'"},
           Hostile{"protocol 0 string", "S'x'\n.", "the operation 'S'"},
           Hostile{"state of a global", Global("collections", "OrderedDict") + "}b.",
                   "sets the state of something that is not a dict"},
           Hostile{"state of a tensor", Tensor(1, 0, "", "") + "}b.", "sets the state"},
           Hostile{"call of a storage class", Global("torch", "FloatStorage") + "(K\1tR.",
                   "a call of a storage class"},
           Hostile{"part of a storage",
                   "(" + Unicode("storage") + Global("torch", "FloatStorage") + Unicode("0") +
                       Unicode("cpu") + "K\1(" + Unicode("1") + "K\0K\1t"s + "tQ.",
                   "a storage that is a part of another one"},
       }) {
    SCOPED_TRACE(hostile.name);
    EXPECT_ERROR(Read(hostile.text), hostile.code, hostile.message);
  }
}

TEST(Pickle, RefusesWhatIsMalformed) {
  constexpr ErrorCode kBad = ErrorCode::kInvalidData;
  const std::string storage_class = Global("torch", "FloatStorage");
  for (const Hostile& hostile : {
           Hostile{"nothing", "", "the pickle ends where 1 more bytes are expected", kBad},
           Hostile{"no stop", "K\1", "the pickle ends", kBad},
           Hostile{"stop without a value", ".", "without a value to work on", kBad},
           Hostile{"stop below a mark", "K\1(.", "without a value to work on", kBad},
           Hostile{"protocol", "\x80\x06N.", "protocol 6, expected at most 5", kBad},
           Hostile{"cut number", "J\1\2", "4 more bytes", kBad},
           Hostile{"cut text", "X\x0a\0\0\0abc"s, "10 more bytes", kBad},
           Hostile{"4 GiB of text", "X\xff\xff\xff\xff"s, "4294967295 more bytes", kBad},
           Hostile{"endless global", "cos", "a name that is too long or never ends", kBad},
           Hostile{"long global", "c" + std::string(10'000, 'x') + "\nx\n.", "too long", kBad},
           Hostile{"no mark", "K\1t.", "without its mark", kBad},
           Hostile{"empty tuple1", kTuple1Op + ".", "without enough values", kBad},
           Hostile{"tuple over a mark", "K\1(K\2" + kTuple2Op + ".", "without enough values", kBad},
           Hostile{"odd items", "}(K\1u.", "a key without a value", kBad},
           Hostile{"append to a tuple", ")K\1a.", "not a list", kBad},
           Hostile{"set in a list", "]K\1K\2s.", "not a dict", kBad},
           Hostile{"unknown memo", "h\x05.", "no value was stored as number 5", kBad},
           Hostile{"memo of nothing", "q\0."s, "without a value to work on", kBad},
           Hostile{"hole in the memo", "K\1q\5h\2.", "no value was stored as number 2", kBad},
           Hostile{"call of a number", "K\1)R.", "not a known global", kBad},
           Hostile{"arguments no tuple", Global("collections", "OrderedDict") + "]R.",
                   "not a known global with a tuple", kBad},
           Hostile{"global of numbers", "K\1K\2\x93.", "not strings", kBad},
           Hostile{"persistent id no tuple", "K\1Q.", "not a storage's", kBad},
           Hostile{
               "persistent id of another kind",
               "(" + Unicode("module") + storage_class + Unicode("0") + Unicode("cpu") + "K\1tQ.",
               "not a storage's", kBad},
           Hostile{"storage of a text",
                   "(" + Unicode("storage") + Unicode("FloatStorage") + Unicode("0") +
                       Unicode("cpu") + "K\1tQ.",
                   "not a storage's", kBad},
           Hostile{"storage key a number",
                   "(" + Unicode("storage") + storage_class + "K\0"s + Unicode("cpu") + "K\1tQ.",
                   "not a storage's", kBad},
           Hostile{"negative elements", Storage(-1) + ".", "not a storage's", kBad},
           Hostile{"parameter of a number",
                   Global("torch._utils", "_rebuild_parameter") + "(K\1tR.", "not made of a tensor",
                   kBad},
           Hostile{"size of text", Global("torch", "Size") + kArgument + "R.", "torch.Size", kBad},
           Hostile{"tensor of too little", Global("torch._utils", "_rebuild_tensor_v2") + ")R.",
                   "fewer than 4 arguments", kBad},
           Hostile{"tensor of a number",
                   Global("torch._utils", "_rebuild_tensor_v2") + "(K\1K\0))tR."s, "are not such",
                   kBad},
           Hostile{"dict of a number",
                   Global("collections", "OrderedDict") + "K\1" + kTuple1Op + "R.", "not a list",
                   kBad},
           Hostile{"dict of no pairs",
                   Global("collections", "OrderedDict") + "]K\1a" + kTuple1Op + "R.", "no pair",
                   kBad},
       }) {
    SCOPED_TRACE(hostile.name);
    EXPECT_ERROR(Read(hostile.text), hostile.code, hostile.message);
  }
}

TEST(Pickle, RefusesTensorsThatLeaveTheirStorage) {
  const std::string big = Long(int64_t{1} << 62);
  for (const Hostile& hostile : {
           Hostile{
               "one too many", Tensor(5, 0, "K\2K\3", "K\3K\1"),
               "of shape [2, 3] of offset 0 and strides [3, 1] leaves its storage of 5 elements"},
           Hostile{"offset", Tensor(6, 1, "K\2K\3", "K\3K\1"), "leaves its storage"},
           Hostile{"huge offset", Tensor(6, INT64_MAX, "K\2", "K\1"), "overflows"},
           Hostile{"negative offset", Tensor(6, -1, "K\2", "K\1"), "are not such"},
           Hostile{"negative size", Tensor(6, 0, Int(-2), "K\1"), "are not such"},
           Hostile{"negative stride", Tensor(6, 5, "K\2", Int(-1)), "are not such"},
           Hostile{"huge stride", Tensor(6, 0, "K\3", big), "overflows"},
           Hostile{"huge sizes", Tensor(6, 0, big + big, "K\0K\0"s), "overflows"},
           Hostile{"huge bytes", Tensor(6, 0, big, "K\0"s), "overflows"},
           Hostile{"no storage", Tensor(0, 0, "", ""), "leaves its storage of 0"},
           Hostile{"empty, beyond the end", Tensor(6, 7, "K\0"s, "K\1"), "leaves its storage"},
           Hostile{"missing stride", Tensor(6, 0, "K\2K\3", "K\1"), "one stride for each size"},
           Hostile{"17 dimensions", Tensor(6, 0, std::string(17, 'N'), "K\1"), "are not such"},
       }) {
    SCOPED_TRACE(hostile.name);
    EXPECT_ERROR(Read(hostile.text + "."), ErrorCode::kInvalidData, hostile.message);
  }
  EXPECT_TRUE(Read(Tensor(6, 6, "K\0"s, "K\1") + ".").ok());
}

TEST(Pickle, LimitsWork) {
  constexpr ErrorCode kOver = ErrorCode::kResourceExhausted;
  std::string many;
  for (int i = 0; i < 300'000; ++i) many += "K\1" + std::string("0");
  EXPECT_ERROR(Read(many + "K\1."), kOver, "more than 262144 values");
  std::string gets = "K\1q\0"s;
  for (int i = 0; i < 2'200'000; ++i) gets += "h\0"s + "0";
  EXPECT_ERROR(Read(gets + "."), kOver, "more than 4194304 operations");
  EXPECT_ERROR(Read(std::string(2'000'000, '(')), kOver, "more than 1048576 values on the stack");
  EXPECT_ERROR(Read("K\1r\xff\xff\xff\x7f."), kOver, "more than 1048576 stored values");
  PickleLimits limits;
  limits.max_bytes = 2;
  EXPECT_ERROR(Read("K\1.", limits), ErrorCode::kInvalidData, "the pickle ends");
}

// A list of 100,000 pairs is stored once and made into a dict again and again: six bytes each time.
TEST(Pickle, LimitsRepeatedDicts) {
  std::string text = "]q\0("s;
  for (int i = 0; i < 100'000; ++i) text += i == 0 ? "K\1K\2\x86q\1"s : "h\1"s;
  text += "e\x85q\2"s + Global("collections", "OrderedDict") + "q\3"s;
  for (int i = 0; i < 100'000; ++i) text += "h\3h\2R0"s;
  EXPECT_ERROR(Read(text + "N."), ErrorCode::kResourceExhausted, "copied items");
}

}  // namespace
}  // namespace bertie::formats
