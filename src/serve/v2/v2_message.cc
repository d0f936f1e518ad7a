#include "serve/v2/v2_message.h"

#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include "base/quote.h"
#include "serve/answer.h"
#include "serve/bad_input.h"

namespace bertie::serve {
namespace {

using formats::Json;
using http::Refusal;
using MaybeRefusal = std::optional<Refusal>;

static_assert(std::endian::native == std::endian::little, "tensors are copied as they lie");

// A tensor of ids takes two bytes a value in JSON and sixteen once parsed: 32 MB at most.
constexpr int64_t kMaxJsonValues = 2'000'000;
constexpr size_t kMaxTensors = 16;
constexpr size_t kMaxDimensions = 8;
constexpr size_t kMaxElements = size_t{1} << 28;

std::string At(const std::string& list, size_t index) {
  return list + "[" + std::to_string(index) + "]";
}

MaybeRefusal ReadString(const Json& object, const char* key, const std::string& where, bool needed,
                        std::string& out) {
  const auto found = object.find(key);
  if (found == object.end()) {
    if (!needed) return std::nullopt;
    return InvalidInput(where + " has no \"" + key + "\"");
  }
  if (!found->is_string()) return WrongType(where + "." + key, *found, "a string");
  out = found->get<std::string>();
  return std::nullopt;
}

MaybeRefusal ReadSize(const Json& value, const std::string& where, int64_t& out) {
  if (!value.is_number_integer()) return WrongType(where, value, "an integer, at least 0");
  if (value.is_number_unsigned() &&
      value.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return InvalidInput(where + " is too large");
  }
  out = value.get<int64_t>();
  if (out < 0) return InvalidInput(where + " is " + std::to_string(out) + "; expected at least 0");
  return std::nullopt;
}

// An object under key; null and absent are none.
MaybeRefusal FindObject(const Json& object, const char* key, const std::string& where,
                        const Json*& out) {
  out = nullptr;
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return std::nullopt;
  if (!found->is_object()) return WrongType(where + key, *found, "an object");
  out = &*found;
  return std::nullopt;
}

MaybeRefusal ReadBool(const Json& parameters, const char* key, const std::string& where,
                      std::optional<bool>& out) {
  const auto found = parameters.find(key);
  if (found == parameters.end()) return std::nullopt;
  if (!found->is_boolean()) return WrongType(where + "." + key, *found, "true or false");
  out = found->get<bool>();
  return std::nullopt;
}

// Shared memory would be the server's own; clients on other machines could not mean it.
MaybeRefusal RefuseSharedMemory(const Json& parameters, const std::string& where) {
  if (!parameters.contains("shared_memory_region")) return std::nullopt;
  return InvalidInput(where +
                      ".shared_memory_region: shared memory is not supported; send the data "
                      "in the request");
}

MaybeRefusal ReadShape(const Json& input, const std::string& where, V2Tensor& out) {
  const auto shape = input.find("shape");
  if (shape == input.end()) return InvalidInput(where + " has no \"shape\"");
  if (!shape->is_array()) return WrongType(where + ".shape", *shape, "a list of integers");
  if (shape->empty() || shape->size() > kMaxDimensions) {
    return InvalidInput(where + ".shape has " + std::to_string(shape->size()) +
                        " dimensions; expected 1 to " + std::to_string(kMaxDimensions));
  }
  for (size_t i = 0; i < shape->size(); ++i) {
    int64_t size = 0;
    if (auto refusal = ReadSize((*shape)[i], At(where + ".shape", i), size)) return refusal;
    out.shape.push_back(size);
  }
  return std::nullopt;
}

// One level of data: a list of elements, or of lists where it is nested as the shape says.
class DataReader {
 public:
  DataReader(const std::string& where, V2Tensor& out) : where_(where), out_(out) {}

  MaybeRefusal Read(const Json& data, size_t elements) {
    if (!data.is_array()) return WrongType(where_, data, "a list");
    nested_ = !data.empty() && data[0].is_array();
    if (!nested_ && data.size() != elements) {
      return InvalidInput(where_ + " holds " + std::to_string(data.size()) +
                          " values; the shape says " + std::to_string(elements));
    }
    return ReadLevel(data, 0);
  }

 private:
  MaybeRefusal ReadLevel(const Json& list, size_t level) {
    const bool last = !nested_ || level + 1 == out_.shape.size();
    if (nested_ && list.size() != static_cast<size_t>(out_.shape[level])) {
      return InvalidInput(where_ + " has a list of " + std::to_string(list.size()) +
                          " where the shape says " + std::to_string(out_.shape[level]));
    }
    for (const Json& item : list) {
      if (!last && !item.is_array()) return WrongType("a value of " + where_, item, "a list");
      if (auto refusal = last ? ReadElement(item) : ReadLevel(item, level + 1)) return refusal;
    }
    return std::nullopt;
  }

  MaybeRefusal ReadElement(const Json& item) {
    if (auto* texts = std::get_if<std::vector<std::string>>(&out_.data)) {
      if (!item.is_string()) return WrongType("a value of " + where_, item, "a string");
      texts->push_back(item.get<std::string>());
      return std::nullopt;
    }
    if (!item.is_number_integer()) return WrongType("a value of " + where_, item, "an integer");
    std::get<std::vector<int64_t>>(out_.data).push_back(item.get<int64_t>());
    return std::nullopt;
  }

  const std::string where_;
  V2Tensor& out_;
  bool nested_ = false;
};

// The next binary_data_size bytes behind the JSON.
MaybeRefusal TakeBinary(const Json& size_value, const std::string& where, std::string_view& rest,
                        V2Tensor& out) {
  int64_t size = 0;
  const std::string name = where + ".parameters.binary_data_size";
  if (auto refusal = ReadSize(size_value, name, size)) return refusal;
  if (static_cast<uint64_t>(size) > rest.size()) {
    return InvalidInput(name + " is " + std::to_string(size) + "; " + std::to_string(rest.size()) +
                        " bytes of the body are left for it");
  }
  const std::string_view bytes = rest.substr(0, static_cast<size_t>(size));
  rest.remove_prefix(bytes.size());
  return ReadV2Bytes(bytes, out);
}

MaybeRefusal ReadInput(const Json& input, const std::string& where, std::string_view& binary,
                       V2Tensor& out) {
  if (!input.is_object()) return WrongType(where, input, "an object");
  if (auto refusal = ReadString(input, "name", where, true, out.name)) return refusal;
  if (auto refusal = ReadString(input, "datatype", where, true, out.datatype)) return refusal;
  if (auto refusal = ReadShape(input, where, out)) return refusal;
  const Json* parameters = nullptr;
  if (auto refusal = FindObject(input, "parameters", where + ".", parameters)) return refusal;
  if (parameters) {
    if (auto refusal = RefuseSharedMemory(*parameters, where + ".parameters")) return refusal;
    const auto size = parameters->find("binary_data_size");
    if (size != parameters->end()) return TakeBinary(*size, where, binary, out);
  }
  size_t elements = 0;
  if (auto refusal = CheckV2Shape(out, &elements)) return refusal;
  const auto data = input.find("data");
  if (data == input.end()) {
    return InvalidInput(where + " has neither \"data\" nor parameters.binary_data_size");
  }
  if (out.datatype == "BYTES") {
    out.data.emplace<std::vector<std::string>>();
  } else {
    out.data.emplace<std::vector<int64_t>>();
  }
  return DataReader(where + ".data", out).Read(*data, elements);
}

MaybeRefusal ReadOutput(const Json& output, const std::string& where, V2RequestedOutput& out) {
  if (!output.is_object()) return WrongType(where, output, "an object");
  if (auto refusal = ReadString(output, "name", where, true, out.name)) return refusal;
  const Json* parameters = nullptr;
  if (auto refusal = FindObject(output, "parameters", where + ".", parameters)) return refusal;
  if (!parameters) return std::nullopt;
  const std::string inner = where + ".parameters";
  if (auto refusal = RefuseSharedMemory(*parameters, inner)) return refusal;
  if (auto refusal = ReadBool(*parameters, "binary_data", inner, out.binary)) return refusal;
  const auto classes = parameters->find("classification");
  if (classes == parameters->end()) return std::nullopt;
  return ReadSize(*classes, inner + ".classification", out.classification);
}

MaybeRefusal FindList(const Json& body, const char* key, const Json*& out) {
  const auto found = body.find(key);
  out = nullptr;
  if (found == body.end() || found->is_null()) return std::nullopt;
  if (!found->is_array()) return WrongType(key, *found, "a list");
  if (found->size() > kMaxTensors) {
    return InvalidInput(std::string(key) + " has " + std::to_string(found->size()) +
                        " tensors; expected at most " + std::to_string(kMaxTensors));
  }
  out = &*found;
  return std::nullopt;
}

MaybeRefusal ReadRequest(const Json& body, std::string_view binary, V2Request& out) {
  if (!body.is_object()) return WrongType("the body", body, "an object with \"inputs\"");
  if (auto refusal = ReadString(body, "id", "the body", false, out.id)) return refusal;
  const Json* parameters = nullptr;
  if (auto refusal = FindObject(body, "parameters", "", parameters)) return refusal;
  if (parameters) {
    out.parameters = *parameters;
    std::optional<bool> all_binary;
    if (auto refusal = ReadBool(*parameters, "binary_data_output", "parameters", all_binary)) {
      return refusal;
    }
    out.binary_output = all_binary.value_or(false);
  }
  const Json* inputs = nullptr;
  if (auto refusal = FindList(body, "inputs", inputs)) return refusal;
  if (!inputs || inputs->empty()) return InvalidInput("the body has no \"inputs\"");
  out.inputs.resize(inputs->size());
  for (size_t i = 0; i < inputs->size(); ++i) {
    if (auto refusal = ReadInput((*inputs)[i], At("inputs", i), binary, out.inputs[i])) {
      return refusal;
    }
  }
  if (!binary.empty()) {
    return InvalidInput(std::to_string(binary.size()) +
                        " bytes follow the last input's; the binary_data_size of the inputs do not "
                        "add up to the body");
  }
  const Json* outputs = nullptr;
  if (auto refusal = FindList(body, "outputs", outputs)) return refusal;
  out.outputs.resize(outputs ? outputs->size() : 0);
  for (size_t i = 0; i < out.outputs.size(); ++i) {
    if (auto refusal = ReadOutput((*outputs)[i], At("outputs", i), out.outputs[i])) return refusal;
  }
  return std::nullopt;
}

template <class Integer>
std::vector<int64_t> ReadIntegers(std::string_view bytes) {
  std::vector<int64_t> values(bytes.size() / sizeof(Integer));
  for (size_t i = 0; i < values.size(); ++i) {
    Integer value;
    std::memcpy(&value, bytes.data() + i * sizeof(Integer), sizeof(Integer));
    values[i] = value;
  }
  return values;
}

MaybeRefusal ReadTexts(std::string_view bytes, const std::string& name,
                       std::vector<std::string>& out) {
  while (!bytes.empty()) {
    uint32_t size = 0;
    const size_t index = out.size();
    if (bytes.size() < sizeof(size)) {
      return InvalidInput(name + ": " + std::to_string(bytes.size()) +
                          " bytes are left for the length of text " + std::to_string(index) +
                          "; expected 4");
    }
    std::memcpy(&size, bytes.data(), sizeof(size));
    bytes.remove_prefix(sizeof(size));
    if (size > bytes.size()) {
      return InvalidInput(name + ": text " + std::to_string(index) + " has " +
                          std::to_string(size) + " bytes by its length; " +
                          std::to_string(bytes.size()) + " are left");
    }
    out.emplace_back(bytes.substr(0, size));
    bytes.remove_prefix(size);
  }
  return std::nullopt;
}

void AppendData(const V2Tensor& tensor, std::string& out) {
  out += ",\"data\":[";
  size_t count = 0;
  const auto comma = [&] {
    if (count++ > 0) out.push_back(',');
  };
  std::visit(
      [&](const auto& values) {
        for (const auto& value : values) {
          comma();
          using Value = std::decay_t<decltype(value)>;
          if constexpr (std::is_same_v<Value, std::string>) {
            out += formats::DumpJson(Json(value));
          } else if constexpr (std::is_same_v<Value, float>) {
            AppendFloat(value, out);
          } else {
            out += std::to_string(value);
          }
        }
      },
      tensor.data);
  out.push_back(']');
}

}  // namespace

MaybeRefusal CheckV2Shape(const V2Tensor& tensor, size_t* elements) {
  const std::string name = "input " + Quote(tensor.name);
  if (tensor.datatype != "BYTES" && tensor.datatype != "INT64" && tensor.datatype != "INT32") {
    return InvalidInput(name + " has the datatype " + Quote(tensor.datatype) +
                        "; expected BYTES, INT64 or INT32");
  }
  size_t product = 1;
  for (int64_t size : tensor.shape) {
    if (size < 0) {
      return InvalidInput(name + " has the dimension " + std::to_string(size) +
                          "; expected at least 0");
    }
    const auto factor = static_cast<size_t>(size);
    if (factor > 0 && product > kMaxElements / factor) {
      return InvalidInput(name + " has more than " + std::to_string(kMaxElements) + " elements");
    }
    product *= factor;
  }
  *elements = product;
  return std::nullopt;
}

MaybeRefusal ReadV2Bytes(std::string_view bytes, V2Tensor& tensor) {
  size_t elements = 0;
  if (auto refusal = CheckV2Shape(tensor, &elements)) return refusal;
  const std::string name = "input " + Quote(tensor.name);
  size_t found = 0;
  if (tensor.datatype == "BYTES") {
    auto& texts = tensor.data.emplace<std::vector<std::string>>();
    if (auto refusal = ReadTexts(bytes, name, texts)) return refusal;
    found = texts.size();
  } else {
    const size_t size = tensor.datatype == "INT64" ? sizeof(int64_t) : sizeof(int32_t);
    if (bytes.size() != elements * size) {
      return InvalidInput(name + " came with " + std::to_string(bytes.size()) +
                          " bytes; the shape needs " + std::to_string(elements * size));
    }
    tensor.data =
        size == sizeof(int64_t) ? ReadIntegers<int64_t>(bytes) : ReadIntegers<int32_t>(bytes);
    found = elements;
  }
  if (found == elements) return std::nullopt;
  return InvalidInput(name + " came with " + std::to_string(found) + " texts; the shape says " +
                      std::to_string(elements));
}

std::string WriteV2Bytes(const V2Tensor& tensor) {
  std::string out;
  std::visit(
      [&](const auto& values) {
        using Value = typename std::decay_t<decltype(values)>::value_type;
        if constexpr (std::is_same_v<Value, std::string>) {
          for (const std::string& text : values) {
            const auto size = static_cast<uint32_t>(text.size());
            out.append(reinterpret_cast<const char*>(&size), sizeof(size)).append(text);
          }
        } else {
          out.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(Value));
        }
      },
      tensor.data);
  return out;
}

std::variant<V2Request, Refusal> ParseV2Request(std::string_view body,
                                                std::optional<size_t> json_length) {
  const size_t length = json_length.value_or(body.size());
  if (length > body.size()) {
    return InvalidInput("Inference-Header-Content-Length is " + std::to_string(length) +
                        "; the body has " + std::to_string(body.size()) + " bytes");
  }
  const auto parsed =
      formats::ParseJson(body.substr(0, length), "body", {.max_values = kMaxJsonValues});
  if (!parsed.ok()) return Refusal{400, "InvalidJson", parsed.error().message};
  V2Request request;
  if (auto refusal = ReadRequest(*parsed, body.substr(length), request)) {
    return *std::move(refusal);
  }
  return request;
}

V2Body FormatV2Answer(const V2Answer& answer) {
  V2Body body;
  std::string& json = body.bytes;
  std::string binary;
  bool any_binary = false;
  json = "{\"model_name\":" + formats::DumpJson(Json(answer.model_name)) +
         ",\"model_version\":" + formats::DumpJson(Json(answer.model_version));
  if (!answer.id.empty()) json += ",\"id\":" + formats::DumpJson(Json(answer.id));
  json += ",\"outputs\":[";
  for (size_t i = 0; i < answer.outputs.size(); ++i) {
    const V2Tensor& output = answer.outputs[i];
    if (i > 0) json.push_back(',');
    json += "{\"name\":\"" + output.name + "\",\"datatype\":\"" + output.datatype +
            "\",\"shape\":" + formats::DumpJson(Json(output.shape));
    if (i < answer.binary.size() && answer.binary[i]) {
      const std::string bytes = WriteV2Bytes(output);
      json += ",\"parameters\":{\"binary_data_size\":" + std::to_string(bytes.size()) + "}";
      binary += bytes;
      any_binary = true;
    } else {
      AppendData(output, json);
    }
    json.push_back('}');
  }
  json += "]}";
  if (any_binary) body.json_length = json.size();
  body.bytes += binary;
  return body;
}

}  // namespace bertie::serve
