// bertie._core: a model in the Python process. python/bertie/ makes a package of it.
//
// Errors are raised as _core.Error with the message of the status. Every method lets go of the
// interpreter's lock while it computes; several threads may call one Model, which answers them in
// turn.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/thread_pool.h"
#include "hub/local_model.h"
#include "model/model_source.h"
#include "model/open.h"
#include "text/tokenizer.h"
#include "train/evaluator.h"

namespace py = pybind11;

namespace bertie::python {
namespace {

struct CoreError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <class T>
T Take(Result<T> result) {
  if (!result.ok()) throw CoreError(result.error().message);
  return *std::move(result);
}

using Texts = std::vector<std::string>;

class Model {
 public:
  Model(const std::string& path, const std::string& precision, int threads, int64_t max_length,
        const std::string& vocabulary)
      : pool_(threads > 0 ? threads : ThreadPool::DefaultThreads()) {
    model::ScriptOptions script;
    script.vocabulary = vocabulary;
    const auto source = Take(model::ModelSource::Open(path, script));
    tokenizer_.emplace(Take(text::Tokenizer::Load(source.dir())));
    model::OpenOptions options{path, model::ParsePrecision(precision), max_length};
    opened_.emplace(Take(model::OpenClassifier(source.dir(), options, pool_)));
    max_length_ = max_length > 0 ? max_length : config().max_position_embeddings;
  }

  const model::Config& config() const { return opened_->classifier.config(); }
  int64_t max_length() const { return max_length_; }
  int threads() const { return pool_.size(); }
  std::string precision() const { return model::PrecisionName(opened_->precision); }
  const std::string& note() const { return opened_->note; }

  // Logits [texts, labels] and how many texts were cut. pairs is empty, or as long as texts.
  std::pair<py::array_t<float>, int64_t> Logits(const Texts& texts, const Texts& pairs) {
    std::vector<float> logits;
    int64_t truncated = 0;
    {
      py::gil_scoped_release release;
      std::lock_guard lock(mutex_);
      const auto encodings = Encode(texts, pairs);
      for (const text::Encoding& encoding : encodings) truncated += encoding.truncated;
      logits = Compute(encodings);
    }
    const auto rows = static_cast<py::ssize_t>(texts.size());
    py::array_t<float> out({rows, static_cast<py::ssize_t>(config().num_labels())});
    std::copy(logits.begin(), logits.end(), out.mutable_data());
    return {std::move(out), truncated};
  }

  // Token ids, the special ones among them, of one text or pair.
  std::vector<int32_t> TokenIds(const std::string& text, const std::optional<std::string>& pair) {
    return tokenizer_->Encode(text, pair, static_cast<size_t>(max_length_)).ids;
  }

 private:
  std::vector<text::Encoding> Encode(const Texts& texts, const Texts& pairs) {
    constexpr size_t kTextsPerTask = 64;  // makes handing out a task cheap
    std::vector<text::Encoding> encodings(texts.size());
    const auto length = static_cast<size_t>(max_length_);
    const size_t tasks = (texts.size() + kTextsPerTask - 1) / kTextsPerTask;
    pool_.ParallelFor(static_cast<int64_t>(tasks), [&](int64_t task, int) {
      const size_t first = static_cast<size_t>(task) * kTextsPerTask;
      for (size_t i = first; i < std::min(first + kTextsPerTask, texts.size()); ++i) {
        encodings[i] = pairs.empty() ? tokenizer_->Encode(texts[i], length)
                                     : tokenizer_->EncodePair(texts[i], pairs[i], length);
      }
    });
    return encodings;
  }

  // Ctrl-C ends it between two batches.
  std::vector<float> Compute(const std::vector<text::Encoding>& encodings) {
    std::atomic<bool> stop{false};
    train::EvaluatorOptions options;
    options.stop = &stop;
    bool interrupted = false;
    options.progress = [&](int64_t) {
      py::gil_scoped_acquire acquire;
      if (!interrupted && PyErr_CheckSignals() != 0) interrupted = stop = true;
    };
    auto logits = train::ComputeLogits(opened_->classifier, encodings, options, pool_);
    if (interrupted) {
      py::gil_scoped_acquire acquire;
      throw py::error_already_set();
    }
    return Take(std::move(logits));
  }

  ThreadPool pool_;
  std::optional<text::Tokenizer> tokenizer_;
  std::optional<model::OpenedModel> opened_;
  int64_t max_length_ = 0;
  std::mutex mutex_;  // held while computing: the pool has one user
};

// nullopt: it is nowhere on this machine.
std::optional<std::string> FindModel(const std::string& name) {
  const hub::LocalModel found = Take(hub::FindLocalModel(name));
  return found.path ? std::optional(found.path->string()) : std::nullopt;
}

PYBIND11_MODULE(_core, m) {
  m.doc() = "The native part of bertie.";
  m.attr("__version__") = BERTIE_VERSION;
  py::register_exception<CoreError>(m, "Error", PyExc_RuntimeError);
  m.def("find_model", &FindModel, py::arg("name"), py::call_guard<py::gil_scoped_release>());
  py::class_<Model>(m, "Model")
      .def(py::init([](const std::string& path, const std::string& precision, int threads,
                       int64_t max_length, const std::string& vocabulary) {
             py::gil_scoped_release release;
             return std::make_unique<Model>(path, precision, threads, max_length, vocabulary);
           }),
           py::arg("path"), py::arg("precision") = "", py::arg("threads") = 0,
           py::arg("max_length") = 0, py::arg("vocabulary") = "")
      .def("logits", &Model::Logits, py::arg("texts"), py::arg("pairs") = Texts())
      .def("token_ids", &Model::TokenIds, py::arg("text"), py::arg("pair") = py::none())
      .def_property_readonly("labels", [](const Model& model) { return model.config().labels; })
      .def_property_readonly("num_labels",
                             [](const Model& model) { return model.config().num_labels(); })
      .def_property_readonly("problem_type",
                             [](const Model& model) { return model.config().problem_type; })
      .def_property_readonly("max_length", &Model::max_length)
      .def_property_readonly("threads", &Model::threads)
      .def_property_readonly("precision", &Model::precision)
      .def_property_readonly("note", &Model::note);
}

}  // namespace
}  // namespace bertie::python
