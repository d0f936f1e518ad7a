#include "train/precision_search.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

namespace bertie::train {
namespace {

// The parts that a plan can raise, in ForEachPart's order: a visitor of it.
class RaisableParts {
 public:
  struct Part {
    std::string name;
    kernels::EmbeddingTable* table = nullptr;  // one of the two
    kernels::PackedMatrix* matrix = nullptr;
  };

  explicit RaisableParts(model::ClassifierWeights& weights) {
    (void)model::ForEachPart(weights, *this);  // this visitor fails nowhere
  }

  Status Table(const std::string&, const model::FloatTable&, int64_t) { return {}; }
  Status Embedding(const std::string& name, kernels::EmbeddingTable& table, int64_t, int64_t) {
    parts_.push_back({name, &table, nullptr});
    return {};
  }
  Status Matrix(const std::string& name, const std::vector<std::string>&, model::Linear& linear,
                int64_t, int64_t) {
    parts_.push_back({name, nullptr, &linear.weight});
    return {};
  }

  const std::vector<Part>& parts() const { return parts_; }

 private:
  std::vector<Part> parts_;
};

Result<std::vector<float>> Logits(const model::ClassifierWeights& weights,
                                  const std::vector<text::Encoding>& encodings, ThreadPool& pool) {
  return ComputeLogits(model::Classifier(weights), encodings, {}, pool);
}

double Agreement(ProblemType problem, std::span<const float> original,
                 std::span<const float> lowered, size_t width) {
  if (problem == ProblemType::kRegression) return RankCorrelation(original, lowered);
  int64_t same = 0;
  if (problem == ProblemType::kMultiLabel) {
    for (size_t i = 0; i < original.size(); ++i) {
      same += ReachesThreshold(original[i], kDefaultThreshold) ==
              ReachesThreshold(lowered[i], kDefaultThreshold);
    }
    return static_cast<double>(same) / static_cast<double>(original.size());
  }
  for (size_t i = 0; i < original.size(); i += width) {
    same += ArgMax(original.subspan(i, width)) == ArgMax(lowered.subspan(i, width));
  }
  return static_cast<double>(same) / static_cast<double>(original.size() / width);
}

Result<Comparison> Compare(const Targets& targets, std::span<const float> original,
                           std::span<const float> lowered, int num_labels) {
  Comparison result;
  BERTIE_ASSIGN_OR_RETURN(result.before, ComputeMetrics(targets, original, num_labels));
  BERTIE_ASSIGN_OR_RETURN(result.after, ComputeMetrics(targets, lowered, num_labels));
  for (size_t i = 0; i < original.size(); ++i) {
    const double difference = std::abs(static_cast<double>(original[i] - lowered[i]));
    result.mean_difference += difference / static_cast<double>(original.size());
    result.largest_difference = std::max(result.largest_difference, difference);
  }
  result.agreement = Agreement(targets.problem, original, lowered, static_cast<size_t>(num_labels));
  return result;
}

class Search {
 public:
  Search(const model::Checkpoint& checkpoint, model::WeightType precision,
         const EncodedDataset& data, const SearchOptions& options, ThreadPool& pool)
      : checkpoint_(checkpoint),
        data_(data),
        options_(options),
        pool_(pool),
        precision_(precision) {}

  Result<SearchResult> Run() {
    BERTIE_ASSIGN_OR_RETURN(const auto original, model::PackWeights(checkpoint_, {}, pool_));
    BERTIE_ASSIGN_OR_RETURN(original_, Logits(original, data_.encodings, pool_));
    BERTIE_ASSIGN_OR_RETURN(lowest_, model::PackWeights(checkpoint_, {precision_, {}}, pool_));
    SearchResult result;
    BERTIE_RETURN_IF_ERROR(Try(result));
    result.first = result.comparison;
    if (options_.bound.Holds(result.comparison)) return result;
    BERTIE_RETURN_IF_ERROR(PackRaised());
    BERTIE_ASSIGN_OR_RETURN(const auto costliest, Weigh());
    for (size_t count = 1; !options_.bound.Holds(result.comparison); count *= 2) {
      count = std::min(count, costliest.size());
      result.raised.assign(costliest.begin(), costliest.begin() + static_cast<ptrdiff_t>(count));
      BERTIE_RETURN_IF_ERROR(Try(result));
      if (count == costliest.size()) break;
    }
    return result;
  }

 private:
  int num_labels() const { return static_cast<int>(checkpoint_.config.num_labels()); }

  // The weights with all parts raised that can be.
  Status PackRaised() {
    model::PrecisionPlan plan{precision_, {}};
    const RaisableParts all(lowest_);
    for (const auto& part : all.parts()) {
      const model::WeightType lowest = plan.TypeOf(part.name);
      plan.higher.insert(part.name);
      if (plan.TypeOf(part.name) != lowest) raisable_.push_back(part.name);  // not so the head
    }
    BERTIE_ASSIGN_OR_RETURN(highest_, model::PackWeights(checkpoint_, plan, pool_));
    return {};
  }

  // The weights with these parts raised. Copies share their memory: nothing is packed anew.
  model::ClassifierWeights Mix(const std::vector<std::string>& raised) {
    model::ClassifierWeights mixed = lowest_;
    if (raised.empty()) return mixed;
    const RaisableParts to(mixed), from(highest_);
    for (size_t i = 0; i < to.parts().size(); ++i) {
      const auto& part = to.parts()[i];
      if (std::find(raised.begin(), raised.end(), part.name) == raised.end()) continue;
      if (part.table != nullptr) *part.table = *from.parts()[i].table;
      if (part.matrix != nullptr) *part.matrix = *from.parts()[i].matrix;
    }
    return mixed;
  }

  // Compares on all data with result.raised raised.
  Status Try(SearchResult& result) {
    result.weights = Mix(result.raised);
    BERTIE_ASSIGN_OR_RETURN(const auto lowered, Logits(result.weights, data_.encodings, pool_));
    BERTIE_ASSIGN_OR_RETURN(result.comparison,
                            Compare(data_.targets, original_, lowered, num_labels()));
    return {};
  }

  // Sum of squared differences from the original's logits on the sample, with one part raised.
  Result<double> SampleError(const std::string& name) {
    BERTIE_ASSIGN_OR_RETURN(const auto logits, Logits(Mix({name}), sample_, pool_));
    double error = 0;
    for (size_t i = 0; i < logits.size(); ++i) {
      const double difference = static_cast<double>(logits[i] - original_[i]);
      error += difference * difference;
    }
    return error;
  }

  // The parts by what is left of the error when each alone is raised, the least first.
  Result<std::vector<std::string>> Weigh() {
    const size_t sample = std::min(data_.encodings.size(), static_cast<size_t>(options_.sample));
    sample_.assign(data_.encodings.begin(),
                   data_.encodings.begin() + static_cast<ptrdiff_t>(sample));
    std::vector<std::pair<double, std::string>> weighed;
    for (const std::string& name : raisable_) {
      if (options_.progress) {
        options_.progress({"weighing matrices", static_cast<int64_t>(weighed.size()) + 1,
                           static_cast<int64_t>(raisable_.size())});
      }
      BERTIE_ASSIGN_OR_RETURN(const double error, SampleError(name));
      weighed.emplace_back(error, name);
    }
    std::sort(weighed.begin(), weighed.end());
    std::vector<std::string> names;
    for (auto& [error, name] : weighed) names.push_back(std::move(name));
    return names;
  }

  const model::Checkpoint& checkpoint_;
  const EncodedDataset& data_;
  const SearchOptions& options_;
  ThreadPool& pool_;
  const model::WeightType precision_;
  model::ClassifierWeights lowest_, highest_;
  std::vector<std::string> raisable_;  // names
  std::vector<float> original_;        // logits
  std::vector<text::Encoding> sample_;
};

}  // namespace

double Comparison::drop() const {
  switch (before.problem) {
    case ProblemType::kSingleLabel:
      break;
    case ProblemType::kMultiLabel:
      return std::max(before.micro_f1 - after.micro_f1, before.macro_f1 - after.macro_f1);
    case ProblemType::kRegression:
      return std::max(before.pearson - after.pearson, before.spearman - after.spearman);
  }
  return std::max(before.accuracy - after.accuracy, before.mcc - after.mcc);
}

Result<SearchResult> LowerPrecision(const model::Checkpoint& checkpoint,
                                    model::WeightType precision, const EncodedDataset& data,
                                    const SearchOptions& options, ThreadPool& pool) {
  return Search(checkpoint, precision, data, options, pool).Run();
}

}  // namespace bertie::train
