"""`bertie serve` as clients of other servers know theirs: text-embeddings-inference, the Open Inference
Protocol over REST and gRPC (by Triton's own client), Kubernetes' probes, and the OpenAPI document."""

import hashlib
import json
import pathlib
import re
import shutil
import threading

import grpc
import numpy as np
import pytest
import tokenizers
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from conftest import free_port
from huggingface_hub import InferenceClient
from test_predict import with_head
from tritonclient.utils import InferenceServerException

TESTS = pathlib.Path(__file__).resolve().parent.parent
REFERENCE = json.loads((TESTS / "serve" / "pipeline.json").read_text())
TEXTS = REFERENCE["texts"]
LOGITS = np.array(REFERENCE["logits"], np.float32)
PROBABILITIES = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
JSON = {"Content-Type": "application/json"}


def post(server, path, value, headers=JSON):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return server.request("POST", path, body, headers)


def labels_of(model):
    names = json.loads((model / "config.json").read_text())["id2label"]
    return [names[str(i)] for i in range(len(names))]


def one_label(model, folder):
    """The model with a classifier of one label, as re-rankers have."""
    weights = [[((i * 7) % 5 - 2) / 3 for i in range(32)]]
    with_head(model, folder, {"classifier.weight": weights, "classifier.bias": [0.25]})
    config = json.loads((folder / "config.json").read_text())
    config |= {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def reference_tokenizer(model):
    return tokenizers.BertWordPieceTokenizer(str(model / "vocab.txt"))


# text-embeddings-inference


def test_tei_predict_gives_every_label_best_first(serve, tiny_model):
    answer = post(serve(tiny_model), "/predict", {"inputs": TEXTS[0]})
    assert answer.status == 200
    order = np.argsort(-PROBABILITIES[0])
    labels = labels_of(tiny_model)
    assert [each["label"] for each in answer.json()] == [labels[i] for i in order]
    assert np.allclose([each["score"] for each in answer.json()], PROBABILITIES[0][order], atol=1e-4)
    assert list(answer.json()[0]) == ["score", "label"]
    headers = {name.lower(): value for name, value in answer.headers.items()}
    assert headers["x-compute-type"] == "cpu"
    assert int(headers["x-compute-characters"]) == len(TEXTS[0])
    assert int(headers["x-compute-tokens"]) >= 3
    for name in ["x-compute-time", "x-total-time", "x-tokenization-time", "x-queue-time", "x-inference-time"]:
        assert int(headers[name]) < 60_000, name


def test_tei_a_flat_list_is_a_pair_and_a_list_of_lists_a_batch(serve, tiny_model):
    server = serve(tiny_model)
    pair = post(server, "/predict", {"inputs": ["the sea", "it rained"]}).json()
    batch = post(server, "/predict", {"inputs": [["the sea"], ["the sea", "it rained"]]}).json()
    assert batch == [post(server, "/predict", {"inputs": "the sea"}).json(), pair]
    assert post(server, "/", {"inputs": ["the sea", "it rained"]}).json() == pair
    raw = server.invoke({"inputs": {"text": "the sea", "text_pair": "it rained"},
                         "parameters": {"function_to_apply": "none", "top_k": None}}).json()
    scores = post(server, "/predict", {"inputs": ["the sea", "it rained"], "raw_scores": True}).json()
    assert [(s["label"], s["score"]) for s in scores] == [(s["label"], s["score"]) for s in raw]
    # On SageMaker's route the same list is a batch.
    assert len(server.invoke({"inputs": ["the sea", "it rained"]}).json()) == 2


def test_tei_truncates_at_either_end_or_refuses(serve, tiny_model):
    server = serve(tiny_model)
    long = "the sea " * 30 + "it rained"
    predict = lambda **more: post(server, "/predict", {"inputs": long, "raw_scores": True} | more)
    right, left = predict(), predict(truncation_direction="Left")
    assert right.status == left.status == 200
    assert right.json() != left.json()
    assert right.json() == post(server, "/predict", {"inputs": "the sea " * 30, "raw_scores": True}).json()
    refused = predict(truncate=False)
    assert refused.status == 413
    assert refused.json() == {"error": "`inputs` must have less than 40 tokens. Given: 65",
                              "error_type": "Validation"}


@pytest.mark.parametrize("body, status, error_type", [
    (b"{", 400, None),
    (b'{"inputs": ["a", "b", "c"]}', 422, None),
    (b"{}", 422, None),
    (b'{"inputs": ""}', 413, "Validation"),
    (b'{"inputs": [["a"], ["b"], ["c"]]}', 413, "Validation"),
])
def test_tei_refusals(serve, tiny_model, body, status, error_type):
    answer = post(serve(tiny_model, "--max-texts", 2), "/predict", body)
    assert answer.status == status, answer.body
    if error_type:
        assert answer.json()["error_type"] == error_type
        assert set(answer.json()) == {"error", "error_type"}
    else:
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    media = post(serve(tiny_model), "/predict", {"inputs": "a"}, {"Content-Type": "text/plain"})
    assert media.status == 415


def test_tei_info_and_health(serve, tiny_model):
    server = serve(tiny_model, "--max-texts", 7)
    info = server.request("GET", "/info").json()
    labels = labels_of(tiny_model)
    assert info["model_type"]["classifier"]["id2label"] == {str(i): l for i, l in enumerate(labels)}
    assert info["model_id"] == "tiny" and info["max_input_length"] == 40
    assert info["max_client_batch_size"] == 7 and info["auto_truncate"] is True
    assert info["model_dtype"] == "float32"
    health = server.request("GET", "/")
    assert health.status == 200 and health.body == b""


def test_a_model_of_the_hub_is_known_by_its_commit_and_hash(serve, tiny_model, tmp_path):
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--org--tiny"
    snapshot = repository / "snapshots" / commit
    shutil.copytree(tiny_model, snapshot)
    (repository / "blobs").mkdir()
    weights = snapshot / "model.safetensors"
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    weights.rename(repository / "blobs" / sha256)
    weights.symlink_to(f"../../blobs/{sha256}")

    def loaded(server):
        page = server.request("GET", "/metrics").body.decode()
        return [line for line in page.splitlines() if line.startswith("bertie_model_loaded_info{")]

    server = serve(f"tiny={snapshot}")
    assert server.request("GET", "/info").json()["model_sha"] == commit
    assert loaded(server) == [f'bertie_model_loaded_info{{model="tiny",version="1",dtype="fp32",sha256="{sha256}"}} 1']
    server = serve(tiny_model)
    assert server.request("GET", "/info").json()["model_sha"] is None
    assert loaded(server) == ['bertie_model_loaded_info{model="tiny",version="1",dtype="fp32"} 1']


def test_tei_tokenize_equals_the_tokenizers_library(serve, tiny_model):
    server = serve(tiny_model)
    reference = reference_tokenizer(tiny_model)
    texts = TEXTS + ["Caf\u00e9 na\u00efve, the SEA!", "caf\u0065\u0301  \t it", "\u4f60\u597d the", "", "a\U0001F600b"]
    answer = post(server, "/tokenize", {"inputs": texts}).json()
    for text, tokens in zip(texts, answer, strict=True):
        expected = reference.encode(text)
        assert [t["id"] for t in tokens] == expected.ids, text
        assert [t["special"] for t in tokens] == [bool(m) for m in expected.special_tokens_mask]
        for token, (start, stop) in zip(tokens[1:-1], expected.offsets[1:-1], strict=True):
            assert (token["start"], token["stop"], token["text"]) == (start, stop, text[start:stop]), text
    assert answer[0][0] == {"id": answer[0][0]["id"], "text": "[CLS]", "special": True, "start": None,
                            "stop": None}
    plain = post(server, "/tokenize", {"inputs": TEXTS[0], "add_special_tokens": False}).json()
    assert plain == [answer[0][1:-1]]
    ids = [[t["id"] for t in tokens] for tokens in answer]
    decoded = post(server, "/decode", {"ids": ids}).json()
    assert decoded == [reference.decode(each) for each in ids]
    assert post(server, "/decode", {"ids": ids[0], "skip_special_tokens": False}).json() == [
        reference.decode(ids[0], skip_special_tokens=False)]


def test_tei_rerank_wants_a_model_with_one_label(serve, tiny_model, tmp_path):
    refused = post(serve(tiny_model), "/rerank", {"query": "the sea", "texts": ["it rained"]})
    assert refused.status == 424
    assert refused.json() == {"error": "model is not a re-ranker model", "error_type": "Backend"}
    server = serve(one_label(tiny_model, tmp_path / "reranker"))
    ranks = post(server, "/rerank", {"query": "the sea", "texts": TEXTS, "return_text": True}).json()
    assert [rank["text"] for rank in ranks] == [TEXTS[rank["index"]] for rank in ranks]
    scores = [rank["score"] for rank in ranks]
    assert sorted(scores, reverse=True) == scores and all(0 < score < 1 for score in scores)
    pair = post(server, "/predict", {"inputs": ["the sea", TEXTS[ranks[0]["index"]]]}).json()
    assert pair[0]["score"] == scores[0]
    assert "reranker" in server.request("GET", "/info").json()["model_type"]


@pytest.mark.parametrize("path", ["/predict", "/invocations", "/"])
def test_hugging_faces_client(serve, tiny_model, path):
    """It takes the first element of what it is answered for the answer (huggingface_hub#3539)."""
    client = InferenceClient(model=f"http://127.0.0.1:{serve(tiny_model).port}{path}")
    best = client.text_classification(TEXTS[0])
    assert best.label == labels_of(tiny_model)[PROBABILITIES[0].argmax()]
    assert abs(best.score - PROBABILITIES[0].max()) < 1e-4


# Open Inference Protocol


class Http:
    """Triton's client for HTTP, and what its tensors are made of."""

    module = triton_http

    def __init__(self, serve, model, *flags):
        self.server = serve(model, *flags)
        self.client = triton_http.InferenceServerClient(f"127.0.0.1:{self.server.port}")
        self.extensions = {"binary_tensor_data", "classification", "model_configuration", "model_repository",
                           "statistics"}


class Grpc:
    module = triton_grpc

    def __init__(self, serve, model, *flags):
        port = free_port()
        self.server = serve(model, "--grpc-port", port, *flags)
        self.address = f"127.0.0.1:{port}"
        self.client = triton_grpc.InferenceServerClient(self.address)
        self.extensions = {"classification", "model_configuration", "model_repository", "statistics"}


def plain(value):
    """Messages of protobuf as the dictionaries that HTTP's client gives."""
    from google.protobuf.json_format import MessageToDict
    if isinstance(value, (dict, list)):
        return value
    return MessageToDict(value, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


@pytest.fixture(params=[Http, Grpc])
def triton(request, serve, tiny_model):
    made = request.param(serve, tiny_model)
    yield made
    made.client.close()


def text_input(triton, texts, name="text", **options):
    array = np.array([text.encode() for text in texts], dtype=np.object_)
    tensor = triton.module.InferInput(name, array.shape, "BYTES")
    tensor.set_data_from_numpy(array, **options)
    return tensor


def integers(triton, name, rows):
    array = np.array(rows, dtype=np.int64)
    tensor = triton.module.InferInput(name, array.shape, "INT64")
    tensor.set_data_from_numpy(array)
    return tensor


def test_triton_health_and_metadata(triton, tiny_model):
    client = triton.client
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("tiny") and client.is_model_ready("tiny", "1")
    assert not client.is_model_ready("other")
    server = plain(client.get_server_metadata())
    assert server["name"] == "bertie" and set(server["extensions"]) == triton.extensions
    model = plain(client.get_model_metadata("tiny"))
    assert model["versions"] == ["1"] and model["platform"] == "bertie"
    assert [tensor["name"] for tensor in model["inputs"]] == [
        "text", "text_pair", "input_ids", "attention_mask", "token_type_ids"]
    logits = model["outputs"][0]
    assert (logits["name"], logits["datatype"]) == ("logits", "FP32")
    assert [int(size) for size in logits["shape"]] == [-1, 3]
    config = plain(client.get_model_config("tiny"))
    config = config.get("config", config)
    assert config["backend"] == "bertie" and config["input"][0]["data_type"] == "TYPE_STRING"
    with pytest.raises(InferenceServerException, match="no model 'other'"):
        client.get_model_metadata("other")


def test_triton_infers_texts(triton, tiny_model):
    result = triton.client.infer("tiny", [text_input(triton, TEXTS)], request_id="seven")
    assert np.allclose(result.as_numpy("logits"), LOGITS, atol=1e-4)
    assert np.allclose(result.as_numpy("probabilities"), PROBABILITIES, atol=1e-4)
    labels = labels_of(tiny_model)
    assert [label.decode() for label in result.as_numpy("label")] == [labels[i] for i in LOGITS.argmax(1)]
    answer = plain(result.get_response())
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("seven", "tiny", "1")


def test_triton_infers_pairs_and_columns(triton):
    server = triton.server
    pair = server.invoke({"inputs": {"text": "the sea", "text_pair": "it rained"},
                          "parameters": {"function_to_apply": "none"}}).json()
    outputs = [triton.module.InferRequestedOutput("logits")]
    result = triton.client.infer("tiny", [text_input(triton, ["the sea"]),
                                          text_input(triton, ["it rained"], "text_pair")], outputs=outputs)
    assert np.float32(pair["score"]) == result.as_numpy("logits").max()
    assert result.as_numpy("label") is None
    array = np.array([[text.encode()] for text in TEXTS], dtype=np.object_)
    column = triton.module.InferInput("text", array.shape, "BYTES")
    column.set_data_from_numpy(array)
    found = triton.client.infer("tiny", [column], outputs=outputs).as_numpy("logits")
    assert np.allclose(found, LOGITS, atol=1e-4)


def test_triton_infers_token_ids(triton, tiny_model):
    reference = reference_tokenizer(tiny_model)
    reference.enable_padding()
    reference.enable_truncation(40)
    encoded = reference.encode_batch(TEXTS)
    inputs = [integers(triton, "input_ids", [e.ids for e in encoded]),
              integers(triton, "attention_mask", [e.attention_mask for e in encoded]),
              integers(triton, "token_type_ids", [e.type_ids for e in encoded])]
    found = triton.client.infer("tiny", inputs).as_numpy("logits")
    assert np.allclose(found, LOGITS, atol=1e-4)
    texts = triton.client.infer("tiny", [text_input(triton, TEXTS)]).as_numpy("logits")
    assert (found == texts).all()
    with pytest.raises(InferenceServerException, match=r"input_ids\[0\] has a token that is not from 0 to"):
        triton.client.infer("tiny", [integers(triton, "input_ids", [[2, 99_999_999, 3]])])


def test_triton_classification_and_parameters(triton, tiny_model):
    labels = labels_of(tiny_model)
    outputs = [triton.module.InferRequestedOutput("logits", class_count=2)]
    found = triton.client.infer("tiny", [text_input(triton, TEXTS)], outputs=outputs).as_numpy("logits")
    assert found.shape == (len(TEXTS), 2)
    for row, logits in zip(found, LOGITS, strict=True):
        for element, index in zip(row, np.argsort(-logits), strict=False):
            value, place, label = element.decode().split(":")
            assert abs(float(value) - logits[index]) < 1e-4
            assert (int(place), label) == (index, labels[index])
    found = triton.client.infer("tiny", [text_input(triton, TEXTS)],
                                parameters={"top_k": 2, "function_to_apply": "none"})
    assert found.as_numpy("label").shape == found.as_numpy("probabilities").shape == (len(TEXTS), 2)
    assert np.allclose(found.as_numpy("probabilities"), -np.sort(-LOGITS)[:, :2], atol=1e-4)
    long = text_input(triton, ["the sea " * 30])
    assert triton.client.infer("tiny", [long]).as_numpy("label").shape == (1,)
    with pytest.raises(InferenceServerException, match=r"text\[0\] has 62 tokens; the limit is 40"):
        triton.client.infer("tiny", [long], parameters={"truncation": False})


def test_triton_statistics(triton):
    for _ in range(3):
        triton.client.infer("tiny", [text_input(triton, TEXTS)])
    with pytest.raises(InferenceServerException):
        triton.client.infer("tiny", [text_input(triton, TEXTS, "words")])
    every, one = [plain(triton.client.get_inference_statistics(*name))["model_stats"]
                  for name in ([], ["tiny", "1"])]
    assert len(every) == len(one) == 1 and one[0]["name"] == "tiny"
    assert int(one[0]["inference_count"]) == 3 * len(TEXTS)
    assert 0 < int(one[0]["execution_count"]) <= 3 * len(TEXTS)
    assert int(one[0]["last_inference"]) > 1_600_000_000_000
    stats = one[0]["inference_stats"]
    assert int(stats["success"]["count"]) == 3 and int(stats["fail"]["count"]) == 1
    assert int(stats["success"]["ns"]) >= int(stats["compute_infer"]["ns"]) > 0


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_triton_http_tensors_as_json_and_as_bytes(serve, tiny_model, binary_in, binary_out):
    triton = Http(serve, tiny_model)
    outputs = [triton_http.InferRequestedOutput(name, binary_data=binary_out) for name in ["label", "logits"]]
    result = triton.client.infer("tiny", [text_input(triton, TEXTS, binary_data=binary_in)], outputs=outputs)
    assert np.allclose(result.as_numpy("logits"), LOGITS, atol=1e-4)
    assert ("data" in result.get_output("logits")) != binary_out
    labels = labels_of(tiny_model)
    found = [label.decode() if isinstance(label, bytes) else label for label in result.as_numpy("label")]
    assert found == [labels[i] for i in LOGITS.argmax(1)]
    triton.client.close()


def test_v2_bodies_as_the_protocol_prints_them(serve, tiny_model):
    server = serve(tiny_model)
    for path, body in [("/v2/health/live", {"live": True}), ("/v2/health/ready", {"ready": True}),
                       ("/v2/models/tiny/ready", {"name": "tiny", "ready": True})]:
        assert server.request("GET", path).json() == body
    answer = post(server, "/v2/models/tiny/versions/1/infer",
                  {"inputs": [{"name": "text", "shape": [2, 1], "datatype": "BYTES",
                               "data": [["the sea"], ["it rained"]]}], "outputs": [{"name": "logits"}]})
    assert answer.headers["Content-Type"] == "application/json"
    expected = [x for row in server.invoke(["the sea", "it rained"]).json() for x in row]
    assert answer.json() == {"model_name": "tiny", "model_version": "1", "outputs": [
        {"name": "logits", "datatype": "FP32", "shape": [2, 3], "data": expected}]}
    for path, status in [("/v2/models/other", 404), ("/v2/models/tiny/versions/9", 404), ("/v2/nothing", 404)]:
        refused = server.request("GET", path)
        assert refused.status == status and set(refused.json()) == {"error"}
    refused = post(server, "/v2/models/tiny/infer", {"inputs": []})
    assert refused.status == 400 and refused.json() == {"error": 'the body has no "inputs"'}


def test_grpc_contents_are_answered_with_contents(serve, tiny_model):
    triton = Grpc(serve, tiny_model)
    pb = triton_grpc.service_pb2
    request = pb.ModelInferRequest(model_name="tiny")
    tensor = request.inputs.add(name="text", datatype="BYTES", shape=[len(TEXTS)])
    tensor.contents.bytes_contents.extend(text.encode() for text in TEXTS)
    with grpc.insecure_channel(triton.address) as channel:
        stub = triton_grpc.service_pb2_grpc.GRPCInferenceServiceStub(channel)
        answer = stub.ModelInfer(request)
        assert not answer.raw_output_contents
        assert np.allclose(answer.outputs[0].contents.fp32_contents, LOGITS.ravel(), atol=1e-4)
        tensor.shape[0] += 1
        with pytest.raises(grpc.RpcError) as error:
            stub.ModelInfer(request)
        assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        with pytest.raises(grpc.RpcError) as error:
            stub.ModelInfer(pb.ModelInferRequest(model_name="other"))
        assert error.value.code() == grpc.StatusCode.NOT_FOUND
    triton.client.close()


def test_every_load_and_unload_over_grpc_is_answered(serve, tiny_model, tmp_path):
    """Also those that are done before the call has returned to gRPC."""
    (tmp_path / "admins").write_text("admin-token\n")
    client = Grpc(serve, tiny_model, "--admin-token-file", tmp_path / "admins").client
    asked = {"headers": {"authorization": "Bearer admin-token"}, "client_timeout": 10}
    for _ in range(60):
        client.unload_model("tiny", **asked)
        client.load_model("tiny", **asked)


@pytest.mark.parametrize("transport", [Http, Grpc])
def test_triton_keys_and_repository(serve, tiny_model, tmp_path, transport):
    """Inference wants a key, the repository an administrator's; health is open."""
    (tmp_path / "keys").write_text("user-key\n")
    (tmp_path / "admins").write_text("admin-token\n")
    triton = transport(serve, tiny_model, "--api-key-file", tmp_path / "keys", "--admin-token-file",
                       tmp_path / "admins")
    client, texts = triton.client, [text_input(triton, TEXTS)]
    user, admin = {"authorization": "Bearer user-key"}, {"authorization": "Bearer admin-token"}
    assert client.is_server_live() and client.is_server_ready()
    for call in [lambda **more: client.infer("tiny", texts, **more), client.get_server_metadata,
                 lambda **more: client.get_model_metadata("tiny", **more),
                 lambda **more: client.get_inference_statistics("tiny", **more)]:
        for headers in [None, {"authorization": "Bearer other"}]:
            with pytest.raises(InferenceServerException) as error:
                call(headers=headers)
            assert error.value.status() in ("401", "StatusCode.UNAUTHENTICATED")
        call(headers=dict(user))
    for call in [client.get_model_repository_index, lambda **more: client.unload_model("tiny", **more),
                 lambda **more: client.load_model("tiny", **more)]:
        with pytest.raises(InferenceServerException):
            call(headers=dict(user))
        call(headers=dict(admin))
    index = plain(client.get_model_repository_index(headers=dict(admin)))
    index = index["models"] if isinstance(index, dict) else index
    assert [(m["name"], m["version"], m["state"]) for m in index] == [("tiny", "1", "READY")]
    with pytest.raises(InferenceServerException):
        client.load_model("other", headers=dict(admin))
    assert client.infer("tiny", texts, headers=dict(user)).as_numpy("logits").shape == LOGITS.shape
    client.close()


def test_grpc_limits_deadlines_and_cancelling(serve, tiny_model):
    triton = Grpc(serve, tiny_model, "--max-body-mb", 0.1, "--max-texts", 100_000)
    with pytest.raises(InferenceServerException) as error:
        triton.client.infer("tiny", [text_input(triton, ["a" * 200_000])])
    assert "RESOURCE_EXHAUSTED" in error.value.status()
    many = [text_input(triton, ["the sea"] * 5_000)]
    with pytest.raises(InferenceServerException) as error:
        triton.client.infer("tiny", many, client_timeout=0.002)
    assert "DEADLINE_EXCEEDED" in error.value.status()
    with pytest.raises(InferenceServerException) as error:
        triton.client.infer("tiny", many, timeout=1)
    assert "DEADLINE_EXCEEDED" in error.value.status()
    ended, results = threading.Event(), []
    call = triton.client.async_infer("tiny", many, lambda result, error: (results.append(error), ended.set()))
    call.cancel()
    assert ended.wait(20)
    assert triton.client.infer("tiny", [text_input(triton, TEXTS)]).as_numpy("logits").shape == LOGITS.shape
    triton.client.close()


def test_grpc_health_service_and_drain(serve, tiny_model):
    triton = Grpc(serve, tiny_model)
    health = "/grpc.health.v1.Health/Check"
    with grpc.insecure_channel(triton.address) as channel:
        check = channel.unary_unary(health)
        assert check(b"") == b"\x08\x01"  # SERVING
        assert check(b"\n\x1einference.GRPCInferenceService") == b"\x08\x01"
        with pytest.raises(grpc.RpcError) as error:
            check(b"\n\x01x")
        assert error.value.code() == grpc.StatusCode.NOT_FOUND
    triton.client.close()
    assert triton.server.stop() == 0


# Kubernetes, and the document


def test_kubernetes_probes(serve, tiny_model):
    server = serve(tiny_model)
    for path in ["/livez", "/readyz", "/health", "/ping"]:
        answer = server.request("GET", path)
        assert (answer.status, answer.body) == (200, b""), path


def test_every_route_is_in_the_document_and_every_entry_is_a_route(serve, tiny_model):
    server = serve(tiny_model)
    document = server.request("GET", "/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    assert server.request("GET", "/api-doc/openapi.json").json() == document
    named = set(re.findall(r"`(GET|POST|DELETE) (/[^`?]*)`", (TESTS.parent / "docs" / "protocols.md").read_text()))
    assert len(named) > 20
    entries = set()
    for path, methods in document["paths"].items():
        real = path.replace("{model}", "tiny").replace("{version}", "1")
        allowed = server.request("OPTIONS", real).headers["Allow"].split(", ")
        assert set(allowed) - {"HEAD", "OPTIONS"} == {method.upper() for method in methods}, path
        entries |= {(method.upper(), path) for method in methods}
    assert named <= entries, named - entries


def test_the_documents_examples_are_answered(serve, tiny_model):
    server = serve(tiny_model)
    document = server.request("GET", "/openapi.json").json()
    tried = 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"] and operation["responses"]["200"]["description"], path
            for media, body in operation.get("requestBody", {}).get("content", {}).items():
                if path == "/rerank" or "repository" in path or path == "/models":
                    continue
                example = body["example"]
                data = example.encode() if media == "text/csv" else json.dumps(example).encode()
                real = path.replace("{model}", "tiny").replace("{version}", "1")
                answer = server.request(method.upper(), real, data, {"Content-Type": media})
                assert answer.status == 200, (path, media, answer.body)
                tried += 1
    assert tried >= 7
    assert labels_of(tiny_model)[0] in json.dumps(document)
    page = server.request("GET", "/docs").body.decode()
    assert all(f"{path}</code>" in page for path in document["paths"])
    assert "http://" not in page and "https://" not in page and "<script" not in page
