#include "model/config.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "base/file.h"
#include "base/quote.h"
#include "formats/json.h"
#include "model/problem.h"

namespace bertie::model {
namespace {

using formats::Json;

constexpr size_t kMaxConfigBytes = size_t{4} << 20;
constexpr int64_t kMaxLabels = 100'000;

// Far beyond the largest BERT (hidden 1024, 24 layers, vocabularies of some 250,000 in the
// multilingual ones, a few with hidden 4096 or 8192 positions), yet small enough that no product of
// two overflows or asks for an absurd amount of memory by itself.
struct SizeField {
  const char* name;
  int64_t Config::*member;
  int64_t max;
};
constexpr std::array kSizes = {
    SizeField{"vocab_size", &Config::vocab_size, 4'000'000},
    SizeField{"hidden_size", &Config::hidden_size, 16'384},
    SizeField{"num_hidden_layers", &Config::num_hidden_layers, 256},
    SizeField{"num_attention_heads", &Config::num_attention_heads, 512},
    SizeField{"intermediate_size", &Config::intermediate_size, 131'072},
    SizeField{"max_position_embeddings", &Config::max_position_embeddings, 131'072},
    SizeField{"type_vocab_size", &Config::type_vocab_size, 1'024},
};

struct NumberField {
  const char* name;
  float Config::*member;
  double max;  // the range is [0, max)
};
constexpr std::array kNumbers = {
    NumberField{"layer_norm_eps", &Config::layer_norm_eps, 1},
    NumberField{"initializer_range", &Config::initializer_range, 100},
    NumberField{"hidden_dropout_prob", &Config::hidden_dropout_prob, 1},
    NumberField{"attention_probs_dropout_prob", &Config::attention_probs_dropout_prob, 1},
};

// Turns a config.json into a Config; one member function for each kind of field.
class ConfigReader {
 public:
  ConfigReader(const Json& json, const std::string& where) : json_(json), where_(where) {}

  Result<Config> Read() {
    BERTIE_RETURN_IF_ERROR(CheckKind());
    Config config;
    for (const SizeField& field : kSizes) {
      if (const Json* value = Find(field.name)) {
        BERTIE_ASSIGN_OR_RETURN(config.*field.member, Integer(field.name, *value, 1, field.max));
      }
    }
    if (config.hidden_size % config.num_attention_heads != 0) {
      return Bad(
          "hidden_size", std::to_string(config.hidden_size),
          "a multiple of num_attention_heads, " + std::to_string(config.num_attention_heads));
    }
    for (const NumberField& field : kNumbers) {
      if (const Json* value = Find(field.name)) {
        BERTIE_ASSIGN_OR_RETURN(config.*field.member, Number(field.name, *value, field.max));
      }
    }
    config.classifier_dropout = config.hidden_dropout_prob;
    if (const Json* value = Find("classifier_dropout")) {
      BERTIE_ASSIGN_OR_RETURN(config.classifier_dropout, Number("classifier_dropout", *value, 1));
    }
    if (const Json* value = Find("pad_token_id")) {
      BERTIE_ASSIGN_OR_RETURN(const int64_t id,
                              Integer("pad_token_id", *value, 0, config.vocab_size - 1));
      config.pad_token_id = static_cast<int32_t>(id);
    }
    BERTIE_RETURN_IF_ERROR(ReadLabels(config));
    BERTIE_RETURN_IF_ERROR(ReadProblemType(config));
    return config;
  }

 private:
  // A key that is absent or null: transformers writes null for "not set".
  const Json* Find(const char* name) const {
    const auto found = json_.find(name);
    return found == json_.end() || found->is_null() ? nullptr : &*found;
  }

  Error Bad(const std::string& field, const std::string& found, const std::string& expected,
            ErrorCode code = ErrorCode::kInvalidData) const {
    return {code, where_ + ": " + field + ": found " + found + ", expected " + expected};
  }

  static std::string Show(const Json& value) {
    if (value.is_structured()) return formats::JsonTypeName(value);
    return value.is_string() ? Quote(value.get_ref<const std::string&>())
                             : formats::DumpJson(value);
  }

  Result<int64_t> Integer(const char* name, const Json& value, int64_t min, int64_t max) const {
    // number_integer covers the unsigned form; a huge unsigned would turn negative in get<int64_t>.
    const bool fits = value.is_number_integer() &&
                      (!value.is_number_unsigned() || value.get<uint64_t>() <= uint64_t(max));
    const int64_t number = fits ? value.get<int64_t>() : 0;
    if (!fits || number < min || number > max) {
      return Bad(name, Show(value),
                 "an integer from " + std::to_string(min) + " to " + std::to_string(max));
    }
    return number;
  }

  Result<float> Number(const char* name, const Json& value, double max) const {
    const double number = value.is_number() ? value.get<double>() : -1;
    if (!(number >= 0 && number < max)) {
      return Bad(name, Show(value),
                 "a number from 0 to below " + std::to_string(static_cast<int>(max)));
    }
    return static_cast<float>(number);
  }

  // The kind of model: anything whose forward pass would differ from BertModel's is refused.
  Status CheckKind() const {
    if (!json_.is_object()) {
      return Error{ErrorCode::kInvalidData,
                   where_ + ": found " + formats::JsonTypeName(json_) + ", expected an object"};
    }
    BERTIE_RETURN_IF_ERROR(CheckModelType());
    BERTIE_RETURN_IF_ERROR(CheckString("hidden_act", "gelu", "the only activation supported"));
    BERTIE_RETURN_IF_ERROR(
        CheckString("position_embedding_type", "absolute", "the only kind supported"));
    for (const char* flag : {"is_decoder", "add_cross_attention"}) {
      const Json* value = Find(flag);
      if (value != nullptr && *value != Json(false)) {
        return Bad(flag, Show(*value), "false: only encoders are supported",
                   ErrorCode::kUnsupported);
      }
    }
    return {};
  }

  Status CheckString(const char* name, const char* expected, const std::string& why) const {
    const Json* value = Find(name);
    if (value == nullptr || *value == Json(expected)) return {};
    return Bad(name, Show(*value), std::string("'") + expected + "', " + why,
               ErrorCode::kUnsupported);
  }

  // Checkpoints older than model_type are known by their class.
  Status CheckModelType() const {
    if (Find("model_type") != nullptr) {
      return CheckString("model_type", "bert", "the only kind supported");
    }
    const Json* architectures = Find("architectures");
    if (architectures != nullptr && architectures->is_array() && !architectures->empty()) {
      const Json& first = architectures->front();
      if (first.is_string() && first.get_ref<const std::string&>().starts_with("Bert")) return {};
      return Bad("architectures", Show(first), "a class of the Bert family",
                 ErrorCode::kUnsupported);
    }
    return Bad("model_type", "nothing", "'bert', or architectures with a class of the Bert family");
  }

  Status ReadLabels(Config& config) const {
    if (const Json* value = Find("id2label")) return ReadIdToLabel(*value, config);
    // Checkpoints may say num_labels alone; the names are then transformers' own.
    for (const char* name : {"num_labels", "_num_labels"}) {
      const Json* value = Find(name);
      if (value == nullptr) continue;
      BERTIE_ASSIGN_OR_RETURN(const int64_t count, Integer(name, *value, 1, kMaxLabels));
      for (int64_t i = 0; i < count; ++i) config.labels.push_back("LABEL_" + std::to_string(i));
      break;
    }
    return {};
  }

  // {"0": "no", "1": "yes"}: the keys are the ids 0 to n-1, each once.
  Status ReadIdToLabel(const Json& value, Config& config) const {
    if (!value.is_object()) return Bad("id2label", Show(value), "an object of ids to names");
    if (value.empty() || static_cast<int64_t>(value.size()) > kMaxLabels) {
      return Bad("id2label", std::to_string(value.size()) + " labels",
                 "1 to " + std::to_string(kMaxLabels));
    }
    std::vector<std::optional<std::string>> names(value.size());
    for (const auto& [key, name] : value.items()) {
      size_t id = names.size();
      const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
      if (error != std::errc() || end != key.data() + key.size() || id >= names.size() ||
          names[id]) {
        return Bad("id2label", "the id " + Quote(key),
                   "each of 0 to " + std::to_string(names.size() - 1) + " once");
      }
      // Datasets with integer classes are saved with integers for names.
      if (!name.is_string() && !name.is_number_integer()) {
        return Bad("id2label", Show(name) + " for id " + key, "a string");
      }
      names[id] = name.is_string() ? name.get<std::string>() : formats::DumpJson(name);
    }
    for (auto& name : names) config.labels.push_back(std::move(*name));
    return {};
  }

  Status ReadProblemType(Config& config) const {
    const Json* value = Find("problem_type");
    if (value == nullptr) return {};
    if (value->is_string() && ParseProblemType(value->get_ref<const std::string&>())) {
      config.problem_type = value->get<std::string>();
    } else {
      return Bad("problem_type", Show(*value),
                 "single_label_classification, multi_label_classification or regression");
    }
    return {};
  }

  const Json& json_;
  const std::string& where_;
};

}  // namespace

ProblemType ProblemOf(const Config& config) {
  return ParseProblemType(config.problem_type)
      .value_or(config.num_labels() == 1 ? ProblemType::kRegression : ProblemType::kSingleLabel);
}

Result<Config> ParseConfig(std::string_view json, const std::string& where) {
  formats::JsonLimits limits;
  limits.max_bytes = kMaxConfigBytes;
  BERTIE_ASSIGN_OR_RETURN(const Json parsed, formats::ParseJson(json, where, limits));
  BERTIE_ASSIGN_OR_RETURN(Config config, ConfigReader(parsed, where).Read());
  config.raw_json = json;
  return config;
}

Result<Config> LoadConfig(const std::filesystem::path& file) {
  BERTIE_ASSIGN_OR_RETURN(const std::string text, ReadFile(file, kMaxConfigBytes));
  return ParseConfig(text, file.string());
}

std::string ConfigToJson(const Config& config) {
  Json json = Json::object();
  if (!config.raw_json.empty()) {
    auto parsed = formats::ParseJson(config.raw_json, "config");
    if (parsed.ok() && parsed->is_object()) json = std::move(*parsed);
  }
  json["model_type"] = "bert";
  json["architectures"] = {"BertForSequenceClassification"};
  json["hidden_act"] = "gelu";
  json["position_embedding_type"] = "absolute";
  for (const SizeField& field : kSizes) json[field.name] = config.*field.member;
  // A float's shortest decimal form, read back as a double, prints as 0.1 and not 0.100000001....
  auto decimal = [](float value) {
    std::array<char, 32> text;
    const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
    double number = value;
    if (error == std::errc()) std::from_chars(text.data(), end, number);
    return number;
  };
  for (const NumberField& field : kNumbers) json[field.name] = decimal(config.*field.member);
  if (config.classifier_dropout == config.hidden_dropout_prob) {
    json["classifier_dropout"] = nullptr;
  } else {
    json["classifier_dropout"] = decimal(config.classifier_dropout);
  }
  json["pad_token_id"] = config.pad_token_id;
  // The newer name; transformers writes one of the two and reads both.
  json.erase("dtype");
  json["torch_dtype"] = "float32";
  json.erase("num_labels");
  json.erase("_num_labels");
  json.erase("id2label");
  json.erase("label2id");
  for (size_t i = 0; i < config.labels.size(); ++i) {
    json["id2label"][std::to_string(i)] = config.labels[i];
    json["label2id"][config.labels[i]] = i;
  }
  if (config.problem_type.empty()) {
    json.erase("problem_type");
  } else {
    json["problem_type"] = config.problem_type;
  }
  return formats::DumpJson(json, 2) + "\n";
}

}  // namespace bertie::model
