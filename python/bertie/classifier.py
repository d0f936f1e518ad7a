"""A text classifier."""

import json
import os
import pathlib
import tempfile
from typing import NamedTuple

import numpy as np

from . import _core, _program


class Prediction(NamedTuple):
    """A text's label and its score, as [0, 1] of all labels' scores (of multi-label models: of this one)."""
    label: str
    score: float


def _strings(texts, what="texts"):
    """A list of str, from any sequence or numpy array of them."""
    found = texts.tolist() if isinstance(texts, np.ndarray) else list(texts)
    for i, text in enumerate(found):
        if not isinstance(text, str):
            raise TypeError(f"{what}[{i}] is {type(text).__name__}; expected str")
    return found


def _softmax(logits):
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def _sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


_FUNCTIONS = {"softmax": _softmax, "sigmoid": _sigmoid, "none": lambda logits: logits}


def _folder_of(model):
    """Where the model of that name is; the program pulls what is nowhere on this machine."""
    return _core.find_model(model) or json.loads(_program.run("pull", model, "--json"))["path"]


class Classifier:
    """A model ready to answer. Several threads may use one; they are answered in turn."""

    def __init__(self, core):
        self._core = core
        self.labels = list(core.labels) or [f"LABEL_{i}" for i in range(core.num_labels)]

    @classmethod
    def from_pretrained(cls, model, *, precision=None, threads=0, max_length=0, vocabulary=None):
        """Opens a model.

        model: a folder in Hugging Face's form or one that `bertie compile` made, a .tar.gz of either, a
        TorchScript archive (which needs a vocabulary), or a name on the hub, which is fetched where the cache
        lacks it. precision: "fp32", "bf16" or "int8"; None: as the model is stored. threads: 0 for all
        processors. max_length: tokens that texts are cut to; 0: as many as the model takes.
        """
        if precision not in (None, "fp32", "bf16", "int8"):
            raise ValueError(f'precision is {precision!r}; expected "fp32", "bf16", "int8" or None')
        return cls(_core.Model(_folder_of(os.fspath(model)), precision or "", threads, max_length,
                               os.fspath(vocabulary or "")))

    @classmethod
    def train(cls, data, labels=None, *, output, model=None, test=None, quiet=False, **options):
        """Fine-tunes a model and opens what it became.

        data: a file (csv, tsv, jsonl), or texts with as many labels (str or int, a list or a numpy array).
        output: the folder for the model. model: the pretrained one; None: as `bertie train` finds it. test: a
        file to test on after each epoch; without it a tenth of the data is kept for that. options: any flag
        of `bertie train` with underscores: epochs=2, batch_size=16, lr=3e-5, precision="bf16". Errors and
        Ctrl-C leave the last good model and a checkpoint in output; resume=True goes on from there.
        """
        words = ["--out", os.fspath(output), *_program.flags(options)]
        if model is not None:
            words += ["--model", os.fspath(model)]
        if test is not None:
            words += ["--test", os.fspath(test)]
        with tempfile.TemporaryDirectory(prefix="bertie-") as folder:
            if labels is not None:
                data = _write_rows(pathlib.Path(folder) / "train.jsonl", data, labels)
            _program.run("train", os.fspath(data), *words, quiet=quiet)
        return cls.from_pretrained(output)

    @property
    def max_length(self):
        """Tokens that texts are cut to, the special ones among them."""
        return self._core.max_length

    @property
    def precision(self):
        """ "fp32", "bf16" or "int8": what the weights are held as."""
        return self._core.precision

    def logits(self, texts, text_pairs=None):
        """float32 [texts, labels]: what the model's head gives, before any function."""
        texts = _strings([texts] if isinstance(texts, str) else texts)
        pairs = [] if text_pairs is None else _strings(
            [text_pairs] if isinstance(text_pairs, str) else text_pairs, "text_pairs")
        if pairs and len(pairs) != len(texts):
            raise ValueError(f"{len(texts)} texts and {len(pairs)} text_pairs; expected as many")
        return self._core.logits(texts, pairs)[0]

    def predict_proba(self, texts, text_pairs=None, *, function_to_apply=None):
        """float32 [texts, labels]: scores, by softmax, or as the model's problem_type has it."""
        name = function_to_apply or self._function()
        if name not in _FUNCTIONS:
            raise ValueError(f"function_to_apply is {name!r}; expected one of {', '.join(_FUNCTIONS)}")
        logits = self.logits(texts, text_pairs).astype(np.float64)
        return _FUNCTIONS[name](logits).astype(np.float32) if len(logits) else logits.astype(np.float32)

    def predict(self, texts, text_pairs=None, *, top_k=1, threshold=None, function_to_apply=None):
        """The best label of each text; with top_k the best few, best first (None: all); with threshold, of a
        model that gives several labels, those whose score (the sigmoid's) is at least that, best first, maybe
        none.

        One text: a Prediction, or a list of them with threshold or another top_k than 1. Several: a list of
        those.
        """
        count = len(self.labels) if top_k is None else top_k
        if count < 1:
            raise ValueError(f"top_k is {top_k}; expected 1 or more, or None for all labels")
        if threshold is not None:
            self._check_threshold(threshold, top_k, function_to_apply)
            count = len(self.labels)
        scores = self.predict_proba(texts, text_pairs, function_to_apply=function_to_apply)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        found = [[Prediction(self.labels[j], float(row[j])) for j in order if threshold is None or row[j] >= threshold]
                 for row, order in zip(scores, best)]
        if top_k == 1 and threshold is None:
            found = [row[0] for row in found]
        return found[0] if isinstance(texts, str) else found

    def token_ids(self, text, text_pair=None):
        """What the model reads of a text: int32 ids, [CLS] and [SEP] among them."""
        return np.array(self._core.token_ids(text, text_pair), dtype=np.int32)

    def _gives_several(self):
        return self._core.problem_type == "multi_label_classification"

    def _check_threshold(self, threshold, top_k, function):
        if not self._gives_several():
            raise ValueError("threshold is for models that give several labels; this one's problem_type is "
                             f"{self._core.problem_type!r}")
        if top_k not in (1, None):
            raise ValueError("threshold does not go with top_k: labels are given by their score or by their number")
        if function not in (None, "sigmoid"):
            raise ValueError(f"threshold is of the sigmoid's scores, and function_to_apply is {function!r}; "
                             'expected "sigmoid" or None')
        if not 0 <= threshold <= 1:
            raise ValueError(f"threshold is {threshold}; expected a number from 0 to 1")

    def _function(self):
        if self._core.problem_type == "regression":
            return "none"
        return "sigmoid" if self._gives_several() or len(self.labels) == 1 else "softmax"

    def __repr__(self):
        return f"<bertie.Classifier {self.labels}, {self.precision}, {self._core.threads} threads>"


def _write_rows(path, texts, labels):
    texts, labels = _strings(texts), labels.tolist() if isinstance(labels, np.ndarray) else list(labels)
    if len(texts) != len(labels):
        raise ValueError(f"{len(texts)} texts and {len(labels)} labels; expected as many")
    with path.open("w", encoding="utf-8") as out:
        for text, label in zip(texts, labels):
            out.write(json.dumps({"sentence": text, "label": label}, ensure_ascii=False) + "\n")
    return path
