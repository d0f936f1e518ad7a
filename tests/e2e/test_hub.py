"""Models from a hub: `bertie pull`, `bertie models`, and a model's name wherever a folder does.

Against hub_server.py, and with the huggingface_hub client from PyPI on the same cache.
"""

import json
import os
import pathlib
import pty
import random
import re
import shutil
import socket
import struct
import subprocess
import sys
import time

import pytest

from hub_server import HubServer, Model, etag_of

FILES = ("config.json", "model.safetensors", "vocab.txt", "tokenizer.json", "tokenizer_config.json",
         "special_tokens_map.json")


def read_model(folder):
    return {name: (folder / name).read_bytes() for name in FILES if (folder / name).is_file()}


@pytest.fixture(scope="module")
def tiny(tiny_model):
    return read_model(tiny_model) | {"README.md": b"# Tiny\n", "training_args.bin": b"\x80\x04code"}


@pytest.fixture
def hub(tiny):
    server = HubServer()
    server.models["org/tiny"] = Model(dict(tiny), refs=["v1", "refs/pr/1"])
    yield server
    server.close()


class Place:
    """A user's home with a cache."""

    def __init__(self, folder, bertie, url):
        self.folder, self.bertie = folder, bertie
        self.cache = folder / "hf" / "hub"
        self.env = {"PATH": os.environ["PATH"], "HOME": str(folder), "HF_ENDPOINT": url,
                    "HF_HOME": str(folder / "hf"), "HF_HUB_DISABLE_XET": "1",
                    "HF_HUB_DISABLE_TELEMETRY": "1"}

    def run(self, *arguments, stdin="", **env):
        return subprocess.run([str(self.bertie), *map(str, arguments)], env=self.env | env, input=stdin,
                              cwd=self.folder, text=True, capture_output=True, timeout=60)

    def start(self, *arguments, **env):
        return subprocess.Popen([str(self.bertie), *map(str, arguments)], env=self.env | env,
                                cwd=self.folder, text=True, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def python(self, script, **env):
        """The last line that huggingface_hub's caller prints, as JSON."""
        done = subprocess.run([sys.executable, "-W", "error", "-c", script], env=self.env | env,
                              text=True, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def blobs(self, model="models--org--tiny"):
        return {path.name for path in (self.cache / model / "blobs").iterdir()}

    def tree(self, model="models--org--tiny"):
        """Paths with what they hold: a link's target, a ref's commit, a blob's size."""
        top = self.cache / model
        found = {}
        for path in sorted(top.rglob("*")):
            name = str(path.relative_to(top))
            if name.split("/")[0] in ("trees", ".no_exist"):
                continue
            if path.is_symlink():
                found[name] = os.readlink(path)
            elif path.is_file():
                found[name] = path.read_text() if name.startswith("refs/") else path.stat().st_size
        return found


@pytest.fixture
def place(tmp_path, bertie, hub):
    return Place(tmp_path, bertie, hub.url)


WANTED = [*FILES, "README.md"]
SNAPSHOT = """
import json, huggingface_hub
print(json.dumps(huggingface_hub.snapshot_download("org/tiny", allow_patterns=%r)))
""" % (WANTED,)
SCAN = """
import json, huggingface_hub
info = huggingface_hub.scan_cache_dir()
print(json.dumps({"warnings": [str(w) for w in info.warnings],
                  "repos": {r.repo_id: {"size": r.size_on_disk,
                            "refs": {v.commit_hash: sorted(v.refs) for v in r.revisions}}
                            for r in info.repos}}))
"""


def fails(done, *words, code=1):
    assert done.returncode == code, (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr
    line = done.stderr.strip().splitlines()[-1]
    for word in words:
        assert word in line, line
    return line


class TestCache:
    """One cache with Python."""

    def test_same_layout_as_python(self, place, hub, tmp_path, bertie):
        done = place.run("pull", "org/tiny")
        assert done.returncode == 0, done.stderr
        assert "next: bertie predict org/tiny TEXT" in done.stdout
        other = Place(tmp_path / "python", bertie, hub.url)
        other.folder.mkdir()
        other.python(SNAPSHOT)
        assert place.tree() == other.tree()
        assert "training_args.bin" not in str(place.tree())
        commit = hub.models["org/tiny"].refs["main"]
        assert place.tree()["refs/main"] == commit
        assert (place.cache / "models--org--tiny/.no_exist" / commit / "added_tokens.json").is_file()

    def test_python_reads_what_bertie_wrote(self, place, hub, tiny):
        assert place.run("pull", "org/tiny").returncode == 0
        before, sent = len(hub.requests), dict(hub.sent)
        path = place.python(SNAPSHOT, HF_HUB_OFFLINE="1")
        assert len(hub.requests) == before
        assert (pathlib.Path(path) / "model.safetensors").read_bytes() == tiny["model.safetensors"]
        scan = place.python(SCAN)
        commit = hub.models["org/tiny"].refs["main"]
        assert scan == {"warnings": [], "repos": {"org/tiny": {
            "size": sum(len(tiny[name]) for name in WANTED if name in tiny), "refs": {commit: ["main"]}}}}
        place.python(SNAPSHOT)  # online: it asks, and fetches nothing again
        assert hub.sent == sent

    def test_bertie_reads_what_python_wrote(self, place, hub):
        place.python(SNAPSHOT)
        sent = dict(hub.sent)
        before = len(hub.requests)
        done = place.run("predict", "org/tiny", "A text.", HF_HUB_OFFLINE="1")
        assert done.returncode == 0, done.stderr
        assert len(hub.requests) == before
        done = place.run("pull", "org/tiny")
        assert "all here already" in done.stdout
        assert hub.sent == sent

    def test_revisions(self, place, hub, tiny):
        model = hub.models["org/tiny"]
        newer = model.add("main", tiny | {"README.md": b"# Newer\n"})
        assert place.run("pull", "org/tiny", "--revision", "refs/pr/1").returncode == 0
        assert place.run("pull", "org/tiny@v1").returncode == 0
        sent = sum(hub.sent.values())
        done = place.run("pull", "org/tiny", "--json")
        assert json.loads(done.stdout)["commit"] == newer
        assert json.loads(done.stdout)["fetched_bytes"] == len(b"# Newer\n")
        assert sum(hub.sent.values()) == sent + len(b"# Newer\n")
        tree = place.tree()
        assert tree["refs/main"] == newer != tree["refs/v1"] == tree["refs/refs/pr/1"]
        assert place.run("pull", "org/tiny", "--revision", newer).returncode == 0
        assert place.python(SCAN)["warnings"] == []

    def test_a_moved_branch(self, place, hub, tiny):
        assert place.run("pull", "org/tiny").returncode == 0
        newer = hub.models["org/tiny"].add("main", tiny | {"README.md": b"# Newer\n"})
        before = len(hub.requests)
        done = place.run("info", "org/tiny", "--json")  # what is here is used, and the hub not asked
        assert done.returncode == 0 and len(hub.requests) == before
        assert place.run("pull", "org/tiny").returncode == 0
        assert place.tree()["refs/main"] == newer

    def test_renamed_on_the_hub(self, place, hub):
        hub.renamed["tiny"] = "org/tiny"
        assert place.run("pull", "tiny").returncode == 0
        assert "models--tiny" in str(list(place.cache.iterdir()))
        assert place.run("predict", "tiny", "A text.").returncode == 0

    def test_cache_variables(self, place, tmp_path):
        assert place.run("pull", "org/tiny", HF_HUB_CACHE=str(tmp_path / "c")).returncode == 0
        assert (tmp_path / "c/models--org--tiny/refs/main").is_file()
        place.env.pop("HF_HOME")
        assert place.run("pull", "org/tiny", XDG_CACHE_HOME=str(tmp_path / "x")).returncode == 0
        assert (tmp_path / "x/huggingface/hub/models--org--tiny").is_dir()
        assert place.run("pull", "org/tiny").returncode == 0
        assert (tmp_path / ".cache/huggingface/hub/models--org--tiny").is_dir()
        done = place.run("pull", "org/tiny", HF_HOME="~/tilde")
        assert (tmp_path / "tilde/hub/models--org--tiny").is_dir(), done.stderr

    def test_weak_etags(self, place, hub):
        hub.etag_form = 'W/"{}"'
        assert place.run("pull", "org/tiny").returncode == 0
        plain = place.blobs()
        assert all(re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", name) for name in plain), plain

    def test_shards(self, place, hub, tiny):
        header_size = struct.unpack("<Q", tiny["model.safetensors"][:8])[0]
        header = json.loads(tiny["model.safetensors"][8:8 + header_size])
        data = tiny["model.safetensors"][8 + header_size:]
        header.pop("__metadata__", None)
        names = sorted(header)
        files = {k: v for k, v in tiny.items() if k != "model.safetensors"}
        index = {"weight_map": {}}
        for number, part in enumerate((names[::2], names[1::2]), 1):
            shard, entries, body = f"model-0000{number}-of-00002.safetensors", {}, b""
            for name in part:
                begin, end = header[name]["data_offsets"]
                entries[name] = header[name] | {"data_offsets": [len(body), len(body) + end - begin]}
                body += data[begin:end]
                index["weight_map"][name] = shard
            text = json.dumps(entries).encode()
            files[shard] = struct.pack("<Q", len(text)) + text + body
        files["model.safetensors.index.json"] = json.dumps(index).encode()
        files["pytorch_model.bin"] = b"not wanted" * 2000
        hub.models["org/shards"] = Model(files)
        hub.models["org/one"] = hub.models["org/tiny"]
        sharded = place.run("predict", "org/shards", "A text.")
        assert sharded.returncode == 0, sharded.stderr
        assert sharded.stdout == place.run("predict", "org/one", "A text.").stdout
        assert etag_of(files["pytorch_model.bin"]) not in hub.sent

        index["weight_map"][names[0]] = "../../evil"
        hub.models["org/evil"] = Model(
            files | {"model.safetensors.index.json": json.dumps(index).encode()})
        fails(place.run("pull", "org/evil"), "weight_map", "../../evil")


class TestTransfer:
    """What a network and a server do."""

    def test_cut_connections(self, place, hub, tiny):
        size = len(tiny["model.safetensors"])
        seed = int.from_bytes(os.urandom(4))
        print("seed", seed)
        hub.lengths = [random.Random(seed).randrange(1, size // 8) for _ in range(6)]
        done = place.run("pull", "org/tiny")
        assert done.returncode == 0, done.stderr
        blob = place.cache / "models--org--tiny/blobs" / etag_of(tiny["model.safetensors"])
        assert blob.read_bytes() == tiny["model.safetensors"]
        assert hub.lengths == []
        starts = [int(r[3].get("Range", "bytes=0-")[6:-1]) for r in hub.asked("store")]
        assert starts == sorted(starts) and starts[-1] > 0

    def test_a_server_without_ranges(self, place, hub, tiny):
        hub.ranges = False
        hub.lengths = [20_000, 10_000]
        assert place.run("pull", "org/tiny").returncode == 0

    def test_connections_that_get_nowhere(self, place, hub, tiny, bertie):
        hub.lengths = [0] * 50
        worse = HubServer()  # breaks at the same place each time, and knows no ranges
        try:
            worse.models["org/tiny"] = hub.models["org/tiny"]
            worse.ranges, worse.lengths = False, [20_000] * 50
            pulls = [place.start("pull", "org/tiny"),
                     place.start("pull", "org/tiny", HF_ENDPOINT=worse.url,
                                 HF_HOME=str(place.folder / "other"))]
            for process, server, most in zip(pulls, (hub, worse), (5, 6)):
                _, errors = process.communicate(timeout=60)
                assert process.returncode == 1
                assert "org/tiny: the connection failed" in errors and "what has arrived is kept" in errors
                assert len(server.asked("store")) == most
        finally:
            worse.close()

    def test_a_server_that_falls_silent(self, place, hub, tiny):
        hub.stalls = [30_000]
        done = place.run("pull", "org/tiny", HF_HUB_DOWNLOAD_TIMEOUT="1")
        assert done.returncode == 0, done.stderr
        assert hub.sent[etag_of(tiny["model.safetensors"])] == len(tiny["model.safetensors"])
        fails(place.run("pull", "org/tiny", HF_HUB_DOWNLOAD_TIMEOUT="soon"), "HF_HUB_DOWNLOAD_TIMEOUT", code=2)

    def test_kill_and_resume(self, place, hub, tiny):
        hub.speed = 100_000
        etag = etag_of(tiny["model.safetensors"])
        partial = place.cache / f"models--org--tiny/blobs/{etag}.incomplete"
        process = place.start("pull", "org/tiny")
        end = time.monotonic() + 20
        while not (partial.is_file() and partial.stat().st_size > 20_000):
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.005)
        process.kill()
        process.communicate()
        there = partial.stat().st_size
        assert 0 < there < len(tiny["model.safetensors"])
        assert place.python(SCAN)["warnings"] == []
        line = fails(place.run("predict", "org/tiny", "A text.", HF_HUB_OFFLINE="1"), "HF_HUB_OFFLINE")
        assert "bertie pull org/tiny" in line
        hub.speed, hub.sent = None, {}
        done = place.run("predict", "org/tiny", "A text.")
        assert done.returncode == 0, done.stderr
        assert hub.sent[etag] == len(tiny["model.safetensors"]) - there
        assert hub.asked("store")[-1][3]["Range"] == f"bytes={there}-"
        assert not partial.exists()

    def test_two_at_once(self, place, hub, tiny):
        hub.speed = 400_000
        pulls = [place.start("pull", "org/tiny") for _ in range(3)]
        for process in pulls:
            _, errors = process.communicate(timeout=30)
            assert process.returncode == 0, errors
        etag = etag_of(tiny["model.safetensors"])
        assert hub.sent[etag] == len(tiny["model.safetensors"])  # once for all of them
        assert place.python(SCAN)["warnings"] == []

    def test_python_at_the_same_time(self, place, hub, tiny):
        hub.speed = 100_000
        process = place.start("pull", "org/tiny")
        etag = etag_of(tiny["model.safetensors"])
        end = time.monotonic() + 20
        while hub.sent.get(etag, 0) == 0:
            assert time.monotonic() < end
            time.sleep(0.005)
        place.python(SNAPSHOT)  # waits for the lock, then finds it there
        assert process.wait(20) == 0
        assert hub.sent[etag] == len(tiny["model.safetensors"])

    def test_a_beginning_of_something_else(self, place, hub, tiny):
        etag = etag_of(tiny["model.safetensors"])
        blobs = place.cache / "models--org--tiny/blobs"
        for content in (b"x" * 1000, b"x" * len(tiny["model.safetensors"]), b"x" * 10_000_000):
            shutil.rmtree(place.cache, ignore_errors=True)
            blobs.mkdir(parents=True)
            (blobs / f"{etag}.incomplete").write_bytes(content)
            done = place.run("pull", "org/tiny")
            assert done.returncode == 0, done.stderr
            assert (blobs / etag).read_bytes() == tiny["model.safetensors"]

    @pytest.mark.parametrize("name, kind", [("model.safetensors", "SHA-256"), ("vocab.txt", "git's SHA-1")])
    def test_changed_on_its_way(self, place, hub, tiny, name, kind):
        etag = etag_of(tiny[name])
        hub.damaged = {etag}
        fails(place.run("pull", "org/tiny"), name, kind, etag, "changed on its way")
        assert not [blob for blob in place.blobs() if blob.startswith(etag)]
        assert not (place.cache / "models--org--tiny/refs/main").exists()
        hub.damaged = set()
        assert place.run("pull", "org/tiny").returncode == 0

    def test_token_stays_with_the_hub(self, place, hub):
        hub.models["org/tiny"].private = True
        assert place.run("pull", "org/tiny", HF_TOKEN="hf_good").returncode == 0
        assert hub.asked("store") and all("Authorization" not in r[3] for r in hub.asked("store"))
        assert all(r[3]["Authorization"] == "Bearer hf_good" for r in hub.asked("hub"))

    def test_token_file(self, place, hub):
        hub.models["org/tiny"].private = True
        (place.folder / "hf").mkdir()
        (place.folder / "hf/token").write_text("hf_good\n")
        assert place.run("pull", "org/tiny").returncode == 0
        (place.folder / "elsewhere").write_text("hf_bad")
        fails(place.run("pull", "org/tiny", HF_TOKEN_PATH=str(place.folder / "elsewhere")),
              "refused the token from", "elsewhere", code=2)

    def test_rate_limit_is_waited_for(self, place, hub):
        hub.answers = [(429, {"Retry-After": "1"}), (503, {}), (429, {"RateLimit": '"api";r=0;t=0'})]
        start = time.monotonic()
        done = place.run("pull", "org/tiny")
        assert done.returncode == 0, done.stderr
        assert time.monotonic() - start >= 1
        assert "waiting 1 s" in done.stderr

    @pytest.mark.parametrize("kind", ["tls", "trusted"])
    def test_https(self, bertie, tmp_path, tiny, kind):
        certificate = (tmp_path / "cert.pem", tmp_path / "key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                        "-nodes", "-days", "2", "-subj", "/CN=hub", "-addext",
                        "subjectAltName=IP:127.0.0.1,DNS:localhost", "-out", certificate[0], "-keyout",
                        certificate[1]], check=True, capture_output=True)
        server = HubServer(certificate)
        try:
            server.models["org/tiny"] = Model(dict(tiny))
            place = Place(tmp_path, bertie, server.url)
            if kind == "tls":
                fails(place.run("pull", "org/tiny"), "cannot reach the hub", "certificate")
                return
            done = place.run("pull", "org/tiny", SSL_CERT_FILE=str(certificate[0]))
            assert done.returncode == 0, done.stderr
            server.location = "http://localhost:1/plain"  # not to be followed from https
            server.models["org/other"] = server.models["org/tiny"]
            fails(place.run("pull", "org/other", SSL_CERT_FILE=str(certificate[0])), "expected an https URL")
        finally:
            server.close()


class TestMessages:
    """Each trouble has a message of its own, that says what to do."""

    def test_no_such_model(self, place, hub):
        fails(place.run("pull", "org/none"), "org/none: no such model on 127.0.0.1", "set HF_TOKEN")
        fails(place.run("pull", "org/none", HF_TOKEN="hf_good"), "token from HF_TOKEN may not read")

    def test_no_such_revision(self, place):
        fails(place.run("pull", "org/tiny@v9"), "no such revision ('v9')", "/org/tiny/tree/main")

    def test_private(self, place, hub):
        hub.models["org/tiny"].private = True
        fails(place.run("pull", "org/tiny"), "or a private one")
        fails(place.run("pull", "org/tiny", HF_TOKEN="hf_bad"), "refused the token from HF_TOKEN", code=2)

    def test_gated(self, place, hub):
        hub.models["org/tiny"].gated = True
        fails(place.run("pull", "org/tiny"), f"gated: accept its terms at {hub.url}/org/tiny", code=2)
        fails(place.run("pull", "org/tiny", HF_TOKEN="hf_good"), "gated, and the token", "ask for it", code=2)
        hub.models["org/tiny"].gated = "granted"
        assert place.run("pull", "org/tiny", HF_TOKEN="hf_good").returncode == 0

    def test_forbidden(self, place, hub):
        hub.answers = [(403, {"X-Error-Message": "blocked"})]
        fails(place.run("pull", "org/tiny"), "forbids reading it ('blocked')", code=2)

    def test_rate_limit_too_long(self, place, hub):
        hub.answers = [(429, {"Retry-After": "3600"})]
        fails(place.run("pull", "org/tiny"), "limits how often", "in 3600 s", "HF_TOKEN")

    def test_server_fault(self, place, hub):
        hub.answers = [(500, {"Retry-After": "0"})] * 5
        fails(place.run("pull", "org/tiny"), "has a fault (500", "try again later")

    def test_no_network(self, place):
        with socket.socket() as listener:  # bound, and not listening
            listener.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            fails(place.run("pull", "org/tiny", HF_ENDPOINT=url), "cannot reach the hub", "https_proxy",
                  "HF_ENDPOINT", "give its path")
        fails(place.run("pull", "org/tiny", HF_ENDPOINT="ftp://x"), "HF_ENDPOINT is 'ftp://x'", code=2)

    def test_not_a_hub(self, place, hub):
        hub.answers = [(200, {"Content-Type": "text/html"})]
        fails(place.run("pull", "org/tiny"), "sign-in page")

    def test_offline(self, place, hub):
        fails(place.run("pull", "org/tiny", HF_HUB_OFFLINE="1"), "HF_HUB_OFFLINE is set")
        assert hub.requests == []
        fails(place.run("predict", "org/tiny", "A.", HF_HUB_OFFLINE="true"), "bertie pull org/tiny",
              str(place.cache))
        assert hub.requests == []

    def test_too_large_for_the_disk(self, place, hub, tiny):
        hub.sizes[etag_of(tiny["model.safetensors"])] = 1 << 60
        fails(place.run("pull", "org/tiny"), "'model.safetensors' needs", "MB free", "bertie models remove")
        assert hub.asked("store") == []

    def test_disk_that_fills_up(self, place, hub, tiny):
        library = os.environ.get("BERTIE_FAULTS")
        if not library:
            pytest.skip("BERTIE_FAULTS is not set")
        step = 1 if os.environ.get("BERTIE_EVERY_FAULT") else 5
        for number in range(1, 60, step):
            shutil.rmtree(place.folder / "hf", ignore_errors=True)
            fired = place.folder / "fired"
            fired.unlink(missing_ok=True)
            done = place.run("pull", "org/tiny", LD_PRELOAD=library, FAULT_UNDER=str(place.folder / "hf"),
                             FAULT_AT=str(number), FAULT_MODE="fail", FAULT_FIRED=str(fired))
            if not fired.exists():
                break
            if done.returncode != 0:
                fails(done, str(place.folder / "hf"))
            again = place.run("pull", "org/tiny")
            assert again.returncode == 0, (number, done.stderr, again.stderr)
        assert number > 10

    @pytest.mark.parametrize("name", ["a/b/c", "../up", "a--b", "a..b", "-a", "a b", "org/", "x" * 97])
    def test_no_model_name(self, place, hub, name):
        done = place.run("pull", "--", name)
        fails(done, "is no model's name on a hub", code=2)
        fails(place.run("pull", "org/tiny", "--revision", "../../x"), "is no revision", code=2)
        assert hub.requests == []

    def test_answers_of_an_enemy(self, place, hub, tiny):
        model = hub.models["org/tiny"]
        model.refs["evil"] = "../../../../evil"
        model.commits["../../../../evil"] = tiny
        fails(place.run("pull", "org/tiny@evil"), "names the commit")
        hub.etag_form = '"../../../../{}"'
        fails(place.run("pull", "org/tiny"), "no ETag")
        hub.etag_form, hub.location = '"{}"', "file:///etc/passwd"
        fails(place.run("pull", "org/tiny"), "redirects to 'file:///etc/passwd'")
        assert not list(place.folder.glob("**/*evil*"))

    def test_not_bert(self, place, hub, tiny):
        config = json.loads(tiny["config.json"]) | {"model_type": "gpt2"}
        hub.models["org/gpt"] = Model(tiny | {"config.json": json.dumps(config).encode()})
        fails(place.run("pull", "org/gpt"), "gpt2", "Its weights were not fetched")
        assert hub.asked("store") == []
        hub.models["org/tf"] = Model({"config.json": b"{}", "vocab.txt": b"a", "tf_model.h5": b"h5"})
        fails(place.run("pull", "org/tf"), "no model.safetensors and no pytorch_model.bin", "'tf_model.h5'")
        hub.models["org/data"] = Model({"README.md": b"x"})
        fails(place.run("pull", "org/data"), "no config.json")


class TestNames:
    """A model's name wherever a folder does."""

    def test_every_command(self, place, hub, tiny_model):
        data = place.folder / "data.csv"
        data.write_text("sentence,label\n" + "".join(f"text {i},{'abc'[i % 3]}\n" for i in range(12)))
        labels = json.loads((tiny_model / "config.json").read_text())["id2label"]
        test = place.folder / "test.csv"
        test.write_text("sentence,label\n" + "".join(f"text {i},{labels[str(i % 3)]}\n" for i in range(6)))
        for arguments in (["info", "org/tiny"], ["predict", "org/tiny", "A."], ["eval", "org/tiny", test],
                          ["compile", "org/tiny", "--precision", "fp32"],
                          ["bench", "org/tiny", "--what", "latency", "--lengths", "8"],
                          ["train", data, "--model", "org/tiny", "--out", "out", "--epochs", "1"]):
            done = place.run(*arguments)
            assert done.returncode == 0, (arguments, done.stderr)
        assert len(hub.asked("store")) == 1  # pulled by the first
        assert (place.folder / "tiny-fp32/config.json").is_file()
        assert json.loads(place.run("tokenize", "org/tiny", stdin='"a"\n').stdout)["ids"]
        assert 'base_model: "org/tiny"' in (place.folder / "out/README.md").read_text()

    def test_serve(self, place, hub):
        process = place.start("serve", "org/tiny", "--port", "0")
        try:
            lines = [process.stderr.readline() for _ in range(2)]
            assert "pulling it" in lines[0] and "serving org/tiny" in lines[1], lines
        finally:
            process.terminate()
            assert process.wait(20) == 0
            process.communicate()

    def test_a_path_wins(self, place, hub, tiny_model):
        shutil.copytree(tiny_model, place.folder / "org/tiny")
        assert place.run("predict", "org/tiny", "A.").returncode == 0
        for path in ("./none", "/none/there", "none.tar.gz", "a/b/c"):
            fails(place.run("predict", path, "A."), f"{path}: no such model folder or archive")
        assert hub.requests == []

    def test_did_you_mean(self, place, hub):
        assert place.run("pull", "org/tiny").returncode == 0
        line = fails(place.run("predict", "org/tyni", "A."), "Did you mean org/tiny?", "no such file or folder")
        assert "no such model on 127.0.0.1" in line
        assert "Did you mean" not in place.run("predict", "something-else", "A.").stderr

    def test_a_folder_that_is_not_whole(self, place, hub, tiny):
        assert place.run("pull", "org/tiny").returncode == 0
        commit = hub.models["org/tiny"].refs["main"]
        (place.cache / "models--org--tiny/snapshots" / commit / "model.safetensors").unlink()
        fails(place.run("predict", "org/tiny", "A.", HF_HUB_OFFLINE="1"), "lacks weights")
        assert place.run("predict", "org/tiny", "A.").returncode == 0
        assert hub.sent[etag_of(tiny["model.safetensors"])] == len(tiny["model.safetensors"])


class TestModels:
    """`bertie models`."""

    @pytest.fixture
    def full(self, place, hub, tiny):
        """Two revisions of a model that share most blobs, and a model without a head."""
        assert place.run("pull", "org/tiny@v1").returncode == 0
        hub.models["org/tiny"].add("main", tiny | {"README.md": b"# Newer\n"})
        assert place.run("pull", "org/tiny").returncode == 0
        return place

    def test_list(self, full, hub, tiny):
        text = full.run("models").stdout
        assert "org/tiny" in text and "classifier" in text and "main" in text and "v1" in text
        listed = json.loads(full.run("models", "--json").stdout)
        assert {tuple(e["refs"]) for e in listed} == {("main",), ("v1",)}
        for entry in listed:
            assert entry["id"] == "org/tiny" and entry["kind"] == "classifier"
            assert entry["bytes"] == sum(f.stat().st_size for f in pathlib.Path(entry["path"]).iterdir())
            assert len(entry["labels"]) == 3
            assert abs(time.time() - time.mktime(time.strptime(entry["last_used"], "%Y-%m-%dT%H:%M:%SZ"))
                       + time.timezone) < 100

    def test_list_nothing(self, place):
        assert "bertie pull" in place.run("models").stdout
        assert json.loads(place.run("models", "--json").stdout) == []

    def test_kinds(self, place, hub, tiny):
        header_size = struct.unpack("<Q", tiny["model.safetensors"][:8])[0]
        weights = tiny["model.safetensors"].replace(b'"classifier.', b'"klassifier.')
        hub.models["org/bare"] = Model(tiny | {"model.safetensors": weights})
        done = place.run("pull", "org/bare")
        assert header_size and "next: bertie train DATA --model org/bare" in done.stdout, done.stderr
        (place.cache / "models--org--half/snapshots/123").mkdir(parents=True)
        kinds = {e["id"]: e["kind"] for e in json.loads(place.run("models", "--json").stdout)}
        assert kinds == {"org/bare": "pretrained", "org/half": "incomplete"}

    def test_remove_a_revision(self, full, hub, tiny):
        done = full.run("models", "remove", "org/tiny@v1", "--yes")
        assert done.returncode == 0, done.stderr
        assert etag_of(b"# Tiny\n") not in full.blobs()
        assert etag_of(tiny["model.safetensors"]) in full.blobs()
        assert "refs/v1" not in full.tree()
        assert full.python(SCAN)["warnings"] == []
        assert full.run("predict", "org/tiny", "A.", HF_HUB_OFFLINE="1").returncode == 0
        fails(full.run("models", "remove", "org/tiny@v1", "--yes"), "no revision v1")

    def test_remove_all(self, full):
        fails(full.run("models", "remove", "org/tiny"), "--yes", code=2)
        assert "2 revisions" in full.run("models", "remove", "org/tiny", "-y").stdout
        assert list(full.cache.glob("models--*")) == []
        assert full.python(SCAN)["warnings"] == []
        fails(full.run("models", "remove", "org/tiny", "-y"), "no model org/tiny")

    @pytest.mark.parametrize("answer, gone", [("y", True), ("", False), ("no", False)])
    def test_question(self, full, answer, gone):
        keyboard, terminal = pty.openpty()
        process = subprocess.Popen([str(full.bertie), "models", "remove", "org/tiny"], env=full.env,
                                   stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        os.write(keyboard, f"{answer}\n".encode())
        out, errors = process.communicate(timeout=20)
        os.close(keyboard)
        os.close(terminal)
        assert process.returncode == 0 and "[y/N]" in errors
        assert (full.cache / "models--org--tiny").exists() != gone
        assert ("nothing removed" in out) != gone


class TestRealModel:
    """The files of all-MiniLM-L6-v2."""

    def test_minilm(self, place, hub, minilm):
        files = read_model(minilm) | {"README.md": b"# MiniLM\n"}
        hub.models["sentence-transformers/all-MiniLM-L6-v2"] = Model(files)
        size = len(files["model.safetensors"])
        random.seed(7)
        hub.lengths = [random.randrange(size // 3) for _ in range(3)]
        name = "sentence-transformers/all-MiniLM-L6-v2"
        start = time.monotonic()
        done = place.run("pull", name)
        assert done.returncode == 0, done.stderr
        assert "next: bertie train DATA" in done.stdout
        print(f"{size / 1e6:.1f} MB in {time.monotonic() - start:.2f} s with three cuts")
        assert place.python(SCAN)["warnings"] == []
        here = place.run("tokenize", str(minilm), stdin='"Hello there"\n').stdout
        assert place.run("tokenize", name, stdin='"Hello there"\n', HF_HUB_OFFLINE="1").stdout == here
