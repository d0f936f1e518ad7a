#include "cloud/job_listing.h"

#include <algorithm>
#include <cstdio>
#include <tuple>
#include <utility>

#include "base/encoding.h"
#include "cloud/json_member.h"

namespace bertie::cloud {
namespace {

using formats::Json;

// What jobs are ordered by: a time has digits enough to be compared as text. The name makes the
// order whole, so that a page can begin behind the last one's end whatever came in between.
std::pair<std::string, std::string> SortKey(const JobRecord& job, const std::string& by) {
  if (by == "Name") return {job.name, {}};
  if (by == "Status") return {job.status, job.name};
  char digits[24];
  std::snprintf(digits, sizeof(digits), "%020lld", static_cast<long long>(job.created));
  return {digits, job.name};
}

std::string WriteToken(const std::pair<std::string, std::string>& key) {
  return Base64(formats::DumpJson(Json{key.first, key.second}));
}

std::optional<std::pair<std::string, std::string>> ReadToken(const std::string& token) {
  const auto text = DecodeBase64(token);
  if (!text) return std::nullopt;
  const auto json = formats::ParseJson(*text, "token");
  if (!json.ok() || !json->is_array() || json->size() != 2 || !(*json)[0].is_string() ||
      !(*json)[1].is_string()) {
    return std::nullopt;
  }
  return std::pair((*json)[0].get<std::string>(), (*json)[1].get<std::string>());
}

// Those that the request's filters leave.
void Filter(std::vector<JobRecord>& jobs, const Member& request) {
  const std::string contains = request["NameContains"].Text(63);
  const std::string status = request["StatusEquals"].OneOf(
      {"", "InProgress", "Completed", "Failed", "Stopping", "Stopped"});
  const auto created_after = request["CreationTimeAfter"].Time();
  const auto created_before = request["CreationTimeBefore"].Time();
  const auto modified_after = request["LastModifiedTimeAfter"].Time();
  const auto modified_before = request["LastModifiedTimeBefore"].Time();
  std::erase_if(jobs, [&](const JobRecord& job) {
    return job.name.find(contains) == job.name.npos || (!status.empty() && job.status != status) ||
           (created_after && job.created < *created_after) ||
           (created_before && job.created > *created_before) ||
           (modified_after && job.modified < *modified_after) ||
           (modified_before && job.modified > *modified_before);
  });
}

}  // namespace

Outcome<Json> ListJobs(std::vector<JobRecord> jobs, const Json& json, const Settings& settings) {
  std::optional<Failure> failure;
  const Member request(json, failure);
  Filter(jobs, request);
  const std::string by = request["SortBy"].OneOf({"CreationTime", "Name", "Status"});
  const bool down = request["SortOrder"].OneOf({"Ascending", "Descending"}) == "Descending";
  const auto max = static_cast<size_t>(request["MaxResults"].Int(1, 100, 10));
  const Member token = request["NextToken"];
  const auto after = ReadToken(token.Text(8192));
  if (token.there() && !after) token.RefuseWith("NextToken is none that bertie cloud gave");
  if (failure) return *failure;

  const auto before = [&](const auto& a, const auto& b) { return down ? b < a : a < b; };
  std::sort(jobs.begin(), jobs.end(), [&](const JobRecord& a, const JobRecord& b) {
    return before(SortKey(a, by), SortKey(b, by));
  });
  if (after) {
    std::erase_if(jobs, [&](const JobRecord& job) { return !before(*after, SortKey(job, by)); });
  }
  Json answer{{"TrainingJobSummaries", Json::array()}};
  for (size_t at = 0; at < std::min(max, jobs.size()); ++at) {
    answer["TrainingJobSummaries"].push_back(SummarizeJob(jobs[at], settings));
  }
  if (jobs.size() > max) answer["NextToken"] = WriteToken(SortKey(jobs[max - 1], by));
  return answer;
}

}  // namespace bertie::cloud
