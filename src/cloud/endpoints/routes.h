// Where an endpoint's requests go: a variant by weight, then one of its servers.
#pragma once

#include <atomic>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "cloud/endpoints/endpoint_plan.h"
#include "cloud/endpoints/model_host.h"

namespace bertie::cloud {

// A server of one variant. Whoever runs it sets the port; the rest counts by itself. Any thread.
struct Target {
  explicit Target(std::shared_ptr<ModelHost> the_models = nullptr)
      : models(std::move(the_models)) {}

  const std::shared_ptr<ModelHost> models;  // null: it serves one
  std::atomic<uint16_t> port{0};            // 0: takes no requests at the moment
  std::atomic<int> outstanding{0};
};

// A request's place at a target.
class Lease {
 public:
  Lease(std::shared_ptr<Target> target, std::string variant)
      : target_(std::move(target)), variant_(std::move(variant)) {
    ++target_->outstanding;
  }
  ~Lease() { --target_->outstanding; }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  const std::shared_ptr<Target>& target() const { return target_; }
  const std::string& variant() const { return variant_; }

 private:
  std::shared_ptr<Target> target_;
  std::string variant_;
};

struct Route {
  std::string variant;
  double weight = 1;
  Routing routing = Routing::kLeastOutstanding;
  std::vector<std::shared_ptr<Target>> targets = {};
};

enum class RouteFault {
  kNone,            // a lease is there
  kNoRoutes,        // the endpoint serves nothing
  kUnknownVariant,  // no variant of the wanted name
  kNoWeight,        // all variants have weight 0
  kDown,            // none of the variant's servers takes requests, or has a place for one more
};

struct Choice {
  RouteFault fault = RouteFault::kNone;
  std::unique_ptr<Lease> lease = {};
  uint16_t port = 0;
};

// Any thread.
class Routes {
 public:
  explicit Routes(uint64_t seed) : random_(seed) {}

  // Requests that come from now on go to these; none is given to an old target afterwards.
  void Replace(std::vector<Route> routes);

  // wanted: the variant that the request names, or "". avoid: a target that has just failed.
  // places: how many requests a target may have at once.
  Choice Choose(const std::string& wanted, const Target* avoid = nullptr,
                int64_t places = std::numeric_limits<int64_t>::max());

 private:
  double Uniform() { return std::ldexp(static_cast<double>(random_() >> 11), -53); }
  const Route* ChooseVariant(const std::string& wanted, RouteFault& fault);
  std::shared_ptr<Target> ChooseTarget(const Route& route, const Target* avoid, int64_t places);

  std::mutex mutex_;  // guards all below
  std::mt19937_64 random_;
  std::vector<Route> routes_;
};

}  // namespace bertie::cloud
