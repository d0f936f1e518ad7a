"""Several labels a sentence, and numbers: from the file to the served answer."""

import csv
import json
import math
import os
import random
import shlex
import sys
import pathlib

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from test_sagemaker_container import container  # noqa: E402,F401

WORDS = ["the", "sea", "it", "rain", "rained"]
LABELS = ["sea", "wet"]


def make_rows(count, seed):
    """Sentences of the tiny model's words, with the labels that they have and a number."""
    numbers = random.Random(seed)
    rows = []
    for _ in range(count):
        words = numbers.choices(WORDS, k=numbers.randrange(2, 9))
        labels = [label for label, word in (("sea", "sea"), ("wet", "rain")) if word in words]
        rows.append({"text": " ".join(words), "labels": labels, "score": words.count("it") / 2})
    return rows


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_csv(path, rows, header):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path


BASE = ["--batch-size", 8, "--threads", 1, "--dropout", 0]
SMALL = [*BASE, "--epochs", 8, "--lr", "2e-3"]


@pytest.fixture(scope="module")
def multi(run, tiny_model, tmp_path_factory):
    """A finished run over several labels a sentence."""
    folder = tmp_path_factory.mktemp("multi")
    data = write_jsonl(folder / "data.jsonl", make_rows(240, 1))
    test = write_jsonl(folder / "test.jsonl", make_rows(60, 2))
    done = run("train", data, "--test", test, "--model", tiny_model, "--out", folder / "model", *SMALL)
    assert done.returncode == 0, done.stderr
    (folder / "stdout").write_text(done.stdout)
    (folder / "stderr").write_text(done.stderr)
    return folder


@pytest.fixture(scope="module")
def numbers(run, tiny_model, tmp_path_factory):
    """A finished regression over pairs of sentences, the best epoch by rank correlation kept."""
    folder = tmp_path_factory.mktemp("numbers")
    for name, rows in (("data", make_rows(240, 1)), ("test", make_rows(60, 2))):
        write_csv(folder / f"{name}.csv", [[row["text"], "the sea", row["score"]] for row in rows],
                  ["sentence1", "sentence2", "score"])
    done = run("train", folder / "data.csv", "--test", folder / "test.csv", "--regression", "--model",
               tiny_model, "--out", folder / "model", *SMALL, "--best", "spearman")
    assert done.returncode == 0, done.stderr
    (folder / "stdout").write_text(done.stdout)
    (folder / "stderr").write_text(done.stderr)
    return folder


def history(folder, kind):
    lines = (folder / "model" / "history.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


def evaluate(run, *arguments):
    done = run("eval", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


# ---- what training writes ----

def test_several_labels_are_saved_as_transformers_does(multi):
    config = json.loads((multi / "model" / "config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"
    assert config["id2label"] == {"0": "sea", "1": "wet"}
    assert config["label2id"] == {"sea": 0, "wet": 1}


def test_a_regression_is_saved_as_transformers_does(numbers):
    config = json.loads((numbers / "model" / "config.json").read_text())
    assert config["problem_type"] == "regression"
    assert config["id2label"] == {"0": "LABEL_0"} and config["label2id"] == {"LABEL_0": 0}


def test_what_was_found_is_said(multi, numbers):
    found = (multi / "stderr").read_text()
    assert "read as multi-label: lists" in found
    assert "labels (id, name, rows): 0 'sea'" in found
    assert "line 1: " in found and "line 2: " in found
    found = (numbers / "stderr").read_text()
    assert "read as regression: a number a row" in found
    assert "numbers: from 0 to" in found


def test_it_learns(multi, numbers):
    first, *_, last = history(multi, "epoch")
    assert last["train_loss"] < 0.5 * first["train_loss"]
    assert last["test_micro_f1"] > 0.9 and last["test_average_precision"] > 0.9
    assert max(epoch["test_spearman"] for epoch in history(numbers, "epoch")) > 0.9


def test_history_report_and_card_have_the_problems_figures(multi, numbers):
    figures = {multi: ("accuracy", "micro_f1", "macro_f1", "hamming_loss", "average_precision"),
               numbers: ("mse", "rmse", "mae", "pearson", "spearman")}
    for folder, keys in figures.items():
        (start,) = history(folder, "start")
        last = history(folder, "epoch")[-1]
        assert {f"test_{key}" for key in keys} <= set(last)
        assert "test_mcc" not in last
        rows = list(csv.DictReader((folder / "model" / "history.csv").open(newline="")))
        assert float(rows[-1][f"test_{keys[-1]}"]) == last[f"test_{keys[-1]}"]
        report = (folder / "model" / "report.html").read_text()
        assert "Confusion matrix" not in report and "The worst mistakes" in report
        assert ("Each label" in report) == (folder is multi)
    assert history(multi, "start")[0]["problem_type"] == "multi_label_classification"
    assert "Hamming loss" in (multi / "model" / "README.md").read_text()
    card = (numbers / "model" / "README.md").read_text()
    assert "type: spearmanr" in card and "| RMSE |" in card
    stdout = (multi / "stdout").read_text()
    assert "precision" in stdout and "true \\ predicted" not in stdout
    assert "Spearman" in (numbers / "stdout").read_text()


def test_the_best_epoch_is_kept_by_the_figure(numbers):
    best = max(epoch["test_spearman"] for epoch in history(numbers, "epoch"))
    assert f"the best by spearman ({best:.4f})" in (numbers / "stdout").read_text()


def test_early_stopping_by_an_error_stops_where_it_no_longer_falls(run, tiny_model, numbers, tmp_path):
    done = run("train", numbers / "data.csv", "--test", numbers / "test.csv", "--regression", "--model",
               tiny_model, "--out", tmp_path / "model", *BASE, "--epochs", 9, "--lr", "2e-2", "--best",
               "rmse", "--early-stopping", 1, "--no-report", "--no-archive")
    assert done.returncode == 0, done.stderr
    errors = [epoch["test_rmse"] for epoch in history(tmp_path, "epoch")]
    assert len(errors) < 9 and errors[-1] >= min(errors)
    assert errors[:-1] == sorted(errors[:-1], reverse=True)
    assert f"epoch {errors.index(min(errors)) + 1}, the best by rmse" in done.stdout


# ---- eval, predict, serve, compile ----

def test_eval_says_what_training_said(run, multi, numbers):
    found = evaluate(run, multi / "model", multi / "test.jsonl")
    last = history(multi, "epoch")[-1]
    assert found["problem_type"] == "multi_label_classification" and found["threshold"] == 0.5
    for key in ("loss", "accuracy", "micro_f1", "macro_f1", "hamming_loss", "average_precision"):
        assert found[key] == pytest.approx(last[f"test_{key}"], abs=1e-6), key
    assert [label["label"] for label in found["labels"]] == LABELS
    assert "confusion" not in found
    found = evaluate(run, numbers / "model", numbers / "test.csv")
    best = max(history(numbers, "epoch"), key=lambda epoch: epoch["test_spearman"])
    for key in ("loss", "mse", "rmse", "mae", "pearson", "spearman"):
        assert found[key] == pytest.approx(best[f"test_{key}"], abs=1e-6), key
    assert "labels" not in found
    text = run("eval", multi / "model", multi / "test.jsonl").stdout
    assert "Hamming loss" in text and "subset accuracy" in text


def test_the_threshold_trades_precision_for_recall(run, multi):
    low, high = (evaluate(run, multi / "model", multi / "test.jsonl", "--threshold", threshold)
                 for threshold in (0.001, 0.999))
    assert all(a["recall"] >= b["recall"] for a, b in zip(low["labels"], high["labels"]))
    assert sum(label["predicted"] for label in low["labels"]) > sum(
        label["predicted"] for label in high["labels"])


def test_bounds_are_kept_or_refused(run, multi, numbers):
    done = run("eval", numbers / "model", numbers / "test.csv", "--max-rmse", 0, "--min-spearman", 1)
    assert done.returncode == 1
    assert "RMSE is" in done.stderr and "expected at most 0.000000 (--max-rmse)" in done.stderr
    assert "Spearman is" in done.stderr and "expected at least 1.000000" in done.stderr
    done = run("eval", numbers / "model", numbers / "test.csv", "--max-rmse", 1e9)
    assert done.returncode == 0, done.stderr
    done = run("eval", multi / "model", multi / "test.jsonl", "--min-mcc", 0.5)
    assert done.returncode == 2 and "--min-mcc is given, but" in done.stderr
    done = run("eval", numbers / "model", numbers / "test.csv", "--threshold", 0.5)
    assert done.returncode == 2 and "--threshold is for several labels" in done.stderr
    done = run("eval", multi / "model", numbers / "test.csv", "--regression")
    assert done.returncode == 2 and "is for multi_label_classification; the flags ask for regression" in done.stderr


def test_predict_gives_the_labels_over_the_threshold(run, multi):
    texts = ["the sea it", "rain rain", "it it the", "sea rain"]
    done = run("predict", multi / "model", *texts, "--format", "json", "--logits")
    assert done.returncode == 0, done.stderr
    for answer in map(json.loads, done.stdout.splitlines()):
        scores = dict(zip(LABELS, (1 / (1 + math.exp(-logit)) for logit in answer["logits"])))
        assert answer["scores"] == pytest.approx(scores, abs=1e-6)
        assert set(answer["labels"]) == {label for label in LABELS if scores[label] >= 0.5}
        assert "label" not in answer
    rows = list(csv.DictReader(run("predict", multi / "model", *texts, "--format", "csv").stdout.splitlines()))
    assert [set(filter(None, row["labels"].split(";"))) for row in rows] == [
        {"sea"}, {"wet"}, set(), {"sea", "wet"}]
    assert 0 < float(rows[0]["score_sea"]) < 1
    table = run("predict", multi / "model", *texts).stdout.splitlines()
    assert table[0].split() == ["labels", "text"]
    assert table[4].split()[0] == "-"
    none = run("predict", multi / "model", "the sea", "--threshold", 1, "--format", "json")
    assert json.loads(none.stdout)["labels"] == []
    best = run("predict", multi / "model", "the sea", "--top-k", 1, "--format", "json")
    assert json.loads(best.stdout)["label"] == "sea"


def test_predict_gives_the_number(run, numbers):
    done = run("predict", numbers / "model", "it it it", "--format", "json", "--logits")
    answer = json.loads(done.stdout)
    assert answer["value"] == answer["logits"][0] and set(answer) == {"text", "value", "logits"}
    assert run("predict", numbers / "model", "it", "--format", "csv").stdout.startswith("text,value\nit,")
    assert run("predict", numbers / "model", "it").stdout.splitlines()[0].split() == ["value", "text"]
    done = run("predict", numbers / "model", "it", "--threshold", 0.5)
    assert done.returncode == 2 and "--threshold is for models that give several labels" in done.stderr


def test_serve_answers_as_predict_does(run, serve, multi, numbers):
    server = serve(multi / "model")
    answer = server.invoke({"inputs": "the sea rain", "parameters": {"top_k": None}}).json()
    done = run("predict", multi / "model", "the sea rain", "--format", "json")
    assert {one["label"]: one["score"] for one in answer} == pytest.approx(json.loads(done.stdout)["scores"])
    server = serve(numbers / "model")
    answer = server.invoke({"inputs": "it it"}).json()
    done = run("predict", numbers / "model", "it it", "--format", "json")
    assert answer[0]["score"] == pytest.approx(json.loads(done.stdout)["value"])


def test_compile_compares_what_the_model_answers(run, multi, numbers, tmp_path):
    done = run("compile", multi / "model", "--data", multi / "test.jsonl", "--out", tmp_path / "m",
               "--min-agreement", 90, "--max-drop", 10)
    assert done.returncode == 0, done.stderr
    assert "of all labels of 60 sentences" in done.stdout and "micro F1" in done.stdout
    assert evaluate(run, tmp_path / "m", multi / "test.jsonl")["micro_f1"] > 0.8
    done = run("compile", numbers / "model", "--data", numbers / "test.csv", "--out", tmp_path / "n",
               "--min-agreement", 90, "--max-drop", 10)
    assert done.returncode == 0, done.stderr
    assert "rank correlation of the answers" in done.stdout and "Spearman" in done.stdout
    done = run("compile", numbers / "model", "--data", numbers / "test.csv", "--out", tmp_path / "o",
               "--min-agreement", 100, "--max-drop", 0)
    assert done.returncode == 0 or "nothing was written" in done.stderr


# ---- ranks, checkpoints, weights, the container ----

@pytest.mark.parametrize("kind", ["multi", "numbers"])
def test_ranks_take_the_same_steps(run, tiny_model, request, tmp_path, kind):
    folder = request.getfixturevalue(kind)
    flags = [folder / "data.jsonl"] if kind == "multi" else [folder / "data.csv", "--regression"]
    for out, ranks in (("one", []), ("two", ["--nproc", 2])):
        done = run("train", *flags, "--model", tiny_model, "--out", tmp_path / out / "model", "--batch-size",
                   8, "--lr", "2e-3", "--epochs", 1, "--dropout", 0, "--log-interval", 1, "--no-report", "--no-archive",
                   "--threads", 2, *ranks)
        assert done.returncode == 0, done.stderr
    one, two = (history(tmp_path / out, "step") for out in ("one", "two"))
    assert [step["loss"] for step in two] == pytest.approx([step["loss"] for step in one], abs=1e-4)
    one, two = (history(tmp_path / out, "epoch")[0] for out in ("one", "two"))
    assert two["test_loss"] == pytest.approx(one["test_loss"], abs=1e-4)


def test_a_run_is_gone_on_with_bit_for_bit(run, tiny_model, multi, tmp_path):
    flags = ["train", multi / "data.jsonl", "--model", tiny_model, *BASE, "--epochs", 3, "--no-report",
             "--no-archive"]
    done = run(*flags, "--out", tmp_path / "a", "--checkpoint-steps", 20, "--keep", 9)
    assert done.returncode == 0, done.stderr
    done = run(*flags, "--out", tmp_path / "b", "--resume", tmp_path / "a" / "checkpoints" / "step-000000040")
    assert done.returncode == 0, done.stderr
    read = lambda out: (tmp_path / out / "model.safetensors").read_bytes()
    assert read("a") == read("b")
    other = write_jsonl(tmp_path / "other.jsonl", make_rows(240, 1)[:-1] + [
        make_rows(240, 1)[-1] | {"labels": ["sea", "wet"]}])
    done = run("train", other, *flags[2:], "--out", tmp_path / "c", "--resume",
               tmp_path / "a" / "checkpoints" / "step-000000040")
    assert done.returncode == 2 and "sentences is" in done.stderr


@pytest.mark.parametrize("kind", ["multi", "numbers"])
def test_bf16_is_near_fp32(run, tiny_model, request, tmp_path, kind):
    folder = request.getfixturevalue(kind)
    flags = [folder / "data.jsonl"] if kind == "multi" else [folder / "data.csv", "--regression"]
    done = run("train", *flags, "--model", tiny_model, "--out", tmp_path / "model", *SMALL, "--precision",
               "bf16", "--no-report", "--no-archive", "--log-interval", 1, env=os.environ | {"BERTIE_BF16": "emulate"})
    assert done.returncode == 0, done.stderr
    losses = [event["loss"] for event in history(tmp_path, "step")]
    again = run("train", *flags, "--model", tiny_model, "--out", tmp_path / "fp32" / "model", *SMALL,
                "--no-report", "--no-archive", "--log-interval", 1)
    assert again.returncode == 0, again.stderr
    exact = [event["loss"] for event in history(tmp_path / "fp32", "step")]
    assert losses != exact and losses[:20] == pytest.approx(exact[:20], rel=0.05, abs=0.02)


def test_class_weights_are_what_having_a_label_counts_for(run, tiny_model, multi, tmp_path):
    flags = ["train", multi / "data.jsonl", "--model", tiny_model, *BASE, "--epochs", 1, "--no-archive",
             "--holdout", 0]
    done = run(*flags, "--out", tmp_path / "a", "--class-weights", "balanced")
    assert done.returncode == 0, done.stderr
    rows = make_rows(240, 1)
    having = {label: sum(label in row["labels"] for row in rows) for label in LABELS}
    for label in LABELS:
        assert f"'{label}' {(240 - having[label]) / having[label]:.4g}" in done.stderr
    (tmp_path / "weights.json").write_text('{"sea": 3, "wet": 1}')
    assert run(*flags, "--out", tmp_path / "b", "--class-weights", tmp_path / "weights.json").returncode == 0


def test_the_container_trains_a_regression(container):
    container.hyperparameters(epochs="1", regression="true", num_labels="1", batch_size="8")
    done = container.run()
    assert done.returncode == 0, done.stderr
    (epoch,) = container.history("epoch")
    assert f"'eval_spearman': {epoch['test_spearman']:.4f}" in done.stdout
    assert "Test set: Accuracy" not in done.stdout
    config = json.loads((container.model / "config.json").read_text())
    assert config["problem_type"] == "regression"


# ---- files ----

def test_a_split_is_read_back(run, tiny_model, multi, numbers, tmp_path):
    for folder, source in ((multi, ["data.jsonl"]), (numbers, ["data.csv", "--regression"])):
        out = tmp_path / folder.name
        done = run("data", "split", folder / source[0], *source[1:], "--out", out, "--stratify")
        assert done.returncode == 0, done.stderr
        command = shlex.split(done.stdout.splitlines()[-1])[1:]
        done = run(*command, "--model", tiny_model, "--out", out / "model", "--epochs", 1, "--no-report",
                   "--no-archive")
        assert done.returncode == 0, done.stderr
        assert "rows: 180" in done.stderr and "rows: 60" in done.stderr


def test_cells_and_columns_give_what_lists_give(run, multi, tmp_path):
    rows = make_rows(60, 2)
    cells = write_csv(tmp_path / "cells.csv", [[row["text"], "; ".join(row["labels"])] for row in rows],
                      ["text", "tags"])
    columns = write_csv(tmp_path / "columns.csv", [
        [row["text"], *(int(label in row["labels"]) for label in LABELS)] for row in rows], ["text", *LABELS])
    fast = tmp_path / "fast.txt"
    fast.write_text("".join("".join(f"__label__{label} " for label in row["labels"]) + row["text"] + "\n"
                            for row in rows))
    expected = evaluate(run, multi / "model", multi / "test.jsonl")
    for source in ([cells, "--label-separator", ";", "--label", "tags"], [columns, "--labels", "sea,wet"],
                   [fast, "--input-format", "fasttext"]):
        found = evaluate(run, multi / "model", *source)
        assert found["loss"] == expected["loss"] and found["labels"] == expected["labels"]
    done = run("eval", multi / "model", cells, "--label", "tags")
    assert done.returncode == 2 and "expected --label-separator" in done.stderr


def test_stats_of_labels_and_numbers(run, multi, numbers):
    done = run("data", "stats", multi / "data.jsonl", "--test", multi / "test.jsonl", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    rows = make_rows(240, 1)
    assert found["train"]["problem_type"] == "multi_label_classification"
    assert found["train"]["labels"] == {label: sum(label in row["labels"] for row in rows) for label in LABELS}
    assert found["train"]["sentences_by_number_of_labels"] == [
        sum(len(row["labels"]) == count for row in rows) for count in range(3)]
    assert found["repetitions"]["contradicting"] == 0
    text = run("data", "stats", numbers / "data.csv", "--regression", "--test", numbers / "test.csv").stdout
    assert "training numbers: least 0.0000" in text and "standard deviation" in text


def test_rows_left_out_are_told_by_line(run, tiny_model, multi, tmp_path):
    lines = (multi / "data.jsonl").read_text().splitlines()
    for number in (3, 40, 41, 90, 91, 92, 200):
        lines[number - 1] = '{"text": "the sea", "labels": "sea"}'
    data = tmp_path / "data.jsonl"
    data.write_text("\n".join(lines) + "\n")
    flags = ["train", data, "--model", tiny_model, "--out", tmp_path / "out", "--epochs", 1]
    done = run(*flags)
    assert done.returncode == 1
    assert f"{data}:3: 'labels' is a string; expected a list of labels" in done.stderr
    done = run(*flags, "--skip-bad")
    assert done.returncode == 0, done.stderr
    assert "bad rows left out: 7" in done.stderr and "left out too: lines 92, 200\n" in done.stderr
    found = evaluate(run, multi / "model", data, "--skip-bad")
    assert found["skipped"] == 7 and found["skipped_lines"] == [3, 40, 41, 90, 91, 92, 200]


@pytest.mark.parametrize("flags, message", [
    (["--regression", "--label-separator", ";"], "--regression does not go with"),
    (["--labels", "a,b", "--label", "c"], "--labels does not go with --label-column"),
    (["--regression", "--class-weights", "balanced"], "--class-weights does not go with --regression"),
    (["--regression", "--num-labels", 3], "--num-labels is 3; --regression has 1"),
    (["--num-labels", 1], "--num-labels is 1; expected 2 at least"),
    (["--regression", "--best", "mcc"], "best epoch by 'mcc', which regression does not measure"),
    (["--best", "rmse"], "best epoch by 'rmse', which single_label_classification does not measure"),
    (["--threshold", 0.4], "--threshold is for several labels a sentence"),
])
def test_wrong_flags(run, tiny_model, tmp_path, flags, message):
    data = write_csv(tmp_path / "data.csv", [["the sea", i % 2] for i in range(20)], ["text", "label"])
    done = run("train", data, "--model", tiny_model, "--out", tmp_path / "out", *flags)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert not (tmp_path / "out").exists()


# ---- real sentences, a real model ----

def test_the_real_model_learns_the_lengths_of_sentences(run, minilm, cola, tmp_path):
    lines = (cola / "in_domain_train.tsv").read_text(encoding="utf-8").splitlines()[:1000]
    sentences = [line.split("\t")[3] for line in lines]
    data = write_csv(tmp_path / "data.csv", [[text, len(text.split()) / 10] for text in sentences],
                     ["text", "words"])
    done = run("train", data, "--regression", "--model", minilm, "--out", tmp_path / "model", "--epochs", 2,
               "--lr", "2e-4", "--batch-size", 16, "--dropout", 0, "--no-archive", "--no-report")
    assert done.returncode == 0, done.stderr
    last = history(tmp_path, "epoch")[-1]
    assert last["test_spearman"] > 0.9 and last["test_rmse"] < 0.3, last
