"""`bertie train` as the program of a SageMaker training container, on a real tree of its files."""

import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

GOOD = ["the sea it", "it the sea", "sea the sea it", "it it sea", "the the sea"]
BAD = ["rain the rain", "rained it rain", "it rain the", "rain rain rain", "the rained"]

# As the notebook sends them: JSON inside strings.
NOTEBOOK = {"epochs": "1", "num_labels": "2", "backend": '"gloo"',
            "sagemaker_submit_directory": '"s3://bucket/job/source/sourcedir.tar.gz"',
            "sagemaker_program": '"train_deploy.py"', "sagemaker_container_log_level": "20",
            "sagemaker_job_name": '"pytorch-training-1"', "sagemaker_region": '"us-west-2"'}


class Container:
    """The tree below /opt/ml, and the program in it."""

    def __init__(self, base, bertie, model):
        self.base, self.bertie = base, bertie
        self.config = base / "input" / "config"
        self.config.mkdir(parents=True)
        self.environment = {"PATH": os.environ["PATH"], "SAGEMAKER_BASE_DIR": str(base),
                            "BERTIE_MODEL": str(model), "XDG_CACHE_HOME": str(base / "no-cache")}
        self.channels = {}
        self.hyperparameters(epochs="1", num_labels="2")
        self.resources("algo-1")
        self.channel("training", "train.csv", (GOOD + BAD) * 4)
        self.channel("testing", "test.csv", GOOD + BAD)

    def hyperparameters(self, **values):
        (self.config / "hyperparameters.json").write_text(json.dumps(values))

    def resources(self, current, *others):
        hosts = sorted([current, *others])
        (self.config / "resourceconfig.json").write_text(json.dumps({
            "current_host": current, "current_instance_type": "ml.c5.xlarge", "hosts": hosts,
            "current_group_name": "homogeneousCluster", "network_interface_name": "lo"}))

    def channel(self, name, file, texts, mode="File"):
        """A file as the notebook's pandas writes it, in a channel."""
        self.channels[name] = {"TrainingInputMode": mode, "S3DistributionType": "FullyReplicated",
                               "RecordWrapperType": "None"}
        (self.config / "inputdataconfig.json").write_text(json.dumps(self.channels))
        folder = self.base / "input" / "data" / name
        folder.mkdir(parents=True, exist_ok=True)
        if file:
            lines = ["sentence,label", *(f"{text},{int('sea' in text)}" for text in texts)]
            (folder / file).write_text("\n".join(lines) + "\n")
        return folder

    def command(self, arguments):
        return [str(self.bertie), *arguments]

    def run(self, *arguments, **variables):
        return subprocess.run(self.command(arguments or ["train"]), env=self.environment | variables,
                              capture_output=True, text=True, timeout=120)

    @property
    def model(self):
        return self.base / "model"

    @property
    def failure(self):
        file = self.base / "output" / "failure"
        return file.read_text() if file.exists() else None

    @property
    def succeeded(self):
        return (self.base / "output" / "success").exists()

    def history(self, kind):
        lines = (self.model / "history.jsonl").read_text().splitlines()
        return [event for event in map(json.loads, lines) if event["event"] == kind]


@pytest.fixture
def container(tmp_path, bertie, tiny_model):
    return Container(tmp_path / "ml", bertie, tiny_model)


def test_the_notebooks_job(container):
    container.hyperparameters(**NOTEBOOK)
    done = container.run()
    assert done.returncode == 0, done.stderr
    assert container.succeeded and container.failure is None
    assert (container.base / "output" / "success").read_bytes() == b""
    for name in ("config.json", "model.safetensors", "pytorch_model.bin", "vocab.txt", "README.md"):
        assert (container.model / name).stat().st_size > 0, name
    assert not (container.base / "model.tar.gz").exists()  # the platform packs the folder
    assert (container.base / "output" / "data" / "report.html").exists()
    assert list((container.base / "output" / "tensorboard").glob("events.out.tfevents.*"))
    (start,) = container.history("start")
    assert (start["epochs"], start["batch_size"], start["lr"], start["max_length"], start["labels"]) == (
        1, 64, 2e-5, 40, 2)  # 64 tokens, were it not that the small model has 40 positions
    assert "train_deploy.py" in done.stdout and "is not run" in done.stdout
    assert "s3://bucket/job/source/sourcedir.tar.gz" in done.stdout
    assert "cola-notebook" in done.stdout


def test_the_notebooks_script_trains_two_epochs_unless_told(container):
    container.hyperparameters(**{k: v for k, v in NOTEBOOK.items() if k != "epochs"}, lr="0.5")
    assert container.run().returncode == 0
    (start,) = container.history("start")
    assert (start["epochs"], start["lr"]) == (2, 0.5)


def test_log_lines_are_those_that_metric_definitions_look_for(container):
    container.hyperparameters(epochs="2", batch_size="8", log_interval="2")
    done = container.run()
    assert done.returncode == 0, done.stderr
    for pattern, event, key in (
            (r"^Train Epoch: \d+ \[\d+/40 \(\d+%\)\] Loss: ([0-9.]+)$", "step", "loss"),
            (r"^Average training loss: ([0-9.]+)$", "epoch", "train_loss"),
            (r"^Test set: Accuracy: ([0-9.]+)$", "epoch", "test_accuracy"),
            (r"'eval_accuracy': ([0-9]+(?:.|e\-)[0-9]+),?", "epoch", "test_accuracy"),
            (r"'learning_rate': ([0-9.e-]+)", "step", "lr")):
        found = [float(value) for value in re.findall(pattern, done.stdout, re.M)]
        expected = [pytest.approx(one[key], abs=6e-5) for one in container.history(event)]
        assert found == expected, pattern
    assert "Train Epoch: 1 [16/40 (40%)] Loss: " in done.stdout


def test_other_scripts_names_and_forms(container):
    container.hyperparameters(num_train_epochs="1.0", per_device_train_batch_size="4",
                              learning_rate="1e-3", **{"max-seq-length": "32", "seed": '"7"'},
                              skip_bad="true", warmup_ratio="null", sagemaker_program='"mine.py"')
    done = container.run()
    assert done.returncode == 0, done.stderr
    (start,) = container.history("start")
    assert (start["epochs"], start["batch_size"], start["lr"], start["max_length"], start["seed"]) == (
        1, 4, 1e-3, 32, 7)
    assert "mine.py is not run" in done.stdout and "Nothing is taken from it" in done.stdout


def test_the_name_of_the_program_is_enough(container, tmp_path):
    """`docker run IMAGE train` finds a program `train` on PATH."""
    (tmp_path / "train").symlink_to(container.bertie)
    container.bertie = tmp_path / "train"
    done = subprocess.run([str(container.bertie)], env=container.environment, capture_output=True, text=True,
                          timeout=120)
    assert done.returncode == 0, done.stderr
    assert container.succeeded


def test_arguments_win_over_the_container(container, tmp_path):
    done = container.run("train", str(container.base / "input" / "data" / "training" / "train.csv"),
                         "--epochs", "1", "--out", str(tmp_path / "elsewhere"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "elsewhere" / "config.json").exists()
    assert not container.model.exists() and not container.succeeded


def test_variables_stand_for_missing_files(container, tmp_path):
    for file in container.config.iterdir():
        file.unlink()
    moved = tmp_path / "moved"
    shutil.move(container.base / "input" / "data" / "training", moved)
    done = container.run(SM_HPS='{"epochs":3,"batch_size":8}', SM_CHANNELS='["training"]',
                         SM_CHANNEL_TRAINING=str(moved), SM_HOSTS='["algo-1"]', SM_CURRENT_HOST="algo-1",
                         SM_MODEL_DIR=str(tmp_path / "other-model"))
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "other-model" / "history.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["epochs"] == 3


class TestPretrainedModel:
    def test_channel(self, container, tiny_model):
        del container.environment["BERTIE_MODEL"]
        folder = container.channel("model", None, [])
        shutil.copytree(tiny_model, folder / "my-bert")
        done = container.run()
        assert done.returncode == 0, done.stderr
        assert "my-bert" in (container.model / "README.md").read_text()

    def test_name_in_a_cache(self, container, tiny_model):
        del container.environment["BERTIE_MODEL"]
        snapshot = container.base / "hf/hub/models--some--bert/snapshots/123"
        shutil.copytree(tiny_model, snapshot)
        (snapshot.parent.parent / "refs").mkdir()
        (snapshot.parent.parent / "refs" / "main").write_text("123")
        container.hyperparameters(epochs="1", model_name_or_path='"some/bert"')
        done = container.run(HF_HOME=str(container.base / "hf"))
        assert done.returncode == 0, done.stderr
        assert 'base_model: "some/bert"' in (container.model / "README.md").read_text()

    def test_nowhere(self, container):
        del container.environment["BERTIE_MODEL"]
        container.environment["HF_HOME"] = str(container.base / "none")
        assert container.run().returncode != 0
        assert "pretrained model" in container.failure


class TestFailures:
    """A job that fails leaves its reason in output/failure, and no success."""

    @pytest.fixture
    def fails(self, container):
        def check(*words, **variables):
            done = container.run(**variables)
            assert done.returncode not in (0, -signal.SIGSEGV, -signal.SIGABRT)
            assert not container.succeeded
            assert container.failure.count("\n") == 1
            assert len(container.failure) <= 1024
            assert container.failure.strip() in done.stderr
            for word in words:
                assert word in container.failure, container.failure
            return done

        return check

    def test_unknown_hyperparameters(self, container, fails):
        container.hyperparameters(epochs="1", fooo="1", bar="2")
        fails("unknown hyperparameter bar, fooo", "batch_size", "num_labels", "backend", "seed")
        assert "tensorboard" not in container.failure  # the container's own

    def test_two_names_of_one(self, container, fails):
        container.hyperparameters(lr="1", learning_rate="2")
        fails("learning_rate", "lr", "mean the same")

    def test_a_list(self, container, fails):
        container.hyperparameters(epochs="[1]")
        fails("epochs", "an array")

    def test_value_out_of_range(self, container, fails):
        container.hyperparameters(epochs="0")
        fails("--epochs")

    def test_other_backend(self, container, fails):
        container.hyperparameters(backend='"nccl"')
        fails("nccl", "gloo")

    def test_no_channel(self, container, fails):
        container.channels = {}
        container.channel("testing", "test.csv", GOOD)
        fails("training", "testing")

    def test_empty_channel(self, container, fails):
        (container.base / "input/data/training/train.csv").unlink()
        fails("channel training", "no data file")

    def test_several_files(self, container, fails):
        folder = container.base / "input/data/training"
        (folder / "train.csv").rename(folder / "a.csv")
        container.channel("training", "b.csv", GOOD)
        fails("a.csv, b.csv", "train_file")
        (container.base / "output/failure").unlink()
        container.hyperparameters(epochs="1", train_file="a.csv")
        assert container.run().returncode == 0

    def test_train_csv_among_others(self, container):
        container.channel("training", "more.csv", GOOD)
        assert container.run().returncode == 0
        assert container.history("start")[0]["train"].endswith("train.csv")

    def test_pipe_mode(self, container, fails):
        container.channel("training", "train.csv", GOOD, mode="Pipe")
        fails("pipe mode")

    def test_bad_row(self, container, fails):
        (container.base / "input/data/training/train.csv").write_text("sentence,label\na,0\nb\n")
        fails("train.csv:3")

    @pytest.mark.parametrize("file, text", [("hyperparameters", "{"), ("hyperparameters", "[]"),
                                            ("resourceconfig", '{"hosts": [], "current_host": "a"}'),
                                            ("resourceconfig", '{"hosts": ["b"], "current_host": "a"}')])
    def test_broken_configuration(self, container, fails, file, text):
        (container.config / f"{file}.json").write_text(text)
        fails(f"{file}.json")

    def test_a_host_that_is_not_of_the_job(self, container, fails):
        container.resources("127.0.0.1", "localhost")
        container.environment["RANK"] = "2"
        container.environment["WORLD_SIZE"] = "2"
        fails("RANK")

    def test_an_earlier_failure_stays(self, container):
        (container.base / "output").mkdir()
        (container.base / "output/failure").write_text("first\n")
        container.hyperparameters(epochs="0")
        assert container.run().returncode != 0
        assert container.failure == "first\n"


def test_sigterm_is_no_failure(container):
    container.hyperparameters(epochs="9999", batch_size="8")
    process = subprocess.Popen(container.command(["train"]), env=container.environment,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + 60
        while not (container.model / "model.safetensors").exists():
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 143
    assert container.failure is None and not container.succeeded
    assert (container.model / "config.json").exists()


def test_a_spot_machine_that_comes_back_goes_on(container):
    """Checkpoints outlive the machine; the model folder does not."""
    container.hyperparameters(epochs="60", batch_size="4", checkpoint_steps="5", lr="1e-3")
    (container.base / "checkpoints").mkdir()
    process = subprocess.Popen(container.command(["train"]), env=container.environment,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + 60
        while not any((container.base / "checkpoints").iterdir()):
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 143, stderr
    shutil.rmtree(container.model)
    done = container.run()
    assert done.returncode == 0, done.stderr
    assert container.succeeded
    assert "going on from" in done.stderr
    (resume,) = container.history("resume")
    assert 0 < resume["step"] < 600
    again = (container.model / "model.safetensors").read_bytes()
    shutil.rmtree(container.model)
    shutil.rmtree(container.base / "checkpoints")
    assert container.run().returncode == 0
    assert (container.model / "model.safetensors").read_bytes() == again


def test_two_hosts_train_one_model(bertie, tiny_model, tmp_path):
    """The loss of two ranks is that of one on the same batches; only the first host saves."""
    from conftest import free_port

    port = str(free_port())
    hosts = ["127.0.0.1", "localhost"]
    containers = [Container(tmp_path / host, bertie, tiny_model) for host in [*hosts, "alone"]]
    for container in containers:
        container.hyperparameters(epochs="2", batch_size="8", num_labels="2", backend='"gloo"',
                                  dropout="0", log_interval="1")
    processes = []
    for container, current, other in zip(containers, hosts, reversed(hosts)):
        container.resources(current, other)
        processes.append(subprocess.Popen(
            container.command(["train"]), env=container.environment | {"MASTER_PORT": port},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    try:
        ends = [process.communicate(timeout=120) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [0, 0], ends
    assert all(container.succeeded for container in containers[:2])
    assert "rank 0 of 2" in ends[0][0] and "rank 1 of 2" in ends[1][0]
    assert not (containers[1].model / "config.json").exists()
    assert containers[2].run().returncode == 0
    losses = [[event["loss"] for event in containers[i].history("step")] for i in (0, 2)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_serve_alone_serves_the_containers_model(container):
    import urllib.request

    from conftest import free_port

    assert container.run().returncode == 0
    port = free_port()
    process = subprocess.Popen(container.command(["serve"]), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                               env=container.environment | {"SAGEMAKER_BIND_TO_PORT": str(port)})
    try:
        end = time.monotonic() + 20
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=2) as answer:
                    assert answer.status == 200
                    break
            except OSError:
                assert time.monotonic() < end and process.poll() is None
                time.sleep(0.02)
    finally:
        process.terminate()
        assert process.wait(30) == 0
