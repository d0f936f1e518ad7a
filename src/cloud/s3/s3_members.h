// Members of SageMaker's requests that name places in S3.
#pragma once

#include "cloud/request_reader.h"
#include "cloud/s3/s3_uri.h"

namespace bertie::cloud {

// A required s3://BUCKET or s3://BUCKET/KEY; faults go to the reader.
S3Uri ReadS3Uri(RequestReader& reader, const char* member);
// The same as a folder: a key without slashes at its end.
S3Uri ReadS3Folder(RequestReader& reader, const char* member);

}  // namespace bertie::cloud
