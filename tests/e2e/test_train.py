"""`bertie train` as a user starts it: what it writes, repeats, survives and refuses."""

import json
import math
import shutil
import signal
import struct
import subprocess
import tarfile
import time

import pytest

# Two labels that a word decides, in the letters that tests/golden/tiny's vocabulary knows.
GOOD = ["the sea it", "it the sea", "sea the sea it", "it it sea", "the the sea"]
BAD = ["rain the rain", "rained it rain", "it rain the", "rain rain rain", "the rained"]

# Enough for a small model: takes a tenth of a second.
SMALL = {"--epochs": 2, "--batch-size": 8, "--lr": "1e-3", "--seed": 3, "--threads": 1}


def small(*flags):
    """SMALL's flags with others, given as name and value in turn, over them."""
    merged = SMALL | dict(zip(flags[::2], flags[1::2], strict=True))
    return [part for flag in merged.items() for part in flag]


def write_csv(path, rows, header="sentence,label"):
    path.write_text("".join(f"{line}\n" for line in [header, *rows]), encoding="utf-8")
    return path


@pytest.fixture
def data(tmp_path):
    rows = [f"{text},{label}" for _ in range(8)
            for texts, label in ((GOOD, 1), (BAD, 0)) for text in texts]
    return write_csv(tmp_path / "train.csv", rows), write_csv(tmp_path / "test.csv", rows[:10])


@pytest.fixture
def train(run, tiny_model, data, tmp_path):
    """train(out_name, *flags) -> the finished process; trains the tiny model on `data`."""

    def start(name, *flags):
        return run("train", "--model", tiny_model, "--train", data[0], "--test", data[1],
                   "--out", tmp_path / name, *small(*flags))

    return start


def history(folder):
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def events(folder, kind):
    return [event for event in history(folder) if event["event"] == kind]


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def test_out_holds_a_whole_model(train, tmp_path):
    done = train("out")
    assert done.returncode == 0, done.stderr
    out = tmp_path / "out"
    for name in ("config.json", "model.safetensors", "vocab.txt", "tokenizer_config.json",
                 "history.jsonl"):
        assert (out / name).stat().st_size > 0, name
    config = json.loads((out / "config.json").read_text())
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert config["model_type"] == "bert"
    assert config["id2label"].keys() == {"0", "1"}
    assert sorted(config["label2id"].values()) == [0, 1]


def test_archive_holds_the_same_model(train, tmp_path):
    assert train("out").returncode == 0
    out = tmp_path / "out"
    with tarfile.open(tmp_path / "out.tar.gz") as archive:
        members = {member.name: member for member in archive}
        assert {"config.json", "model.safetensors", "vocab.txt"} <= members.keys()
        assert all(member.isfile() for member in members.values())
        stored = archive.extractfile("model.safetensors").read()
    assert stored == weights(out)


def test_history_has_steps_and_epochs(train, tmp_path):
    assert train("out", "--log-interval", 5).returncode == 0
    steps, epochs = (events(tmp_path / "out", kind) for kind in ("step", "epoch"))
    assert [event["step"] for event in steps] == [5, 10, 15, 20]  # 80 sentences in batches of 8
    assert all(math.isfinite(event["loss"]) for event in steps)
    assert [event["epoch"] for event in epochs] == [1, 2]
    for event in epochs:
        assert 0 <= event["test_accuracy"] <= 1
        assert -1 <= event["test_mcc"] <= 1
        assert math.isfinite(event["test_loss"]) and math.isfinite(event["train_loss"])
        assert event["sentences_per_s"] > 0


def test_learns(train, tmp_path):
    done = train("out", "--epochs", 12)
    assert done.returncode == 0, done.stderr
    epochs = events(tmp_path / "out", "epoch")
    assert epochs[-1]["train_loss"] < epochs[0]["train_loss"]
    assert epochs[-1]["test_accuracy"] == 1.0


def test_same_seed_same_bytes(train, tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert train(name, "--seed", seed).returncode == 0
    assert weights(tmp_path / "a") == weights(tmp_path / "b")
    assert weights(tmp_path / "a") != weights(tmp_path / "c")


def test_two_threads_repeat_too(train, tmp_path):
    for name in ("a", "b"):
        assert train(name, "--threads", 2).returncode == 0
    assert weights(tmp_path / "a") == weights(tmp_path / "b")


def test_interrupt_leaves_the_last_whole_epoch(bertie, train, data, tiny_model, tmp_path):
    constant = ["--lr-schedule", "constant", "--warmup-ratio", "0"]
    out = tmp_path / "interrupted"
    command = [bertie, "train", "--model", tiny_model, "--train", data[0], "--test", data[1],
               "--out", out, *small(*constant, "--epochs", 99)]
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True,
                               stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while not (out / "history.jsonl").exists() or not events_so_far(out, "epoch"):
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, stderr
    finished = len(events(out, "epoch"))
    assert 1 <= finished < 99
    assert train("whole", *constant, "--epochs", finished).returncode == 0
    assert weights(out) == weights(tmp_path / "whole")


def events_so_far(folder, kind):
    """As events(), of a file that is being written."""
    lines = (folder / "history.jsonl").read_text().split("\n")[:-1]
    return [event for event in map(json.loads, lines) if event["event"] == kind]


def test_labels_are_learnt_and_kept(run, tiny_model, tmp_path):
    rows = [f"{text},{label}" for text, label in
            zip(GOOD + BAD + GOOD, ["spam"] * 5 + ["ham"] * 5 + ["eggs"] * 5)]
    out = tmp_path / "out"
    done = run("train", "--model", tiny_model, "--train", write_csv(tmp_path / "t.csv", rows),
               "--out", out, *small())
    assert done.returncode == 0, done.stderr
    config = json.loads((out / "config.json").read_text())
    assert config["id2label"] == {"0": "eggs", "1": "ham", "2": "spam"}


def test_the_real_model_learns_real_words(run, minilm, tmp_path):
    good, bad = ["wonderful", "great", "lovely", "superb"], ["awful", "terrible", "dull", "boring"]
    frames = ["What a {} film.", "The story was {}.", "I found the acting {} indeed.",
              "Such {} music!", "{}, from start to end.", "My friends called it {}."]
    rows = [f'"{frame.format(word)}",{label}' for frame in frames
            for words, label in ((good, "positive"), (bad, "negative")) for word in words]
    unseen = ['"An excellent, charming evening.",positive', '"A horrible, tedious evening.",negative',
              '"We loved it.",positive', '"We hated it.",negative']
    out = tmp_path / "out"
    done = run("train", "--model", minilm, "--train", write_csv(tmp_path / "train.csv", rows),
               "--test", write_csv(tmp_path / "test.csv", unseen), "--out", out, "--epochs", 6,
               "--batch-size", 8, "--lr", "1e-4", "--seed", 1)
    assert done.returncode == 0, done.stderr
    epochs = events(out, "epoch")
    assert epochs[-1]["train_loss"] < 0.3 < epochs[0]["train_loss"]
    assert epochs[-1]["test_accuracy"] == 1.0
    assert "classifier.weight" in done.stderr  # says aloud that the head is fresh


class TestRefusals:
    """Exit code 2 for wrong flags, 1 for work that failed; one message that says what and where."""

    @pytest.fixture
    def refused(self, run, tiny_model, data, tmp_path):
        def check(code, *words, model=tiny_model, file=data[0], flags=()):
            out = tmp_path / "refused"
            done = run("train", "--model", model, "--train", file, "--out", out, *small(*flags))
            assert done.returncode == code, done.stderr
            for word in words:
                assert str(word) in done.stderr, done.stderr
            assert not (out / "model.safetensors").exists()

        return check

    def test_no_model(self, refused, tmp_path):
        refused(1, tmp_path / "none", model=tmp_path / "none")

    def test_no_training_file(self, refused, tmp_path):
        refused(1, tmp_path / "none.csv", file=tmp_path / "none.csv")

    def test_row_with_too_few_columns(self, refused, tmp_path):
        file = write_csv(tmp_path / "bad.csv", ["a,1", "b", "c,0"])
        refused(1, "bad.csv:3", file=file)

    def test_only_one_label(self, refused, tmp_path):
        refused(1, "one.csv", file=write_csv(tmp_path / "one.csv", ["a,1", "b,1"]))

    def test_empty_file(self, refused, tmp_path):
        file = tmp_path / "empty.csv"
        file.write_text("")
        refused(1, "empty.csv", file=file)

    def test_label_beyond_those_asked_for(self, refused, tmp_path):
        file = write_csv(tmp_path / "three.csv", ["a,0", "b,1", "c,2"])
        refused(1, "three.csv:4", "2", file=file, flags=["--num-labels", 2])

    @pytest.mark.parametrize("flag, value", [
        ("--num-labels", "1"), ("--epochs", "0"), ("--epochs", "many"), ("--batch-size", "0"), ("--lr", "-1"),
        ("--lr", "nan"), ("--dropout", "1.5"), ("--warmup-ratio", "2"), ("--max-length", "1"),
        ("--lr-schedule", "steep"), ("--recipe", "unknown"), ("--threads", "-1"),
    ])
    def test_flag_out_of_range(self, refused, flag, value):
        refused(2, flag, flags=[flag, value])

    def test_unknown_flag(self, refused):
        refused(2, "--no-such-flag", flags=["--no-such-flag", "1"])

    def test_out_is_a_file(self, run, tiny_model, data, tmp_path):
        out = tmp_path / "file"
        out.write_text("mine")
        done = run("train", "--model", tiny_model, "--train", data[0], "--out", out, *small())
        assert done.returncode != 0
        assert str(out) in done.stderr
        assert out.read_text() == "mine"

    def test_weights_that_are_not_finite(self, refused, tiny_model, tmp_path):
        broken = tmp_path / "broken"
        shutil.copytree(tiny_model, broken)
        set_weight(broken / "model.safetensors", "bert.encoder.layer.0.output.dense.bias", math.nan)
        refused(1, "step 1", "'bert.encoder.layer.0.output.dense.bias' are not finite",
                model=broken)


def set_weight(file, name, value):
    """Overwrites the first float of one tensor in a safetensors file."""
    content = bytearray(file.read_bytes())
    header_length = struct.unpack_from("<Q", content)[0]
    header = json.loads(content[8 : 8 + header_length])
    struct.pack_into("<f", content, 8 + header_length + header[name]["data_offsets"][0], value)
    file.write_bytes(content)


def test_full_disk_leaves_no_broken_model(bertie, tiny_model, data, tmp_path):
    """A file-size limit stands for a full disk: no model is left behind, and the error says why."""
    out = tmp_path / "out"
    limited = 'trap "" XFSZ; ulimit -f 40; exec "$0" "$@"'
    command = ["bash", "-c", limited, str(bertie), "train", "--model", str(tiny_model), "--train",
               str(data[0]), "--out", str(out), *map(str, small())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, (done.returncode, done.stderr)
    assert "model.safetensors" in done.stderr
    assert not (out / "model.safetensors").exists()


class TestClassWeights:
    """--class-weights: what sentences of each label count for."""

    @pytest.fixture
    def uneven(self, tmp_path):
        rows = [f"{GOOD[i % 5]},good" for i in range(30)] + [f"{BAD[i % 5]},bad" for i in range(10)]
        return write_csv(tmp_path / "uneven.csv", rows)

    @pytest.fixture
    def start(self, run, tiny_model, uneven, tmp_path):
        def train(name, *flags):
            return run("train", uneven, "--model", tiny_model, "--holdout", "0", "--out", tmp_path / name,
                       *small(), *flags)

        return train

    def test_balanced_is_the_file_of_its_numbers(self, start, tmp_path):
        """Rare labels count more; a file with the same numbers gives the same bits."""
        done = start("balanced", "--class-weights", "balanced")
        assert done.returncode == 0, done.stderr
        assert "class weights: 'bad' 2, 'good' 0.6667" in done.stderr
        file = tmp_path / "weights.json"
        file.write_text(json.dumps({"good": 40 / 60, "bad": 2}))
        assert start("file", "--class-weights", file).returncode == 0
        assert weights(tmp_path / "balanced") == weights(tmp_path / "file")
        assert start("plain").returncode == 0
        assert weights(tmp_path / "plain") != weights(tmp_path / "balanced")
        file.write_text(json.dumps({"good": 1, "bad": 1}))
        assert start("ones", "--class-weights", file).returncode == 0
        assert weights(tmp_path / "plain") == weights(tmp_path / "ones")
        assert "class weights" in (tmp_path / "balanced" / "README.md").read_text()

    def test_two_ranks_take_the_same_steps(self, start, tmp_path):
        flags = ["--class-weights", "balanced", "--dropout", "0", "--log-interval", "1"]
        assert start("one", *flags).returncode == 0
        done = start("two", *flags, "--nproc", "2")
        assert done.returncode == 0, done.stderr
        losses = [[event["loss"] for event in events(tmp_path / name, "step")] for name in ("one", "two")]
        assert len(losses[0]) == 10 and losses[0] == pytest.approx(losses[1], abs=1e-4)

    @pytest.mark.parametrize("content, message", [
        ('{"good": 1}', "no weight for the label 'bad'"),
        ('{"good": 1, "bad": 0}', "the weight of 'bad' is '0'"),
        ('{"good": 1, "bad": "x"}', "the weight of 'bad' is"),
        ('{"good": 1, "bad": 1, "ugly": 1}', "a weight for 'ugly', which is none of the labels"),
        ("[1, 2]", "found an array, expected an object"),
    ])
    def test_refused(self, start, tmp_path, content, message):
        (tmp_path / "weights.json").write_text(content)
        done = start("out", "--class-weights", tmp_path / "weights.json")
        assert done.returncode == 1 and message in done.stderr, done.stderr


def test_sentence_pairs(run, tiny_model, tmp_path):
    """Learnt from the second text alone: it reaches the model, with its type."""
    rows = [f"the,{text},{label}" for _ in range(12)
            for texts, label in ((GOOD, "good"), (BAD, "bad")) for text in texts]
    file = write_csv(tmp_path / "pairs.csv", rows, header="premise,hypothesis,label")
    done = run("train", file, "--model", tiny_model, "--holdout", "0", "--out", tmp_path / "out",
               *small("--epochs", 4))
    assert done.returncode == 0, done.stderr
    assert "second text: 'hypothesis'" in done.stderr
    done = run("eval", tmp_path / "out", file, "--json")
    assert json.loads(done.stdout)["accuracy"] > 0.95, done.stdout
