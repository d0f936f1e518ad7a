import os
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

Texts = Sequence[str] | NDArray[Any]
Function = Literal["softmax", "sigmoid", "none"]
Precision = Literal["fp32", "bf16", "int8"]
Path = str | os.PathLike[str]

class Prediction(NamedTuple):
    label: str
    score: float

class Classifier:
    labels: list[str]
    @classmethod
    def from_pretrained(cls, model: Path, *, precision: Precision | None = None, threads: int = 0,
                        max_length: int = 0, vocabulary: Path | None = None) -> Classifier: ...
    @overload
    @classmethod
    def train(cls, data: Path, labels: None = None, *, output: Path, model: Path | None = None,
              test: Path | None = None, quiet: bool = False, **options: str | int | float | bool | None) -> Classifier: ...
    @overload
    @classmethod
    def train(cls, data: Texts, labels: Sequence[str | int] | NDArray[Any], *, output: Path, model: Path | None = None,
              test: Path | None = None, quiet: bool = False, **options: str | int | float | bool | None) -> Classifier: ...
    @property
    def max_length(self) -> int: ...
    @property
    def precision(self) -> Precision: ...
    def logits(self, texts: str | Texts, text_pairs: str | Texts | None = None) -> NDArray[np.float32]: ...
    def predict_proba(self, texts: str | Texts, text_pairs: str | Texts | None = None, *,
                      function_to_apply: Function | None = None) -> NDArray[np.float32]: ...
    @overload
    def predict(self, texts: str, text_pairs: str | None = None, *, top_k: Literal[1] = 1,
                threshold: None = None, function_to_apply: Function | None = None) -> Prediction: ...
    @overload
    def predict(self, texts: str, text_pairs: str | None = None, *, top_k: int | None,
                threshold: None = None, function_to_apply: Function | None = None) -> list[Prediction]: ...
    @overload
    def predict(self, texts: Texts, text_pairs: Texts | None = None, *, top_k: Literal[1] = 1,
                threshold: None = None, function_to_apply: Function | None = None) -> list[Prediction]: ...
    @overload
    def predict(self, texts: Texts, text_pairs: Texts | None = None, *, top_k: int | None,
                threshold: None = None, function_to_apply: Function | None = None) -> list[list[Prediction]]: ...
    @overload
    def predict(self, texts: str, text_pairs: str | None = None, *, threshold: float, top_k: Literal[1] | None = 1,
                function_to_apply: Literal["sigmoid"] | None = None) -> list[Prediction]: ...
    @overload
    def predict(self, texts: Texts, text_pairs: Texts | None = None, *, threshold: float,
                top_k: Literal[1] | None = 1,
                function_to_apply: Literal["sigmoid"] | None = None) -> list[list[Prediction]]: ...
    def token_ids(self, text: str, text_pair: str | None = None) -> NDArray[np.int32]: ...
