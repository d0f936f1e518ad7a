// All endpoints, by name.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <vector>

#include "cloud/endpoints/endpoint.h"

namespace bertie::cloud {

// Any thread.
class Endpoints {
 public:
  // Takes over what an earlier process has left in context.folder, and ends what of it nobody
  // knows.
  static Outcome<std::unique_ptr<Endpoints>> Open(EndpointContext context);
  ~Endpoints();

  // Null when there is none.
  std::shared_ptr<Endpoint> Find(const std::string& name) const;
  std::vector<std::shared_ptr<Endpoint>> All() const;
  // A row with the status Creating, and what else goes into the same transaction. False: the name
  // is taken.
  Outcome<bool> Create(const EndpointRow& row, const std::function<Done(Database&)>& more);
  // Drops the oldest logs of instances that are no more.
  void PruneLogs() const;

 private:
  explicit Endpoints(EndpointContext context) : context_(std::move(context)) {}

  EndpointContext context_;
  mutable std::shared_mutex mutex_;  // guards endpoints_
  std::map<std::string, std::shared_ptr<Endpoint>> endpoints_;
};

}  // namespace bertie::cloud
