"""`bertie serve` with several models and versions: choosing, loading, replacing, unloading."""

import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import threading
import time
import urllib.request

import pytest
from test_accelerator import accelerator, by, metric, wait_for  # noqa: F401
from test_predict import with_head
from test_serve import MINILM, close, rss

ADMIN = {"Authorization": "Bearer admin-secret"}
TEXT = "the sea it rained"


def biased(model, folder, bias):
    """A copy of the tiny model whose classifier adds bias to each logit."""
    shutil.copytree(model, folder)
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    length = struct.unpack("<Q", data[:8])[0]
    begin, end = json.loads(data[8:8 + length])["classifier.bias"]["data_offsets"]
    place = slice(8 + length + begin, 8 + length + end)
    count = (end - begin) // 4
    old = struct.unpack(f"<{count}f", data[place])
    data[place] = struct.pack(f"<{count}f", *(x + bias for x in old))
    weights.unlink()
    weights.write_bytes(data)
    return folder


def replace(folder, by):
    """Puts a copy of `by` in the place of a folder that may be read meanwhile."""
    made = folder.parent / f".{folder.name}.made"
    shutil.copytree(by, made)
    old = folder.parent / f".{folder.name}.old"
    if folder.exists():
        folder.rename(old)
    made.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def logits(server, model=None, text=TEXT):
    headers = {"Content-Type": "application/json"}
    if model:
        headers["X-Amzn-SageMaker-Target-Model"] = model
    answer = server.request("POST", "/invocations", json.dumps(text).encode(), headers)
    assert answer.status == 200, answer.body
    return answer.json()[0]


def admin(server, path, body=b"", method="POST"):
    return server.request(method, path, body, ADMIN)


@pytest.fixture
def admin_file(tmp_path):
    path = tmp_path / "admin"
    path.write_text("# who may load models\nadmin-secret\n")
    return path


# Choosing


def test_models_are_chosen_by_name(serve, tiny_model, tmp_path):
    other = biased(tiny_model, tmp_path / "other.v2", 5)
    server = serve(tiny_model, f"second={other}", other)
    first = logits(server)
    assert logits(server, "tiny") == first
    assert close(logits(server, "second"), [x + 5 for x in first])
    assert logits(server, "other.v2") == logits(server, "second")
    headers = {"Content-Type": "application/json", "X-Amzn-SageMaker-Target-Model": "third"}
    missing = server.request("POST", "/invocations", b'"a"', headers)
    assert missing.status == 404 and missing.json()["type"] == "ModelNotFound"
    assert "there is no model 'third'; there are 'other.v2', 'second', 'tiny'" in missing.json()["message"]
    text = server.log.read_text()
    assert "loaded second version 1" in text and "serving 3 models" in text


def test_two_models_of_one_name_are_refused(run, tiny_model, tmp_path):
    shutil.copytree(tiny_model, tmp_path / "tiny")
    result = run("serve", tiny_model, tmp_path / "tiny", "--port", 0)
    assert result.returncode == 2 and "would both be called 'tiny'" in result.stderr
    inside = run("serve", tiny_model, "--models", tmp_path, "--port", 0)
    assert inside.returncode == 2 and "would both be called 'tiny'" in inside.stderr
    assert run("serve").returncode == 2


def test_a_folder_of_models_and_versions(serve, tiny_model, tmp_path, admin_file):
    models = tmp_path / "models"
    biased(tiny_model, models / "mail" / "9", 1)
    biased(tiny_model, models / "mail" / "10", 2)
    shutil.copytree(tiny_model, models / "web")
    for name in (".hidden", "lost+found"):
        (models / name).mkdir()
    server = serve(None, "--models", models, "--admin-token-file", admin_file)
    plain = logits(server, "web")
    assert close(logits(server, "mail"), [x + 2 for x in plain])
    unnamed = server.invoke(TEXT)
    assert unnamed.status == 400 and unnamed.json()["type"] == "ModelNotNamed"
    index = admin(server, "/v2/repository/index").json()
    assert [(e["name"], e["version"], e["state"]) for e in index] == [
        ("mail", "9", "READY"), ("mail", "10", "READY"), ("web", "1", "READY")]
    # A version that goes leaves the next lower; one that comes is the default.
    shutil.rmtree(models / "mail" / "10")
    assert admin(server, "/v2/repository/models/mail/load").status == 200
    assert close(logits(server, "mail"), [x + 1 for x in plain])
    biased(tiny_model, models / "new", 3)
    assert admin(server, "/v2/repository/models/new/load", b"{}").body == b"{}"
    assert close(logits(server, "new"), [x + 3 for x in plain])
    assert serve(None, "--models", models, "--default-model", "web").invoke(TEXT).status == 200


def test_names_cannot_leave_the_folder(serve, tiny_model, tmp_path, admin_file):
    shutil.copytree(tiny_model, tmp_path / "models" / "a")
    shutil.copytree(tiny_model, tmp_path / "outside")
    server = serve(None, "--models", tmp_path / "models", "--admin-token-file", admin_file)
    for name in ["..%2Foutside", "..", "%2e%2e", ".", "a%2F..%2F..%2Foutside", "%00", "nothing"]:
        answer = admin(server, f"/v2/repository/models/{name}/load")
        assert answer.status == 404 and set(answer.json()) == {"error"}, (name, answer)


def test_one_pool_of_threads_for_all_models(serve, tiny_model):
    def threads(server):
        return len(list(pathlib.Path(f"/proc/{server.process.pid}/task").iterdir()))

    one = serve(tiny_model, "--threads", 4)
    three = serve(tiny_model, f"b={tiny_model}", f"c={tiny_model}", "--threads", 4)
    for server, names in ((one, ["tiny"]), (three, ["tiny", "b", "c"])):
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            assert len(set(map(str, pool.map(lambda i: logits(server, names[i % len(names)]),
                                             range(60))))) == 1
    assert threads(three) == threads(one) + 2  # each one's batcher


# Replacing


def test_no_request_is_lost_in_twenty_reloads(serve, tiny_model, tmp_path, admin_file):
    models = tmp_path / "models"
    two = [tiny_model, biased(tiny_model, tmp_path / "five", 5)]
    shutil.copytree(tiny_model, models / "m")
    server = serve(None, "--models", models, "--admin-token-file", admin_file)
    answers = [logits(server)]
    replace(models / "m", two[1])
    assert admin(server, "/v2/repository/models/m/load").status == 200
    answers.append(logits(server))
    assert close(answers[1], [x + 5 for x in answers[0]])
    stop = threading.Event()

    def client(number):
        seen = []
        while not stop.is_set() or len(seen) < 10:
            answer = server.request("POST", "/invocations", json.dumps([TEXT] * (number + 1)).encode(),
                                    {"Content-Type": "application/json"})
            assert answer.status == 200, answer.body
            rows = answer.json()
            assert all(row == rows[0] for row in rows), "one answer is of one version"
            seen.append(rows[0])
        return seen

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(client, i) for i in range(8)]
        try:
            for i in range(20):
                replace(models / "m", two[i % 2])
                assert admin(server, "/v2/repository/models/m/load").status == 200
        finally:
            stop.set()
        seen = [row for each in clients for row in each.result()]
    assert {tuple(row) for row in seen} == {tuple(row) for row in answers}
    assert logits(server) == answers[1]


def test_a_broken_model_leaves_the_old_one(serve, tiny_model, tmp_path, admin_file):
    models = tmp_path / "models"
    shutil.copytree(tiny_model, models / "m")
    server = serve(None, "--models", models, "--admin-token-file", admin_file)
    before = logits(server)
    (models / "m" / "config.json").write_text("{")
    broken = admin(server, "/v2/repository/models/m/load")
    assert broken.status == 400 and "config.json" in broken.json()["error"]
    assert logits(server) == before
    index = admin(server, "/v2/repository/index").json()
    assert index[0]["state"] == "READY" and "config.json" in index[0]["reason"]
    # Weights that read well and give no numbers.
    replace(models / "m", biased(tiny_model, tmp_path / "nan", float("nan")))
    poisoned = admin(server, "/v2/repository/models/m/load")
    assert poisoned.status == 400 and "not finite" in poisoned.json()["error"]
    assert logits(server) == before
    replace(models / "m", tiny_model)
    assert admin(server, "/v2/repository/models/m/load").status == 200
    assert admin(server, "/v2/repository/index").json()[0]["reason"] == ""


def test_hang_up_loads_what_changed(serve, tiny_model, tmp_path):
    models = tmp_path / "models"
    shutil.copytree(tiny_model, models / "m")
    shutil.copytree(tiny_model, models / "gone")
    server = serve(None, "--models", models, "--default-model", "m")
    before = logits(server)
    replace(models / "m", biased(tiny_model, tmp_path / "seven", 7))
    biased(tiny_model, models / "new", 1)
    shutil.rmtree(models / "gone")
    server.process.send_signal(signal.SIGHUP)
    end = time.monotonic() + 20
    while "SIGHUP" not in server.log.read_text():
        assert time.monotonic() < end
        time.sleep(0.02)
    assert close(logits(server), [x + 7 for x in before])
    assert close(logits(server, "new"), [x + 1 for x in before])
    text = server.log.read_text()
    assert "model 'm' version 1 replaced" in text and "model 'gone' version 1 unloaded" in text
    server.process.send_signal(signal.SIGHUP)  # nothing changed: nothing is loaded
    while server.log.read_text().count("SIGHUP") < 2:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert server.log.read_text().count("replaced") == 1


def narrow(model, folder, positions):
    """A copy of the tiny model that reads texts of so many tokens."""
    shutil.copytree(model, folder)
    weights = folder / "model.safetensors"
    data = weights.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header, tensors = json.loads(data[8:8 + length]), b""
    header.pop("__metadata__", None)
    for name, tensor in header.items():
        raw = data[8 + length:][slice(*tensor["data_offsets"])]
        if name.endswith("position_embeddings.weight"):
            raw = raw[:len(raw) * positions // tensor["shape"][0]]
            tensor["shape"][0] = positions
        tensor["data_offsets"] = [len(tensors), len(tensors) + len(raw)]
        tensors += raw
    text = json.dumps(header).encode()
    weights.unlink()
    weights.write_bytes(struct.pack("<Q", len(text)) + text + tensors)
    config = json.loads((folder / "config.json").read_text()) | {"max_position_embeddings": positions}
    (folder / "config.json").unlink()
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_a_later_model_whose_windows_are_too_small_is_refused(serve, run, tiny_model, tmp_path, admin_file):
    models, flags = tmp_path / "models", ("--long-texts", "windows", "--stride", 30)
    shutil.copytree(tiny_model, models / "m")
    server = serve(None, "--models", models, "--admin-token-file", admin_file, *flags)
    before = logits(server, "m", "the sea " * 100)
    words = ("--stride: a text cannot be read in windows of 24 tokens that overlap by 30 (the stride); "
             "expected an overlap under 22")
    small = narrow(tiny_model, models / "small", 24)
    refused = admin(server, "/v2/repository/models/small/load")
    assert (refused.status, refused.json()["error"]) == (400, f"{small}: {words}")
    # Nor does one take the place of a model that is served.
    replace(models / "m", small)
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: f"SIGHUP: {models / 'm'}: {words}" in server.log.read_text())
    assert logits(server, "m", "the sea " * 100) == before
    assert [(e["name"], e["state"], words in e["reason"]) for e in admin(server, "/v2/repository/index").json()] == [
        ("m", "READY", True), ("small", "UNAVAILABLE", True)]
    done = run("serve", "--models", models, "--port", 0, *flags)
    assert done.returncode == 2 and words in done.stderr, done.stderr


def test_a_terminal_that_closes_ends_the_server(bertie, tiny_model):
    """A hang-up means a reload only while the terminal is there."""
    master, slave = os.openpty()
    process = subprocess.Popen([bertie, "serve", tiny_model, "--port", "0"], stdin=slave,
                               stderr=subprocess.PIPE, text=True)
    os.close(slave)
    try:
        assert "serving" in process.stderr.readline() and "try:" in process.stderr.readline()
        process.send_signal(signal.SIGHUP)
        assert "SIGHUP: every model is as its files are" in process.stderr.readline()
        os.close(master)
        process.send_signal(signal.SIGHUP)
        assert process.wait(35) == 0
    finally:
        process.kill()
        process.wait()


def test_a_model_that_is_unloaded_is_gone(serve, minilm, tiny_model, tmp_path, admin_file):
    big = with_head(minilm, tmp_path / "models" / "big", MINILM)
    shutil.copytree(tiny_model, tmp_path / "models" / "small")
    server = serve(None, "--models", big.parent, "--admin-token-file", admin_file)
    logits(server, "big")
    logits(server, "small")
    full = rss(server.process)
    assert admin(server, "/v2/repository/models/big/unload").status == 200
    headers = {"Content-Type": "application/json", "X-Amzn-SageMaker-Target-Model": "big"}
    assert server.request("POST", "/invocations", b'"a"', headers).status == 404
    assert admin(server, "/v2/repository/models/big/unload").status == 404
    end = time.monotonic() + 10
    while rss(server.process) > full - 70_000_000:
        assert time.monotonic() < end, (full, rss(server.process))
        time.sleep(0.05)
    assert 'model="big"' not in server.request("GET", "/metrics").body.decode()
    assert [e for e in admin(server, "/v2/repository/index").json() if e["name"] == "big"] == [
        {"name": "big", "version": "", "state": "UNAVAILABLE", "reason": "unloaded"}]
    base = rss(server.process)
    for _ in range(3):
        assert admin(server, "/v2/repository/models/big/load").status == 200
        logits(server, "big")
        assert admin(server, "/v2/repository/models/big/unload").status == 200
    time.sleep(0.2)
    assert rss(server.process) < base + 30_000_000


def test_the_repository_is_for_administrators(serve, tiny_model, admin_file):
    closed = serve(tiny_model)
    for path in ("/v2/repository/index", "/v2/repository/models/tiny/unload"):
        answer = closed.request("POST", path, b"", ADMIN)
        assert answer.status == 403 and "--admin-token-file" in answer.json()["error"]
    server = serve(tiny_model, "--admin-token-file", admin_file)
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "admin-secret"}):
        answer = server.request("POST", "/v2/repository/index", b"", headers)
        assert answer.status == 401 and answer.body == b"", answer
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert admin(server, "/v2/repository/index", b'{"ready": true}').status == 200
    assert admin(server, "/v2/repository/index", b"[]").status == 400
    assert admin(server, "/v2/repository/models/tiny/load", b'{"parameters": {"config": "{}"}}').status == 400


def test_two_models_on_one_accelerator(serve, accelerator, tiny_model, tmp_path, admin_file):
    models = tmp_path / "models"
    biased(tiny_model, models / "a", 3)
    shutil.copytree(tiny_model, models / "b")
    near = serve(None, "--models", models)
    far = serve(None, "--models", models, "--admin-token-file", admin_file, "--accelerator",
                accelerator().address, "--accelerator-type", "ml.eia2.medium")

    def remote_batches():
        return by(far, "accelerator")

    for name in ("a", "b", "a"):
        assert logits(far, name) == logits(near, name)
    assert remote_batches() == 3
    # One is replaced while the other is asked; what /metrics tells is of those that live.
    replace(models / "a", biased(tiny_model, tmp_path / "eight", 8))
    assert admin(far, "/v2/repository/models/a/load").status == 200
    assert close(logits(far, "a"), [x + 8 for x in logits(near, "b")])
    assert logits(far, "b") == logits(near, "b")
    assert remote_batches() > 0
    assert admin(far, "/v2/repository/models/a/unload").status == 200
    assert logits(far, "b") == logits(near, "b")
    wait_for(lambda: metric(far, "attachments_total") == 1)  # the other model's session has ended


# SageMaker's containers with several models


def test_sagemakers_multi_model_contract(bertie, serve, tiny_model, minilm, tmp_path):
    server = serve(None, "--multi-model", "--max-models-mb", 50)

    def post(name, path):
        return server.request("POST", "/models", json.dumps({"model_name": name, "url": str(path)}).encode(),
                              {"Content-Type": "application/json"})

    assert server.request("GET", "/models").json() == {"models": []}
    assert server.invoke(TEXT).status == 404
    names = ["a/b c", "m1", "m2"]
    for name in names:
        assert post(name, tiny_model).status == 200
    again = post("m1", tiny_model)
    assert again.status == 409 and again.json()["type"] == "ModelExists"
    big = post("big", minilm)
    assert big.status == 507 and big.json()["type"] == "InsufficientMemory"
    assert post("big", tiny_model).status == 200  # the name is free again
    names.append("big")
    for name, url in (("x", "https://example.org/m"), ("x", "models/x"), ("", str(tiny_model))):
        assert post(name, url).status == 400
    missing = post("x", tmp_path / "nothing")
    assert missing.status == 400 and "nothing" in missing.json()["message"]

    found, token = [], ""
    while True:
        page = server.request("GET", f"/models?limit=3{token}").json()
        found += [(each["modelName"], each["modelUrl"]) for each in page["models"]]
        if "nextPageToken" not in page:
            break
        token = "&next_page_token=" + page["nextPageToken"]
    assert found == [(name, str(tiny_model)) for name in sorted(names)]

    one = server.request("GET", "/models/a%2Fb%20c")
    assert one.json() == {"modelName": "a/b c", "modelUrl": str(tiny_model)}
    body, json_type = json.dumps([TEXT]).encode(), {"Content-Type": "application/json"}
    invoked = server.request("POST", "/models/a%2Fb%20c/invoke", body, json_type)
    assert invoked.status == 200 and invoked.json()[0] == logits(server, "m1")
    assert server.request("DELETE", "/models/m1").status == 200
    for method, path in (("GET", "/models/m1"), ("DELETE", "/models/m1")):
        assert server.request(method, path).status == 404
    gone = server.request("POST", "/models/m1/invoke", body, json_type)
    assert gone.status == 404 and gone.json()["type"] == "ModelNotFound"
    assert post("m1", tiny_model).status == 200


def test_multi_model_routes_are_closed_by_default(serve, tiny_model, admin_file):
    body = json.dumps({"model_name": "x", "url": str(tiny_model)}).encode()
    assert serve(tiny_model).request("POST", "/models", body).status == 403
    server = serve(tiny_model, "--admin-token-file", admin_file)
    assert server.request("POST", "/models", body).status == 401
    assert server.request("POST", "/models", body, ADMIN).status == 200
    assert logits(server, "x") == logits(server)


def test_serve_alone_with_the_containers_variable(bertie, tiny_model, tmp_path):
    env = os.environ | {"SAGEMAKER_MULTI_MODEL": "true", "SAGEMAKER_BIND_TO_PORT": "0",
                        "SAGEMAKER_BASE_DIR": str(tmp_path)}
    process = subprocess.Popen([bertie, "serve"], env=env, stderr=subprocess.PIPE, text=True)
    try:
        port = re.search(r"serving 0 models on http://0\.0\.0\.0:(\d+)", process.stderr.readline())[1]
        for path, expected in (("/ping", b""), ("/models", b'{"models":[]}\n')):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                assert answer.read() == expected
    finally:
        process.terminate()
        assert process.wait(35) == 0
