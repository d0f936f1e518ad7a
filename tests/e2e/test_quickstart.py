"""./quickstart on a small file: from labelled sentences to answers over HTTP."""

import json
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def quickstart(*arguments, cwd=ROOT):
    return subprocess.run([str(ROOT / "quickstart"), *map(str, arguments)], text=True, cwd=cwd,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=900)


@pytest.mark.parametrize("arguments, word", [
    (["--data", "no/such/file"], "no/such/file"), (["--epochs", "0"], "--epochs"),
    (["--port", "http"], "--port"), (["--data"], "--data"), (["--unknown"], "--unknown"),
])
def test_wrong_arguments_end_at_once(arguments, word):
    done = quickstart(*arguments)
    assert done.returncode == 1
    assert word in done.stderr
    assert "==" not in done.stdout  # no step was begun


def test_help():
    done = quickstart("--help")
    assert done.returncode == 0
    assert "usage: ./quickstart" in done.stdout


def test_trains_serves_and_answers(bertie, minilm, tmp_path):
    if bertie != ROOT / "build" / "release" / "bertie":
        pytest.skip("quickstart builds build/release; another build is being tested")
    words = {"good": ["fine", "lovely", "bright", "kind"], "bad": ["grim", "awful", "dark", "cruel"]}
    rows = [{"sentence": f"A {word} {thing}, I thought.", "label": label}
            for label, options in words.items() for word in options
            for thing in ("day", "story", "song", "friend")]
    file = tmp_path / "my data.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = quickstart("--data", "my data.jsonl", "--epochs", 1, "--out", "out folder", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "out folder" / "model" / "model.safetensors").is_file()
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    logits, best = answers
    assert len(logits) == 2 and all(len(row) == 2 for row in logits)
    assert all(answer["label"] in words and 0 < answer["score"] <= 1 for answer in best)
