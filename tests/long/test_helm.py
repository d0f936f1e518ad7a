"""The Helm chart and the dashboard under helm itself and Kubernetes' schemas.

helm: `go install helm.sh/helm/v3/cmd/helm@v3.18.6` (the Go module proxy; a quarter of an hour on two
processors), or $HELM. kubernetes-validate comes from tests/long/requirements.txt.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

yaml = pytest.importorskip("yaml")

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CHART = ROOT / "deploy" / "helm" / "bertie"
CASES = {
    "plain": {},
    "everything": {
        "precision": "int8",
        "model": {"path": "organisation/name@main", "existingClaim": "", "hubTokenSecret": "hub"},
        "accelerator": {"addresses": ["a:50051", "b:50051"], "fallback": False, "tokenSecret": "token",
                        "tlsSecret": "tls", "mutualTls": True},
        "autoscaling": {"enabled": True, "metric": "queueDepth"},
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "networkPolicy": {"enabled": True, "metricsFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]},
        "extraArgs": ["--max-queue=1024"], "extraEnv": [{"name": "BERTIE_INT8", "value": "vnni"}],
        "imagePullSecrets": [{"name": "registry"}], "nodeSelector": {"kind": "avx512"},
        "tolerations": [{"key": "bertie", "operator": "Exists"}],
    },
    "keda": {"autoscaling": {"enabled": True, "metric": "keda"}},
    "cpu": {"autoscaling": {"enabled": True}, "serviceAccount": {"create": False},
            "podDisruptionBudget": {"enabled": False}, "preStopSeconds": 0},
}


def helm(*arguments, code=0):
    found = os.environ.get("HELM") or shutil.which("helm") or shutil.which("helm", path=pathlib.Path.home() / "go/bin")
    if not found:
        pytest.skip("helm is not installed")
    done = subprocess.run([found, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def values(tmp_path, case):
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(CASES[case]))
    return file


def template(tmp_path, case, *more):
    return helm("template", "demo", CHART, "--namespace", "prod", "--kube-version", "1.32.0", "-f",
                values(tmp_path, case), *more)


def by_kind(text):
    return {document["kind"]: document for document in yaml.safe_load_all(text) if document}


@pytest.mark.parametrize("case", CASES)
def test_lint(tmp_path, case):
    helm("lint", "--strict", CHART, "-f", values(tmp_path, case))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("version", ["1.27", "1.32", "1.37"])
def test_kubernetes_schemas(tmp_path, case, version):
    validate = shutil.which("kubernetes-validate") or shutil.which("kubernetes-validate",
                                                                   path=pathlib.Path(sys.executable).parent)
    if not validate:
        pytest.skip("kubernetes-validate is not installed")
    # Kinds of operators have no schema there.
    own = [document for document in yaml.safe_load_all(template(tmp_path, case))
           if document and document["kind"] not in ("ScaledObject", "ServiceMonitor")]
    file = tmp_path / "rendered.yaml"
    file.write_text(yaml.safe_dump_all(own))
    done = subprocess.run([validate, "--strict", "-k", version, file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_everything_arrives(tmp_path):
    kinds = by_kind(template(tmp_path, "everything"))
    pod = kinds["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert "replicas" not in kinds["Deployment"]["spec"]
    assert container["args"] == [
        "serve", "organisation/name@main", "--host=0.0.0.0", "--port=8080", "--precision=int8",
        "--accelerator=a:50051,b:50051", "--accelerator-type=ml.eia2.xlarge", "--no-fallback",
        "--accelerator-tls-ca=/tls/ca.crt", "--accelerator-tls-cert=/tls/tls.crt",
        "--accelerator-tls-key=/tls/tls.key", "--max-queue=1024"]
    assert {variable["name"] for variable in container["env"]} == {
        "HF_HOME", "HF_TOKEN", "BERTIE_ACCELERATOR_TOKEN", "BERTIE_INT8"}
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]} == {"tmp", "cache", "tls"}
    (metric,) = kinds["HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] == "bertie_queue_depth"
    assert len(kinds["NetworkPolicy"]["spec"]["ingress"][0]["from"]) == 2
    assert kinds["PodDisruptionBudget"]["spec"]["maxUnavailable"] == 1
    keda = by_kind(template(tmp_path, "keda"))["ScaledObject"]["spec"]["triggers"][0]["metadata"]
    assert keda["query"] == 'sum(bertie_queue_depth{namespace="prod", pod=~"demo-bertie-.*"})'


def test_pods_may_do_no_more_than_they_need(tmp_path):
    pod = by_kind(template(tmp_path, "plain"))["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True and pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                            "capabilities": {"drop": ["ALL"]}}
    stop = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    limit = int(re.search(r"kExitLimit\{(\d+)\}", (ROOT / "src/cli/service.h").read_text())[1])
    assert stop + limit < pod["terminationGracePeriodSeconds"]


def test_values_that_cannot_work_are_refused():
    plain = ("template", "demo", CHART, "--kube-version", "1.32.0")
    assert "expected more than 49" in helm(*plain, "--set", "preStopSeconds=20", code=1)
    assert "precision" in helm(*plain, "--set", "precision=fp8", code=1)
    assert "addresses" in helm(*plain, "--set", "accelerator.addresses={nowhere}", code=1)


def test_pods_start_with_the_charts_arguments(tmp_path):
    """The container's command as a process: flags that bertie does not know would end it."""
    tiny = ROOT / "tests" / "golden" / "tiny"
    container = by_kind(template(tmp_path, "plain", "--set", f"model.path={tiny}", "--set",
                                 "extraArgs={--max-queue=1024}"))["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    arguments = [argument.replace("--port=8080", "--port=0").replace("0.0.0.0", "127.0.0.1")
                 for argument in container["args"]]
    address = tmp_path / "address"
    process = subprocess.Popen([os.environ["BERTIE"], *arguments, "--address-file", address])
    try:
        end = time.monotonic() + 20
        while not address.exists() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            path = container[probe]["httpGet"]["path"]
            while True:
                try:
                    with urllib.request.urlopen(f"http://{address.read_text().strip()}{path}") as answer:
                        assert answer.status == 200
                        break
                except urllib.error.HTTPError:  # loading
                    assert time.monotonic() < end
                    time.sleep(0.05)
    finally:
        process.terminate()
        assert process.wait(35) == 0


def test_the_dashboard_asks_for_metrics_that_there_are(tmp_path):
    dashboard = json.loads((ROOT / "deploy/grafana/bertie-serve.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    queries += [variable["query"]["query"] for variable in dashboard["templating"]["list"] if "definition" in variable]
    wanted = set(re.findall(r"\b(?:bertie|process)_\w+", " ".join(queries)))
    address = tmp_path / "address"
    process = subprocess.Popen([os.environ["BERTIE"], "serve", ROOT / "tests/golden/tiny", "--port", "0",
                                "--address-file", address], stderr=subprocess.PIPE, text=True)
    try:
        assert any("loaded in" in line for line in process.stderr)
        url = "http://" + address.read_text().strip()
        request = urllib.request.Request(url + "/invocations", b'["the sea"]', {"Content-Type": "application/json"})
        urllib.request.urlopen(request).read()
        page = urllib.request.urlopen(url + "/metrics").read().decode()
    finally:
        process.terminate()
        process.wait(35)
    there = set(re.findall(r"^(\w+)", page, re.M))
    assert wanted <= there, wanted - there
    for x in range(24):  # panels of a row do not overlap
        for y in {panel["gridPos"]["y"] for panel in dashboard["panels"]}:
            over = [panel["title"] for panel in dashboard["panels"] if panel["gridPos"]["y"] == y
                    and panel["gridPos"]["x"] <= x < panel["gridPos"]["x"] + panel["gridPos"]["w"]]
            assert len(over) == 1, over
