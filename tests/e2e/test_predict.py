"""`bertie predict`, `bertie eval` and `bertie info` as a user starts them."""

import csv
import io
import json
import math
import os
import pty
import select
import shutil
import struct
import subprocess
import sys
import tarfile
import time

import pytest

TEXTS = ["the sea", "it rained", "rain the sea it", "", "a b c d e f g", "the the the the the"]


def softmax(logits):
    top = max(logits)
    weights = [math.exp(x - top) for x in logits]
    return [weight / sum(weights) for weight in weights]


@pytest.fixture
def named_model(tiny_model, tmp_path):
    """The tiny model with names for its labels."""
    folder = tmp_path / "named"
    shutil.copytree(tiny_model, folder)
    config = json.loads((folder / "config.json").read_text())
    names = ["ham", "spam, or \"junk\"", "ünknown"]
    config["id2label"] = {str(i): name for i, name in enumerate(names)}
    config["label2id"] = {name: i for i, name in enumerate(names)}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def predict_json(run, model, *flags, stdin=None):
    done = run("predict", model, "--format", "json", "--logits", *flags, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


class TestPredict:
    def test_json_answers_add_up(self, run, named_model):
        answers = predict_json(run, named_model, *[text for text in TEXTS if text])
        assert [answer["text"] for answer in answers] == [text for text in TEXTS if text]
        labels = ["ham", "spam, or \"junk\"", "ünknown"]
        for answer in answers:
            expected = softmax(answer["logits"])
            assert answer["scores"].keys() == set(labels)
            for label, score in zip(labels, expected):
                assert answer["scores"][label] == pytest.approx(score, abs=1e-6)
            assert list(answer["scores"].values()) == sorted(answer["scores"].values(), reverse=True)
            assert answer["label"] == labels[expected.index(max(expected))]
            assert answer["score"] == pytest.approx(max(expected), abs=1e-6)

    def test_same_answers_from_every_source(self, run, tiny_model, tmp_path):
        texts = TEXTS[:3] + TEXTS[4:]
        (tmp_path / "t.txt").write_text("\n".join(texts) + "\n")
        (tmp_path / "t.csv").write_text("id,text\n" + "".join(f"{i},{t}\n" for i, t in enumerate(texts)))
        (tmp_path / "t.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
        expected = predict_json(run, tiny_model, *texts)
        for name in ("t.txt", "t.csv", "t.jsonl"):
            assert predict_json(run, tiny_model, "--file", tmp_path / name) == expected, name
        assert predict_json(run, tiny_model, stdin="\n".join(texts)) == expected
        assert predict_json(run, tiny_model, "--input-format", "csv",
                            stdin=(tmp_path / "t.csv").read_text()) == expected

    def test_each_line_has_an_answer(self, run, tiny_model):
        answers = predict_json(run, tiny_model, stdin="one\n\n \nfour\r\nfive")
        assert [answer["text"] for answer in answers] == ["one", "", " ", "four", "five"]

    def test_a_text_alone_and_among_many_gets_the_same(self, run, tiny_model, tmp_path):
        texts = [" ".join(["sea", "rain", "it"][(i + j) % 3] for j in range(i % 17 + 1))
                 for i in range(5000)]
        (tmp_path / "t.txt").write_text("\n".join(texts))
        answers = predict_json(run, tiny_model, "--file", tmp_path / "t.txt")
        assert [answer["text"] for answer in answers] == texts
        for i in (0, 16, 2047, 2048, 4999):
            alone = predict_json(run, tiny_model, texts[i])[0]
            assert alone["logits"] == pytest.approx(answers[i]["logits"], abs=1e-5)

    def test_batch_size_and_threads_change_nothing(self, run, tiny_model, tmp_path):
        (tmp_path / "t.txt").write_text("\n".join(TEXTS * 20))
        expected = predict_json(run, tiny_model, "--file", tmp_path / "t.txt")
        for flags in (["--batch-tokens", 1], ["--batch-tokens", 100], ["--threads", 1],
                      ["--threads", 3]):
            for one, other in zip(expected, predict_json(run, tiny_model, *flags, "--file",
                                                         tmp_path / "t.txt")):
                assert one["logits"] == pytest.approx(other["logits"], abs=1e-5)

    def test_csv(self, run, named_model):
        done = run("predict", named_model, "--format", "csv", "--top-k", 2, "--logits",
                   "a, \"b\"", "two\nlines")
        assert done.returncode == 0, done.stderr
        rows = list(csv.DictReader(io.StringIO(done.stdout, newline="")))
        assert [row["text"] for row in rows] == ["a, \"b\"", "two\nlines"]
        assert list(rows[0]) == ["text", "label", "score", "label_2", "score_2", "logit_ham",
                                 "logit_spam, or \"junk\"", "logit_ünknown"]
        assert float(rows[0]["score"]) >= float(rows[0]["score_2"])
        assert rows[0]["label"] != rows[0]["label_2"]

    def test_table(self, run, named_model):
        done = run("predict", named_model, "the sea", "a\x1b[31mb\nc")
        assert done.returncode == 0, done.stderr
        header, rule, first, second = done.stdout.splitlines()
        assert header.split() == ["label", "score", "text"]
        assert first.endswith("  the sea")
        assert second.endswith("  a [31mb c")  # nothing that moves the cursor
        assert header.index("text") == len(first) - len("the sea")

    def test_pairs(self, run, tiny_model, tmp_path):
        (tmp_path / "p.csv").write_text("premise,hypothesis\nthe sea,it rained\n")
        answer = predict_json(run, tiny_model, "--file", tmp_path / "p.csv")[0]
        assert (answer["text"], answer["pair"]) == ("the sea", "it rained")
        joined = predict_json(run, tiny_model, "the sea it rained")[0]
        assert answer["logits"] != pytest.approx(joined["logits"], abs=1e-4)

    def test_archive_answers_as_its_folder(self, run, tiny_model, tmp_path):
        with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
            for name in ("config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json"):
                archive.add(tiny_model / name, name)
        assert predict_json(run, tmp_path / "model.tar.gz", *TEXTS[:3]) == predict_json(
            run, tiny_model, *TEXTS[:3])

    def test_long_texts_are_cut_and_counted(self, run, tiny_model):
        done = run("predict", tiny_model, "sea " * 500, "short")
        assert done.returncode == 0, done.stderr
        assert "1 of 2 texts cut to 40 tokens" in done.stderr
        lines = predict_json(run, tiny_model, "--max-length", 10, "sea " * 500, "sea " * 8)
        assert lines[0]["logits"] == pytest.approx(lines[1]["logits"], abs=1e-6)

    def test_bad_rows(self, run, tiny_model, tmp_path):
        (tmp_path / "t.txt").write_bytes(b"one\ntwo\nthr\xffee\nfour\n")
        done = run("predict", tiny_model, "--file", tmp_path / "t.txt", "--format", "json")
        assert done.returncode == 1
        assert "t.txt:3: byte 4 of the line is not UTF-8" in done.stderr
        assert [json.loads(line)["text"] for line in done.stdout.splitlines()] == ["one", "two"]
        done = run("predict", tiny_model, "--file", tmp_path / "t.txt", "--format", "json",
                   "--skip-bad")
        assert done.returncode == 0, done.stderr
        assert [json.loads(line)["text"] for line in done.stdout.splitlines()] == [
            "one", "two", "four"]
        assert "left out 1 bad rows; the first: " in done.stderr

    def test_answers_come_while_the_pipe_is_open(self, bertie, tiny_model):
        process = subprocess.Popen([bertie, "predict", tiny_model, "--format", "json"],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            for text in (b"one", b"two"):
                process.stdin.write(text + b"\n")
                process.stdin.flush()
                assert select.select([process.stdout], [], [], 30)[0]
                assert json.loads(os.read(process.stdout.fileno(), 65536))["text"] == text.decode()
            process.stdin.close()
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

    def test_reader_that_leaves_is_no_error(self, bertie, tiny_model, tmp_path):
        (tmp_path / "t.txt").write_text("the sea\n" * 60_000)
        done = subprocess.run(
            ["bash", "-c", 'set -o pipefail; "$0" predict "$1" --file "$2" --format json | head -n 1',
             bertie, tiny_model, tmp_path / "t.txt"], capture_output=True, text=True, timeout=120)
        assert done.stdout.count("\n") == 1
        assert done.stderr == ""
        assert done.returncode == 0

    def test_full_disk_is_an_error(self, bertie, tiny_model):
        if not os.path.exists("/dev/full"):
            pytest.skip("no /dev/full here")
        with open("/dev/full", "wb") as full:
            done = subprocess.run([bertie, "predict", tiny_model, "the sea"], stdout=full,
                                  stderr=subprocess.PIPE, text=True, timeout=60)
        assert done.returncode == 1
        assert "stdout" in done.stderr and "No space left" in done.stderr

    def test_memory_does_not_grow_with_the_input(self, bertie, tiny_model, tmp_path):
        # In a fresh interpreter: a child's peak counts what its parent had when it forked.
        measure = ("import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, "
                   "stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL); "
                   "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")

        def peak_kilobytes(lines):
            (tmp_path / "t.txt").write_text(("the sea it rained " * 20 + "\n") * lines)
            done = subprocess.run(
                [sys.executable, "-c", measure, bertie, "predict", tiny_model, "--file",
                 tmp_path / "t.txt", "--format", "csv", "--threads", "1", "--max-length", "8"],
                capture_output=True, text=True, check=True, timeout=120)
            return int(done.stdout)

        small, large = peak_kilobytes(10_000), peak_kilobytes(60_000)  # 3.6 MB, 22 MB of text
        assert large < small + 2048

    def test_terminal_gets_a_bar_that_goes_away(self, bertie, tiny_model, tmp_path):
        (tmp_path / "t.txt").write_text("the sea it rained\n" * 2000)
        pid, terminal = pty.fork()
        if pid == 0:
            os.environ["TERM"] = "xterm"
            os.execv("/bin/bash", ["bash", "-c", 'for i in 1 2 3 4 5 6 7 8 9 10; do cat "$2"; '
                                   'sleep 0.25; done | "$0" predict "$1" > "$3"', str(bertie),
                                   str(tiny_model), str(tmp_path / "t.txt"), str(tmp_path / "o")])
        screen, begin = b"", time.monotonic()
        try:
            while True:
                screen += os.read(terminal, 65536)
        except OSError:  # the other end is closed
            pass
        _, status = os.waitpid(pid, 0)
        os.close(terminal)
        assert os.waitstatus_to_exitcode(status) == 0, screen
        frames = screen.split(b"\r")
        drawn = sum(b"sentences" in frame for frame in frames)
        assert drawn <= 10 * (time.monotonic() - begin) + 2
        assert any(b"predict" in frame and b"/s" in frame for frame in frames), screen
        assert b"20,000 sentences in" in frames[-2] + frames[-1], screen

    def test_short_work_shows_no_progress(self, run, tiny_model):
        assert run("predict", tiny_model, "the sea").stderr == ""

    @pytest.mark.parametrize("flags, words", [
        (["--format", "xml", "a"], ["--format is 'xml'", "table, json or csv"]),
        (["--logits", "a"], ["--logits", "table"]),
        (["--file", "x.txt", "a"], ["--file"]),
        (["--max-length", "41", "a"], ["--max-length is 41", "at most 40"]),
        (["--max-length", "3", "a"], ["--max-length"]),
        (["--threads", "-1", "a"], ["--threads"]),
        (["--batch-tokens", "0", "a"], ["--batch-tokens"]),
        (["--delimiter", "ab"], ["--delimiter is 'ab'"]),
        (["--input-format", "xml"], ["--input-format is 'xml'"]),
    ])
    def test_wrong_flags(self, run, tiny_model, flags, words):
        done = run("predict", tiny_model, *flags, stdin="")
        assert done.returncode == 2, done.stderr
        for word in words:
            assert word in done.stderr

    def test_no_model(self, run, tmp_path):
        done = run("predict", tmp_path / "none", "a")
        assert done.returncode == 1
        assert str(tmp_path / "none") in done.stderr

    def test_stored_logits_of_the_real_model(self, run, minilm, tiny_model, tmp_path):
        """20 sentences within 1e-4 of what transformers gave (tests/golden/minilm.json)."""
        golden = json.loads((tiny_model.parent / "minilm.json").read_text())
        model = with_head(minilm, tmp_path / "model", golden)
        sentences = golden["sentences"]
        answers = predict_json(run, model, "--file", write_lines(
            tmp_path / "t.jsonl", [json.dumps({"text": s["text"]}) for s in sentences]))
        assert len(answers) == len(sentences) == 20
        for answer, stored in zip(answers, sentences):
            assert answer["text"] == stored["text"]
            assert answer["logits"] == pytest.approx(stored["logits"], abs=1e-4)


def write_lines(path, lines):
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def with_head(minilm, folder, golden):
    """Copies the model, with the classifier of golden, or none, in place of its own."""
    shutil.copytree(minilm, folder)
    weights = folder / "model.safetensors"
    data = weights.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    old, body = json.loads(data[8:8 + length]), data[8 + length:]
    tensors = [(name, tensor["dtype"], tensor["shape"], body[slice(*tensor["data_offsets"])])
               for name, tensor in old.items()
               if name != "__metadata__" and not name.startswith("classifier.")]
    if golden:
        rows = golden["classifier.weight"]
        for name, shape, values in (
                ("classifier.weight", [len(rows), len(rows[0])], [x for row in rows for x in row]),
                ("classifier.bias", [len(rows)], golden["classifier.bias"])):
            tensors.append((name, "F32", shape, struct.pack(f"<{len(values)}f", *values)))
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, dtype, shape, raw in tensors:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(raw)]}
        offset += len(raw)
    text = json.dumps(header).encode()
    weights.unlink()
    weights.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(t[3] for t in tensors))
    return folder


@pytest.fixture(scope="module")
def headless(minilm, tmp_path_factory):
    """A pretrained model as it comes, without a classifier."""
    return with_head(minilm, tmp_path_factory.mktemp("headless") / "minilm", None)


class TestEval:
    @pytest.fixture
    def labelled(self, run, tiny_model, tmp_path):
        """100 texts with labels of which the model finds 80 right."""
        texts = [" ".join(["sea", "rain", "it", "the"][(i * j) % 4] for j in range(i % 9 + 1))
                 for i in range(100)]
        write_lines(tmp_path / "t.txt", texts)
        answers = predict_json(run, tiny_model, "--file", tmp_path / "t.txt")
        rows, loss = ["text,label"], 0.0
        for i, answer in enumerate(answers):
            label = int(answer["label"].removeprefix("LABEL_"))
            label = (label + 1) % 3 if i % 5 == 0 else label
            loss -= math.log(softmax(answer["logits"])[label])
            rows.append(f"{answer['text']},{label}")
        return write_lines(tmp_path / "t.csv", rows), loss / 100

    def test_json(self, run, tiny_model, labelled):
        file, loss = labelled
        done = run("eval", tiny_model, file, "--json")
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        assert result["examples"] == 100
        assert result["accuracy"] == pytest.approx(0.8)
        assert result["loss"] == pytest.approx(loss, abs=1e-5)
        assert sum(map(sum, result["confusion"])) == 100
        assert sum(result["confusion"][i][i] for i in range(3)) == 80
        assert [label["label"] for label in result["labels"]] == ["LABEL_0", "LABEL_1", "LABEL_2"]
        for i, label in enumerate(result["labels"]):
            assert label["support"] == sum(result["confusion"][i])
        assert result["passed"] is True

    def test_tables(self, run, tiny_model, labelled):
        done = run("eval", tiny_model, labelled[0])
        assert done.returncode == 0, done.stderr
        lines = [line.split() for line in done.stdout.splitlines()]
        assert ["accuracy", "0.8000"] in lines
        assert ["true", "\\", "predicted", "LABEL_0", "LABEL_1", "LABEL_2"] in lines
        assert ["label", "precision", "recall", "F1", "sentences"] in lines

    @pytest.mark.parametrize("flag, least, passes", [
        ("--min-accuracy", 0.8, True), ("--min-accuracy", 0.81, False),
        ("--min-f1", 0.99, False), ("--min-f1", 0, True),
        ("--min-mcc", 0.99, False), ("--min-mcc", -1, True),
    ])
    def test_bounds_decide_the_exit_code(self, run, tiny_model, labelled, flag, least, passes):
        done = run("eval", tiny_model, labelled[0], flag, least, "--json")
        assert done.returncode == (0 if passes else 1), done.stderr
        assert json.loads(done.stdout)["passed"] is passes
        assert (flag in done.stderr) is not passes

    def test_label_that_the_model_lacks(self, run, named_model, tmp_path):
        file = write_lines(tmp_path / "t.csv", ["text,label", "a,ham", "b,eggs"])
        done = run("eval", named_model, file)
        assert done.returncode == 1
        assert "t.csv:3: found the label 'eggs'; expected one of 'ham'" in done.stderr

    def test_bound_out_of_range(self, run, tiny_model, labelled):
        assert run("eval", tiny_model, labelled[0], "--min-accuracy", 80).returncode == 2

    def test_pretrained_model_has_no_head(self, run, headless, tmp_path):
        file = write_lines(tmp_path / "t.csv", ["text,label", "a,0", "b,1"])
        for command in (["eval", headless, file], ["predict", headless, "a"]):
            done = run(*command)
            assert done.returncode == 1
            assert "classifier.weight" in done.stderr and "bertie train" in done.stderr


class TestInfo:
    def test_tiny(self, run, tiny_model):
        done = run("info", tiny_model, "--json")
        assert done.returncode == 0, done.stderr
        info = json.loads(done.stdout)
        length = struct.unpack("<Q", (tiny_model / "model.safetensors").read_bytes()[:8])[0]
        header = json.loads((tiny_model / "model.safetensors").read_bytes()[8:8 + length])
        stored = sum(math.prod(tensor["shape"]) for name, tensor in header.items()
                     if name != "__metadata__" and "position_ids" not in name)
        assert info["parameters"] == stored
        assert info["labels"] == ["LABEL_0", "LABEL_1", "LABEL_2"]
        assert info["missing"] == []
        assert info["dtypes"] == ["F32"]
        assert info["tokenizer"]["vocab_size"] > 30
        sizes = {file["name"]: file["bytes"] for file in info["files"]}
        assert sizes["model.safetensors"] == (tiny_model / "model.safetensors").stat().st_size

    def test_text(self, run, tiny_model):
        done = run("info", tiny_model)
        assert done.returncode == 0, done.stderr
        for words in ("LABEL_0, LABEL_1, LABEL_2", "WordPiece", "model.safetensors", "layers"):
            assert words in done.stdout

    def test_real_model_says_what_it_lacks(self, run, headless):
        done = run("info", headless)
        assert done.returncode == 0, done.stderr
        assert "22,7" in done.stdout  # million parameters, with a pooler and a head of two labels
        assert "missing: " in done.stdout and "classifier.weight" in done.stdout
        assert "uncased, 30,522 tokens" in done.stdout
        info = json.loads(run("info", headless, "--json").stdout)
        assert "classifier.bias" in info["missing"]

    def test_no_model(self, run, tmp_path):
        (tmp_path / "empty").mkdir()
        for path in (tmp_path / "none", tmp_path / "empty"):
            done = run("info", path)
            assert done.returncode == 1
            assert str(path) in done.stderr


@pytest.mark.parametrize("command", ["predict", "eval", "info"])
def test_help_has_examples(run, command):
    done = run(command, "--help")
    assert done.returncode == 0
    assert "Examples:" in done.stdout


def test_progress_lines_where_there_is_no_terminal(bertie, tiny_model, tmp_path):
    """A log file gets plain lines, none of them within the first second."""
    process = subprocess.Popen([bertie, "predict", tiny_model, "--format", "csv"],
                               stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True)
    begin = time.monotonic()
    while time.monotonic() - begin < 11.5:
        process.stdin.write("the sea\n" * 100)
        process.stdin.flush()
        time.sleep(0.25)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 0
    lines = stderr.splitlines()
    assert 2 <= len(lines) <= 2 + (time.monotonic() - begin) // 10, stderr
    assert "\r" not in stderr and "\x1b" not in stderr
    assert "sentences in " in lines[-1]
