"""The page of `bertie serve`, as people use it: a real Chromium."""

import json
import re
import shlex
import signal
import subprocess

import pytest

TEXT = "Somebody just left - guess who."
LONG = "the film was very long " * 40  # the model reads 40 tokens


def origin(server):
    return f"http://127.0.0.1:{server.port}"


@pytest.fixture
def tiny(serve, tiny_model):
    return serve(tiny_model)


def many_labels(tiny_model, folder, count):
    """The tiny model with another head: names long and short, weights from a fixed sequence."""
    import struct

    folder.mkdir()
    for file in tiny_model.iterdir():
        if file.is_file():
            (folder / file.name).write_bytes(file.read_bytes())
    names = ["a label with quite a few words in it, more than fit into a line of a phone", "x" * 70,
             *(f"topic {i}" for i in range(2, count))]
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = dict(enumerate(names))
    config["label2id"] = {name: i for i, name in enumerate(names)}
    (folder / "config.json").write_text(json.dumps(config))
    blob = (folder / "model.safetensors").read_bytes()
    size = struct.unpack("<Q", blob[:8])[0]
    header, data, out = json.loads(blob[8:8 + size]), blob[8 + size:], b""
    for name, tensor in header.items():
        if name == "__metadata__":
            continue
        begin, end = tensor["data_offsets"]
        part = data[begin:end]
        if name.startswith("classifier."):
            tensor["shape"][0] = count
            numbers = count * (tensor["shape"][1] if len(tensor["shape"]) > 1 else 1)
            part = struct.pack(f"<{numbers}f", *(((i * 7919) % 101 - 50) / 40 for i in range(numbers)))
        tensor["data_offsets"] = [len(out), len(out) + len(part)]
        out += part
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + out)
    return folder


def test_the_page_is_for_browsers_alone(tiny):
    page = tiny.request("GET", "/", headers={"Accept": "text/html"})
    assert page.status == 200 and page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert tiny.request("GET", "/", headers={"Accept": "text/html", "If-None-Match": page.headers["ETag"]}).status == 304
    script = tiny.request("GET", "/ui/playground/playground.js")
    assert script.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert tiny.request("GET", "/", headers={"Accept": "application/json"}).body == b""


def test_no_playground_turns_it_off(serve, tiny_model):
    server = serve(tiny_model, "--no-playground")
    assert "<title>" not in server.request("GET", "/", headers={"Accept": "text/html"}).body.decode()
    for path in ("/ui/playground/playground.js", "/ui/models"):
        assert server.request("GET", path).status == 404


def test_a_sentence_gets_its_scores_tokens_and_times(tiny, open_tab):
    tab = open_tab(origin(tiny))
    tab.sees("#status", "Ready")
    tab.fill("#text", TEXT)
    tab.click("#classify")
    tab.sees("#best", "LABEL_")
    expected = tiny.invoke({"inputs": TEXT, "parameters": {"top_k": None}}).json()
    assert tab.locator("#bars .label").all_inner_texts() == [one["label"] for one in expected]
    shown = [float(text.strip("% ")) for text in tab.locator("#bars .value").all_inner_texts()]
    assert shown == [pytest.approx(100 * one["score"], abs=0.06) for one in expected]
    tokens = tab.locator("#tokens li").all_inner_texts()
    assert tokens[0] == "[CLS]" and tokens[-1] == "[SEP]" and "".join(tokens).count("guess") <= 1
    assert tab.locator("#cut-note").count() == 0
    assert [re.sub(r" [\d.]+ .*", "", text) for text in tab.locator(".phases li").all_inner_texts()] == [
        "tokenize", "queue", "compute", "network and browser"]
    tab.sees("#announcer", f"^{expected[0]['label']}, ")
    # The same by curl.
    command = shlex.split(tab.locator("#curl").inner_text().replace("\\\n", " "))
    done = subprocess.run(["curl", "-sS", *command[1:]], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == expected
    # Again from the last answers.
    tab.fill("#text", "")
    tab.click("#history button")
    tab.sees("#text", "")
    assert tab.input_value("#text") == TEXT
    tab.until("document.querySelectorAll('#history li').length === 2")
    tab.reload()
    assert tab.locator("#history li").count() == 2
    tab.check()


def test_what_is_cut_off_is_told(tiny, open_tab):
    tab = open_tab(origin(tiny))
    tab.fill("#text", LONG)
    tab.click("#classify")
    tab.sees("#cut-note", r"takes 40 tokens; the last \d+ were cut off")
    assert tab.locator("#tokens .cut").count() > 50
    assert tab.locator("#tokens li:not(.cut)").count() == 40
    tab.sees("#announcer", "truncated")
    tab.check()


def test_what_is_read_in_windows_is_not_cut_off(serve, tiny_model, open_tab):
    tab = open_tab(origin(serve(tiny_model, "--long-texts", "windows")))
    tab.fill("#text", LONG)
    tab.click("#classify")
    tab.sees("#token-legend", r"\d+, read in \d+ windows")
    assert tab.locator("#cut-note").count() == tab.locator("#tokens .cut").count() == 0
    tab.sees("#announcer", "LABEL_")
    assert "truncated" not in tab.locator("#announcer").inner_text()
    tab.check()


def test_pairs(tiny, open_tab):
    tab = open_tab(origin(tiny))
    tab.fill("#text", "the film")
    tab.click("#pair-toggle")
    assert tab.evaluate("document.activeElement.id") == "pair"
    tab.fill("#pair", "was long")
    tab.keyboard.press("Control+Enter")
    tab.sees("#best", "LABEL_")
    assert tab.locator("#tokens .second").count() >= 2
    expected = tiny.invoke({"inputs": {"text": "the film", "text_pair": "was long"}, "parameters": {"top_k": None}}).json()
    assert tab.locator("#bars .label").all_inner_texts() == [one["label"] for one in expected]
    tab.check()


def test_the_keyboard_alone_does_everything(tiny, open_tab):
    tab = open_tab(origin(tiny))
    tab.sees("#status", "Ready")
    stops = []
    for _ in range(40):
        tab.keyboard.press("Tab")
        stop = tab.evaluate("""() => { const node = document.activeElement, style = getComputedStyle(node);
            return [node === document.body ? "" : node.id || node.textContent.trim().slice(0, 20), style.outlineStyle !== "none" && style.outlineWidth !== "0px"]; }""")
        if stop[0] == "" or stop in stops[:1]:  # all round
            break
        stops.append(stop)
        if stop[0] == "text":
            tab.keyboard.type("a film")
        if stop[0] == "classify":
            tab.keyboard.press("Enter")
            tab.sees("#best", "LABEL_")
    names = [name for name, _ in stops]
    assert [name for name in names if name in ("text", "classify", "pair-toggle", "tokens", "curl-copy", "live-pause")] == [
        "text", "classify", "pair-toggle", "tokens", "curl-copy", "live-pause"]
    assert all(visible for _, visible in stops), stops
    # Charts are read off by arrows.
    tab.until("document.querySelectorAll('.plot path.trace').length > 0")
    tab.locator(".plot").first.focus()
    tab.keyboard.press("ArrowLeft")
    tab.sees(".readout", "answered")
    tab.check()


def test_refusals_and_a_server_that_goes_and_comes(serve, tiny_model, bertie, open_tab):
    server = serve(tiny_model, "--no-truncate")
    tab = open_tab(origin(server))
    tab.sees("#status", "Ready")
    tab.click("#classify")
    tab.sees("#form-error", "Type a text first")
    assert tab.evaluate("document.activeElement.id") == "text"
    tab.fill("#text", LONG)
    tab.click("#classify")
    tab.sees("#form-error", "The server refused: inputs has .* tokens; the limit is 40")
    server.stop(signal.SIGKILL)
    tab.sees("#status", "Unreachable")
    tab.sees("#trouble", "cannot be reached")
    tab.fill("#text", "a film")
    tab.click("#classify")
    tab.sees("#form-error", "cannot be reached")
    again = subprocess.Popen([str(bertie), "serve", str(tiny_model), "--port", str(server.port)],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        tab.sees("#status", "Ready", wait=20_000)
        assert not tab.locator("#trouble").is_visible()
        tab.click("#classify")
        tab.sees("#best", "LABEL_")
    finally:
        again.terminate()
        again.wait(35)
    tab.check(allow="ERR_CONNECTION|status of 400|net::ERR|ERR_EMPTY|503")


def test_a_server_that_asks_for_a_key(serve, tiny_model, tmp_path, open_tab):
    (tmp_path / "keys").write_text("the-right-key\n")
    server = serve(tiny_model, "--api-key-file", tmp_path / "keys")
    tab = open_tab(origin(server))
    tab.sees("#status", "Key needed")
    tab.fill("#key", "a-wrong-key")
    tab.keyboard.press("Enter")
    tab.sees("#key-error", "does not know this key")
    tab.fill("#key", "the-right-key")
    tab.keyboard.press("Enter")
    tab.sees("#status", "Ready")
    assert not tab.locator("#key").is_visible()
    tab.fill("#text", "a film")
    tab.keyboard.press("Control+Enter")
    tab.sees("#best", "LABEL_")
    assert tab.locator("#tokens li").count() > 2
    assert "the-right-key" not in tab.content() and "$BERTIE_API_KEY" in tab.locator("#curl").inner_text()
    tab.reload()
    tab.sees("#status", "Ready")
    tab.check(allow="status of 401")


def test_several_models(serve, tiny_model, tmp_path, open_tab):
    server = serve(f"first={tiny_model}", f"many={many_labels(tiny_model, tmp_path / 'many', 20)}")
    tab = open_tab(origin(server))
    tab.sees("#status", "Ready")
    assert tab.locator("#model option").all_inner_texts() == ["first", "many"]
    tab.fill("#text", "a film")
    tab.click("#classify")
    tab.sees("#result-model", "first")
    tab.select_option("#model", "many")
    tab.sees("#about", "20 labels")
    tab.click("#classify")
    tab.sees("#result-model", "many")
    command = shlex.split(tab.locator("#curl").inner_text().replace("\\\n", " "))
    done = subprocess.run(["curl", "-sS", *command[1:]], capture_output=True, text=True, check=True)
    assert len(json.loads(done.stdout)) == 20
    tab.check()


def test_what_is_asked_while_an_answer_is_awaited(serve, tiny_model, tmp_path, open_tab):
    server = serve(f"first={tiny_model}", f"many={many_labels(tiny_model, tmp_path / 'many', 20)}")
    tab = open_tab(origin(server))
    tab.sees("#status", "Ready")
    asked, held = [], tab.hold("**/invocations")
    tab.on("request", lambda request: request.url.endswith("/ui/tokens") and asked.append(request.post_data_json))
    tab.fill("#text", "a film")
    tab.keyboard.press("Control+Enter")
    tab.keyboard.press("Control+Enter")
    held.wait()
    tab.sees("#classify", "Classifying")
    tab.select_option("#model", "many")
    tab.fill("#text", "the sea")
    tab.keyboard.press("Control+Enter")
    held.release()
    tab.sees("#result-model", "many")
    tab.sees("#classify", "Classify$")
    # Each with the model that it was asked of, and nothing twice.
    assert asked == [{"text": "a film", "model": "first"}, {"text": "the sea", "model": "many"}]
    assert [text.split("\n")[0] for text in tab.locator("#history li").all_inner_texts()] == ["the sea", "a film"]
    tab.check()


def test_a_late_refusal_does_not_undo_the_key(serve, tiny_model, tmp_path, open_tab):
    (tmp_path / "keys").write_text("the-right-key\n")
    tab = open_tab(origin(serve(tiny_model, "--api-key-file", tmp_path / "keys")), clock=True)
    tab.sees("#status", "Key needed")
    held = tab.hold("**/ui/models", lambda request: "authorization" not in request.headers)
    for _ in range(60):  # the page looks at the models now and then
        if held.routes:
            break
        tab.clock.run_for(1000)
        tab.wait_for_timeout(20)
    assert len(held.routes) == 1
    tab.fill("#key", "the-right-key")
    tab.keyboard.press("Enter")
    tab.wait_for_timeout(300)
    with tab.expect_response("**/ui/models"):
        held.release()
    tab.wait_for_timeout(300)
    tab.sees("#status", "Ready", wait=3_000)  # sooner than the page looks again
    assert not tab.locator("#key").is_visible()
    tab.check(allow="status of 401")


def test_live_metrics_move(tiny, open_tab):
    tab = open_tab(origin(tiny))
    tab.sees("#status", "Ready")
    tab.until("document.querySelectorAll('.plot .trace').length > 0")
    for _ in range(30):
        tiny.invoke(["a film", "another"])
    label = "[...document.querySelectorAll('.plot')].map(node => node.getAttribute('aria-label'))"
    tab.until(f"/Latest: answered [1-9]/.test({label}[0]) || /Highest: answered [1-9]/.test({label}[0])")
    requests, latency, queue, batch, memory = tab.evaluate(label)
    assert "p99 " in latency and "Highest: p50 –" not in latency
    assert "waiting" in queue and "texts" in batch and re.search(r"resident [\d.]+ MB", memory)
    tab.click("#live-pause")
    assert tab.get_attribute("#live-pause", "aria-pressed") == "true"
    tab.check()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_150_labels_on_a_phone(serve, tiny_model, tmp_path, open_tab, scheme):
    server = serve(many_labels(tiny_model, tmp_path / "many", 150))
    tab = open_tab(origin(server), color_scheme=scheme, reduced_motion="reduce")
    tab.set_viewport_size({"width": 360, "height": 780})
    assert tab.overflow() <= 0
    tab.fill("#text", LONG)
    tab.click("#classify")
    tab.sees("#cut-note", "cut off")
    assert tab.locator("#bars li").count() == 10
    tab.get_by_role("button", name="Show all 150 labels").click()
    assert tab.locator("#bars li").count() == 150
    assert tab.overflow() <= 0
    tab.fill("#label-filter", "quite a few")
    assert tab.locator("#bars li").count() == 1
    tab.fill("#label-filter", "")
    worst = tab.contrasts()
    assert worst["ratio"] >= 4.5, worst
    dark = tab.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (dark == "rgb(246, 247, 249)") == (scheme == "light")
    assert tab.evaluate("getComputedStyle(document.querySelector('.bar > i')).transitionDuration") == "0s"
    tab.check()
