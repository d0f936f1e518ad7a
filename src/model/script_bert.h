// A BertForSequenceClassification that torch.jit.trace made, as configuration and weights.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "formats/torchscript.h"
#include "model/checkpoint.h"
#include "model/config.h"

namespace bertie::model {

// What an archive says of the trace beyond the model.
struct ScriptInfo {
  std::string torch;                   // releases of PyTorch: "1.3", "1.6 or later"
  std::vector<std::string> arguments;  // of forward, in order
  std::string mask;                    // the argument that is the attention mask; "": there is none
  bool takes_types = false;            // one of the arguments is the token types
  int64_t length = 0;                  // tokens of the text it was traced with; 0: not stored
};

struct ScriptBert {
  Config config;
  std::vector<NamedTensor> tensors;  // all of ParameterSpecs(config), in its order
  ScriptInfo info;
  std::shared_ptr<const void> storage;  // what the tensors point into
};

// Reads an archive (formats/torchscript.h). Sizes come from the tensors' shapes; attention heads,
// epsilon and activation from the code, whose every step from the ids to the logits must be that of
// a BERT: what is found instead is named, and nothing is guessed. kUnsupported: another
// architecture or activation, a frozen or scripted module, a trace in training mode; kInvalidData:
// a missing or misshapen tensor, code that is cut short; else TorchScriptFile's errors.
Result<ScriptBert> ReadScriptBert(const std::filesystem::path& archive);
Result<ScriptBert> ReadScriptBert(formats::TorchScriptFile file, const std::string& where);

}  // namespace bertie::model
