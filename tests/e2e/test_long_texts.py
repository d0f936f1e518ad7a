"""Texts longer than the model's positions in windows: `predict`, `eval` and `serve`, as users start them."""

import json
import re
import threading
import time

import numpy as np
import pytest
from test_predict import predict_json
from test_protocols import Grpc, Http, one_label, post, text_input
from test_serve import MINILM, with_head
from test_tokenizer_parity import HardStrings, as_line, as_text, make_reference, vocabulary
from test_train import small, write_csv

tokenizers = pytest.importorskip("tokenizers", reason="pip install -r tests/requirements.txt")

WINDOWS = ("--long-texts", "windows")
LONG = "the sea it rained . " * 30 + "rain"  # the tiny model reads 40 tokens
OTHER = "rain it . " * 20


# Where windows begin and end, beside Hugging Face's tokenizers


@pytest.fixture(scope="module")
def all_characters(tmp_path_factory):
    """Tokens for the first plane and what follows it, so that no character hides behind [UNK]."""
    tokens = vocabulary([(0x21, 0xABFF), (0xF900, 0x11FFF), (0x1D000, 0x1FAFF)])
    folder = tmp_path_factory.mktemp("windows")
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8", newline="\n")
    return folder, make_reference(tokens, lowercase=True)


def long_cases(seed, count):
    """Hard strings in a row; of every third, a short second text. The first: CJK and emoji alone."""
    hard = HardStrings(seed)
    cases = [("".join(hard.char(name) for _ in range(700)), None) for name in ("cjk", "emoji", "kana")]
    while len(cases) < count:
        text = " ".join(as_text(hard.case()[0]) for _ in range(hard.random.randint(1, 25)))
        pair = "a second text, 你好 🙂" if len(cases) % 3 == 0 else None
        cases.append((text, pair))
    return cases


@pytest.mark.parametrize("length, stride", [(24, 0), (24, 5), (64, 16), (128, 32), (48, 25)])
def test_windows_are_those_of_the_tokenizers_library(run, all_characters, length, stride):
    folder, reference = all_characters
    reference.enable_truncation(length, stride=stride, strategy="only_first")
    cases = long_cases(length + stride, 120)
    lines = "".join(json.dumps(as_line(*case)) + "\n" for case in cases)
    done = run("tokenize", folder, "--max-length", length, *WINDOWS, "--stride", stride, stdin=lines)
    assert done.returncode == 0, done.stderr
    many = 0
    for case, line in zip(cases, done.stdout.splitlines(), strict=True):
        text, pair = case
        whole = reference.encode(text) if pair is None else reference.encode(text, pair)
        theirs = [whole, *whole.overflowing]
        mine = json.loads(line)["windows"]
        assert [w["ids"] for w in mine] == [w.ids for w in theirs], case
        assert [w["type_ids"] for w in mine] == [w.type_ids for w in theirs], case
        assert not any(w["truncated"] for w in mine)
        many += len(mine) > 2
    assert many > 60


def test_a_real_models_windows(run, minilm):
    reference = tokenizers.Tokenizer.from_file(str(minilm / "tokenizer.json"))
    reference.no_padding()
    reference.enable_truncation(512, stride=128, strategy="only_first")
    text = "Unaffable sailors: 中文字符，然後 🙂👩‍👩‍👧 " * 200
    done = run("tokenize", minilm, "--max-length", 512, *WINDOWS, "--stride", 128,
               stdin=json.dumps(text))
    assert done.returncode == 0, done.stderr
    whole = reference.encode(text)
    mine = [window["ids"] for window in json.loads(done.stdout)["windows"]]
    assert mine == [whole.ids, *(window.ids for window in whole.overflowing)] and len(mine) > 5


# Answers


def windows_of(model, text, length, stride, pair=None):
    """[(ids, type_ids)] and what each adds, as the tokenizers library has them."""
    reference = tokenizers.BertWordPieceTokenizer(str(model / "vocab.txt"))
    around = 2 if pair is None else 3 + len(reference.encode(pair, add_special_tokens=False).ids)
    size = len(reference.encode(text, add_special_tokens=False).ids)
    reference.enable_truncation(length, stride=stride, strategy="only_first")
    whole = reference.encode(text, pair)
    windows = [(each.ids, each.type_ids) for each in [whole, *whole.overflowing]]
    added = [len(windows[0][0]) - around, *(len(ids) - around - stride for ids, _ in windows[1:])]
    assert sum(added) == size
    return windows, added


def logits_of_ids(server, model, windows):
    """The logits of token ids, one request each."""
    rows = []
    for ids, types in windows:
        tensor = lambda name, data: {"name": name, "datatype": "INT64", "shape": [1, len(ids)], "data": data}
        body = {"inputs": [tensor("input_ids", ids), tensor("token_type_ids", types)],
                "outputs": [{"name": "logits"}]}
        answer = post(server, f"/v2/models/{model}/infer", body)
        assert answer.status == 200, answer.body
        rows.append(answer.json()["outputs"][0]["data"])
    return np.array(rows, dtype=np.float32)


def by_hand(logits, added, pool="mean"):
    if pool == "max":
        return logits.max(axis=0)
    return np.average(logits.astype(np.float64), axis=0, weights=added).astype(np.float32)


@pytest.mark.parametrize("pool", ["mean", "max"])
def test_logits_are_those_of_the_windows_by_hand(serve, run, tiny_model, pool):
    server = serve(tiny_model, *WINDOWS, "--stride", 7, "--pool", pool)
    windows, added = windows_of(tiny_model, LONG, 40, 7)
    expected = by_hand(logits_of_ids(server, "tiny", windows), added, pool)
    assert len(windows) > 4
    answer = server.invoke([LONG, "the sea", OTHER])
    other = windows_of(tiny_model, OTHER, 40, 7)
    assert answer.json()[0] == pytest.approx(expected, rel=1e-6, abs=1e-7)
    assert answer.json()[2] == pytest.approx(
        by_hand(logits_of_ids(server, "tiny", other[0]), other[1], pool), rel=1e-6, abs=1e-7)
    assert answer.headers["x-bertie-windows"] == str(len(windows) + 1 + len(other[0]))
    assert "x-bertie-truncated" not in answer.headers
    # The other protocols, and the program without a server.
    raw = post(server, "/predict", {"inputs": LONG, "raw_scores": True})
    scores = {each["label"]: each["score"] for each in raw.json()}
    assert [scores[label] for label in sorted(scores)] == pytest.approx(expected, rel=1e-6, abs=1e-7)
    assert int(raw.headers["x-compute-tokens"]) == sum(len(ids) for ids, _ in windows)
    tensor = {"name": "text", "datatype": "BYTES", "shape": [1], "data": [LONG]}
    v2 = post(server, "/v2/models/tiny/infer", {"inputs": [tensor], "outputs": [{"name": "logits"}]})
    assert v2.json()["outputs"][0]["data"] == pytest.approx(expected, rel=1e-6, abs=1e-7)
    assert v2.headers["x-bertie-windows"] == str(len(windows))
    lines = predict_json(run, tiny_model, *WINDOWS, "--stride", 7, "--pool", pool, LONG, "the sea")
    assert lines[0]["logits"] == pytest.approx(answer.json()[0], abs=1e-6)
    assert lines[0]["windows"] == len(windows) and "windows" not in lines[1]


def test_pairs_keep_their_second_text(serve, tiny_model):
    server = serve(tiny_model, *WINDOWS)
    pair = "it rained ."
    windows, added = windows_of(tiny_model, LONG, 40, (40 - 3 - 4) // 4, pair)
    expected = by_hand(logits_of_ids(server, "tiny", windows), added)
    parameters = {"function_to_apply": "none", "top_k": None}
    answer = server.invoke({"inputs": {"text": LONG, "text_pair": pair}, "parameters": parameters})
    scores = {each["label"]: each["score"] for each in answer.json()}
    assert [scores[label] for label in sorted(scores)] == pytest.approx(expected, rel=1e-6, abs=1e-7)
    refused = server.invoke({"inputs": [{"text": "the sea", "text_pair": LONG}]})
    assert refused.status == 400 and refused.json()["type"] == "TextTooLong"
    assert "inputs[0] has a second text of" in refused.json()["message"]
    assert "expected at most 36" in refused.json()["message"]
    tei = post(server, "/predict", {"inputs": ["the sea", LONG]})
    assert tei.status == 413 and tei.json()["error"].startswith("`inputs` has a second text of")


@pytest.mark.parametrize("protocol", [Http, Grpc])
def test_tritons_client_gets_windows(serve, tiny_model, protocol):
    triton = protocol(serve, tiny_model, *WINDOWS)
    found = triton.client.infer("tiny", [text_input(triton, [LONG, "the sea"])]).as_numpy("logits")
    assert found == pytest.approx(np.array(triton.server.invoke([LONG, "the sea"]).json()), abs=1e-6)
    triton.client.close()


def test_rerank_cuts_its_long_texts(serve, tiny_model, tmp_path):
    model = one_label(tiny_model, tmp_path / "reranker")
    body = {"query": "the sea", "texts": [LONG, "it rained"]}
    windows, cut = post(serve(model, *WINDOWS), "/rerank", body), post(serve(model), "/rerank", body)
    assert windows.status == 200 and windows.json() == cut.json()


def test_vertex_reads_texts_in_windows_and_cuts_what_it_ranks(serve, tiny_model, tmp_path):
    server = serve(one_label(tiny_model, tmp_path / "reranker"), *WINDOWS)
    ranking = {"query": "the sea", "texts": [LONG, "it rained"]}
    answer = post(server, "/vertex", {"instances": [LONG, ranking]})
    assert answer.status == 200, answer.body
    assert answer.json()["predictions"] == [post(server, "/predict", {"inputs": LONG}).json(),
                                            post(server, "/rerank", ranking).json()]
    refused = post(server, "/vertex", {"instances": ["a", {"inputs": ["the sea", LONG]}]})
    assert refused.status == 413
    assert refused.json()["error"].startswith("instances[1]: `inputs` has a second text of")


def test_a_text_that_fits_is_as_it_was(serve, tiny_model):
    texts = ["the sea", "", "it rained . " * 9, "a b c"]
    windows, cut = serve(tiny_model, *WINDOWS), serve(tiny_model)
    answer = windows.invoke(texts)
    assert answer.body == cut.invoke(texts).body
    assert "x-bertie-windows" not in answer.headers
    assert "x-bertie-truncated" not in answer.headers


def test_a_request_may_have_its_texts_cut_and_windows_are_counted(serve, tiny_model):
    server, cut = serve(tiny_model, *WINDOWS), serve(tiny_model)
    asked = server.invoke({"inputs": LONG, "parameters": {"truncation": True}})
    assert asked.json() == cut.invoke({"inputs": LONG}).json()
    assert asked.headers["x-bertie-truncated"] == "1" and "x-bertie-windows" not in asked.headers
    # Windows cut nothing, so that whoever forbids it has his answer.
    kept = server.invoke({"inputs": LONG, "parameters": {"truncation": False}})
    assert kept.status == 200 and kept.json() == server.invoke({"inputs": LONG}).json()
    assert post(server, "/predict", {"inputs": LONG, "truncate": False}).status == 200
    smaller = server.invoke({"inputs": LONG, "parameters": {"max_length": 10}})
    assert int(smaller.headers["x-bertie-windows"]) > 20
    metrics = server.request("GET", "/metrics").body.decode()
    assert 'bertie_windowed_total{model="tiny",version="1"} 4\n' in metrics
    assert 'bertie_truncated_total{model="tiny",version="1"} 1\n' in metrics
    assert server.request("GET", "/info").json()["auto_truncate"] is False


def test_tokens_of_a_request_are_limited(serve, tiny_model):
    server = serve(tiny_model, *WINDOWS, "--max-queue-tokens", 500)
    assert server.invoke(LONG).status == 200
    refused = server.invoke(LONG * 3)
    assert refused.status == 413 and refused.json()["type"] == "TooManyTokens"
    assert "windows; the limit is 500" in refused.json()["message"]
    assert server.invoke([LONG] * 3).status == 413
    # Overlaps of all but a token: refused before the windows are made.
    greedy = serve(tiny_model, *WINDOWS, "--stride", 37)
    begin = time.monotonic()
    assert greedy.invoke("the sea " * 500_000).status == 413
    assert time.monotonic() - begin < 20


def test_environment_variables_stand_for_the_flags(serve, tiny_model, monkeypatch):
    for name, value in (("BERTIE_LONG_TEXTS", "windows"), ("BERTIE_STRIDE", "7"), ("BERTIE_POOL", "max")):
        monkeypatch.setenv(name, value)
    found = serve(tiny_model).invoke(LONG)
    for name in ("BERTIE_LONG_TEXTS", "BERTIE_STRIDE", "BERTIE_POOL"):
        monkeypatch.delenv(name)
    told = serve(tiny_model, *WINDOWS, "--stride", 7, "--pool", "max").invoke(LONG)
    assert found.body == told.body and found.headers["x-bertie-windows"] == told.headers["x-bertie-windows"]


@pytest.mark.parametrize("variables, flags, header", [
    ({"LONG_TEXTS": "windows"}, ["--no-truncate"], None),
    ({"LONG_TEXTS": "cut", "STRIDE": "7"}, ["--no-truncate"], None),
    ({"LONG_TEXTS": "windows", "STRIDE": "7", "POOL": "max"}, ["--long-texts", "cut"], "x-bertie-truncated"),
    ({"STRIDE": "7"}, [], "x-bertie-truncated"),
    ({"POOL": "max"}, [], "x-bertie-truncated"),
    ({"LONG_TEXTS": "refuse"}, [*WINDOWS, "--stride", 7], "x-bertie-windows"),
    ({"LONG_TEXTS": "windows"}, ["--stride", 7], "x-bertie-windows"),
    ({"LONG_TEXTS": "windows", "STRIDE": "9"}, ["--stride", 7], "x-bertie-windows"),
    ({"STRIDE": "7"}, WINDOWS, "x-bertie-windows"),
])
def test_flags_overrule_variables(serve, tiny_model, monkeypatch, variables, flags, header):
    for name, value in variables.items():
        monkeypatch.setenv(f"BERTIE_{name}", value)
    answer = serve(tiny_model, *flags).invoke(LONG)
    assert answer.status == (200 if header else 400), answer.body
    found = {name: value for name, value in answer.headers.items()
             if name.lower() in ("x-bertie-truncated", "x-bertie-windows")}
    windows = str(len(windows_of(tiny_model, LONG, 40, 7)[0]))
    assert found == ({header: windows if header == "x-bertie-windows" else "1"} if header else {})


@pytest.mark.parametrize("variable", [None, "windows"])
def test_flags_that_contradict_each_other(run, tiny_model, monkeypatch, variable):
    if variable:
        monkeypatch.setenv("BERTIE_LONG_TEXTS", variable)
    for flags, words in ((["--no-truncate", *WINDOWS], "--no-truncate excludes --long-texts"),
                         (["--no-truncate", "--stride", "7"], "--stride is of texts in windows"),
                         (["--long-texts", "cut", "--pool", "max"], "--pool is of texts in windows")):
        done = run("serve", tiny_model, "--port", 0, *flags)
        assert done.returncode == 2 and words in done.stderr, done.stderr


@pytest.mark.parametrize("name, value, words", [
    ("BERTIE_STRIDE", "many", "BERTIE_STRIDE: "),
    ("BERTIE_STRIDE", "-1", "BERTIE_STRIDE: "),
    ("BERTIE_STRIDE", "38", "BERTIE_STRIDE: a text cannot be read in windows of 40 tokens that overlap by 38"),
    ("BERTIE_LONG_TEXTS", "split", "BERTIE_LONG_TEXTS: "),
    ("BERTIE_POOL", "sum", "BERTIE_POOL: "),
    ("SAGEMAKER_BIND_TO_PORT", "http", "Could not convert: SAGEMAKER_BIND_TO_PORT = http"),
])
def test_errors_name_the_variable_that_the_value_came_by(run, tiny_model, monkeypatch, name, value, words):
    monkeypatch.setenv("BERTIE_LONG_TEXTS", "windows")
    monkeypatch.setenv(name, value)
    done = run("serve", tiny_model)
    assert done.returncode == 2 and words in done.stderr, done.stderr
    assert "--stride" not in done.stderr and "--pool" not in done.stderr and "--long-texts" not in done.stderr


def test_errors_name_the_flag_that_overrules_a_variable(run, tiny_model, monkeypatch):
    monkeypatch.setenv("BERTIE_STRIDE", "7")
    for value, words in (("x", "--stride: Value x"), ("38", "--stride: a text cannot be read")):
        done = run("serve", tiny_model, *WINDOWS, "--stride", value)
        assert done.returncode == 2 and words in done.stderr, done.stderr
        assert "BERTIE_STRIDE" not in done.stderr


def test_refusing_has_two_names(serve, tiny_model):
    for flags in (["--long-texts", "refuse"], ["--no-truncate"]):
        assert serve(tiny_model, *flags).invoke(LONG).status == 400


@pytest.mark.parametrize("command", ["predict", "serve", "tokenize"])
@pytest.mark.parametrize("flags, words", [
    (["--stride", "7"], "--stride is of texts in windows; give --long-texts windows too"),
    ([*WINDOWS, "--max-length", "40", "--stride", "38"],
     "--stride: a text cannot be read in windows of 40 tokens that overlap by 38 (the stride); "
     "expected an overlap under 38"),
    (["--long-texts", "split"], "--long-texts"),
])
def test_flags_that_make_no_sense(run, tiny_model, command, flags, words):
    more = {"predict": ["a"], "serve": ["--port", 0], "tokenize": []}[command]
    done = run(command, tiny_model, *more, *flags, stdin='"a"\n')
    assert done.returncode != 0 and words in done.stderr, done.stderr


@pytest.fixture
def label_pairs(run, tiny_model, tmp_path):
    """label_pairs(lines, *flags) -> the finished process and its answers."""
    def label(lines, *flags):
        (tmp_path / "pairs.jsonl").write_text("".join(f"{line}\n" for line in lines))
        done = run("predict", tiny_model, *WINDOWS, "--file", tmp_path / "pairs.jsonl", "--format", "json",
                   "--text-column", "text", "--pair-column", "pair", *flags)
        return done, [json.loads(line) for line in done.stdout.splitlines()]

    return label


GOOD = [json.dumps({"text": text, "pair": "it rained"}) for text in ("a", "b", "c", "d", LONG, "e")]
NO_ROOM = json.dumps({"text": "the sea", "pair": "the sea " * 30})


def test_rows_before_one_without_room_for_windows_are_answered(label_pairs):
    done, answers = label_pairs([*GOOD[:5], NO_ROOM, GOOD[5]])
    assert done.returncode == 1
    assert "text 6 has a second text of 60 tokens, kept whole in windows of 40" in done.stderr
    assert answers == label_pairs(GOOD[:5])[1] and len(answers) == 5 and answers[4]["windows"] > 4


def test_rows_without_room_for_windows_are_skipped_like_others(label_pairs):
    good = label_pairs(GOOD)[1]
    assert len(good) == 6
    for lines, first in (([*GOOD[:5], NO_ROOM, GOOD[5]], "text 6 has a second text"),
                         ([NO_ROOM, *GOOD[:3], "{", *GOOD[3:], NO_ROOM], "text 1 has a second text"),
                         ([GOOD[0], "{", NO_ROOM, *GOOD[1:]], "pairs.jsonl:2"),
                         ([GOOD[0], NO_ROOM, "{", "{", *GOOD[1:]], "text 2 has a second text")):
        done, answers = label_pairs(lines, "--skip-bad")
        assert done.returncode == 0, done.stderr
        assert answers == good
        assert f"left out {len(lines) - len(good)} bad rows; the first: " in done.stderr
        assert first in done.stderr
    done, answers = label_pairs([NO_ROOM, NO_ROOM], "--skip-bad")
    assert (done.returncode, answers) == (0, [])
    assert "left out 2 bad rows" in done.stderr


@pytest.fixture
def eval_pairs(run, tiny_model, tmp_path):
    """eval_pairs(lines, *flags) -> the finished process."""
    def evaluate(lines, *flags):
        (tmp_path / "pairs.jsonl").write_text("".join(f"{line}\n" for line in lines))
        return run("eval", tiny_model, *WINDOWS, tmp_path / "pairs.jsonl", "--text-column", "text",
                   "--pair-column", "pair", "--label-column", "label", *flags)

    return evaluate


def labelled(pair, label):
    return json.dumps({"text": "the sea", "pair": pair, "label": label})


def test_eval_ends_at_a_row_without_room_for_windows(eval_pairs):
    done = eval_pairs([labelled("it", 0), labelled("the sea " * 30, 1)])
    assert done.returncode == 1 and "text 2 has a second text of 60 tokens" in done.stderr, done.stderr


def test_eval_skips_rows_without_room_for_windows_like_others(eval_pairs):
    good = [labelled("it", 0), labelled("rain", 1), labelled("it rained", 1)]
    no_room = labelled("the sea " * 30, 1)
    expected = json.loads(eval_pairs(good, "--json").stdout)
    lines = [good[0], no_room, good[1], "{", no_room, good[2]]
    done = eval_pairs(lines, "--json", "--skip-bad")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["examples"], found["skipped"], found["skipped_lines"]) == (3, 3, [2, 4, 5])
    for same in ("accuracy", "labels", "confusion", "windowed"):
        assert found[same] == expected[same]
    shown = eval_pairs(lines, "--skip-bad").stdout
    assert "rows: 3, bad rows left out: 3" in shown and "'LABEL_0' 1, 'LABEL_1' 2" in shown
    assert re.findall(r"left out: (?:\S*pairs.jsonl:|text )(\d+)", shown) == ["2", "4", "5"], shown
    done = eval_pairs([no_room, no_room], "--skip-bad")
    assert done.returncode == 1 and "pairs.jsonl: found no usable row" in done.stderr, done.stderr


def test_one_rows_windows_cannot_fill_the_memory(label_pairs):
    # Overlaps of all but a token.
    huge = json.dumps({"text": "." * 500_000, "pair": "it"})
    done, answers = label_pairs([GOOD[0], huge, GOOD[1]], "--stride", 35, "--skip-bad")
    assert done.returncode == 0, done.stderr
    assert [answer["text"] for answer in answers] == ["a", "b"]
    assert "text 2 has " in done.stderr and "windows; the limit is 16777216" in done.stderr


# What it is for


@pytest.fixture(scope="module")
def decided_by_a_word(run, tiny_model, tmp_path_factory):
    """A classifier of texts that one sentence decides; without it, one is as likely as the other."""
    folder = tmp_path_factory.mktemp("decided")
    filler = ["the", "it", "the it", "it the it", "the it the it the it"]
    rows = [f"{before} {word} {after},{label}" for before in filler for after in filler
            for word, label in (("sea sea sea", "calm"), ("rain rain rain", "storm"))]
    rows += [f"{words} {words},{label}" for words in filler for label in ("calm", "storm")] * 4
    done = run("train", "--model", tiny_model, "--train", write_csv(folder / "train.csv", rows),
               "--out", folder / "model", *small("--epochs", 30, "--lr", "2e-3"))
    assert done.returncode == 0, done.stderr
    return folder / "model"


def documents():
    """Rows of text and label: only the last sentence tells."""
    return [(("the it " * size) + end, label) for size in (40, 50, 60, 75)
            for end, label in (("sea sea sea", "calm"), ("rain rain rain", "storm"))]


def test_the_last_sentence_of_a_long_document_decides(run, serve, decided_by_a_word, tmp_path):
    texts, labels = zip(*documents())
    server = serve(decided_by_a_word, *WINDOWS)
    answers = server.invoke({"inputs": list(texts)})
    assert [answer["label"] for answer in answers.json()] == list(labels)
    cut = serve(decided_by_a_word).invoke({"inputs": list(texts)}).json()
    assert [answer["label"] for answer in cut] != list(labels)
    assert cut[0] == cut[1], "what is left of both is the same"
    data = write_csv(tmp_path / "test.csv", [f"{text},{label}" for text, label in documents()])
    evaluate = lambda *flags: json.loads(run("eval", decided_by_a_word, data, "--json", *flags).stdout)
    windows, cut = evaluate(*WINDOWS), evaluate()
    assert (windows["accuracy"], windows["windowed"], windows["truncated"]) == (1.0, 8, 0)
    assert (cut["accuracy"], cut["windowed"], cut["truncated"]) == (0.5, 0, 8)
    shown = run("eval", decided_by_a_word, data, *WINDOWS)
    assert "8 of them read in " in shown.stdout and " windows of 40 tokens" in shown.stdout
    told = run("predict", decided_by_a_word, *WINDOWS, texts[0], "the sea")
    assert "1 of 2 texts read in 3 windows of 40 tokens" in told.stderr


def test_a_long_document_holds_up_nobody(serve, minilm, tmp_path):
    server = serve(with_head(minilm, tmp_path / "model", MINILM), *WINDOWS, wait=60)
    server.invoke("A warm and funny film.")  # the first is slower
    ended = {}

    def ask(name, text):
        answer = server.invoke(text)
        assert answer.status == 200, answer.body
        ended[name] = time.monotonic()

    def waiting():
        metrics = server.request("GET", "/metrics").body.decode()
        return int(re.search(r"^bertie_queue_tokens\{.*\} (\d+)$", metrics, re.M)[1])

    document = threading.Thread(target=ask, args=("document", "A warm and funny film. " * 5000))
    document.start()
    while waiting() == 0:
        assert document.is_alive()
    ask("sentence", "A warm and funny film.")
    left = waiting()
    document.join()
    assert ended["sentence"] < ended["document"]
    assert left > 10_000, "it had its turn amid the document's windows"
