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

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto code = bertie::formats::ParseScriptCode(
      std::string_view(reinterpret_cast<const char*>(data), size), "fuzz");
  (void)code;
  auto file = bertie::formats::TorchScriptFile::Parse(bytes, "fuzz");
  if (!file.ok()) return 0;
  unsigned sum = 0;
  for (const auto& [name, tensor] : file->tensors) {
    for (const std::byte b : std::span(tensor.data, tensor.bytes())) {
      sum += std::to_integer<unsigned>(b);
    }
  }
  volatile unsigned keep = sum;  // so that the reads stay
  (void)keep;
  const auto bert = bertie::model::ReadScriptBert(*std::move(file), "fuzz");
  if (bert.ok() && bert->config.hidden_size % bert->config.num_attention_heads != 0) std::abort();
  return 0;
}
