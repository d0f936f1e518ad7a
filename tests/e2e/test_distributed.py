"""Training over several ranks: as one rank does it, started in every way, and with ranks lost."""

import hashlib
import json
import os
import pathlib
import secrets
import signal
import socket
import subprocess
import time

import pytest

from conftest import free_port

# In the letters that tests/golden/tiny's vocabulary knows; of many lengths.
WORDS = "the sea it rain rained".split()

# Variables of starters that the machine at hand may set.
STARTERS = ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_", "OMPI_", "PMI_", "SLURM_", "SM_",
            "TORCHELASTIC_", "BERTIE_RANK", "BERTIE_INSECURE", "BERTIE_JOB", "GLOO_")


@pytest.fixture
def clean():
    """The environment without what a starter of ranks would set."""
    return {name: value for name, value in os.environ.items() if not name.startswith(STARTERS)}


@pytest.fixture
def data(tmp_path):
    rows = []
    for i in range(83):
        words = [WORDS[(i * 7 + j * j) % len(WORDS)] for j in range(1 + i * i % 9)]
        rows.append(" ".join(words + (["rain"] if i % 3 else ["sea"])) + f",{int(i % 3 > 0)}")
    for name, part in (("train", rows), ("test", rows[:21])):
        (tmp_path / f"{name}.csv").write_text("\n".join(["sentence,label", *part]) + "\n")
    return tmp_path


@pytest.fixture
def command(bertie, tiny_model, data):
    """command(out, *flags) -> the words of a run that takes a second; a later flag replaces an
    earlier one of its name."""

    def words(out, *flags):
        merged = {"--model": tiny_model, "--train": data / "train.csv", "--test": data / "test.csv",
                  "--out": data / out, "--num-labels": 3, "--epochs": 2, "--batch-size": 8,
                  "--lr": "1e-3", "--seed": 3, "--log-interval": 1, "--threads": 1,
                  "--no-archive": None}
        for word in flags:
            if str(word).startswith("--"):
                name = word
                merged[name] = None
            else:
                merged[name] = word
        return [str(bertie), "train",
                *(str(part) for flag in merged.items() for part in flag if part is not None)]

    return words


def finish(words, env, timeout=120):
    return subprocess.run(words, env=env, capture_output=True, text=True, timeout=timeout,
                          stdin=subprocess.DEVNULL)


def sha256(folder):
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def events(folder, kind):
    lines = (folder / "history.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


def assert_same_curve(one, other, tolerance=1e-5):
    for kind, key in (("step", "loss"), ("epoch", "train_loss"), ("epoch", "test_loss")):
        a = [event[key] for event in events(one, kind)]
        b = [event[key] for event in events(other, kind)]
        assert len(a) == len(b) > 1
        assert max(abs(x - y) for x, y in zip(a, b, strict=True)) < tolerance, (kind, key)


class Ranks:
    """Processes started one by one, as a starter on several hosts would."""

    def __init__(self, words_of, envs):
        self.processes = [
            subprocess.Popen(words_of(rank), env=env, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for rank, env in enumerate(envs)]

    def wait(self, timeout=60):
        self.outputs = [process.communicate(timeout=timeout) for process in self.processes]
        return [process.returncode for process in self.processes]

    def kill(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.communicate()


@pytest.fixture
def start_ranks():
    started = []

    def start(words_of, envs):
        started.append(Ranks(words_of, envs))
        return started[-1]

    yield start
    for ranks in started:
        ranks.kill()


def ranks_of(parent):
    """Process ids of --nproc's ranks, by rank."""
    found = {}
    for pid in pathlib.Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        for entry in environment:
            if entry.startswith(b"RANK="):
                found[int(entry[5:])] = int(pid)
    return found


def wait_for_step(folder, step, process, limit=60):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        assert process.poll() is None, process.communicate()
        try:
            if any(event["step"] >= step for event in events(folder, "step")):
                return
        except (OSError, json.JSONDecodeError):
            pass
        time.sleep(0.01)
    raise AssertionError(f"step {step} not reached within {limit} s")


def test_ranks_take_the_steps_of_one(command, clean, data):
    for ranks in (1, 2, 3):
        done = finish(command(f"out{ranks}", "--dropout", 0, "--nproc", ranks), clean)
        assert done.returncode == 0, done.stderr
        # Rank 0 alone speaks.
        assert done.stdout.count("epoch 2/2") == 1
        assert "[rank" not in done.stderr
    assert_same_curve(data / "out1", data / "out2")
    assert_same_curve(data / "out1", data / "out3")


def test_two_runs_give_the_same_bytes(command, clean, data):
    for name in ("a", "b"):
        assert finish(command(name, "--nproc", 2), clean).returncode == 0
    assert sha256(data / "a") == sha256(data / "b")


def test_bf16_on_the_wire(command, clean, data):
    done = finish(command("fp32", "--dropout", 0, "--nproc", 2), clean)
    assert done.returncode == 0, done.stderr
    done = finish(command("bf16", "--dropout", 0, "--nproc", 2, "--wire", "bf16"), clean)
    assert done.returncode == 0, done.stderr
    assert_same_curve(data / "fp32", data / "bf16", tolerance=0.02)


def test_rank_batch_size_is_a_part_of_the_batch(command, clean, data):
    done = finish(command("whole", "--dropout", 0, "--batch-size", 8), clean)
    assert done.returncode == 0, done.stderr
    done = finish(command("parts", "--dropout", 0, "--rank-batch-size", 4, "--nproc", 2), clean)
    assert done.returncode == 0, done.stderr
    assert "8 sentences of each pass" in done.stderr
    assert_same_curve(data / "whole", data / "parts")


STARTED_BY = {
    "torchrun": lambda rank, port: {
        "RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "none"},
    "localhost by name": lambda rank, port: {
        "RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "localhost", "MASTER_PORT": port},
    "mpirun": lambda rank, port: {
        "OMPI_COMM_WORLD_RANK": rank, "OMPI_COMM_WORLD_SIZE": 2, "OMPI_COMM_WORLD_LOCAL_SIZE": 2,
        "MASTER_PORT": port},
    "Slurm": lambda rank, port: {
        "SLURM_PROCID": rank, "SLURM_NTASKS": 2, "SLURM_STEP_ID": 0, "SLURM_JOB_ID": 4711,
        "SLURM_JOB_NODELIST": "localhost", "MASTER_PORT": port},
    "SageMaker": lambda rank, port: {
        "SM_HOSTS": '["algo-1","algo-2"]', "SM_CURRENT_HOST": f"algo-{rank + 1}",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port},
}


@pytest.mark.parametrize("starter", STARTED_BY)
def test_starters(command, clean, data, start_ranks, starter):
    port = free_port()
    ranks = start_ranks(
        lambda rank: command(f"out-{rank}", "--epochs", 1),
        [clean | {name: str(value) for name, value in STARTED_BY[starter](rank, port).items()}
         for rank in range(2)])
    assert ranks.wait() == [0, 0], ranks.outputs
    assert (data / "out-0" / "model.safetensors").is_file()
    assert not (data / "out-1").exists()
    assert ranks.outputs[1] == ("", "")


def test_flags(command, clean, start_ranks):
    port = free_port()
    ranks = start_ranks(lambda rank: command(f"out-{rank}", "--epochs", 1, "--rank", rank,
                                             "--world-size", 2, "--master", f"127.0.0.1:{port}"),
                        [clean | {"RANK": "7", "WORLD_SIZE": "9"}] * 2)
    assert ranks.wait() == [0, 0], ranks.outputs


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_killed_rank_is_named_and_a_restart_goes_on(command, clean, data, lost):
    long = ["--epochs", 7, "--nproc", 3, "--checkpoint-steps", 7]
    whole = finish(command("whole", *long), clean)
    assert whole.returncode == 0, whole.stderr
    words = command("killed", *long)
    process = subprocess.Popen(words, env=clean, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    wait_for_step(data / "killed", 24, process)
    os.kill(ranks_of(process.pid)[lost], signal.SIGKILL)
    begun = time.monotonic()
    _, errors = process.communicate(timeout=30)
    assert time.monotonic() - begun < 15
    assert process.returncode == 128 + signal.SIGKILL
    assert f"rank {lost} was killed by signal 9" in errors
    assert f"rank {lost} was lost: its connection closed" in errors
    assert errors.splitlines()[-1].endswith("--resume"), errors
    again = finish(words + ["--resume"], clean)
    assert again.returncode == 0, again.stderr
    assert "going on from" in again.stderr
    assert sha256(data / "killed") == sha256(data / "whole")


def test_silent_rank_is_named_in_time(command, clean, data):
    words = command("out", "--epochs", 1000, "--nproc", 3, "--rank-timeout", 2, "--keep", 0)
    process = subprocess.Popen(words, env=clean, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    wait_for_step(data / "out", 10, process)
    os.kill(ranks_of(process.pid)[2], signal.SIGSTOP)
    begun = time.monotonic()
    _, errors = process.communicate(timeout=40)
    # Two seconds of silence, then the ten that --nproc gives the others before it kills.
    assert time.monotonic() - begun < 25
    assert process.returncode == 1
    assert "rank 2 was lost: nothing was heard from it for 2 s" in errors


@pytest.mark.parametrize("whom", ["parent", "rank 1"])
def test_sigterm_stops_all_ranks_after_the_same_step(command, clean, data, whom):
    long = ["--epochs", 7, "--nproc", 2]
    assert finish(command("whole", *long), clean).returncode == 0
    words = command("stopped", *long)
    process = subprocess.Popen(words, env=clean, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    wait_for_step(data / "stopped", 20, process)
    os.kill(process.pid if whom == "parent" else ranks_of(process.pid)[1], signal.SIGTERM)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM, errors
    assert "stopped by SIGTERM after step" in output
    again = finish(words + ["--resume"], clean)
    assert again.returncode == 0, again.stderr
    assert sha256(data / "stopped") == sha256(data / "whole")


def test_another_number_of_ranks_goes_on_too(command, clean, data):
    long = ["--epochs", 7, "--dropout", 0]
    assert finish(command("whole", *long), clean).returncode == 0
    words = command("moved", *long, "--nproc", 2)
    process = subprocess.Popen(words, env=clean, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    wait_for_step(data / "moved", 20, process)
    process.terminate()
    process.communicate(timeout=30)
    again = finish(command("moved", *long, "--nproc", 3, "--resume"), clean)
    assert again.returncode == 0, again.stderr
    assert "note: ranks is 3, expected 2" in again.stderr
    assert_same_curve(data / "whole", data / "moved", tolerance=1e-4)


def test_other_data_on_a_rank_is_refused(command, clean, data, start_ranks):
    port = free_port()
    other = data / "other.csv"
    other.write_text((data / "train.csv").read_text().replace("sea,0", "it,0"))
    ranks = start_ranks(
        lambda rank: command("out", *(["--train", other] if rank == 1 else [])),
        [clean | {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
                  "MASTER_PORT": str(port)} for rank in range(2)])
    assert ranks.wait() == [2, 2], ranks.outputs
    assert "rank 1 has other flags or data than rank 0" in ranks.outputs[0][1]
    assert "training sentences is" in ranks.outputs[1][1]


def test_strangers_at_the_port_do_no_harm(command, clean, data, start_ranks):
    port = free_port()
    env = clean | {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
                   "BERTIE_RANK_TOKEN": "the right one"}
    ranks = start_ranks(lambda rank: command("out", "--epochs", 1), [env | {"RANK": "0"}])
    for attempt in range(200):
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as stranger:
                stranger.sendall(secrets.token_bytes(1 + attempt % 700))
        except ConnectionRefusedError:
            time.sleep(0.05)
        except ConnectionError:
            pass
    wrong = finish(command("x", "--epochs", 1), env | {"RANK": "1", "BERTIE_RANK_TOKEN": "a wrong one"})
    assert wrong.returncode == 2
    assert "rank 1: rank 0 at 127.0.0.1" in wrong.stderr
    assert "its token is not the one of this run" in wrong.stderr
    right = finish(command("y", "--epochs", 1), env | {"RANK": "1"})
    assert right.returncode == 0, right.stderr
    assert ranks.wait() == [0], ranks.outputs
    assert "the right one" not in ranks.outputs[0][1]
    assert "refused a connection from 127.0.0.1" in ranks.outputs[0][1]


def test_open_port_needs_a_token_or_a_word(command, clean):
    env = clean | {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "0.0.0.0",
                   "MASTER_PORT": str(free_port())}
    refused = finish(command("out"), env, timeout=10)
    assert refused.returncode == 2
    assert "BERTIE_RANK_TOKEN" in refused.stderr and "--insecure-ranks" in refused.stderr
    for told in (["--insecure-ranks"], []):
        extra = {} if told else {"BERTIE_INSECURE_RANKS": "1"}
        alone = finish(command("out", "--join-timeout", 1, *told), env | extra, timeout=20)
        assert alone.returncode == 1
        assert "rank 1 did not come within 1 s" in alone.stderr


def test_a_rank_that_cannot_begin_ends_all(command, clean):
    done = finish(command("out", "--nproc", 2, "--model", "/nowhere"), clean, timeout=30)
    assert done.returncode == 1 or done.returncode == 2
    assert "/nowhere" in done.stderr
