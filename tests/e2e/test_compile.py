"""`bertie compile` as its users meet it: what it writes serves, and what it costs is told."""

import csv
import json
import pathlib
import shutil

import pytest
from test_predict import predict_json, with_head

TESTS = pathlib.Path(__file__).resolve().parent.parent
MINILM = json.loads((TESTS / "golden" / "minilm.json").read_text())
SENTENCES = [sentence["text"] for sentence in MINILM["sentences"]]
TEXTS = ["the sea", "it rained", "rain the sea it", "a b c d e f g", "the the the the the"]


@pytest.fixture(scope="module")
def classifier(minilm, tmp_path_factory):
    return with_head(minilm, tmp_path_factory.mktemp("compile") / "model", MINILM)


def compiled(run, model, out, *flags):
    done = run("compile", model, "--out", out, *flags)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"next: bertie serve {out}"
    return out, done


def labelled(path, model, run):
    """A csv of SENTENCES with the labels that the model itself gives them."""
    answers = predict_json(run, model, *[text for text in SENTENCES if text.strip()])
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["sentence", "label"])
        rows.writerows([answer["text"], answer["label"]] for answer in answers)
    return path


@pytest.mark.parametrize("precision,tolerance", [("fp32", 0), ("bf16", 0.02), ("int8", 0.1)])
def test_a_compiled_model_answers_like_its_source(run, serve, tiny_model, tmp_path, precision,
                                                  tolerance):
    out, _ = compiled(run, tiny_model, tmp_path / "out", "--precision", precision)
    found = predict_json(run, out, *TEXTS)
    expected = predict_json(run, tiny_model, *TEXTS)
    for one, other in zip(found, expected, strict=True):
        assert one["logits"] == pytest.approx(other["logits"], abs=tolerance)
    # The same without compiling, and behind an endpoint.
    assert predict_json(run, tiny_model, "--precision", precision, *TEXTS) == found
    server = serve(out)
    assert server.invoke(TEXTS).json() == [
        pytest.approx(answer["logits"], abs=1e-6) for answer in found]
    assert precision in pathlib.Path(server.log).read_text()


@pytest.mark.parametrize("precision,tolerance", [("bf16", 0.03), ("int8", 0.3)])
def test_the_real_model_in_lower_precision(run, classifier, tmp_path, precision, tolerance):
    out, _ = compiled(run, classifier, tmp_path / "out", "--precision", precision)
    answers = predict_json(run, out, *SENTENCES)
    for answer, sentence in zip(answers, MINILM["sentences"], strict=True):
        assert answer["logits"] == pytest.approx(sentence["logits"], abs=tolerance)
    # A sentence's answer does not depend on the others of its batch, nor on the threads.
    alone = [predict_json(run, out, "--threads", 1, text)[0] for text in SENTENCES[:4]]
    assert alone == answers[:4]


def test_what_it_costs_is_told(run, classifier, tmp_path):
    data = labelled(tmp_path / "data.csv", classifier, run)
    _, done = compiled(run, classifier, tmp_path / "out", "--data", data, "--min-agreement", 50,
                       "--max-drop", 50)
    rows = {line.split("  ")[0]: line.split() for line in done.stdout.splitlines()}
    assert rows["accuracy"][1] == "1.0000"
    assert "same answer on" in done.stdout and "logits differ by" in done.stdout
    info = json.loads(run("info", tmp_path / "out", "--json").stdout)
    assert info["compiled"] and info["precision"] == "int8" and info["matrices_held_higher"] == 0
    assert len(info["source_sha256"]) == 64


def test_a_bound_out_of_reach_writes_nothing(run, tiny_model, tmp_path):
    rows = ["sentence,label"] + [f"{text},{i % 3}" for i, text in enumerate(TEXTS * 4)]
    (tmp_path / "data.csv").write_text("\n".join(rows) + "\n")
    done = run("compile", tiny_model, "--out", tmp_path / "out", "--data", tmp_path / "data.csv",
               "--min-agreement", 100, "--max-drop", 0)
    if done.returncode == 0:
        assert "same answer on 100.00 %" in done.stdout
    else:
        assert "nothing was written" in done.stderr
        assert not (tmp_path / "out").exists()


def test_nothing_is_written_over_a_model(run, tiny_model, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    before = (model / "model.safetensors").read_bytes()
    done = run("compile", model, "--out", model)
    assert done.returncode == 2 and "choose another folder" in done.stderr
    assert (model / "model.safetensors").read_bytes() == before
    # An older compiled one is replaced; the default name says the precision.
    for _ in range(2):
        done = run("compile", f"{model}/", "--precision", "bf16")
        assert done.returncode == 0, done.stderr
    assert sorted(file.name for file in (tmp_path / "model-bf16").iterdir()) == [
        "compiled.safetensors", "config.json", "special_tokens_map.json", "tokenizer.json",
        "tokenizer_config.json", "vocab.txt"]


def test_a_compiled_model_is_for_answers_only(run, tiny_model, tmp_path):
    out, _ = compiled(run, tiny_model, tmp_path / "out", "--precision", "int8")
    done = run("compile", out)
    assert done.returncode == 2 and "give the model it was compiled from" in done.stderr
    (tmp_path / "data.csv").write_text("sentence,label\n" + "the sea,0\nrain,1\n" * 8)
    done = run("train", tmp_path / "data.csv", "--model", out, "--out", tmp_path / "trained")
    assert done.returncode == 1 and "give the model it was compiled from" in done.stderr
    done = run("predict", out, "--precision", "fp32", "the sea")
    assert done.returncode == 2 and "was compiled in int8" in done.stderr


@pytest.mark.parametrize("flags,message", [
    (["--precision", "int4"], "int4"),
    (["--max-drop", "nan"], "--max-drop"),
    (["--min-agreement", "101"], "--min-agreement"),
])
def test_wrong_flags(run, tiny_model, tmp_path, flags, message):
    done = run("compile", tiny_model, "--out", tmp_path / "out", *flags)
    assert done.returncode == 2 and message in done.stderr
    assert not (tmp_path / "out").exists()
