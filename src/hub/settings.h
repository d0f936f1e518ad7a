// Where models come from and where they are kept: the variables that Hugging Face's Python library
// reads (huggingface_hub's constants.py), with the same meaning.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>

#include "base/status.h"

namespace bertie::hub {

struct Settings {
  std::string endpoint = "https://huggingface.co";  // HF_ENDPOINT, without a "/" at its end
  std::string token;         // HF_TOKEN, or the content of HF_TOKEN_PATH ($HF_HOME/token); or ""
  std::string token_source;  // for messages: "HF_TOKEN", or the file's path
  // HF_HUB_CACHE, else $HF_HOME/hub, else $XDG_CACHE_HOME/huggingface/hub, else
  // ~/.cache/huggingface/hub.
  std::filesystem::path cache;
  bool offline = false;                  // HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE
  std::chrono::seconds stall_limit{10};  // HF_HUB_DOWNLOAD_TIMEOUT: without a byte for that long
  std::string ca_file;  // SSL_CERT_FILE, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE; "": the system's
};

// kInvalidArgument names the variable and what is wrong with it.
Result<Settings> FromEnvironment();

}  // namespace bertie::hub
