// Archives that PyTorch wrote (tests/golden/torchscript), their code as trees, deflated entries.
// What is refused in whole archives is in tests/e2e/test_torchscript.py.
#include "formats/torchscript.h"

#include <gtest/gtest.h>

#include <string>

#include "base/file.h"
#include "formats/pickle.h"
#include "formats/script_code.h"
#include "formats/zip.h"

namespace bertie::formats {
namespace {

const std::string kArchives = std::string(BERTIE_TESTS_DIR) + "/golden/torchscript/";

TEST(TorchScript, ReadsEveryRelease) {
  struct Case {
    const char* name;
    int64_t version;
    const char* releases;
    size_t traced_inputs;
  };
  for (const Case& one : {Case{"torch1.3", 1, "1.3", 0}, Case{"torch1.10", 4, "1.6 to 1.11", 0},
                          Case{"torch2.8", 10, "1.12 or later", 2}}) {
    SCOPED_TRACE(one.name);
    EXPECT_TRUE(TorchScriptFile::Sniff(kArchives + one.name + ".pt"));
    const auto file = TorchScriptFile::Open(kArchives + one.name + ".pt");
    ASSERT_TRUE(file.ok()) << file.error().message;
    EXPECT_EQ(file->version, one.version);
    EXPECT_EQ(TorchReleases(file->version), one.releases);
    EXPECT_EQ(file->traced_inputs.size(), one.traced_inputs);
    for (const Shape& input : file->traced_inputs) EXPECT_EQ(input, (Shape{1, 12}));
    EXPECT_TRUE(file->modules.at("").ends_with(".BertForSequenceClassification"));
    EXPECT_TRUE(file->modules.at("bert.encoder.layer.1.attention.self.query").ends_with(".Linear"));
    const TensorView& query = file->tensors.at("bert.encoder.layer.1.attention.self.query.weight");
    EXPECT_EQ(query.shape, (Shape{32, 32}));
    EXPECT_EQ(std::get<bool>(file->scalars.at("training")), false);
    EXPECT_FALSE(file->constants.empty());
  }
  EXPECT_FALSE(
      TorchScriptFile::Sniff(std::string(BERTIE_TESTS_DIR) + "/formats/data/torch/good_zip.bin"));
  EXPECT_FALSE(TorchScriptFile::Sniff("no such file"));
}

TEST(TorchScript, EveryCutIsAnError) {
  const auto bytes = ReadFile(kArchives + "torch1.3.pt", 1 << 20);
  ASSERT_TRUE(bytes.ok());
  for (size_t size = 0; size < bytes->size(); size += 997) {
    const auto cut = std::as_bytes(std::span(bytes->data(), size));
    EXPECT_FALSE(TorchScriptFile::Parse(cut, "cut").ok()) << size;
  }
}

TEST(TorchScript, ScriptClassesAreOfThatKindAlone) {
  const std::string pickle(
      "\x80\x02"
      "c__torch__.a\nB\n)\x81}b.",
      22);
  const auto bytes = std::as_bytes(std::span(pickle));
  const auto object = ReadPickle(bytes, "p", {}, PickleKind::kScriptModule);
  ASSERT_TRUE(object.ok()) << object.error().message;
  EXPECT_EQ(object->root->As<PickleValue::Object>()->type, "__torch__.a.B");
  EXPECT_EQ(ReadPickle(bytes, "p").error().code, ErrorCode::kUnsupported);
}

TEST(ScriptCode, ReadsStatements) {
  const auto classes = ParseScriptCode(
      "op_version_set = 1\n"
      "class A(Module):\n"
      "  __parameters__ = [\"weight\", ]\n"
      "  def forward(self: __torch__.A,\n"
      "    x: Tensor) -> Tuple[Tensor]:\n"
      "    # a note\n"
      "    y, z, = torch.chunk(x, -2, dim=1)  # and one more\n"
      "    return ((self.b).forward(y, ), getattr(self, \"0\"), 9.5e-13, {\"k\": [z[0], ]})\n"
      "  def other(self):\n"
      "    if x:\n"
      "      pass\n",
      "code");
  ASSERT_TRUE(classes.ok()) << classes.error().message;
  const ScriptMethod& forward = classes->at("A").at("forward");
  EXPECT_EQ(forward.parameters, (std::vector<std::string>{"self", "x"}));
  ASSERT_EQ(forward.body.size(), 2u);
  EXPECT_EQ(forward.body[0].targets, (std::vector<std::string>{"y", "z"}));
  EXPECT_EQ(forward.body[0].value.keywords, (std::vector<std::string>{"", "", "dim"}));
  EXPECT_EQ(forward.body[0].value.items[2].integer, -2);
  const ScriptExpr& result = forward.body[1].value;
  ASSERT_EQ(result.kind, ScriptExpr::Kind::kTuple);
  EXPECT_EQ(result.items[0].kind, ScriptExpr::Kind::kCall);
  EXPECT_EQ(result.items[2].number, 9.5e-13);
  EXPECT_EQ(result.items[3].kind, ScriptExpr::Kind::kDict);
  EXPECT_EQ(forward.beyond, "");
  EXPECT_EQ(classes->at("A").at("other").beyond, "line 10: 'if'");
}

TEST(ScriptCode, NamesTheLine) {
  for (const char* body : {"x = ", "x = (1", "x = 1 2", "3 = x", "x = \"a", "x = 1)", "x = {1}",
                           "x = 12ab", "x = a..b", "x = f(a b)"}) {
    const auto classes = ParseScriptCode(
        std::string("class A(M):\n  def forward(self):\n    ") + body + "\n", "member.py");
    ASSERT_FALSE(classes.ok()) << body;
    EXPECT_EQ(classes.error().code, ErrorCode::kInvalidData);
    EXPECT_TRUE(classes.error().message.starts_with("member.py:3: ")) << classes.error().message;
  }
}

TEST(Zip, InflatesText) {
  const std::string data = std::string(BERTIE_TESTS_DIR) + "/formats/data/zip/deflated.zip";
  const auto bytes = ReadFile(data, 1 << 20);
  ASSERT_TRUE(bytes.ok());
  auto archive = ZipArchive::Parse(std::as_bytes(std::span(*bytes)), "zip");
  ASSERT_TRUE(archive.ok()) << archive.error().message;
  for (const auto& [name, entry] : archive->entries()) {
    if (entry.method != 8) continue;
    const auto text = archive->ReadText(name, 1 << 20);
    ASSERT_TRUE(text.ok()) << text.error().message;
    EXPECT_EQ(text->size(), entry.size);
    EXPECT_EQ(archive->ReadText(name, entry.size - 1).error().code, ErrorCode::kResourceExhausted);
  }
  EXPECT_EQ(archive->ReadText("none", 10).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace bertie::formats
