// What each route takes and answers, for /openapi.json.
#pragma once

#include "formats/json.h"
#include "serve/openapi/operation.h"

namespace bertie::serve {

// The forms of refusals, by media type: what Protocol::DescribeRefusal gives.
formats::Json OwnRefusalContent();  // {"code", "type", "message"}
formats::Json TeiRefusalContent();  // {"error", "error_type"}, or plain text
formats::Json V2RefusalContent();   // {"error"}

formats::Json DescribeHealth(const DocModel& model);
formats::Json DescribeLive(const DocModel& model);
formats::Json DescribeMetrics(const DocModel& model);
formats::Json DescribeInvocations(const DocModel& model);
formats::Json DescribeOpenApi(const DocModel& model);
formats::Json DescribeDocs(const DocModel& model);

formats::Json DescribeModelLoad(const DocModel& model);
formats::Json DescribeModelList(const DocModel& model);
formats::Json DescribeModelEntry(const DocModel& model);
formats::Json DescribeModelUnload(const DocModel& model);

formats::Json DescribeTeiPredict(const DocModel& model);
formats::Json DescribeTeiRerank(const DocModel& model);
formats::Json DescribeTeiTokenize(const DocModel& model);
formats::Json DescribeTeiDecode(const DocModel& model);
formats::Json DescribeTeiInfo(const DocModel& model);
formats::Json DescribeVertex(const DocModel& model);

formats::Json DescribeV2Server(const DocModel& model);
formats::Json DescribeV2Live(const DocModel& model);
formats::Json DescribeV2Ready(const DocModel& model);
formats::Json DescribeV2Model(const DocModel& model);
formats::Json DescribeV2ModelReady(const DocModel& model);
formats::Json DescribeV2Infer(const DocModel& model);
formats::Json DescribeV2Config(const DocModel& model);
formats::Json DescribeV2Statistics(const DocModel& model);
formats::Json DescribeRepositoryIndex(const DocModel& model);
formats::Json DescribeRepositoryLoad(const DocModel& model);
formats::Json DescribeRepositoryUnload(const DocModel& model);

}  // namespace bertie::serve
