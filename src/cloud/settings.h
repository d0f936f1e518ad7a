// What the user decides about the cloud: names that appear in answers, and who may ask.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace bertie::cloud {

struct Credentials {
  std::string access_key;
  std::string secret_key;
  std::string session_token = {};  // empty: none is asked for
};

struct Settings {
  std::string account = "123456789012";
  std::string region = "us-west-2";
  std::string role = "LocalRole";
  // Buckets are also reached as BUCKET.DOMAIN, beside Amazon's own host names.
  std::string domain = "localhost";
  // Names by which this machine is reached, and of whose pages browsers may work with the cloud,
  // beside those that nobody else can have (cloud/browsers.h).
  std::vector<std::string> allowed_hosts = {};
  // Where clients on this machine reach the cloud; "" before it listens.
  std::string url = {};
  // The certificate that clients must trust; "" where there is no TLS.
  std::string ca_file = {};
  // For clients that name Amazon's own hosts; "": there is none.
  std::string proxy_url = {};
  // Requests must be signed by these; absent: nothing is checked.
  std::optional<Credentials> credentials;

  // Commands of the shell that run in the place of images: by the image's whole name, or by the
  // part after the last slash, with the tag or without.
  std::map<std::string, std::string> images = {};

  // kind: model, endpoint-config, endpoint, training-job, transform-job.
  std::string Arn(const std::string& kind, const std::string& entity) const {
    return "arn:aws:sagemaker:" + region + ":" + account + ":" + kind + "/" + entity;
  }
  std::string RoleArn() const { return "arn:aws:iam::" + account + ":role/" + role; }
};

}  // namespace bertie::cloud
