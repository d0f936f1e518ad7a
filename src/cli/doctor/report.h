// What `bertie doctor` found, for people and for scripts.
#pragma once

#include <optional>
#include <string>

#include "cli/doctor/advice.h"
#include "cli/doctor/facts.h"
#include "cli/doctor/model_check.h"
#include "cli/doctor/speed.h"
#include "cli/output.h"

namespace bertie::cli {

struct Diagnosis {
  Facts facts;
  Speed speed;
  Advice advice;
  std::optional<ModelCheck> model;  // where one was named
  std::string model_name;

  // Nothing that makes bertie, or the model, not work.
  bool ok() const;
};

std::string DiagnosisText(const Diagnosis& diagnosis);
OrderedJson DiagnosisJson(const Diagnosis& diagnosis);

}  // namespace bertie::cli
