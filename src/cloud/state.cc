#include "cloud/state.h"

namespace bertie::cloud {

Result<std::unique_ptr<State>> State::Open(const std::filesystem::path& folder,
                                           const std::vector<SchemaPart>& parts) {
  const std::filesystem::path file = folder / "state.db";
  BERTIE_ASSIGN_OR_RETURN(std::unique_ptr<Database> writer,
                          Database::Open(file, Database::Mode::kWrite));
  for (const SchemaPart& part : parts) BERTIE_RETURN_IF_ERROR(Migrate(*writer, part));
  BERTIE_ASSIGN_OR_RETURN(std::unique_ptr<Database> reader,
                          Database::Open(file, Database::Mode::kRead));
  return std::unique_ptr<State>(new State(std::move(writer), std::move(reader)));
}

}  // namespace bertie::cloud
