#include "cli/cloud/cloud_files.h"

#include <cstdlib>
#include <system_error>
#include <utility>

#include "base/encoding.h"
#include "base/file.h"
#include "base/hmac.h"
#include "base/private_file.h"
#include "formats/json.h"

namespace bertie::cli {
namespace {

namespace fs = std::filesystem;
using formats::Json;

Status WriteSecret(const fs::path& path, const Json& value) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  return WritePrivateFile(path, formats::DumpJson(value, 2) + "\n");
}

// The member's text, or "".
std::string Text(const Json& object, const char* name) {
  const auto found = object.is_object() ? object.find(name) : object.end();
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

Json ToJson(const cloud::Credentials& credentials) {
  return {{"access_key", credentials.access_key},
          {"secret_key", credentials.secret_key},
          {"session_token", credentials.session_token}};
}

cloud::Credentials CredentialsOf(const Json& value) {
  return {Text(value, "access_key"), Text(value, "secret_key"), Text(value, "session_token")};
}

std::string RandomText(size_t size, std::string_view alphabet) {
  std::string text;
  while (text.size() < size) {
    for (const std::byte byte : RandomBytes32()) {
      if (text.size() < size) text += alphabet[std::to_integer<size_t>(byte) % alphabet.size()];
    }
  }
  return text;
}

}  // namespace

fs::path DefaultCloudFolder() {
  if (const char* data = std::getenv("XDG_DATA_HOME"); data != nullptr && *data != '\0') {
    return fs::path(data) / "bertie" / "cloud";
  }
  const char* home = std::getenv("HOME");
  return fs::path(home != nullptr && *home != '\0' ? home : ".") / ".local/share/bertie/cloud";
}

Status WriteCloudAddress(const fs::path& folder, const cloud::Settings& settings) {
  Json value{{"url", settings.url},
             {"account", settings.account},
             {"region", settings.region},
             {"role", settings.role}};
  if (!settings.ca_file.empty()) value["ca_file"] = settings.ca_file;
  if (!settings.proxy_url.empty()) value["proxy_url"] = settings.proxy_url;
  if (settings.credentials) value["credentials"] = ToJson(*settings.credentials);
  return WriteSecret(folder / "cloud.json", value);
}

Result<cloud::Settings> ReadCloudAddress(const fs::path& folder) {
  auto value = formats::ReadJsonFile(folder / "cloud.json");
  if (!value.ok()) {
    if (value.error().code != ErrorCode::kNotFound) return value.error();
    return Error{ErrorCode::kNotFound,
                 folder.string() +
                     " holds no cloud.json: start `bertie cloud` first, with the "
                     "same --data"};
  }
  cloud::Settings settings;
  settings.url = Text(*value, "url");
  settings.ca_file = Text(*value, "ca_file");
  settings.proxy_url = Text(*value, "proxy_url");
  settings.account = Text(*value, "account");
  settings.region = Text(*value, "region");
  settings.role = Text(*value, "role");
  if (value->contains("credentials")) settings.credentials = CredentialsOf((*value)["credentials"]);
  return settings;
}

Result<fs::path> WriteSageMakerConfig(const fs::path& folder, const cloud::Settings& settings) {
  const fs::path path = folder / "sagemaker.yaml";
  BERTIE_RETURN_IF_ERROR(WriteFileAtomically(
      path,
      "SchemaVersion: '1.0'\nSageMaker:\n  PythonSDK:\n    Modules:\n      Session:\n"
      "        DefaultS3Bucket: sagemaker-" +
          settings.region + "-" + settings.account + "\n      TelemetryOptOut: true\n"));
  return path;
}

Result<cloud::Credentials> KeptCredentials(const fs::path& folder) {
  const fs::path path = folder / "credentials.json";
  auto kept = formats::ReadJsonFile(path);
  if (kept.ok()) {
    cloud::Credentials credentials = CredentialsOf(*kept);
    if (!credentials.access_key.empty() && !credentials.secret_key.empty()) return credentials;
    return Error{ErrorCode::kInvalidData,
                 path.string() + ": expected access_key and secret_key, both not empty"};
  }
  if (kept.error().code != ErrorCode::kNotFound) return kept.error();
  const cloud::Credentials credentials{
      .access_key = "AKIA" + RandomText(16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"),
      .secret_key = RandomText(40,
                               "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                               "-_")};
  BERTIE_RETURN_IF_ERROR(WriteSecret(path, ToJson(credentials)));
  return credentials;
}

}  // namespace bertie::cli
