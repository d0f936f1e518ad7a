// What is counted and logged of one request, whatever it came by.
#pragma once

#include <cstddef>
#include <string_view>
#include <utility>

#include "serve/context.h"
#include "serve/inference.h"
#include "serve/request_facts.h"

namespace bertie::serve {

// One thread at a time.
class RequestRecord {
 public:
  // context and route outlive it. The request is taken to begin here.
  RequestRecord(ServeContext& context, std::string_view route, RequestFacts facts)
      : context_(context), route_(route), facts_(std::move(facts)) {}

  const RequestFacts& facts() const { return facts_; }
  Clock::time_point begin() const { return begin_; }

  void SetModel(ModelPointer model) { model_ = std::move(model); }
  void AddTexts(const Inference& inference);

  // Under the model, where there is one. Once, when the answer is known: how long it took is
  // measured here.
  void Count(int status);
  // The line of the access log, where one is wanted; after Count. grpc_status: as in AccessRecord.
  void Log(int status, std::string_view grpc_status = {}) const;

 private:
  ServeContext& context_;
  const std::string_view route_;
  const RequestFacts facts_;
  const Clock::time_point begin_ = Clock::now();
  double seconds_ = 0;
  ModelPointer model_;
  size_t texts_ = 0;
  size_t tokens_ = 0;
};

}  // namespace bertie::serve
