#include "cloud/endpoints/endpoints.h"

#include <mutex>
#include <set>
#include <system_error>
#include <utility>

#include "cloud/endpoints/endpoint_plan.h"
#include "cloud/folders.h"

namespace bertie::cloud {

namespace fs = std::filesystem;

Outcome<std::unique_ptr<Endpoints>> Endpoints::Open(EndpointContext context) {
  context.folder = fs::absolute(context.folder);
  const fs::path folder = context.folder;
  auto rows = context.state.Read<std::vector<EndpointRow>>(ReadEndpoints);
  std::unique_ptr<Endpoints> endpoints(new Endpoints(std::move(context)));
  if (!rows.ok()) return rows.error();
  std::set<fs::path> known, unreadable;
  for (const EndpointRow& row : *rows) {
    for (const std::string& deployment : {row.current, row.target}) {
      if (const auto plan = ParsePlan(deployment); plan.ok()) {
        known.insert(folder / row.name / plan->id);
      } else if (!deployment.empty()) {
        unreadable.insert(folder / row.name);
      }
    }
  }
  for (const fs::path& endpoint : FoldersIn(folder)) {
    for (const fs::path& deployment : FoldersIn(endpoint)) {
      if (known.contains(deployment)) continue;
      if (unreadable.contains(endpoint)) {
        // Nobody else would end what still runs; its files may be the only copy, and stay until
        // the endpoint is deleted.
        EndDeployment(deployment);
      } else {
        RemoveDeployment(deployment);
      }
    }
    std::error_code ignored;
    fs::remove(endpoint, ignored);  // where nothing is left in it
  }
  for (EndpointRow& row : *rows) {
    const std::string name = row.name;
    endpoints->endpoints_.emplace(
        name, std::make_shared<Endpoint>(endpoints->context_, std::move(row), true));
  }
  endpoints->PruneLogs();
  return endpoints;
}

void Endpoints::PruneLogs() const {
  std::set<fs::path> in_use;
  for (const auto& endpoint : All()) {
    const EndpointRow row = endpoint->row();
    for (const std::string& text : {row.current, row.target}) {
      const auto plan = ParsePlan(text);
      if (!plan.ok()) continue;  // nothing of it runs
      for (const VariantPlan& variant : plan->variants) {
        for (size_t number = 0; number < static_cast<size_t>(variant.count); ++number) {
          in_use.insert(context_.logs.FileOf(row.name, plan->id, variant.name, number));
        }
      }
    }
  }
  context_.logs.Prune(in_use);
}

Endpoints::~Endpoints() {
  for (const auto& [name, endpoint] : endpoints_) endpoint->BeginEnd();
}

std::shared_ptr<Endpoint> Endpoints::Find(const std::string& name) const {
  std::shared_lock lock(mutex_);
  const auto found = endpoints_.find(name);
  return found == endpoints_.end() || found->second->gone() ? nullptr : found->second;
}

std::vector<std::shared_ptr<Endpoint>> Endpoints::All() const {
  std::shared_lock lock(mutex_);
  std::vector<std::shared_ptr<Endpoint>> all;
  for (const auto& [name, endpoint] : endpoints_) {
    if (!endpoint->gone()) all.push_back(endpoint);
  }
  return all;
}

Outcome<bool> Endpoints::Create(const EndpointRow& row,
                                const std::function<Done(Database&)>& more) {
  std::unique_lock lock(mutex_);
  std::erase_if(endpoints_, [](const auto& entry) { return entry.second->gone(); });
  if (endpoints_.contains(row.name)) return false;
  Done done = context_.state.Change<std::monostate>([&](Database& database) -> Done {
    if (Done written = WriteEndpoint(database, row); !written.ok()) return written;
    return more(database);
  });
  if (!done.ok()) return done.error();
  endpoints_.emplace(row.name, std::make_shared<Endpoint>(context_, row, false));
  return true;
}

}  // namespace bertie::cloud
