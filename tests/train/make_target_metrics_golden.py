"""Writes target_metrics_golden.json beside this file: several labels a sentence, and numbers, with what
scikit-learn and scipy make of them.

usage: make_target_metrics_golden.py   (needs numpy, scipy and scikit-learn; the file says which versions)
"""
import json
import pathlib
import warnings

import numpy as np
import scipy
import sklearn
from scipy import stats
from sklearn import metrics

warnings.simplefilter("ignore")
random = np.random.default_rng(11)


def multi_label(name, targets, logits, threshold=0.5):
    logits = np.asarray(logits, dtype=np.float32)
    targets = np.asarray(targets)
    exact = logits.astype(np.float64)
    given = (1 / (1 + np.exp(-exact)) >= threshold).astype(int)
    loss = np.logaddexp(0, exact) - targets * exact
    precision, recall, f1, support = metrics.precision_recall_fscore_support(targets, given, zero_division=0)
    return {
        "name": name,
        "threshold": threshold,
        "num_labels": targets.shape[1],
        "targets": targets.ravel().tolist(),
        "logits": [float(x) for x in logits.ravel()],
        "loss": float(loss.mean()),
        "accuracy": metrics.accuracy_score(targets, given),
        "micro_f1": metrics.f1_score(targets, given, average="micro", zero_division=0),
        "macro_f1": metrics.f1_score(targets, given, average="macro", zero_division=0),
        "hamming_loss": metrics.hamming_loss(targets, given),
        "average_precision": metrics.average_precision_score(targets, logits, average="macro"),
        "precision": precision.tolist(),
        "recall": recall.tolist(),
        "f1": f1.tolist(),
        "support": support.tolist(),
    }


def regression(name, targets, predictions):
    targets = np.asarray(targets, dtype=np.float32)
    predictions = np.asarray(predictions, dtype=np.float32)
    exact = targets.astype(np.float64), predictions.astype(np.float64)
    defined = len(set(targets.tolist())) > 1 and len(set(predictions.tolist())) > 1
    return {
        "name": name,
        "targets": [float(x) for x in targets],
        "predictions": [float(x) for x in predictions],
        "loss": metrics.mean_squared_error(*exact),
        "rmse": metrics.mean_squared_error(*exact) ** 0.5,
        "mae": metrics.mean_absolute_error(*exact),
        "pearson": float(stats.pearsonr(*exact).statistic) if defined else 0,
        "spearman": float(stats.spearmanr(*exact).statistic) if defined else 0,
    }


def noisy_labels(count, shares, signal):
    targets = (random.random((count, len(shares))) < np.array(shares)).astype(int)
    return targets, random.normal(size=targets.shape) - 0.5 + signal * targets


def noisy_numbers(count, noise, digits=None):
    targets = random.normal(size=count) * 2 + 1
    predictions = targets + noise * random.normal(size=count)
    return (targets, predictions) if digits is None else (targets.round(digits), predictions.round(digits))


labels = [
    multi_label("four labels", *noisy_labels(60, [0.5, 0.3, 0.2, 0.1], 2.0)),
    multi_label("no better than chance", *noisy_labels(40, [0.4, 0.4, 0.4], 0.0)),
    multi_label("another threshold", *noisy_labels(50, [0.5, 0.2, 0.2], 1.5), threshold=0.3),
    multi_label("a label that no sentence has", *noisy_labels(30, [0.5, 0.0, 0.3], 1.0)),
    multi_label("a label that all sentences have", *noisy_labels(30, [0.5, 1.0, 0.3], 1.0)),
    multi_label("equal scores", [[1, 0], [0, 1], [1, 1], [0, 0], [1, 0], [0, 1]],
                [[1, 0], [1, 0], [1, -1], [-1, 0], [-1, 2], [-1, 2]]),
    multi_label("nothing given", [[1, 0], [0, 1], [0, 0]], [[-3, -2], [-1, -5], [-2, -2]]),
    multi_label("large logits", [[1, 0], [0, 1]], [[900, -900], [500, -800]]),
]
numbers = [
    regression("noise", *noisy_numbers(60, 0.7)),
    regression("ties", *noisy_numbers(60, 0.7, digits=0)),
    regression("no noise", *noisy_numbers(20, 0.0)),
    regression("far from zero", *[x + 1e4 for x in noisy_numbers(40, 0.5)]),
    regression("falling", [1, 2, 3, 4, 5], [5, 4.5, 3, 2, -7]),
    regression("always the same answer", [1, 2, 3], [2, 2, 2]),
    regression("two", [1, 2], [3, 5]),
]
out = pathlib.Path(__file__).with_name("target_metrics_golden.json")
out.write_text(json.dumps({"scikit-learn": sklearn.__version__, "scipy": scipy.__version__,
                           "multi_label": labels, "regression": numbers}) + "\n")
