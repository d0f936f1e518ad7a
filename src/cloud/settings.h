// What the user decides about the cloud: names that appear in answers, and who may ask.
#pragma once

#include <optional>
#include <string>

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
  // Requests must be signed by these; absent: nothing is checked.
  std::optional<Credentials> credentials;

  std::string RoleArn() const { return "arn:aws:iam::" + account + ":role/" + role; }
};

}  // namespace bertie::cloud
