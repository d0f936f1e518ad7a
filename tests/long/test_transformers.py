"""A model saved by bertie, loaded by transformers unchanged: the same answers.

Slow, and needs torch and transformers, so it is no part of ctest:

    BERTIE=build/release/bertie BERTIE_MINILM=... BERTIE_COLA=... .venv/peers/bin/python -m pytest tests/long

(bench/peers/run makes .venv/peers.)
"""

import csv
import json
import sys
import pathlib

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from conftest import *  # noqa: E402,F401,F403

SENTENCES = 200


@pytest.fixture(scope="module")
def trained(run, minilm, cola, tmp_path_factory):
    """MiniLM after some steps on CoLA."""
    folder = tmp_path_factory.mktemp("trained")
    lines = (cola / "in_domain_train.tsv").read_text(encoding="utf-8").splitlines()[:320]
    with open(folder / "train.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["sentence", "label"])
        for line in lines:
            fields = line.split("\t")
            rows.writerow([fields[3], fields[1]])
    done = run("train", "--model", minilm, "--train", folder / "train.csv", "--out",
               folder / "model", "--epochs", 1, "--lr", "5e-5")
    assert done.returncode == 0, done.stderr
    return folder / "model"


@pytest.fixture(scope="module")
def sentences(cola):
    lines = (cola / "in_domain_dev.tsv").read_text(encoding="utf-8").splitlines()[:SENTENCES]
    return [line.split("\t")[3] for line in lines]


def test_logits_equal(trained, sentences, serve):
    tokenizer = transformers.AutoTokenizer.from_pretrained(trained)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(trained).eval()
    server = serve(trained)
    ours = []
    for start in range(0, len(sentences), 20):
        answer = server.invoke(sentences[start : start + 20])
        assert answer.status == 200, answer.body
        ours += answer.json()
    with torch.inference_mode():
        for sentence, logits in zip(sentences, ours, strict=True):
            expected = model(**tokenizer(sentence, return_tensors="pt")).logits[0]
            assert (expected - torch.tensor(logits)).abs().max() < 1e-4, sentence


def test_tokenizers_agree(trained, minilm, sentences):
    ours = transformers.AutoTokenizer.from_pretrained(trained)
    theirs = transformers.AutoTokenizer.from_pretrained(minilm)
    for sentence in [*sentences, "Ünïcode 日本語 \u0301 [SEP] ok", ""]:
        assert ours(sentence)["input_ids"] == theirs(sentence)["input_ids"], sentence


def test_weights_load_without_complaint(trained):
    _, info = transformers.AutoModelForSequenceClassification.from_pretrained(
        trained, output_loading_info=True)
    assert not any(info.values()), info


def test_saved_again_by_transformers_serves_the_same(trained, sentences, serve, tmp_path):
    model = transformers.AutoModelForSequenceClassification.from_pretrained(trained)
    tokenizer = transformers.AutoTokenizer.from_pretrained(trained)
    model.save_pretrained(tmp_path / "again", max_shard_size="20MB")
    tokenizer.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / "model.safetensors.index.json").exists()
    torch.save(model.state_dict(), tmp_path / "weights.bin")
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (pickled / name).write_bytes((tmp_path / "again" / name).read_bytes())
    (pickled / "pytorch_model.bin").write_bytes((tmp_path / "weights.bin").read_bytes())
    few = sentences[:8]
    first = serve(trained).invoke(few).json()
    assert serve(tmp_path / "again").invoke(few).json() == first
    assert serve(pickled).invoke(few).json() == first


def test_what_is_written_for_old_versions_has_the_same_weights(run, trained, minilm, tmp_path):
    data = tmp_path / "data.csv"
    data.write_text("sentence,label\n" + "".join(f"item {i},{i % 2}\n" for i in range(16)))
    done = run("train", data, "--model", minilm, "--epochs", 1, "--out", tmp_path / "model", "--pytorch-bin")
    assert done.returncode == 0, done.stderr
    found = torch.load(tmp_path / "model" / "pytorch_model.bin", weights_only=True)
    expected = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "model").state_dict()
    assert found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in found)
    (tmp_path / "model" / "model.safetensors").unlink()
    old = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "model").state_dict()
    assert all(torch.equal(old[name], expected[name]) for name in expected)


def test_config_names_the_labels(trained):
    config = json.loads((trained / "config.json").read_text())
    assert set(config["id2label"]) == {"0", "1"}
