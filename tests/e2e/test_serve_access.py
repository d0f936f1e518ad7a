"""Who may ask `bertie serve`, and what it tells of each request: keys, CORS, ids, logs, metrics."""

import json
import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def ask(server, path="/invocations", body=b'"the sea"', method="POST", **headers):
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return server.request(method, path, body, {"Content-Type": "application/json"} | fields)


# Keys


def test_keys_open_everything_but_health_and_metrics(serve, tiny_model, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("# old and new\n  first-key  \n\nsecond-key\r\n")
    server = serve(tiny_model, "--api-key-file", keys)
    for key in ("first-key", "second-key"):
        assert ask(server, Authorization=f"Bearer {key}").status == 200
    assert ask(server, Authorization="bearer  first-key").status == 200
    for wrong in ({}, {"Authorization": "Bearer first"}, {"Authorization": "Bearer first-key2"},
                  {"Authorization": "Basic first-key"}, {"Authorization": "Bearer # old and new"},
                  {"Authorization": "Bearer "}):
        answer = ask(server, **wrong)
        assert answer.status == 401 and answer.body == b"", wrong
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    for path in ("/ping", "/health", "/metrics"):
        assert server.request("GET", path).status == 200
    assert "first-key" not in server.log.read_text()


@pytest.mark.parametrize("content, words", [("# nothing\n", "found no key"), ("a b\n", "blanks")])
def test_a_file_without_keys_is_refused(run, tiny_model, tmp_path, content, words):
    (tmp_path / "keys").write_text(content)
    result = run("serve", tiny_model, "--port", 0, "--api-key-file", tmp_path / "keys")
    assert result.returncode == 1 and words in result.stderr


# CORS


def test_other_origins_are_closed_out_by_default(serve, tiny_model):
    answer = ask(serve(tiny_model), Origin="https://a.example")
    assert answer.status == 200
    assert not any(name.startswith("Access-Control") for name in answer.headers)


def test_an_origin_that_is_allowed(serve, tiny_model, tmp_path):
    (tmp_path / "keys").write_text("key\n")
    server = serve(tiny_model, "--cors-allow-origin", "https://a.example", "--api-key-file",
                   tmp_path / "keys")
    asked = {"Origin": "https://a.example", "Access_Control_Request_Method": "POST",
             "Access_Control_Request_Headers": "authorization,content-type"}
    before = ask(server, method="OPTIONS", body=None, **asked)
    assert before.status == 204
    assert before.headers["Access-Control-Allow-Origin"] == "https://a.example"
    assert "POST" in before.headers["Access-Control-Allow-Methods"]
    assert before.headers["Access-Control-Allow-Headers"] == "authorization,content-type"
    answer = ask(server, Origin="https://a.example", Authorization="Bearer key")
    assert answer.status == 200 and answer.headers["Vary"] == "Origin"
    assert answer.headers["Access-Control-Allow-Origin"] == "https://a.example"
    # A page must be able to read why it was refused.
    assert ask(server, Origin="https://a.example").headers["Access-Control-Allow-Origin"] == "https://a.example"
    for origin in ("https://b.example", "null", "https://a.example.evil"):
        assert "Access-Control-Allow-Origin" not in ask(server, Origin=origin).headers
    anyone = serve(tiny_model, "--cors-allow-origin", "*")
    assert ask(anyone, Origin="https://b.example").headers["Access-Control-Allow-Origin"] == "*"


# Ids and logs


def test_ids_are_taken_or_made_and_given_back(serve, tiny_model):
    server = serve(tiny_model)
    assert ask(server, X_Request_Id="client-7").headers["X-Request-Id"] == "client-7"
    refused = ask(server, body=b"7", X_Request_Id="client-8")
    assert refused.json()["request_id"] == refused.headers["X-Request-Id"] == "client-8"
    assert server.request("GET", "/nothing").json()["request_id"]
    made = {ask(server).headers["X-Request-Id"] for _ in range(20)}
    assert len(made) == 20 and all(re.fullmatch("[0-9a-f]{16}", each) for each in made)
    for bad in ("a" * 129, "a b"):
        assert ask(server, X_Request_Id=bad).headers["X-Request-Id"] != bad


def test_traces_go_on(serve, tiny_model):
    server = serve(tiny_model)
    answer = ask(server, traceparent=PARENT).headers["traceparent"]
    version, trace, parent, flags = answer.split("-")
    assert (version, trace, flags) == ("00", TRACE, "01") and parent != "00f067aa0ba902b7"
    assert re.fullmatch("[0-9a-f]{16}", parent)
    assert "traceparent" not in ask(server).headers
    for bad in (PARENT.upper(), PARENT[:-1], PARENT + "0", PARENT.replace(TRACE, "0" * 32), "ff" + PARENT[2:],
                PARENT.replace("00f067aa0ba902b7", "0" * 16)):
        assert "traceparent" not in ask(server, traceparent=bad).headers, bad
    assert "traceparent" in ask(server, traceparent="cc" + PARENT[2:] + "-more").headers


def test_json_logs_tell_all_but_the_texts(serve, tiny_model):
    server = serve(tiny_model, "--log-format", "json")
    ask(server, body=b'["the unmistakable sea", "it"]', X_Request_Id="r-1", traceparent=PARENT)
    ask(server, body=b'{"inputs": 7}', X_Request_Id="r-2")
    server.request("GET", "/secret-path?secret=1", headers={"X-Request-Id": "r-3"})
    assert server.stop() == 0
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"]) for line in lines)
    assert any("serving" in line["message"] for line in lines)
    requests = {line.get("request_id"): line for line in lines if line["message"] == "request"}
    first = requests["r-1"]
    assert (first["method"], first["route"], first["status"]) == ("POST", "/invocations", 200)
    assert (first["model"], first["version"], first["texts"]) == ("tiny", "1", 2)
    assert first["tokens"] > 4 and 0 < first["seconds"] < 20 and first["trace_id"] == TRACE
    assert requests["r-2"]["status"] == 400 and "texts" not in requests["r-2"]
    assert (requests["r-3"]["status"], requests["r-3"]["route"]) == (404, "other")
    assert "unmistakable" not in server.log.read_text() and "secret" not in server.log.read_text()


def test_the_access_log_as_text_when_asked(serve, tiny_model):
    quiet = serve(tiny_model)
    loud = serve(tiny_model, "--access-log")
    for server in (quiet, loud):
        ask(server, X_Request_Id="r-1")
        assert server.stop() == 0
    assert "r-1" not in quiet.log.read_text()
    assert re.search(r"^bertie: POST /invocations 200 \d+\.\d{3} ms model=tiny/1 texts=1 tokens=\d+ id=r-1$",
                     loud.log.read_text(), re.M)


# Metrics


def test_metrics_read_as_prometheus_reads_them(serve, tiny_model):
    server = serve(f"a={tiny_model}", f"b={tiny_model}")
    ask(server, body=b'["the sea", "it rained"]')
    ask(server, X_Amzn_SageMaker_Target_Model="b")
    ask(server, X_Amzn_SageMaker_Target_Model="c")
    page = server.request("GET", "/metrics").body.decode()
    families = {family.name: family for family in text_string_to_metric_families(page)}
    seen = set()
    for family in families.values():
        assert family.type in ("counter", "gauge", "histogram"), family
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in seen, f"twice: {key}"
            seen.add(key)

    def value(name, **labels):
        family = families[name.removesuffix("_total")]
        found = [s.value for s in family.samples if s.name == name and labels.items() <= s.labels.items()]
        assert found, (name, labels, family)
        return sum(found)

    assert value("bertie_requests_total", model="a", version="1", route="/invocations", code="200") == 1
    assert value("bertie_requests_total", model="b", route="/invocations", code="200") == 1
    assert value("bertie_requests_total", route="/invocations", code="404") == 1
    assert value("bertie_texts_total", model="a") == 2
    assert value("bertie_predicted_total", model="a") == 2
    assert {s.labels["label"] for s in families["bertie_predicted"].samples} == {"LABEL_0", "LABEL_1", "LABEL_2"}
    for name in ("bertie_queue_depth", "bertie_inflight", "bertie_truncated_total"):
        assert value(name, model="a") == 0
    assert value("bertie_model_loaded_info", model="b", dtype="fp32") == 1
    for phase in ("tokenize", "queue", "compute"):
        samples = families["bertie_phase_duration_seconds"].samples
        count = [s.value for s in samples if s.name.endswith("_count")
                 and s.labels == {"model": "a", "version": "1", "phase": phase}]
        assert count == [1]
    assert value("process_resident_memory_bytes") > 1e6
