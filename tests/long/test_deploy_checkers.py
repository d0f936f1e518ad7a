"""The deployment files under the checkers of their fields.

hadolint, yamllint and kubernetes-validate come from tests/long/requirements.txt; the schema of a
PyTorchJob is the Training Operator's own, out of its Go module (needs go and the Go module proxy).
"""

import json
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
TRAINING_OPERATOR = "github.com/kubeflow/training-operator@v1.8.1"


def tool(name):
    path = shutil.which(name) or shutil.which(name, path=pathlib.Path(sys.executable).parent)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def check(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_hadolint():
    check(tool("hadolint"), "--config", DEPLOY / "hadolint.yaml", DEPLOY / "Dockerfile")


def test_yamllint():
    rules = "{extends: default, rules: {line-length: {max: 100}, document-start: disable}}"
    check(tool("yamllint"), "--strict", "-d", rules, DEPLOY / "kubernetes",
          DEPLOY / "helm" / "bertie" / "values.yaml", DEPLOY / "helm" / "bertie" / "Chart.yaml")


@pytest.mark.parametrize("name", ["train-job.yaml", "serve.yaml"])
@pytest.mark.parametrize("version", ["1.27", "1.32", "1.37"])
def test_kubernetes_schemas(name, version):
    said = check(tool("kubernetes-validate"), "--strict", "-k", version, DEPLOY / "kubernetes" / name)
    assert "passed" in said


def test_shellcheck():
    check(tool("shellcheck"), DEPLOY / "slurm" / "train.sbatch", DEPLOY / "healthcheck", DEPLOY / "debian" / "postinst",
          DEPLOY / "debian" / "postrm")


def closed(schema):
    """The schema without room for members that it does not name: typing errors count."""
    if isinstance(schema, dict):
        if "properties" in schema and "additionalProperties" not in schema:
            schema["additionalProperties"] = False
        for value in schema.values():
            closed(value)
    elif isinstance(schema, list):
        for value in schema:
            closed(value)
    return schema


def test_training_operators_schema():
    yaml = pytest.importorskip("yaml")
    jsonschema = pytest.importorskip("jsonschema")
    module = json.loads(check(tool("go"), "mod", "download", "-json", TRAINING_OPERATOR))
    crd = pathlib.Path(module["Dir"]) / "manifests/base/crds/kubeflow.org_pytorchjobs.yaml"
    (version,) = yaml.safe_load(crd.read_text())["spec"]["versions"]
    job = yaml.safe_load((DEPLOY / "kubernetes" / "pytorch-job.yaml").read_text())
    assert job["apiVersion"] == "kubeflow.org/" + version["name"]
    schema = closed(version["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}  # Kubernetes' own, not the operator's
    for replica in schema["properties"]["spec"]["properties"]["pytorchReplicaSpecs"][
            "additionalProperties"]["properties"]["template"]["properties"].items():
        if replica[0] == "metadata":
            replica[1].clear()
    jsonschema.validate(job, schema)
