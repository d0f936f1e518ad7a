"""The deployment files: that they are sound, and that bertie runs as they call it.

What checkers of their fields say is in tests/long/test_deploy_checkers.py.
"""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

from conftest import free_port

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SLURM = ROOT / "deploy" / "slurm" / "train.sbatch"


@pytest.fixture
def data(tmp_path, tiny_model):
    """/data of the manifests."""
    texts = [("the sea it", 1), ("rain the rain", 0), ("it the sea", 1), ("it rain the", 0)] * 8
    for name in ("train", "test"):
        lines = ["sentence,label", *(f"{text},{label}" for text, label in texts)]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
    shutil.copytree(tiny_model, tmp_path / "base-model")
    return tmp_path


def clean():
    """An environment in which no starter of ranks has set anything."""
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}


def run_ranks(commands, environments):
    processes = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  text=True, stdin=subprocess.DEVNULL)
                 for command, environment in zip(commands, environments)]
    try:
        ends = [process.communicate(timeout=120) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [0] * len(processes), ends
    return ends


def documents(name):
    yaml = pytest.importorskip("yaml")
    return list(yaml.safe_load_all((ROOT / "deploy" / "kubernetes" / name).read_text()))


def pods(document):
    """The pod templates of a manifest."""
    spec = document["spec"]
    if document["kind"] == "PyTorchJob":
        return [replica["template"] for replica in spec["pytorchReplicaSpecs"].values()]
    return [spec["template"]] if "template" in spec else []


def test_the_kubernetes_job_trains_as_written(bertie, data):
    """Each index's command, with its variables, as a process here; /data is a folder of the test's."""
    (job,) = [document for document in documents("train-job.yaml") if document["kind"] == "Job"]
    ranks = job["spec"]["completions"]
    assert ranks == job["spec"]["parallelism"] and job["spec"]["completionMode"] == "Indexed"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    port = str(free_port())
    commands, environments = [], []
    for index in range(ranks):
        environment = clean()
        for variable in container["env"]:
            value = variable.get("value")
            if variable["name"] == "RANK":
                path = variable["valueFrom"]["fieldRef"]["fieldPath"]
                assert path == "metadata.annotations['batch.kubernetes.io/job-completion-index']"
                value = str(index)
            elif "secretKeyRef" in variable.get("valueFrom", {}):
                value = "a secret of the test"
            environment[variable["name"]] = value
        assert environment["WORLD_SIZE"] == str(ranks)
        assert environment["MASTER_ADDR"] == "bertie-train-0." + job["spec"]["template"]["spec"]["subdomain"]
        environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        commands.append([str(bertie), *(argument.replace("/data", str(data)) for argument in container["args"])])
        environments.append(environment)
    ends = run_ranks(commands, environments)
    assert f"{ranks} ranks" in ends[0][1]
    assert (data / "model" / "config.json").exists()
    assert "report" in ends[0][0]


@pytest.mark.parametrize("name", ["train-job.yaml", "pytorch-job.yaml", "serve.yaml"])
def test_pods_have_no_more_rights_than_they_need(name):
    templates = [pod for document in documents(name) for pod in pods(document)]
    assert templates
    for template in templates:
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["automountServiceAccountToken"] is False
        for container in spec["containers"]:
            rights = container["securityContext"]
            assert rights["allowPrivilegeEscalation"] is False
            assert rights["readOnlyRootFilesystem"] is True
            assert rights["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"].keys() == {"cpu", "memory"}
            assert re.search(r":\d", container["image"]), "an image without a version"


def test_both_manifests_train_with_the_same_command():
    commands = [container["args"] for name in ("train-job.yaml", "pytorch-job.yaml")
                for document in documents(name) for pod in pods(document)
                for container in pod["spec"]["containers"]]
    assert len(commands) == 3 and all(command == commands[0] for command in commands)


def test_the_slurm_script_is_sound():
    assert subprocess.run(["bash", "-n", SLURM]).returncode == 0
    if shutil.which("shellcheck"):
        done = subprocess.run(["shellcheck", SLURM], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_the_containers_health_is_the_servers(serve, tiny_model):
    check = ROOT / "deploy" / "healthcheck"
    server = serve(tiny_model)
    assert subprocess.run([check, str(server.port)]).returncode == 0
    server.stop()
    assert subprocess.run([check, str(server.port)], stderr=subprocess.DEVNULL).returncode == 1
    # Under another command than `serve`, as where process 1 is no bertie at all.
    for name in ("SAGEMAKER_BIND_TO_PORT", "AIP_HTTP_PORT"):
        assert subprocess.run([check], env={**clean(), name: str(server.port)}).returncode == 0


def test_the_chart_is_of_this_version():
    version = re.search(r"project\(bertie VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text())[1]
    chart = (ROOT / "deploy" / "helm" / "bertie" / "Chart.yaml").read_text()
    assert re.findall(r'^(?:version|appVersion): "?([\d.]+)"?$', chart, re.M) == [version, version]


def test_the_image_is_made_of_what_is_there():
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    sources = [source for line in re.findall(r"^COPY (?!--)(.+) \S+$", dockerfile, re.M) for source in line.split()]
    assert sources
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for source in sources:
        path = ROOT / source
        assert path.exists(), source
        assert any(path == ROOT / line[1:] or ROOT / line[1:] in path.parents or path in (ROOT / line[1:]).parents
                   for line in ignored if line.startswith("!")), f"{source} is left out by .dockerignore"
