"""Nothing is lost in training: runs that are stopped, killed, or meet a full disk, and go on.

Every run here must end with the weights of the run that nothing happened to, bit for bit.
"""

import concurrent.futures
import hashlib
import itertools
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

GOOD = ["the sea it", "it the sea", "sea the sea it", "it it sea", "the the sea"]
BAD = ["rain the rain", "rained it rain", "it rain the", "rain rain rain", "the rained"]


def write_csv(path, rows):
    path.write_text("".join(f"{line}\n" for line in ["sentence,label", *rows]), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def place():
    """A folder in memory where there is one: thousands of syncs there cost nothing."""
    memory = pathlib.Path("/dev/shm")
    parent = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        yield pathlib.Path(folder)


@pytest.fixture(scope="module")
def data(place):
    rows = [f"{text},{label}" for _ in range(4)
            for texts, label in ((GOOD, 1), (BAD, 0)) for text in texts]
    return write_csv(place / "train.csv", rows), write_csv(place / "test.csv", rows[:10])


@pytest.fixture(scope="module")
def command(bertie, tiny_model, data):
    """command(out, *flags) -> the command line of a run of 8 steps in 2 epochs."""

    def make(out, *flags):
        flags = [str(flag) for flag in flags]
        defaults = {"--train": str(data[0]), "--test": str(data[1]), "--epochs": "2",
                    "--batch-size": "10", "--lr": "2e-3", "--threads": "1", "--dropout": "0.1",
                    "--checkpoint-steps": "2"}
        given = [part for flag in defaults.items() if flag[0] not in flags for part in flag]
        return [str(bertie), "train", "--model", str(tiny_model), "--out", str(out), *given, *flags]

    return make


@pytest.fixture(scope="module")
def train(command):
    def start(out, *flags, env=None, **options):
        return subprocess.run(command(out, *flags), capture_output=True, text=True, timeout=120,
                              env=os.environ | (env or {}), **options)

    return start


@pytest.fixture
def out(place):
    folder = pathlib.Path(tempfile.mkdtemp(dir=place))
    yield folder / "model"
    shutil.rmtree(folder, ignore_errors=True)


def weights(out):
    return hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def whole(train, place):
    """SHA-256 of the weights after a run that nothing happened to, and its history."""
    out = place / "whole"
    done = train(out, "--log-interval", 1)
    assert done.returncode == 0, done.stderr
    return weights(out), history(out)


def history(out):
    """What the history says of steps and epochs, without what a clock says."""
    lines = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    return [(e["event"], e["epoch"], e["step"], e.get("loss"), e.get("train_loss"),
             e.get("test_loss")) for e in lines if e["event"] in ("step", "epoch")]


def checkpoints(out):
    return sorted(path.name for path in (out / "checkpoints").glob("step-*"))


def hidden(folder):
    return [path for path in folder.rglob(".*.new-*")] + [path for path in folder.rglob(".*.old-*")]


@pytest.fixture(scope="module")
def faults():
    value = os.environ.get("BERTIE_FAULTS")
    if not value:
        pytest.skip("BERTIE_FAULTS (the library built from tests/faults) is not set")
    return value


def with_fault(faults, out, mode, at, fired=None):
    fault = {"LD_PRELOAD": faults, "FAULT_UNDER": str(out.parent), "FAULT_MODE": mode,
             "FAULT_AT": str(at)}
    return fault | ({"FAULT_FIRED": str(fired)} if fired else {})


def start_slow(command, out, faults, *flags):
    """A run whose checkpoints take seconds, caught while it writes its first one."""
    process = subprocess.Popen(command(out, *flags), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, env=os.environ | with_fault(faults, out, "slow", 0))
    end = time.monotonic() + 60
    while not list((out / "checkpoints").glob(".step-*")):
        assert time.monotonic() < end and process.poll() is None, process.communicate()
        time.sleep(0.01)
    return process


class TestSignals:
    @pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
    def test_the_last_line_goes_on_with_the_run(self, command, out, faults, whole, number, code):
        process = start_slow(command, out, faults, "--log-interval", 1)
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == code, stderr
        resume = stdout.splitlines()[-1]
        assert resume.endswith(" --resume"), stdout
        again = subprocess.run(["sh", "-c", resume], capture_output=True, text=True, timeout=60)
        assert again.returncode == 0, again.stderr
        assert "going on from" in again.stderr
        assert (weights(out), history(out)) == whole
        assert not (out / "checkpoints").exists(), "a finished run needs none"

    def test_a_second_signal_ends_at_once(self, command, train, out, faults, whole):
        process = start_slow(command, out, faults)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == -signal.SIGTERM
        done = train(out, "--resume")
        assert done.returncode == 0, done.stderr
        assert weights(out) == whole[0]

    def test_without_checkpoints_says_so(self, bertie, command, out):
        process = subprocess.Popen(command(out, "--keep", 0, "--epochs", 100000),
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + 60
        while not (out / "model.safetensors").exists():
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 143, stderr
        assert "--keep 0" in stdout
        assert not (out / "checkpoints").exists()


class TestChoices:
    """What a second start finds, and what it is told to do about it."""

    @pytest.fixture
    def unfinished(self, train, out, faults):
        done = train(out, "--log-interval", 1, env=with_fault(faults, out, "kill", 550))
        assert done.returncode == -signal.SIGKILL
        assert checkpoints(out)
        return out

    def test_an_unfinished_run_is_not_overwritten_unasked(self, train, unfinished):
        before = checkpoints(unfinished)
        done = train(unfinished)
        assert done.returncode == 2, done.stderr
        for word in ("--resume", "--overwrite", str(unfinished), "of 8"):
            assert word in done.stderr
        assert checkpoints(unfinished) == before

    def test_overwrite_begins_anew(self, train, unfinished, whole):
        done = train(unfinished, "--overwrite")
        assert done.returncode == 0, done.stderr
        assert "going on" not in done.stderr
        assert weights(unfinished) == whole[0]

    def test_resume_and_overwrite_exclude_each_other(self, train, unfinished):
        assert train(unfinished, "--overwrite", "--resume").returncode == 2

    def test_resume_continues_the_history(self, train, unfinished, whole):
        done = train(unfinished, "--log-interval", 1, "--resume")
        assert done.returncode == 0, done.stderr
        assert (weights(unfinished), history(unfinished)) == whole

    def test_another_recipe_is_refused_by_name(self, train, unfinished):
        done = train(unfinished, "--resume", "--lr", "1e-3", "--epochs", 3, "--dropout", 0.2)
        assert done.returncode == 2, done.stderr
        for words in ("lr is 0.001, expected 0.002", "epochs is 3, expected 2", "dropout"):
            assert words in done.stderr
        assert "batch-size" not in done.stderr

    def test_other_data_are_refused_by_name(self, train, unfinished, place):
        rows = [f"{text},{label}" for label, texts in enumerate((BAD, GOOD)) for text in texts]
        other = write_csv(place / "other.csv", rows * 4)
        done = train(unfinished, "--train", other, "--resume")
        assert done.returncode == 2, done.stderr
        done = train(unfinished, "--test", other, "--resume")
        assert done.returncode == 2, done.stderr
        assert "test sentences is" in done.stderr and "lr is" not in done.stderr

    def test_a_finished_run_may_be_repeated(self, train, out, whole):
        for _ in range(2):
            done = train(out)
            assert done.returncode == 0, done.stderr
            assert weights(out) == whole[0]

    def test_keep_keeps_them_after_the_run_too(self, train, out, whole):
        for _ in range(2):
            done = train(out, "--keep", 3)
            assert done.returncode == 0, done.stderr
            assert checkpoints(out) == ["step-000000004", "step-000000006", "step-000000008"]
        done = train(out, "--keep", 3, "--resume")
        assert done.returncode == 0, done.stderr
        assert weights(out) == whole[0]

    def test_resume_without_a_checkpoint_begins(self, train, out, whole):
        done = train(out, "--resume")
        assert done.returncode == 0, done.stderr
        assert "begins anew" in done.stderr
        assert weights(out) == whole[0]

    def test_resume_from_another_folder(self, train, unfinished, whole):
        other = unfinished.parent / "other"
        for source in (unfinished, unfinished / "checkpoints",
                       unfinished / "checkpoints" / checkpoints(unfinished)[0]):
            done = train(other, "--resume", source)
            assert done.returncode == 0, done.stderr
            assert str(source) in done.stderr
            assert weights(other) == whole[0]

    def test_resume_from_what_is_no_folder(self, train, out, data):
        done = train(out, "--resume", data[0])
        assert done.returncode == 2
        assert "not a folder" in done.stderr

    def test_a_damaged_checkpoint_is_named(self, train, unfinished, whole):
        newest = unfinished / "checkpoints" / checkpoints(unfinished)[-1]
        content = bytearray((newest / "model.safetensors").read_bytes())
        content[-1] ^= 1
        (newest / "model.safetensors").write_bytes(content)
        done = train(unfinished, "--resume")
        assert done.returncode == 0, done.stderr
        assert f"{newest}/model.safetensors: SHA-256 is" in done.stderr
        assert weights(unfinished) == whole[0]

    def test_checkpoints_elsewhere(self, train, out, place, faults, whole):
        folder = out.parent / "elsewhere"
        flags = ("--checkpoints", folder)
        done = train(out, *flags, env=with_fault(faults, out, "kill", 300))
        assert done.returncode == -signal.SIGKILL
        assert not (out / "checkpoints").exists() and list(folder.glob("step-*"))
        assert train(out, *flags).returncode == 2
        assert train(out, *flags, "--resume").returncode == 0
        assert weights(out) == whole[0]

    def test_a_checkpoint_is_a_model(self, run, unfinished, data):
        newest = unfinished / "checkpoints" / checkpoints(unfinished)[-1]
        assert run("eval", newest, data[1]).returncode == 0

    def test_two_runs_do_not_share_a_folder(self, command, train, out, faults):
        process = start_slow(command, out, faults)
        done = train(out, "--overwrite")
        process.kill()
        process.communicate()
        assert done.returncode == 1, done.stderr
        assert "another run" in done.stderr


# Every n-th call of the file system; BERTIE_EVERY_FAULT=1 takes them all, for minutes.
STRIDE = 1 if os.environ.get("BERTIE_EVERY_FAULT") else 3

# What the sweeps leave out: files that no later run depends on.
BARE = ("--no-archive", "--no-report", "--no-tensorboard", "--checkpoint-steps", "3")


class TestFaults:
    """The n-th call to the file system goes wrong, for n after n, until none is left to go wrong."""

    @pytest.fixture
    def sweep(self, train, out, faults, whole):
        """sweep(mode, step, check): check(done, out) after the fault, then the run must go on."""

        def attempt(mode, at, check):
            folder = out.parent / str(at)
            folder.mkdir()
            mine, fired = folder / "model", folder / "fired"
            done = train(mine, *BARE, env=with_fault(faults, mine, mode, at, fired))
            if not fired.exists():
                assert done.returncode == 0, done.stderr
                return False
            where = f"{mode} {at}: {done.stderr}"
            check(done, mine, where)
            again = train(mine, *BARE, "--resume")
            assert again.returncode == 0, (where, again.stderr)
            assert weights(mine) == whole[0], where
            assert not hidden(folder), where
            assert not (mine / "checkpoints").exists(), where
            shutil.rmtree(folder)
            return True

        def start(mode, step, check):
            workers = os.cpu_count() or 1
            with concurrent.futures.ThreadPoolExecutor(workers) as pool:
                for first in itertools.count(1, step * workers):
                    numbers = range(first, first + step * workers, step)
                    if not all(pool.map(lambda at: attempt(mode, at, check), numbers)):
                        return first

        return start

    @pytest.mark.parametrize("mode, step", [("fail", STRIDE), ("fail-on", 2 * STRIDE + 1)])
    def test_failing_calls(self, sweep, whole, mode, step):
        def check(done, out, where):
            assert done.returncode in (0, 1), where
            if done.returncode == 0:
                assert weights(out) == whole[0], where
            else:
                assert "bertie: " in done.stderr, where

        assert sweep(mode, step, check) > 200

    @pytest.mark.parametrize("mode, step", [("kill", STRIDE), ("kill-after", 2 * STRIDE + 1)])
    def test_kill_at_any_call(self, sweep, mode, step):
        def check(done, _, where):
            assert done.returncode == -signal.SIGKILL, where

        assert sweep(mode, step, check) > 200


def test_kill_at_random_moments(command, train, tmp_path, whole):
    """On a real disk, until the run is through; each start goes on where the last one was killed."""
    out = tmp_path / "model"
    chance = random.Random(5)
    start = time.monotonic()
    assert train(tmp_path / "undisturbed", "--no-archive", "--checkpoint-steps", 1).returncode == 0
    took = time.monotonic() - start
    end = time.monotonic() + 60
    kills = 0
    while True:
        process = subprocess.Popen(command(out, "--no-archive", "--checkpoint-steps", 1, "--resume"),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        # The first one always comes before the end, the later ones mostly do.
        wait = chance.uniform(0, took if kills else took / 2) if time.monotonic() < end else 60
        try:
            _, stderr = process.communicate(timeout=wait)
            assert process.returncode == 0, stderr
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
    assert kills > 0
    assert weights(out) == whole[0]


def test_a_full_disk_at_the_checkpoints(bertie, command, train, out, whole):
    """A limit on files' length lets the model through, and the optimiser's state not."""
    limited = 'ulimit -f 120; exec "$0" "$@"'
    done = subprocess.run(["bash", "-c", limited, *command(out, "--no-archive")],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "no checkpoint was written at step 2; the run goes on: " in done.stderr
    assert "optimizer.safetensors" in done.stderr
    assert weights(out) == whole[0]


FULL_DISK = """
mount -t tmpfs -o size=$1k tmpfs "$2" || exit 77
place="$2/model" copy="$3"; shift 3
"$@" --out "$place"
code=$?
cp -r "$place" "$copy"
exit $code
"""


@pytest.mark.parametrize("kilobytes", range(160, 1300, 160))
def test_a_disk_that_is_full(train, command, out, whole, kilobytes):
    """A real one, mounted where an ordinary user may do that in a namespace."""
    mount = out.parent / "mount"
    mount.mkdir()
    words = command("unused", "--no-archive")
    at = words.index("--out")
    del words[at : at + 2]
    done = subprocess.run(["unshare", "-rm", "sh", "-c", FULL_DISK, "sh", str(kilobytes),
                           str(mount), str(out), *words],
                          capture_output=True, text=True, timeout=60)
    if "unshare" in done.stderr or done.returncode == 77:
        pytest.skip("no mounts in a namespace here")
    assert done.returncode in (0, 1), done.stderr
    assert "No space left on device" in done.stderr or kilobytes > 1000
    if done.returncode == 0:
        assert weights(out) == whole[0]
    again = train(out, "--no-archive", "--resume")
    assert again.returncode == 0, (done.stderr, again.stderr)
    assert weights(out) == whole[0]


def test_a_real_model_goes_on_with_the_same_bits(bertie, minilm, tmp_path):
    """Two threads, all the kernels; killed without warning."""
    rows = [f"{word} {thing} it was,{label}" for thing in ("a film", "a play", "a song", "a book")
            for word, label in (("good", 1), ("bad", 0), ("lovely", 1), ("dull", 0))]
    data = write_csv(tmp_path / "train.csv", rows)

    def start(name, *flags):
        return subprocess.Popen([str(bertie), "train", str(data), "--model", str(minilm), "--out",
                                 str(tmp_path / name), "--holdout", "0", "--batch-size", "4",
                                 "--epochs", "2", "--threads", "2", "--no-archive", "--no-report",
                                 *flags], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                text=True)

    whole, killed = start("whole"), start("killed", "--checkpoint-steps", "3")
    end = time.monotonic() + 300
    while not list((tmp_path / "killed" / "checkpoints").glob("step-*")):
        assert time.monotonic() < end and killed.poll() is None, killed.communicate()
        time.sleep(0.01)
    killed.kill()
    killed.communicate()
    for process in (whole, start("killed", "--resume")):
        _, stderr = process.communicate(timeout=300)
        assert process.returncode == 0, stderr
    assert "going on from" in stderr
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")


class TestBestEpoch:
    def test_out_holds_the_best_epoch(self, train, run, out, data):
        done = train(out, "--best", "loss", "--epochs", 6, "--lr", "0.02", "--lr-schedule",
                     "constant")
        assert done.returncode == 0, done.stderr
        lines = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
        losses = [line["test_loss"] for line in lines if line["event"] == "epoch"]
        best = losses.index(min(losses)) + 1
        assert f"epoch {best}, the best by loss" in done.stdout
        report = json.loads(run("eval", out, data[1], "--json").stdout)
        assert report["loss"] == pytest.approx(min(losses), rel=1e-5)

    def test_early_stopping(self, train, out):
        done = train(out, "--early-stopping", 2, "--early-stopping-threshold", 10, "--epochs", 9)
        assert done.returncode == 0, done.stderr
        assert "stopped early after epoch 3" in done.stdout
        assert not (out / "checkpoints").exists()

    def test_needs_a_test(self, command, bertie, tiny_model, data, out):
        done = subprocess.run([bertie, "train", data[0], "--model", tiny_model, "--out", out,
                               "--holdout", "0", "--best", "f1"], capture_output=True, text=True)
        assert done.returncode == 2
        assert "--holdout" in done.stderr


class TestRunRecord:
    def test_says_what_the_run_was_made_of(self, train, out, data):
        done = train(out)
        assert done.returncode == 0, done.stderr
        record = json.loads((out / "run.json").read_text())
        assert record["seed"] == 1 and record["threads"] == "1"
        assert record["version"] and record["cpu"]["features"] is not None
        for name, file in zip(("train", "test"), data, strict=True):
            assert record["data"][name]["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
        assert record["recipe"]["epochs"] == "2"
        assert record["flags"]["lr"] == ["2e-3"]
        assert record["finished"]["model_sha256"] == weights(out)

    def test_repeats_a_run(self, train, run, out):
        assert train(out, "--order", "shuffled", "--seed", 7).returncode == 0
        other = out.parent / "other"
        done = run("train", "--from", out / "run.json", "--out", other)
        assert done.returncode == 0, done.stderr
        assert f"the weights are those of {out}/run.json, bit for bit" in done.stdout
        assert weights(other) == weights(out)

    def test_other_flags_win_and_are_named(self, train, run, out):
        assert train(out).returncode == 0
        done = run("train", "--from", out / "run.json", "--out", out.parent / "other", "--seed", 9)
        assert done.returncode == 0, done.stderr
        assert "seed is 9, expected 1" in done.stderr
        assert "the weights are not those of" in done.stdout

    def test_other_data_are_named(self, train, run, out, place, data):
        copy = shutil.copy(data[0], place / "copy.csv")
        assert train(out, "--train", copy).returncode == 0
        with open(copy, "a", encoding="utf-8") as file:
            file.write("the sea,1\n")
        done = run("train", "--from", out / "run.json", "--out", out.parent / "other")
        assert done.returncode == 0, done.stderr
        assert "training sentences is" in done.stderr

    def test_a_file_that_is_none(self, run, place):
        (place / "none.json").write_text('{"flags": {"wings": ["2"]}}')
        done = run("train", "--from", place / "none.json")
        assert done.returncode == 1
        assert "wings" in done.stderr
