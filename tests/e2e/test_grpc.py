"""What `bertie serve` tells of calls over gRPC, and what it tells gRPC's clients of its health."""

import asyncio
import concurrent.futures
import json
import re
import socket
import threading
import time

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.grpc.aio as triton_aio
from conftest import free_port
from test_accelerator import TYPE, accelerator  # noqa: F401
from test_serve import inflight
from tritonclient.utils import InferenceServerException

pb = triton_grpc.service_pb2
SERVICE = "/inference.GRPCInferenceService/"
WATCH = "/grpc.health.v1.Health/Watch"
SERVING, NOT_SERVING, SERVICE_UNKNOWN = b"\x08\x01", b"\x08\x02", b"\x08\x03"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture
def serve_grpc(serve, tiny_model):
    """serve_grpc(*flags) -> the server, and a channel to it."""
    channels = []

    def start(*flags):
        port = free_port()
        server = serve(tiny_model, "--grpc-port", port, *flags)
        server.grpc_address = f"127.0.0.1:{port}"
        channels.append(grpc.insecure_channel(server.grpc_address))
        return server, channels[-1]

    yield start
    for channel in channels:
        channel.close()


def stub_of(channel):
    return triton_grpc.service_pb2_grpc.GRPCInferenceServiceStub(channel)


def infer_request(*texts, model="tiny"):
    request = pb.ModelInferRequest(model_name=model)
    tensor = request.inputs.add(name="text", datatype="BYTES", shape=[len(texts)])
    tensor.contents.bytes_contents.extend(text.encode() for text in texts)
    return request


def call(method, request, **metadata):
    """The call once it has ended, and its initial metadata."""
    fields = [(name.replace("_", "-"), value) for name, value in metadata.items()]
    try:
        _, ended = method.with_call(request, metadata=fields, timeout=20)
    except grpc.RpcError as error:
        ended = error
    return ended, dict(ended.initial_metadata())


# Ids and logs


def test_ids_are_taken_or_made_and_given_back(serve_grpc):
    _, channel = serve_grpc()
    stub = stub_of(channel)
    for method, request in [(stub.ModelInfer, infer_request("the sea")),
                            (stub.ModelInfer, infer_request("the sea", model="other")),
                            (stub.ServerLive, pb.ServerLiveRequest()),
                            (stub.RepositoryIndex, pb.RepositoryIndexRequest())]:
        _, answer = call(method, request, x_request_id="client-7", traceparent=PARENT)
        assert answer["x-request-id"] == "client-7"
        version, trace, parent, flags = answer["traceparent"].split("-")
        assert (version, trace, flags) == ("00", TRACE, "01")
        assert re.fullmatch("[0-9a-f]{16}", parent) and parent != "00f067aa0ba902b7"
    made = set()
    for bad in ({}, {"x_request_id": "a" * 129}, {"x_request_id": "a b"}, {"traceparent": PARENT[:-1]}):
        _, answer = call(stub.ServerLive, pb.ServerLiveRequest(), **bad)
        assert re.fullmatch("[0-9a-f]{16}", answer["x-request-id"]) and "traceparent" not in answer
        made.add(answer["x-request-id"])
    assert len(made) == 4


def test_every_call_has_a_line_that_tells_all_but_the_texts(serve_grpc, tmp_path):
    (tmp_path / "keys").write_text("user-key\n")
    (tmp_path / "admins").write_text("admin-token\n")
    server, channel = serve_grpc("--log-format", "json", "--api-key-file", tmp_path / "keys",
                                 "--admin-token-file", tmp_path / "admins")
    stub, user, admin = stub_of(channel), "Bearer user-key", "Bearer admin-token"
    calls = {
        "unload": ("RepositoryModelUnload", pb.RepositoryModelUnloadRequest(model_name="tiny"), admin),
        "load": ("RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name="tiny"), admin),
        "load-other": ("RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name="secret"), admin),
        "infer": ("ModelInfer", infer_request("the unmistakable sea", "it"), user),
        "no-key": ("ModelInfer", infer_request("the unmistakable sea"), "Bearer secret"),
        "no-model": ("ModelInfer", infer_request("the unmistakable sea", model="secret"), user),
        "bad": ("ModelInfer", pb.ModelInferRequest(model_name="tiny"), user),
        "live": ("ServerLive", pb.ServerLiveRequest(), ""),
        "ready": ("ServerReady", pb.ServerReadyRequest(), ""),
        "model-ready": ("ModelReady", pb.ModelReadyRequest(name="tiny"), user),
        "server": ("ServerMetadata", pb.ServerMetadataRequest(), user),
        "model": ("ModelMetadata", pb.ModelMetadataRequest(name="tiny"), user),
        "config": ("ModelConfig", pb.ModelConfigRequest(name="tiny"), user),
        "statistics": ("ModelStatistics", pb.ModelStatisticsRequest(), user),
        "index": ("RepositoryIndex", pb.RepositoryIndexRequest(), admin),
        "index-no-admin": ("RepositoryIndex", pb.RepositoryIndexRequest(), user),
    }
    for name, (method, request, key) in calls.items():
        ended, _ = call(getattr(stub, method), request, x_request_id=name, traceparent=PARENT,
                        authorization=key)
        calls[name] = (SERVICE + method, ended.code().name)
    check = channel.unary_unary("/grpc.health.v1.Health/Check")
    for name, body in [("check", b""), ("check-other", b"\n\x06secret")]:
        ended, _ = call(check, body, x_request_id=name, traceparent=PARENT)
        calls[name] = ("/grpc.health.v1.Health/Check", ended.code().name)
    page = server.request("GET", "/metrics").body.decode()
    channel.close()
    assert server.stop() == 0

    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    requests = [line for line in lines if line["message"] == "request" and line["method"] == "gRPC"]
    assert len(requests) == len(calls)
    by_id = {line["request_id"]: line for line in requests}
    found = {name: (line["route"], line["grpc_status"]) for name, line in by_id.items()}
    assert found == calls
    statuses = {"no-key": 401, "no-model": 404, "bad": 400, "index-no-admin": 401, "load-other": 404,
                "check-other": 404}
    assert {name: line["status"] for name, line in by_id.items() if line["status"] != 200} == statuses
    assert all(line["trace_id"] == TRACE and 0 <= line["seconds"] < 20 for line in requests)
    assert {name for name, line in by_id.items() if line.get("model") == "tiny"} == {
        "infer", "bad", "model", "config"}
    infer = by_id["infer"]
    assert (infer["version"], infer["texts"]) == ("1", 2) and infer["tokens"] > 4
    assert infer["seconds"] > 0 and "texts" not in by_id["bad"]
    assert "unmistakable" not in server.log.read_text() and "secret" not in server.log.read_text()
    # Counted as over HTTP, under the same name.
    assert re.search(r'^bertie_requests_total{.*model="tiny".*route="/inference.GRPCInferenceService/ModelInfer"'
                     r'.*code="200".*} 1$', page, re.M), page
    assert re.search(r'^bertie_requests_total{route="/inference.GRPCInferenceService/RepositoryIndex",'
                     r'code="401"} 1$', page, re.M), page


def test_the_access_log_as_text_and_tritons_client(serve_grpc):
    server, _ = serve_grpc("--access-log")
    quiet, _ = serve_grpc()
    for each in (server, quiet):
        with triton_grpc.InferenceServerClient(each.grpc_address) as client:
            text = triton_grpc.InferInput("text", [1], "BYTES")
            text.set_data_from_numpy(np.array([b"the sea"], dtype=np.object_))
            client.infer("tiny", [text], headers={"x-request-id": "r-1"})
        assert each.stop() == 0
    assert re.search(r"^bertie: gRPC /inference.GRPCInferenceService/ModelInfer 200 OK \d+\.\d{3} ms "
                     r"model=tiny/1 texts=1 tokens=\d+ id=r-1$", server.log.read_text(), re.M)
    assert "r-1" not in quiet.log.read_text()


# Streams


class Stream:
    """Triton's client with a stream; answers() are what its callback heard so far."""

    def __init__(self, server, **options):
        self.client = triton_grpc.InferenceServerClient(server.grpc_address)
        self.heard, self.changed = [], threading.Condition()
        self.client.start_stream(self.hear, **options)

    def hear(self, result, error):
        with self.changed:
            self.heard.append(error if error else result)
            self.changed.notify_all()

    def send(self, *texts, model="tiny", **options):
        text = triton_grpc.InferInput("text", [len(texts)], "BYTES")
        text.set_data_from_numpy(np.array([each.encode() for each in texts], dtype=np.object_))
        self.client.async_stream_infer(model, [text], **options)

    def answers(self, count):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.heard) >= count, 20), self.heard
            return list(self.heard)

    def close(self, cancel=False):
        self.client.stop_stream(cancel_requests=cancel)
        self.client.close()


def test_tritons_stream_is_answered_in_order_and_goes_on_after_an_error(serve_grpc):
    server, _ = serve_grpc()
    texts = [("the sea " * (i % 17 + 1), "it")[:i % 2 + 1] for i in range(200)]
    stream = Stream(server)
    for i, each in enumerate(texts):
        stream.send(*each, request_id=f"r-{i}", enable_empty_final_response=True,
                    model="other" if i == 40 else "tiny", priority=1, parameters={"own": "x"})
    heard = stream.answers(200)
    for i, (answer, each) in enumerate(zip(heard, texts, strict=True)):
        if i == 40:
            assert "other" in str(answer)
            continue
        response = answer.get_response()
        assert (response.id, response.model_name) == (f"r-{i}", "tiny")
        assert response.parameters["triton_final_response"].bool_param
        expected = server.invoke(list(each)).json()
        assert answer.as_numpy("logits") == pytest.approx(np.array(expected), abs=1e-6)
    stream.send("the sea", timeout=1)  # microseconds
    stream.send("the sea")
    late, last = stream.answers(202)[200:]
    assert isinstance(late, InferenceServerException)
    assert last.as_numpy("label") is not None
    stream.close()
    assert len(stream.heard) == 202  # the end is no error


def test_tritons_asyncio_stream_says_which_request_failed(serve_grpc):
    server, _ = serve_grpc()

    async def ask():
        async with triton_aio.InferenceServerClient(server.grpc_address) as client:
            async def requests():
                for name, model in [("a", "tiny"), ("b", "other"), ("c", "tiny")]:
                    text = triton_grpc.InferInput("text", [1], "BYTES")
                    text.set_data_from_numpy(np.array([b"the sea"], dtype=np.object_))
                    yield {"model_name": model, "inputs": [text], "request_id": name}

            return [each async for each in client.stream_infer(requests())]

    # The browser of other tests has a loop in the main thread for as long as it is open.
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        answers = thread.submit(asyncio.run, ask()).result()
    assert [error is None for _, error in answers] == [True, False, True]
    assert [result.get_response().id for result, error in answers if not error] == ["a", "c"]
    raw = stub_of(serve_grpc()[1]).ModelStreamInfer(iter([infer_request("it", model="other")]), timeout=20)
    failed = list(raw)
    assert len(failed) == 1 and failed[0].error_message and raw.code() == grpc.StatusCode.OK
    assert failed[0].infer_response.model_name == "other" and not failed[0].infer_response.outputs


def test_a_stream_tells_the_log_of_each_request_and_of_its_end(serve_grpc, tmp_path):
    (tmp_path / "keys").write_text("user-key\n")
    server, _ = serve_grpc("--log-format", "json", "--api-key-file", tmp_path / "keys")
    key = {"authorization": "Bearer user-key"}
    stream = Stream(server, headers={**key, "x-request-id": "s-1", "traceparent": PARENT})
    stream.send("the unmistakable sea", "it", request_id="client-1")
    stream.send("the unmistakable sea", model="secret")
    stream.answers(2)
    stream.close()
    cancelled = Stream(server, headers={**key, "x-request-id": "s-2"})
    cancelled.send("it")
    cancelled.answers(1)
    cancelled.close(cancel=True)
    closed = Stream(server, headers={"x-request-id": "s-3"})
    assert "UNAUTHENTICATED" in str(closed.answers(1)[0])
    closed.close()
    page = server.request("GET", "/metrics").body.decode()
    end = time.monotonic() + 20
    while server.log.read_text().count('"s-') < 6 and time.monotonic() < end:
        time.sleep(0.01)
    assert server.stop() == 0
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if '"s-' in line]
    assert {line["route"] for line in lines} == {SERVICE + "ModelStreamInfer"}
    found = [(line["request_id"], line["status"], line["grpc_status"], line.get("model")) for line in lines]
    # Those of one stream are computed side by side, and logged as they end.
    assert sorted(found, key=str) == [
        ("s-1", 200, "OK", "tiny"), ("s-1", 200, "OK", None), ("s-1", 404, "NOT_FOUND", None),
        ("s-2", 200, "CANCELLED", None), ("s-2", 200, "OK", "tiny"), ("s-3", 401, "UNAUTHENTICATED", None)]
    infer = next(line for line in lines if line.get("model"))
    assert (infer["texts"], infer["trace_id"]) == (2, TRACE) and infer["tokens"] > 4
    assert "unmistakable" not in server.log.read_text() and "secret" not in server.log.read_text()
    assert re.search(r'^bertie_requests_total{.*model="tiny".*route="/inference.GRPCInferenceService/ModelStreamInfer"'
                     r'.*code="200".*} 2$', page, re.M), page


def test_a_stream_ends_with_the_server_and_its_requests_are_answered(serve_grpc):
    server, channel = serve_grpc()
    stream, idle = Stream(server), Stream(server)
    for _ in range(300):
        stream.send("the sea it rained . " * 6)
    stream.answers(1)
    begin = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - begin < 15
    for each in (stream, idle):
        with each.changed:
            assert each.changed.wait_for(
                lambda: each.heard and isinstance(each.heard[-1], InferenceServerException), 20)
        assert "UNAVAILABLE" in str(each.heard[-1])
        assert all(answer.as_numpy("label") is not None for answer in each.heard[:-1])
        each.close()


def test_a_stream_does_not_fill_the_queue_that_it_waits_for(serve_grpc):
    server, _ = serve_grpc()
    stream = Stream(server)
    for _ in range(40):
        stream.send(*["the sea"] * 1000)
    for answer in stream.answers(40):
        assert not isinstance(answer, InferenceServerException), answer
    stream.close()


def test_a_message_that_is_too_large_ends_its_stream_alone(serve_grpc):
    server, _ = serve_grpc("--max-body-mb", 0.01)
    stream, other = Stream(server), Stream(server)
    stream.send("the sea " * 10_000)
    other.send("the sea")
    assert "RESOURCE_EXHAUSTED" in str(stream.answers(1)[0])
    assert other.answers(1)[0].as_numpy("label") is not None
    stream.close()
    other.close()


# Health


def test_watch_tells_of_the_end(serve_grpc):
    server, channel = serve_grpc("--access-log")
    watch = channel.unary_stream(WATCH)
    whole, inference = watch(b"", timeout=60), watch(b"\n\x1einference.GRPCInferenceService", timeout=60)
    other = watch(b"\n\x01x", timeout=60, metadata=[("x-request-id", "w-1")])
    assert [next(call) for call in (whole, inference, other)] == [SERVING, SERVING, SERVICE_UNKNOWN]
    assert dict(other.initial_metadata())["x-request-id"] == "w-1"
    gone = watch(b"", timeout=60, metadata=[("x-request-id", "w-2")])
    assert next(gone) == SERVING
    gone.cancel()
    end = time.monotonic() + 20
    while "id=w-2" not in server.log.read_text() and time.monotonic() < end:
        time.sleep(0.01)
    assert server.stop() == 0
    for call, last in [(whole, [NOT_SERVING]), (inference, [NOT_SERVING]), (other, [])]:
        heard = []
        with pytest.raises(grpc.RpcError):
            for message in call:
                heard.append(message)
        assert heard == last and call.code() == grpc.StatusCode.UNAVAILABLE
    log = server.log.read_text()
    for ended in ["UNAVAILABLE .* id=w-1", "CANCELLED .* id=w-2"]:
        assert re.search(rf"^bertie: gRPC {WATCH} 200 {ended}$", log, re.M), log


def test_the_end_waits_for_calls_and_for_no_idle_client(serve, serve_grpc, tiny_model):
    """Python's clients look at an idle connection every five seconds, and hear of the end only then."""
    server, channel = serve_grpc()
    stub = stub_of(channel)
    stub.ModelInfer(infer_request("the sea"), timeout=20)
    begin = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - begin < 2
    again = serve(tiny_model, "--grpc-port", server.grpc_address.split(":")[1], "--max-queue-tokens", 10_000_000)
    # What the client sends next goes to the next server, but for what it sends before it hears of the end.
    try:
        stub.ServerLive(pb.ServerLiveRequest(), timeout=20, wait_for_ready=True)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNAVAILABLE
    request = infer_request(*["the sea " * 20] * 1000)
    calls = [stub.ModelInfer.future(request, timeout=60, wait_for_ready=True) for _ in range(8)]
    end = time.monotonic() + 20
    while sum(call.done() for call in calls) + inflight(again) < len(calls):
        assert time.monotonic() < end
    assert again.stop() == 0
    assert [call.result().outputs[0].shape[0] for call in calls] == [1000] * len(calls)


class SlowLink:
    """A server's port for one client, whose bytes go on at 400 kB/s."""

    def __init__(self, address):
        self.passed = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.server = socket.create_connection(address.split(":"))
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        self.client, _ = self.listener.accept()
        threading.Thread(target=self.pump, args=(self.server, self.client, 0), daemon=True).start()
        self.pump(self.client, self.server, 0.02)

    def pump(self, source, target, pause):
        try:
            while piece := source.recv(8000):
                target.sendall(piece)
                self.passed += len(piece) if pause else 0
                time.sleep(pause)
        except OSError:
            pass
        target.close()

    def close(self):
        for end in (self.listener, self.client, self.server):
            end.close()


def test_the_end_waits_for_requests_that_are_on_their_way(serve_grpc):
    server, _ = serve_grpc()
    link = SlowLink(server.grpc_address)
    with grpc.insecure_channel(link.address) as channel:
        call = stub_of(channel).ModelInfer.future(infer_request("the sea " * 60_000), timeout=60)
        end = time.monotonic() + 20
        while link.passed < 50_000:
            assert time.monotonic() < end
            time.sleep(0.01)
        assert server.stop() == 0
        assert call.result().outputs[0].shape[0] == 1
    link.close()


def test_watch_costs_no_threads_and_ends_with_its_client(serve_grpc):
    server, channel = serve_grpc()
    threads = lambda: int(re.search(r"Threads:\s+(\d+)", open(f"/proc/{server.process.pid}/status").read())[1])
    watch = channel.unary_stream(WATCH)
    first = watch(b"", timeout=60)
    assert next(first) == SERVING
    before = threads()
    calls = [watch(b"", timeout=60) for _ in range(99)]
    assert {next(call) for call in calls} == {SERVING}
    assert threads() < before + 50  # gRPC's own come and go
    for call in calls:
        call.cancel()
    assert channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=20) == SERVING


def test_gRPCs_own_health_checking_follows_an_accelerator(serve_grpc, accelerator):  # noqa: F811
    """A channel that balances by health sends no call while nobody is there to compute."""
    there = accelerator()
    server, channel = serve_grpc("--accelerator", there.address, *TYPE, "--no-fallback")
    config = json.dumps({"loadBalancingConfig": [{"round_robin": {}}],
                         "healthCheckConfig": {"serviceName": "inference.GRPCInferenceService"}})
    changed, states = threading.Condition(), []

    def note(state):
        with changed:
            states.append(state)
            changed.notify_all()

    def wait_for_state(state):
        with changed:
            assert changed.wait_for(lambda: states and states[-1] == state, 20), states

    healthy = grpc.insecure_channel(server.grpc_address, options=[("grpc.service_config", config)])
    healthy.subscribe(note, try_to_connect=True)
    wait_for_state(grpc.ChannelConnectivity.READY)
    there.kill()
    wait_for_state(grpc.ChannelConnectivity.TRANSIENT_FAILURE)
    there.start()
    wait_for_state(grpc.ChannelConnectivity.READY)
    assert stub_of(healthy).ModelInfer(infer_request("the sea"), timeout=20).model_name == "tiny"
    healthy.close()
