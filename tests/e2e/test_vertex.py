"""`bertie serve` as a container of Google Vertex AI: /vertex, and the port and paths that the platform chooses."""

import http.client
import json
import os
import re
import subprocess

import pytest
from test_accelerator import accelerator, wait_for  # noqa: F401
from test_protocols import JSON, TEXTS, one_label, post

# What the platform sets unless a model says otherwise.
ENDPOINT = "/v1/endpoints/123/deployedModels/456"


@pytest.fixture
def container(bertie, tiny_model):
    """container(*flags, **variables) -> ask(method, path, body) of a server that these variables started."""
    processes = []

    def start(*flags, **variables):
        process = subprocess.Popen([bertie, "serve", tiny_model, "--threads", "1", *map(str, flags)],
                                   env=os.environ | variables, stderr=subprocess.PIPE, text=True)
        processes.append(process)
        line = process.stderr.readline()
        found = re.search(r"on http://127\.0\.0\.1:(\d+)", line)
        assert found, line + process.stderr.read()

        def ask(method, path, body=None):
            connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=10)
            connection.request(method, path, json.dumps(body) if body is not None else None, JSON)
            answer = connection.getresponse()
            return answer.status, answer.read()

        ask.port = int(found[1])
        return ask

    yield start
    for process in processes:
        process.terminate()
        assert process.wait(35) == 0
        process.stderr.close()


def test_each_instance_is_answered_as_predict_does(serve, tiny_model):
    server = serve(tiny_model)
    instances = [TEXTS[0], {"inputs": TEXTS[2], "raw_scores": True}, {"inputs": ["the sea", "it rained"]},
                 {"inputs": [["the sea"], ["the sea", "it rained"]]}]
    answer = post(server, "/vertex", {"instances": instances})
    assert answer.status == 200, answer.body
    assert answer.json() == {"predictions": [
        post(server, "/predict", {"inputs": each} if isinstance(each, str) else each).json() for each in instances]}
    texts = [text for text in TEXTS if text]
    raw = post(server, "/vertex", {"instances": texts, "parameters": {"raw_scores": True}}).json()
    assert raw["predictions"] == [post(server, "/predict", {"inputs": text, "raw_scores": True}).json()
                                  for text in texts]


def test_each_instance_is_cut_as_it_says(serve, tiny_model):
    server = serve(tiny_model)
    long = "the sea " * 30 + "it rained"
    instances = [{"inputs": long}, {"inputs": long, "truncation_direction": "Left"}]
    right, left = post(server, "/vertex", {"instances": instances}).json()["predictions"]
    assert [right, left] == [post(server, "/predict", each).json() for each in instances]
    assert right != left
    refused = post(server, "/vertex", {"instances": ["the sea", {"inputs": long, "truncate": False}]})
    assert (refused.status, refused.json()) == (413, {
        "error": "instances[1]: `inputs` must have less than 40 tokens. Given: 65", "error_type": "Validation"})


def test_rerankers_rank(serve, tiny_model, tmp_path):
    ask = {"query": "the sea", "texts": ["it rained", "a boat"], "return_text": True}
    server = serve(one_label(tiny_model, tmp_path / "reranker"))
    assert post(server, "/vertex", {"instances": [ask]}).json() == {
        "predictions": [post(server, "/rerank", ask).json()]}
    refused = post(serve(tiny_model), "/vertex", {"instances": [ask]})
    assert refused.status == 424 and refused.json()["error_type"] == "Backend"


@pytest.mark.parametrize("body, status, error", [
    (b"{", 400, None),
    (b"{}", 422, None),
    (b'{"instances": []}', 400, "`instances` cannot be empty"),
    (b'{"instances": ["a", {"inputs": 3}]}', 422, "instances[1]: inputs: an integer"),
    (b'{"instances": ["a", "b", "c"]}', 413, "batch size 3 > maximum allowed batch size 2"),
    (b'{"instances": ["a", {"inputs": [["b"], ["c"]]}]}', 413, "instances[1]: batch size 3 > "),
])
def test_refusals(serve, tiny_model, body, status, error):
    answer = post(serve(tiny_model, "--max-texts", 2), "/vertex", body)
    assert answer.status == status, answer.body
    if error is None:
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    else:
        assert answer.json()["error"].startswith(error) and set(answer.json()) == {"error", "error_type"}


def test_the_platform_chooses_port_and_paths(container, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("secret\n")
    ask = container(AIP_HTTP_PORT="0", AIP_PREDICT_ROUTE=ENDPOINT + ":predict", AIP_HEALTH_ROUTE=ENDPOINT)
    assert ask.port != 8080
    assert ask("GET", ENDPOINT) == (200, b"")
    status, body = ask("POST", ENDPOINT + ":predict", {"instances": [TEXTS[0]]})
    assert status == 200 and json.loads(body) == json.loads(ask("POST", "/vertex", {"instances": [TEXTS[0]]})[1])
    paths = json.loads(ask("GET", "/openapi.json")[1])["paths"]
    assert "get" in paths[ENDPOINT] and "post" in paths[ENDPOINT + ":predict"]
    # The prober shows no key.
    ask = container("--api-key-file", keys, AIP_HTTP_PORT="0", AIP_HEALTH_ROUTE=ENDPOINT)
    assert ask("GET", ENDPOINT)[0] == 200 and ask("POST", "/vertex", {"instances": ["a"]})[0] == 401


def test_a_path_that_is_named_is_the_platforms_alone(container):
    ask = container(AIP_HTTP_PORT="0", AIP_PREDICT_ROUTE="/predict", AIP_HEALTH_ROUTE="/livez")
    status, body = ask("POST", "/predict", {"instances": ["the sea"]})
    assert status == 200 and list(json.loads(body)) == ["predictions"]
    assert ask("POST", "/predict", {"inputs": "the sea"})[0] == 422
    assert ask("GET", "/livez") == (200, b"") and ask("GET", "/health") == (200, b"")
    ask = container(AIP_HTTP_PORT="0", AIP_PREDICT_ROUTE="/invocations", AIP_HEALTH_ROUTE="/invocations")
    status, body = ask("POST", "/invocations", {"instances": [{"inputs": "the sea"}]})
    assert status == 200 and json.loads(body)["predictions"][0][0]["label"]
    assert ask("GET", "/invocations") == (200, b"")
    # What belongs to nobody is refused as ever.
    assert json.loads(ask("GET", "/nothing")[1])["type"] == "NotFound"


def test_an_unhealthy_server_says_503(serve, accelerator, tiny_model):
    there = accelerator()
    server = serve(tiny_model, "--accelerator", there.address, "--no-fallback", "--health-route", ENDPOINT)
    assert server.request("GET", ENDPOINT).status == 200
    there.kill()
    wait_for(lambda: server.request("GET", ENDPOINT).status == 503)
    for answer in (server.request("GET", ENDPOINT), post(server, "/vertex", {"instances": ["the sea"]})):
        assert answer.status == 503 and answer.json()["error_type"] == "Unhealthy"


def test_flags_go_before_variables(container, run, tiny_model):
    ask = container("--port", 0, "--predict-route", "/here", AIP_HTTP_PORT="99999", AIP_PREDICT_ROUTE="/there")
    assert ask("POST", "/here", {"instances": ["a"]})[0] == 200 and ask("POST", "/there", {})[0] == 404
    container(SAGEMAKER_BIND_TO_PORT="0", AIP_HTTP_PORT="99999")
    for name, value in [("AIP_HTTP_PORT", "99999"), ("AIP_HTTP_PORT", "80a"), ("AIP_PREDICT_ROUTE", "predict"),
                        ("AIP_HEALTH_ROUTE", "/v2/{model}"), ("AIP_HEALTH_ROUTE", "/a b")]:
        refused = run("serve", tiny_model, env=os.environ | {"AIP_HTTP_PORT": "0", name: value})
        assert refused.returncode == 2 and value in refused.stderr, refused.stderr
