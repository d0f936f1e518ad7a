// The models of a server, by name and version.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "serve/loaded_model.h"

namespace bertie::serve {

using ModelPointer = std::shared_ptr<const LoadedModel>;

// Versions in their order: numbers by value and before words, words as bytes.
struct VersionLess {
  using is_transparent = void;
  bool operator()(std::string_view a, std::string_view b) const;
};

// Every member may be called from any thread; none blocks but the destructor.
//
// A request keeps its model by a ModelPointer until it is answered, so that taking a model out of
// the table loses no request. The last pointer may be let go of by a thread of the model's own
// batcher or executor, which cannot wait for its own end: the model is therefore handed to a thread
// of the table's, which ends it.
class ModelTable {
 public:
  ModelTable();
  // Requests that wait get kUnavailable, those that are computed are answered, and every model that
  // was adopted ends.
  ~ModelTable();
  ModelTable(const ModelTable&) = delete;
  ModelTable& operator=(const ModelTable&) = delete;

  ModelPointer Adopt(std::unique_ptr<LoadedModel> model);

  // Puts an adopted model in, in place of the one of its name and version.
  void Put(ModelPointer model);
  // Takes a version out, or, for "", all of the name. False: there was none.
  bool Remove(std::string_view name, std::string_view version = "");

  // Which name "" means; unless it is set, the only one there is. It need not be there yet.
  void SetDefault(std::string name);

  // name "": the default; version "": the highest. kNotFound names what there is;
  // kInvalidArgument where "" does not say which.
  Result<ModelPointer> Find(std::string_view name = "", std::string_view version = "") const;
  // All, by name and version.
  std::vector<ModelPointer> List() const;
  bool empty() const;

 private:
  using Versions = std::map<std::string, ModelPointer, VersionLess>;
  struct Ending;

  std::string Names() const;  // with the mutex held

  const std::shared_ptr<Ending> ending_;
  mutable std::mutex mutex_;  // guards all below
  std::map<std::string, Versions, std::less<>> models_;
  std::string default_;
};

}  // namespace bertie::serve
