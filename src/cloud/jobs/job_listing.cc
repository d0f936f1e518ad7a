#include "cloud/jobs/job_listing.h"

#include <map>
#include <utility>

#include "cloud/paging.h"

namespace bertie::cloud {

using formats::Json;

Outcome<Json> ListJobs(const std::vector<JobRecord>& jobs, const Json& request,
                       const Settings& settings) {
  std::vector<Listed> items;
  std::map<std::string, const JobRecord*> by_name;
  for (const JobRecord& job : jobs) {
    items.push_back({job.name, job.created, job.modified, job.status});
    by_name[job.name] = &job;
  }
  const ListRules rules{.statuses = {"InProgress", "Completed", "Failed", "Stopping", "Stopped"},
                        .descending = false};
  auto page = SelectPage(request, std::move(items), rules);
  if (!page.ok()) return page.error();
  Json answer{{"TrainingJobSummaries", Json::array()}};
  for (const Listed& item : page->items) {
    answer["TrainingJobSummaries"].push_back(SummarizeJob(*by_name[item.name], settings));
  }
  if (!page->next_token.empty()) answer["NextToken"] = page->next_token;
  return answer;
}

}  // namespace bertie::cloud
