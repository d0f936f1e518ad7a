// TorchScript archives and their code: what is accepted can be read through to the last byte, and
// followed as a BERT or refused.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>

#include "formats/script_code.h"
#include "formats/torchscript.h"
#include "model/script_bert.h"
#include "read_tensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto code = bertie::formats::ParseScriptCode(
      std::string_view(reinterpret_cast<const char*>(data), size), "fuzz");
  (void)code;
  auto file = bertie::formats::TorchScriptFile::Parse(bytes, "fuzz");
  if (!file.ok()) return 0;
  ReadTensors(file->tensors);
  const auto bert = bertie::model::ReadScriptBert(*std::move(file), "fuzz");
  if (bert.ok() && bert->config.hidden_size % bert->config.num_attention_heads != 0) std::abort();
  return 0;
}
