// bertie cloud, bertie cloud env.
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/directory.h"
#include "base/file.h"
#include "cli/cloud/cloud_files.h"
#include "cli/command_line.h"
#include "cli/commands.h"
#include "cli/service.h"
#include "cloud/client_variables.h"
#include "cloud/cloud_server.h"
#include "comm/socket.h"

namespace bertie::cli {
namespace {

namespace fs = std::filesystem;

constexpr char kMetadata[] = "/opt/ml/metadata/resource-metadata.json";

// IMAGE=COMMAND; the names of images hold no "=".
std::string CheckImage(const std::string& text) {
  const size_t equals = text.find('=');
  const bool good = equals != text.npos && equals > 0 && equals + 1 < text.size();
  return good ? std::string() : "expected IMAGE=COMMAND, found " + text;
}

struct CloudFlags {
  std::string host = "127.0.0.1";
  uint16_t port = 4566;
  std::string data;
  std::string sigv4 = "auto";
  bool insecure = false;
  size_t max_connections = 4096;
  cloud::Settings settings;
  bool notebook_metadata = false;
  bool tls = false;
  std::optional<uint16_t> proxy_port;
  bool through_proxy = false;  // of env
  std::vector<std::string> images;
};

fs::path FolderOf(const CloudFlags& flags) {
  return flags.data.empty() ? DefaultCloudFolder() : fs::path(flags.data);
}

// From the environment, so that no list of processes shows them.
std::optional<cloud::Credentials> CredentialsFromEnvironment() {
  const char* access = std::getenv("BERTIE_CLOUD_ACCESS_KEY_ID");
  const char* secret = std::getenv("BERTIE_CLOUD_SECRET_ACCESS_KEY");
  if (access == nullptr || secret == nullptr || *access == '\0' || *secret == '\0') {
    return std::nullopt;
  }
  return cloud::Credentials{access, secret};
}

// Whose signatures are asked for; nullopt: nobody's.
Result<std::optional<cloud::Credentials>> ChooseCredentials(const CloudFlags& flags) {
  std::optional<cloud::Credentials> given = CredentialsFromEnvironment();
  const bool loopback = comm::IsLoopback(flags.host);
  if (flags.sigv4 == "off" || (flags.sigv4 == "auto" && !given)) {
    if (!loopback && !flags.insecure) {
      return Error{ErrorCode::kInvalidArgument,
                   "--host " + flags.host +
                       " lets other machines in, and signatures are not checked: use --sigv4 on, "
                       "or --insecure where everybody who can reach the port may read and write "
                       "everything"};
    }
    return std::optional<cloud::Credentials>();
  }
  if (given) return given;
  BERTIE_ASSIGN_OR_RETURN(cloud::Credentials kept, KeptCredentials(FolderOf(flags)));
  return std::optional(std::move(kept));
}

Error WithAdvice(const Error& error, const CloudFlags& flags) {
  if (error.code != ErrorCode::kUnavailable || error.message.find("--data") != std::string::npos) {
    return error;
  }
  const bool proxy =
      flags.proxy_port &&
      error.message.find(":" + std::to_string(*flags.proxy_port) + ":") != std::string::npos;
  return {error.code, error.message + "; take another port with " +
                          (proxy ? "--proxy-port" : "--port") +
                          " (0: any free one), or end the program that has " +
                          std::to_string(proxy ? *flags.proxy_port : flags.port)};
}

int RunCloud(const CloudFlags& flags) {
  StopSignal stop;
  const fs::path folder = FolderOf(flags);
  auto credentials = ChooseCredentials(flags);
  if (!credentials.ok()) return ReportError(credentials.error());
  cloud::CloudServerOptions options;
  options.settings = flags.settings;
  options.settings.credentials = *credentials;
  for (const std::string& image : flags.images) {
    const size_t equals = image.find('=');
    options.settings.images[image.substr(0, equals)] = image.substr(equals + 1);
  }
  options.data = folder;
  options.http.host = flags.host;
  options.http.port = flags.port;
  options.http.max_connections = flags.max_connections;
  options.http.log = BoundedLog();
  options.tls = flags.tls;
  options.proxy_port = flags.proxy_port;
  auto server = cloud::CloudServer::Start(std::move(options));
  if (!server.ok()) return ReportError(WithAdvice(server.error(), flags));
  if (Status wrote = WriteCloudAddress(folder, (*server)->settings()); !wrote.ok()) {
    return ReportError(wrote.error());
  }
  const cloud::Settings& settings = (*server)->settings();
  Log(std::string("cloud on ") + (flags.tls ? "https" : "http") + "://" + (*server)->address() +
      ", state in " + folder.string() + ", signatures " +
      (*credentials ? "checked" : "not checked") + " (account " + flags.settings.account + ", " +
      flags.settings.region + ")");
  if (!settings.proxy_url.empty()) {
    Log("proxy for Amazon's own host names on " + settings.proxy_url);
  }
  if (!settings.ca_file.empty()) Log("clients must trust " + settings.ca_file);
  std::vector<std::string> command{"bertie", "cloud", "env"};
  if (!flags.data.empty()) command.insert(command.end(), {"--data", flags.data});
  Log("clients: eval \"$(" + ShellLine(command) + ")\"");

  return DrainOnSignal(stop, [&](std::chrono::milliseconds limit) {
    (*server)->BeginDrain();
    return (*server)->WaitDrained(limit);
  });
}

void Export(const std::string& name, const std::string& value) {
  std::cout << "export " << name << '=' << ShellLine({value}) << '\n';
}

Status WriteNotebookMetadata(const cloud::Settings& settings) {
  BERTIE_RETURN_IF_ERROR(MakeFolders(fs::path(kMetadata).parent_path()));
  return WriteFileAtomically(kMetadata, "{\"ExecutionRoleArn\":\"" + settings.RoleArn() +
                                            "\",\"ResourceName\":\"local\"}\n");
}

int RunEnv(const CloudFlags& flags) {
  const fs::path folder = FolderOf(flags);
  const auto settings = ReadCloudAddress(folder);
  if (!settings.ok()) return ReportError(settings.error());
  auto config = WriteSageMakerConfig(fs::absolute(folder), *settings);
  if (!config.ok()) return ReportError(config.error());
  if (flags.notebook_metadata) {
    if (Status wrote = WriteNotebookMetadata(*settings); !wrote.ok()) {
      return ReportError(wrote.error());
    }
  }
  if (flags.through_proxy && settings->proxy_url.empty()) {
    return ReportError(
        {ErrorCode::kUnavailable, "--proxy: the cloud of " + folder.string() +
                                      " has no proxy; start it with --proxy-port 4567"});
  }
  for (const auto& [name, value] :
       flags.through_proxy ? cloud::ProxyVariables(*settings) : cloud::ClientVariables(*settings)) {
    if (value) Export(name, *value);
    if (!value) std::cout << "unset " << name << '\n';
  }
  Export("SAGEMAKER_USER_CONFIG_OVERRIDE", config->string());
  return kExitOk;
}

void AddData(CLI::App& command, CloudFlags& flags) {
  command.add_option("--data", flags.data,
                     "Folder of all state [$XDG_DATA_HOME/bertie/cloud, else "
                     "~/.local/share/bertie/cloud]");
}

void AddEnv(CLI::App& cloud, const std::shared_ptr<CloudFlags>& flags, int& exit_code) {
  CLI::App* command =
      cloud.add_subcommand("env", "Print what clients of this machine need in their environment");
  AddData(*command, *flags);
  command->add_flag(
      "--notebook-metadata", flags->notebook_metadata,
      std::string("Also write ") + kMetadata + ", from which SageMaker's SDK takes its role");
  command->add_flag("--proxy", flags->through_proxy,
                    "For clients that name Amazon's own hosts: through the cloud's proxy, see "
                    "--proxy-port");
  command->footer(
      "eval \"$(bertie cloud env)\" in a shell; from then on boto3, the aws command and "
      "SageMaker's\n"
      "SDK talk to the cloud that was last started with this folder.");
  command->callback([flags, &exit_code] { exit_code = RunEnv(*flags); });
}

}  // namespace

void AddCloud(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<CloudFlags>();
  CLI::App* command = app.add_subcommand(
      "cloud", "Answer Amazon's clients on this machine: S3, training jobs, endpoints, logs");
  command->require_subcommand(0, 1);
  AddData(*command, *flags);
  command->add_option("--host", flags->host, "Address to listen on; 0.0.0.0: every one")
      ->capture_default_str();
  command->add_option("--port", flags->port, "Port to listen on; 0: any free one")
      ->capture_default_str();
  command->add_flag(
      "--tls", flags->tls,
      "Speak HTTPS, with a certificate of an authority kept in the folder (ca/ca.pem)");
  command->add_option("--proxy-port", flags->proxy_port,
                      "Also be an HTTPS proxy on this port, which plays Amazon's own hosts for "
                      "clients that name them; 0: any free one");
  command
      ->add_option("--sigv4", flags->sigv4,
                   "Check signatures: on, off, or auto: where credentials are given")
      ->check(CLI::IsMember({"auto", "on", "off"}))
      ->capture_default_str();
  command->add_flag("--insecure", flags->insecure,
                    "Let other machines in without checking signatures");
  command
      ->add_option("--allow-host", flags->settings.allowed_hosts,
                   "Host name by which clients may reach the cloud, and whose web pages may work "
                   "with it, while signatures are not checked; may be given several times")
      ->take_all();
  command->add_option("--account", flags->settings.account, "Account number, 12 digits")
      ->check(CLI::Validator(
          [](const std::string& text) {
            const bool good =
                text.size() == 12 && text.find_first_not_of("0123456789") == std::string::npos;
            return good ? std::string() : "expected 12 digits, found " + text;
          },
          ""))
      ->capture_default_str();
  command->add_option("--region", flags->settings.region, "Region in names and answers")
      ->capture_default_str();
  command->add_option("--role", flags->settings.role, "Name of the role that callers work under")
      ->capture_default_str();
  command
      ->add_option("--domain", flags->settings.domain,
                   "Buckets are also reached by the host name BUCKET.DOMAIN")
      ->capture_default_str();
  command
      ->add_option("--image", flags->images,
                   "IMAGE=COMMAND: training jobs of the image run this shell command; may be given "
                   "several times")
      ->check(CLI::Validator(CheckImage, ""))
      ->take_all();
  command
      ->add_option("--max-connections", flags->max_connections,
                   "Open connections; further ones take an idle one's place, or wait")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  command->footer(
      "Start it, then in another shell: eval \"$(bertie cloud env)\", and boto3 and the aws "
      "command\n"
      "talk to it. Credentials are taken from BERTIE_CLOUD_ACCESS_KEY_ID and\n"
      "BERTIE_CLOUD_SECRET_ACCESS_KEY; with --sigv4 on and without them they are made up once and\n"
      "kept in the folder. What is there and what is not: docs/cloud.md.");
  AddEnv(*command, flags, exit_code);
  command->callback([flags, command, &exit_code] {
    if (command->get_subcommands().empty()) exit_code = RunCloud(*flags);
  });
}

}  // namespace bertie::cli
