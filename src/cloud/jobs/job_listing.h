// Which jobs ListTrainingJobs shows, in pages.
#pragma once

#include <vector>

#include "cloud/failure.h"
#include "cloud/jobs/job_record.h"

namespace bertie::cloud {

// The answer to the request, out of all jobs.
Outcome<formats::Json> ListJobs(const std::vector<JobRecord>& jobs, const formats::Json& request,
                                const Settings& settings);

}  // namespace bertie::cloud
