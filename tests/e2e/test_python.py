"""The Python package, as a user's process has it: a process of its own imports it."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest


@pytest.fixture(scope="module")
def python(bertie):
    """python(code, *arguments) -> what the code printed as JSON; start=True: the process, running."""
    package = bertie.parent / "python"
    if not (package / "bertie").is_dir():
        pytest.skip(f"{package} is not there: built without BERTIE_PYTHON_MODULE")
    environment = {**os.environ, "PYTHONPATH": str(package), "BERTIE": str(bertie)}

    def run(code, *arguments, start=False, env=None):
        words = [sys.executable, "-c", "import bertie, json, sys\nimport numpy as np\n" + textwrap.dedent(code),
                 *map(str, arguments)]
        if start:
            return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        done = subprocess.run(words, capture_output=True, text=True, timeout=300, env={**environment, **(env or {})})
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="module")
def trained(python, minilm, tmp_path_factory):
    """A model that the package trained on texts and labels in numpy arrays, and what it said of itself."""
    out = tmp_path_factory.mktemp("python") / "model"
    found = python("""
        good, bad = "a wonderful film", "a terrible bore"
        texts = np.array([f"{good} {i}" for i in range(40)] + [f"{bad} {i}" for i in range(40)])
        labels = np.array([1] * 40 + [0] * 40)
        model = bertie.Classifier.train(texts, labels, output=sys.argv[1], model=sys.argv[2], epochs=2,
                                        batch_size=8, seed=3, lr=1e-4, quiet=True, archive=True)
        print(json.dumps({"labels": model.labels, "predictions": model.predict(["a terrible bore", "a wonderful film"]),
                          "precision": model.precision}))
        """, out, minilm)
    return out, found


def test_trains_on_arrays_and_opens_the_result(trained):
    out, found = trained
    assert (out / "model.safetensors").is_file()
    assert found["labels"] == ["LABEL_0", "LABEL_1"] and found["precision"] == "fp32"
    assert [label for label, _ in found["predictions"]] == found["labels"]
    assert all(score > 0.7 for _, score in found["predictions"])


def test_gives_the_logits_of_the_program(python, trained, run, tmp_path):
    texts = ["a wonderful film", "it rained", "", "Zürich 東京 🙂 " * 200]
    rows = tmp_path / "texts.jsonl"
    rows.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    done = run("predict", trained[0], "--file", rows, "--text", "text", "--logits", "--format", "json")
    assert done.returncode == 0, done.stderr
    expected = [json.loads(line)["logits"] for line in done.stdout.splitlines()]
    found = python("""
        model = bertie.Classifier.from_pretrained(sys.argv[1])
        logits = model.logits(json.loads(sys.argv[2]))
        assert logits.dtype == np.float32 and logits.shape == (4, 2)
        print(json.dumps(logits.tolist()))
        """, trained[0], json.dumps(texts))
    assert np.array(found) == pytest.approx(np.array(expected), abs=1e-5)


def test_shapes_of_answers(python, trained):
    found = python("""
        model = bertie.Classifier.from_pretrained(sys.argv[1], precision="int8", threads=1, max_length=16)
        one, two = model.predict("fine"), model.predict(np.array(["fine", "bad"]), top_k=None)
        assert isinstance(one, bertie.Prediction)
        sums = model.predict_proba(["fine", "bad", "x"]).sum(axis=1)
        assert np.allclose(sums, 1) and np.array_equal(
            model.predict_proba(["fine"], function_to_apply="none"), model.logits("fine"))
        pair = model.logits(["left"], ["right"])
        assert not np.array_equal(pair, model.logits(["left"]))
        print(json.dumps({"one": one, "two": two, "empty": [model.predict([]), list(model.logits([]).shape)],
                          "ids": model.token_ids("a fine film").tolist(), "cut": len(model.token_ids("a " * 99)),
                          "precision": model.precision, "repr": repr(model)}))
        """, trained[0])
    assert found["one"][0] in ("LABEL_0", "LABEL_1") and 0.5 <= found["one"][1] <= 1
    assert [len(row) for row in found["two"]] == [2, 2] and found["two"][0][0][1] >= found["two"][0][1][1]
    assert found["empty"] == [[], [0, 2]]
    assert found["ids"] == [101, 1037, 2986, 2143, 102] and found["cut"] == 16
    assert found["precision"] == "int8" and "int8, 1 threads" in found["repr"]


def test_a_text_may_have_several_labels(python, run, tiny_model, tmp_path):
    model = tmp_path / "multi"
    shutil.copytree(tiny_model, model)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"problem_type": "multi_label_classification"}))
    texts = ["the sea", "it rained", "the rain it seas"]
    found = python("""
        model, texts = bertie.Classifier.from_pretrained(sys.argv[1]), json.loads(sys.argv[2])
        refused = []
        for wrong in ({"threshold": 0.5, "top_k": 2}, {"threshold": 1.5}, {"threshold": float("nan")},
                      {"threshold": 0.5, "function_to_apply": "none"},
                      {"threshold": 0.5, "function_to_apply": "softmax"}):
            try:
                model.predict(texts, **wrong)
            except ValueError as error:
                refused.append(str(error))
        print(json.dumps({"best": model.predict(texts), "all": model.predict(texts, top_k=None),
                          "given": model.predict(texts, threshold=0.3), "one": model.predict(texts[0], threshold=0.3),
                          "none": model.predict(texts[0], threshold=1), "every": model.predict(texts[0], threshold=0),
                          "sigmoid": model.predict(texts, threshold=0.3, function_to_apply="sigmoid"),
                          "refused": refused}))
        """, model, json.dumps(texts))
    done = run("predict", model, "--format", "json", "--threshold", "0.3", *texts)
    program = [json.loads(line) for line in done.stdout.splitlines()]
    assert [sorted(label for label, _ in each) for each in found["given"]] == [sorted(p["labels"]) for p in program]
    assert [len(each) for each in found["given"]] == [2, 2, 1]
    for each, scores in zip(found["all"], program):
        assert [score for _, score in each] == sorted((score for _, score in each), reverse=True)
        assert dict(each) == pytest.approx(scores["scores"], abs=1e-5)
    assert found["best"] == [each[0] for each in found["all"]]
    assert found["one"] == found["given"][0] and found["none"] == [] and found["every"] == found["all"][0]
    assert found["sigmoid"] == found["given"]
    assert [error.split()[0] for error in found["refused"]] == ["threshold"] * 5


def test_a_name_is_found_where_the_program_finds_it(python, run, tiny_model, tmp_path):
    """No hub is asked: there is none."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    hub = tmp_path / "hub" / "models--org--tiny"
    shutil.copytree(tiny_model, hub / "snapshots" / commit)
    (hub / "refs").mkdir()
    (hub / "refs" / "v2").write_text(commit)
    shutil.copytree(tiny_model, tmp_path / "cache" / "bertie" / "models" / "own")
    env = {"HF_HUB_CACHE": str(tmp_path / "hub"), "XDG_CACHE_HOME": str(tmp_path / "cache"),
           "HF_ENDPOINT": "http://127.0.0.1:1"}
    found = python("""
        print(json.dumps([bertie.Classifier.from_pretrained(name).predict("the sea")
                          for name in (sys.argv[1], "org/tiny@v2", "own")]))
        """, tiny_model, env=env)
    assert found[0] == found[1] == found[2]
    found = python("""
        try:
            bertie.Classifier.from_pretrained("archive.tar.gz")
        except bertie.Error as error:
            print(json.dumps(str(error)))
        """, env=env)
    assert found == "archive.tar.gz: no such model folder or archive"


@pytest.mark.parametrize("code, error, words", [
    ("bertie.Classifier.from_pretrained(sys.argv[1] + '/nothing-here')", "Error", "nothing-here"),
    ("bertie.Classifier.from_pretrained(sys.argv[1], precision='fp16')", "ValueError", "fp16"),
    ("bertie.Classifier.from_pretrained(sys.argv[1]).predict(['a', 3])", "TypeError", "texts[1] is int"),
    ("bertie.Classifier.from_pretrained(sys.argv[1]).logits(['a', 'b'], ['c'])", "ValueError", "2 texts and 1"),
    ("bertie.Classifier.from_pretrained(sys.argv[1]).predict('a', top_k=0)", "ValueError", "top_k is 0"),
    ("bertie.Classifier.from_pretrained(sys.argv[1]).predict('a', threshold=0.5)", "ValueError", "problem_type is 'single"),
    ("bertie.Classifier.train(['a'], [1, 2], output='/tmp/x')", "ValueError", "1 texts and 2 labels"),
    ("bertie.Classifier.train('/no/such.csv', model=sys.argv[1], output='/tmp/x', quiet=True)", "Error", "/no/such.csv"),
    ("bertie.Classifier.train('/no/such.csv', output='/tmp/x', quiet=True, epoch=2)", "Error", "--epoch"),
])
def test_errors_say_what_is_wrong(python, trained, code, error, words):
    found = python(f"""
        try:
            {code}
        except Exception as error:
            print(json.dumps([type(error).__name__, str(error)]))
        """, trained[0], env={"HF_HUB_OFFLINE": "1"})
    assert found[0] == error and words in found[1], found


def test_lets_other_threads_run_and_answers_several(python, trained):
    found = python("""
        import threading
        model = bertie.Classifier.from_pretrained(sys.argv[1])
        texts = ["some words that take a while"] * 400
        alone = model.logits(texts)
        answers, turns, done = [], 0, threading.Event()
        def count():
            global turns
            while not done.is_set():
                turns += 1
        threads = [threading.Thread(target=lambda: answers.append(model.logits(texts))) for _ in range(3)]
        counter = threading.Thread(target=count)
        for thread in [counter, *threads]: thread.start()
        for thread in threads: thread.join()
        done.set()
        counter.join()
        print(json.dumps({"same": all(np.array_equal(alone, answer) for answer in answers), "turns": turns}))
        """, trained[0])
    assert found["same"] and found["turns"] > 10_000


def test_ctrl_c_ends_a_long_call(python, trained):
    process = python("""
        model = bertie.Classifier.from_pretrained(sys.argv[1])
        print("begins", flush=True)
        model.logits(["some words that take a while, and more of them"] * 200_000)
        """, trained[0], start=True)
    assert process.stdout.readline() == "begins\n"
    time.sleep(1)
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - begin < 10
    assert "KeyboardInterrupt" in errors, errors


def test_the_program_comes_along(python, trained, bertie):
    done = subprocess.run([sys.executable, "-m", "bertie", "--version"], capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(bertie.parent / "python"), "BERTIE": str(bertie)})
    found = python("print(json.dumps(bertie.__version__))")
    assert done.returncode == 0 and found in done.stdout, done


def test_the_stubs_name_what_there_is(bertie, python):
    package = pathlib.Path(__file__).resolve().parents[2] / "python" / "bertie"
    for module in ("classifier", "_core"):
        stub = (package / f"{module}.pyi").read_text()
        names = python(f"import bertie.{module} as m\n"
                       "c = getattr(m, 'Classifier', None) or m.Model\n"
                       "print(json.dumps([n for n in vars(c) if not n.startswith('_')]))")
        assert all(f"def {name}(" in stub for name in names), names
