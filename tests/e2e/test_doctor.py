"""`bertie doctor`: the facts against the system's own, limits that are really set, models good and bad."""

import json
import os
import pathlib
import resource
import shutil
import socket
import struct
import subprocess

import pytest


def doctor(run, *arguments, env=None):
    done = run("doctor", *arguments, "--json", env=env)
    return done.returncode, json.loads(done.stdout)


def findings(diagnosis):
    return {finding["what"] for finding in diagnosis["findings"]}


@pytest.fixture(scope="module")
def here(run):
    code, diagnosis = doctor(run)
    assert code == 0, diagnosis["findings"]
    return diagnosis


def meminfo(name):
    for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    return None


def test_facts_are_the_systems(here):
    machine = here["machine"]
    assert here["ok"] is True
    flags = pathlib.Path("/proc/cpuinfo").read_text()
    assert machine["cpu"] in flags and all(f" {feature}" in flags for feature in machine["features"])
    assert machine["processors"] == os.cpu_count()
    assert machine["allowed_processors"] == len(os.sched_getaffinity(0))
    assert machine["memory_bytes"] == meminfo("MemTotal")
    assert machine["swap_bytes"] == meminfo("SwapTotal")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert (machine["open_files"], machine["most_open_files"]) == (soft, hard)
    if "avx512_vnni" in machine["features"] and "amx_int8" not in machine["features"]:
        assert machine["kernels"]["int8"] == "avx512_vnni"


def test_speeds_are_possible(here):
    speed = here["speed"]
    for name in ("fp32_gops", "bf16_gops", "int8_gops"):
        assert 0.1 < speed[name] < 1e5, name
    assert 0.05 < speed["read_gb_per_s"] < 5000 and 0.05 < speed["copy_gb_per_s"] < 5000
    assert 0 <= speed["stolen"] <= 1 and speed["spread"] >= 0
    pauses = speed["pauses"]
    assert 0 <= pauses["lost"] <= 1 and 0 <= pauses["longest_ms"] <= 1000 * max(1, pauses["lost"])


def test_advice_follows_from_the_figures(here):
    speed, advice = here["speed"], here["advice"]
    best = max(("fp32", "bf16", "int8"), key=lambda name: speed[name + "_gops"])
    assert advice["serving_precision"] in (best, "fp32")
    if advice["serving_precision"] == "int8":
        assert f"{speed['int8_gops'] / speed['fp32_gops']:.1f} times" in advice["serving_reason"]
    estimates = {(one["model"], one["tokens"]): one for one in advice["estimates"]}
    base, small = estimates["bert-base", 16], estimates["MiniLM-L6", 16]
    assert small["sentences_per_s"] > 4 * base["sentences_per_s"]
    assert estimates["bert-base", 128]["sentences_per_s"] < base["sentences_per_s"] / 7
    assert base["training_sentences_per_s"] < base["sentences_per_s"]


def test_text_for_people(run):
    done = run("doctor", "--threads", "1")
    assert done.returncode == 0
    for part in ("serve with --precision", "train with --precision", "threads: 1:", "estimates", "MiniLM-L6"):
        assert part in done.stdout


def test_processors_that_are_taken_away(bertie):
    if len(os.sched_getaffinity(0)) < 2 or not shutil.which("taskset"):
        pytest.skip("needs two processors and taskset")
    done = subprocess.run(["taskset", "-c", str(min(os.sched_getaffinity(0))), bertie, "doctor", "--json"],
                          capture_output=True, text=True)
    diagnosis = json.loads(done.stdout)
    assert diagnosis["machine"]["allowed_processors"] == diagnosis["machine"]["threads"] == 1
    assert "cpuset" in diagnosis["advice"]["threads_reason"]


def test_a_quota_below_one_processor(run, bertie):
    """A real control group, of version 2 or 1, where this process may make one."""
    for mount, limit in (("/sys/fs/cgroup", {"cpu.max": "50000 100000"}),
                         ("/sys/fs/cgroup/cpu", {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "50000"})):
        group = pathlib.Path(mount) / f"bertie-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if not all((group / name).exists() for name in limit):
                continue
            for name, value in limit.items():
                (group / name).write_text(value)
            done = subprocess.run(["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$0" doctor --json', bertie],
                                  capture_output=True, text=True)
        finally:
            group.rmdir()
        diagnosis = json.loads(done.stdout)
        assert done.returncode == 0
        assert diagnosis["machine"]["quota_processors"] == 0.5 and diagnosis["machine"]["threads"] == 1
        assert {"quota", "pauses"} <= findings(diagnosis)
        # Half of each tenth of a second.
        assert diagnosis["speed"]["pauses"]["longest_ms"] > 20 and diagnosis["speed"]["pauses"]["lost"] > 0.2
        return
    pytest.skip("no control group can be made here")


def test_too_few_open_files(bertie):
    def limited(files):
        done = subprocess.run(["sh", "-c", f'ulimit -n {files}; exec "$0" doctor --json', bertie],
                              capture_output=True, text=True)
        return done.returncode, json.loads(done.stdout)
    code, diagnosis = limited(512)
    assert code == 0 and "open files" in findings(diagnosis)
    code, diagnosis = limited(20)
    assert code == 1 and diagnosis["ok"] is False


def test_a_port_that_is_taken(run):
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", 8080))
        except OSError:
            pytest.skip("port 8080 is in use")
        listener.listen()
        _, diagnosis = doctor(run)
    assert "port" in findings(diagnosis)
    assert {"port": 8080, "command": "bertie serve", "free": False} in diagnosis["machine"]["ports"]


def test_instructions_that_are_held_back(run, here):
    _, diagnosis = doctor(run, env={**os.environ, "BERTIE_INT8": "quads"})
    assert "environment" in findings(diagnosis)
    assert diagnosis["machine"]["kernels"]["int8"] == diagnosis["machine"]["kernels"]["fp32"]


def test_a_good_model(run, tiny_model):
    code, diagnosis = doctor(run, tiny_model)
    assert code == 0
    steps = {step["what"]: step for step in diagnosis["model"]["steps"]}
    assert list(steps) == ["config", "tokenizer", "weights", "answer"]
    assert "3 labels" in steps["config"]["text"] and "all finite" in steps["weights"]["text"]
    assert " ms (fp32" in steps["answer"]["text"]


def copy(tiny_model, tmp_path):
    return pathlib.Path(shutil.copytree(tiny_model, tmp_path / "model"))


def failed(run, model):
    code, diagnosis = doctor(run, model)
    assert code == 1 and diagnosis["ok"] is False
    step = diagnosis["model"]["steps"][-1]
    assert step["ok"] is False
    return step


def test_weights_that_are_not_finite(run, tiny_model, tmp_path):
    model = copy(tiny_model, tmp_path)
    file = model / "model.safetensors"
    bytes_ = bytearray(file.read_bytes())
    (size,) = struct.unpack("<Q", bytes_[:8])
    name, entry = next((name, entry) for name, entry in json.loads(bytes_[8:8 + size]).items()
                       if name.endswith("layer.0.attention.self.query.weight"))
    assert entry["dtype"] == "F32"
    at = 8 + size + entry["data_offsets"][0] + 4 * 5
    bytes_[at:at + 4] = struct.pack("<f", float("nan"))
    file.write_bytes(bytes_)
    step = failed(run, model)
    assert step["what"] == "weights"
    assert "attention.self.query.weight" in step["text"] and "not finite at element 5" in step["text"]


def test_files_that_are_missing_or_of_another_model(run, tiny_model, tmp_path):
    model = copy(tiny_model, tmp_path)
    vocabulary = model / "vocab.txt"
    text = vocabulary.read_text()
    (model / "tokenizer.json").unlink(missing_ok=True)
    vocabulary.write_text(text + "".join(f"additional{i}\n" for i in range(1000)))
    step = failed(run, model)
    assert step["what"] == "tokenizer" and "different models" in step["text"]
    vocabulary.unlink()
    assert failed(run, model)["what"] == "tokenizer"
    vocabulary.write_text(text)
    (model / "model.safetensors").unlink()
    assert failed(run, model)["what"] == "weights"
    assert failed(run, tmp_path / "nothing")["what"] == "files"


def test_a_pretrained_model_is_none_to_serve(run, minilm):
    step = failed(run, minilm)
    assert step["what"] == "weights" and "bertie train" in step["text"]


def test_a_supervisor_hears_when_it_is_ready_and_when_it_ends(bertie, tiny_model, tmp_path):
    """systemd's protocol: READY=1 only once requests are answered."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(30)
        process = subprocess.Popen([bertie, "serve", tiny_model, "--port", "0", "--address-file", tmp_path / "address"],
                                   env={**os.environ, "NOTIFY_SOCKET": str(path)}, stderr=subprocess.DEVNULL)
        try:
            assert listener.recv(100) == b"READY=1"
            host, port = (tmp_path / "address").read_text().strip().rsplit(":", 1)
            with socket.create_connection((host, int(port))) as connection:
                connection.sendall(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
                assert connection.recv(100).startswith(b"HTTP/1.1 200")
            process.terminate()
            assert listener.recv(100) == b"STOPPING=1"
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()
