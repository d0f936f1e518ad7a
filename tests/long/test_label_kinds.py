"""Models of several labels and of numbers, loaded by transformers unchanged: the same answers, the same
loss, the same labels; and bertie evaluates what transformers trained.

Slow, and needs torch and transformers, so it is no part of ctest (see test_transformers.py).
"""

import csv
import json
import pathlib
import sys

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from conftest import *  # noqa: E402,F401,F403

WORDS = ["the", "a", "to"]


@pytest.fixture(scope="module")
def sentences(cola):
    lines = (cola / "in_domain_train.tsv").read_text(encoding="utf-8").splitlines()[:240]
    return [line.split("\t")[3] for line in lines]


def answers(kind, text):
    words = text.lower().split()
    return [float(word in words) for word in WORDS] if kind == "multi" else [len(words) / 10]


@pytest.fixture(scope="module", params=["multi", "numbers"])
def trained(request, run, minilm, sentences, tmp_path_factory):
    """(kind, data file, flags that read it, model folder)."""
    folder = tmp_path_factory.mktemp(request.param)
    with open(folder / "data.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["text", *(WORDS if request.param == "multi" else ["score"])])
        rows.writerows([text, *answers(request.param, text)] for text in sentences)
    flags = ["--labels", ",".join(WORDS)] if request.param == "multi" else ["--regression"]
    done = run("train", folder / "data.csv", *flags, "--model", minilm, "--out", folder / "model", "--epochs",
               1, "--lr", "3e-4")
    assert done.returncode == 0, done.stderr
    return request.param, folder / "data.csv", flags, folder / "model"


def theirs(model, sentences, kind):
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    loaded, info = transformers.AutoModelForSequenceClassification.from_pretrained(
        model, output_loading_info=True)
    assert not any(info.values()), info
    loaded.eval()
    batch = tokenizer(sentences, return_tensors="pt", padding=True)
    with torch.inference_mode():
        answer = loaded(**batch, labels=torch.tensor([answers(kind, text) for text in sentences]))
    return loaded, answer


def test_logits_loss_and_labels_equal(trained, sentences, run):
    kind, data, flags, model = trained
    loaded, answer = theirs(model, sentences, kind)
    assert loaded.config.problem_type == (
        "multi_label_classification" if kind == "multi" else "regression")
    assert loaded.config.id2label == (dict(enumerate(WORDS)) if kind == "multi" else {0: "LABEL_0"})
    done = run("predict", model, "--file", data, "--format", "json", "--logits")
    assert done.returncode == 0, done.stderr
    ours = torch.tensor([json.loads(line)["logits"] for line in done.stdout.splitlines()])
    assert (ours - answer.logits).abs().max() < 1e-4
    done = run("eval", model, data, *flags, "--json")
    assert json.loads(done.stdout)["loss"] == pytest.approx(answer.loss.item(), abs=1e-4)


def test_pipelines_agree(trained, sentences, serve):
    kind, _, _, model = trained
    classify = transformers.pipeline("text-classification", model=str(model), top_k=None)
    server = serve(model)
    for text in sentences[:10]:
        ours = server.invoke({"inputs": text, "parameters": {"top_k": None}}).json()
        expected = {one["label"]: one["score"] for one in classify([text])[0]}
        assert {one["label"]: one["score"] for one in ours} == pytest.approx(expected, abs=1e-4)


def test_saved_by_transformers_is_evaluated(trained, sentences, run, tmp_path):
    kind, data, flags, model = trained
    loaded, answer = theirs(model, sentences, kind)
    loaded.save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(model).save_pretrained(tmp_path)
    done = run("eval", tmp_path, data, *flags, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["loss"] == pytest.approx(answer.loss.item(), abs=1e-4)


def test_the_words_of_sentences_are_learnt(run, minilm, cola, tmp_path):
    lines = (cola / "in_domain_train.tsv").read_text(encoding="utf-8").splitlines()[:1200]
    data = tmp_path / "data.jsonl"
    with data.open("w", encoding="utf-8") as out:
        for line in lines:
            text = line.split("\t")[3]
            labels = [word for word, has in zip(WORDS, answers("multi", text)) if has]
            out.write(json.dumps({"text": text, "labels": labels}) + "\n")
    done = run("train", data, "--model", minilm, "--out", tmp_path / "model", "--epochs", 2, "--lr", "3e-4",
               "--batch-size", 8, "--dropout", 0, "--no-archive", "--no-report")
    assert done.returncode == 0, done.stderr
    last = json.loads((tmp_path / "model" / "history.jsonl").read_text().splitlines()[-1])
    assert last["test_micro_f1"] > 0.8, last
