"""Writes metrics_golden.json beside this file: labels, logits, and what scikit-learn makes of them.

usage: make_metrics_golden.py   (needs numpy and scikit-learn; the file says which version wrote it)
"""
import json
import pathlib
import warnings

import numpy as np
import sklearn
from sklearn import metrics

warnings.simplefilter("ignore")
random = np.random.default_rng(7)


def case(name, labels, logits):
    logits = np.asarray(logits, dtype=np.float32)
    labels = np.asarray(labels)
    predicted = logits.argmax(axis=1)
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    # Not sklearn's log_loss, which clips probabilities at 2e-16.
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    every = list(range(logits.shape[1]))
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, predicted, labels=every, zero_division=0)
    return {
        "name": name,
        "num_labels": logits.shape[1],
        "labels": labels.tolist(),
        "logits": [float(x) for x in logits.ravel()],
        "loss": float(-log_probabilities[np.arange(len(labels)), labels].mean()),
        "accuracy": metrics.accuracy_score(labels, predicted),
        "macro_f1": metrics.f1_score(labels, predicted, average="macro", zero_division=0),
        "micro_f1": metrics.f1_score(labels, predicted, average="micro", zero_division=0),
        "binary_f1": metrics.f1_score(labels, predicted, zero_division=0) if logits.shape[1] == 2 else None,
        "mcc": metrics.matthews_corrcoef(labels, predicted),
        "precision": precision.tolist(),
        "recall": recall.tolist(),
        "f1": f1.tolist(),
        "support": support.tolist(),
        "confusion": metrics.confusion_matrix(labels, predicted, labels=every).tolist(),
    }


def noisy(count, num_labels, shares, signal):
    labels = random.choice(num_labels, size=count, p=shares)
    logits = random.normal(size=(count, num_labels)) + signal * np.eye(num_labels)[labels]
    return labels, logits


cases = [
    case("two labels, uneven", *noisy(60, 2, [0.3, 0.7], 1.0)),
    case("two labels, no better than chance", *noisy(40, 2, [0.5, 0.5], 0.0)),
    case("five labels", *noisy(80, 5, [0.4, 0.25, 0.2, 0.1, 0.05], 1.5)),
    case("a label predicted but never true", *noisy(40, 4, [0.5, 0.3, 0.2, 0.0], 1.5)),
    case("a label neither true nor predicted", [0, 1, 1, 0, 2],
         [[3, 1, 0, -9], [0, 2, 1, -9], [2, 1, 0, -9], [1, 0, 0, -9], [0, 1, 2, -9]]),
    case("always the same answer", [0, 1, 1, 0, 1, 1], [[0, 1]] * 6),
    case("all right", [0, 1, 2, 1], np.eye(3)[[0, 1, 2, 1]] * 9),
    case("one true label only", [1, 1, 1], [[0, 2], [3, 1], [0, 1]]),
    case("large logits", [0, 1, 1], [[900, -900], [-500, 800], [60, -10]]),
]
out = pathlib.Path(__file__).with_name("metrics_golden.json")
out.write_text(json.dumps({"scikit-learn": sklearn.__version__, "cases": cases}) + "\n")
