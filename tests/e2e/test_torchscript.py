"""TorchScript archives, as torch.jit.save wrote them (tests/golden/torchscript), wherever a model goes;
and archives that are damaged, hostile or of something else, made from those by changing members."""

import io
import json
import os
import pathlib
import pickle
import re
import shutil
import tarfile
import zipfile

import pytest

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "golden"
ARCHIVES = sorted(path.stem for path in (GOLDEN / "torchscript").glob("*.pt"))
VOCABULARY = GOLDEN / "tiny" / "vocab.txt"


def archive(name):
    return GOLDEN / "torchscript" / f"{name}.pt"


def told(name):
    return json.loads((GOLDEN / "torchscript" / f"{name}.json").read_text())


def logits(run, model, name, *flags):
    texts = "\n".join(answer["text"] for answer in told(name)["answers"]) + "\n"
    done = run("predict", model, "--format", "json", "--logits", "--threads", 1, *flags, stdin=texts)
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["logits"] for line in done.stdout.splitlines()]


def close(found, answers):
    found = [list(one.values()) if isinstance(one, dict) else one for one in found]
    return all(abs(x - y) < 1e-4 for one, answer in zip(found, answers, strict=True)
               for x, y in zip(one, answer["logits"], strict=True))


def rewrite(source, target, change, compress=zipfile.ZIP_STORED):
    """Copies an archive; change(members) may alter the dict of names (without the top) to bytes."""
    with zipfile.ZipFile(source) as old:
        members = {name.split("/", 1)[1]: old.read(name) for name in old.namelist()}
    change(members)
    with zipfile.ZipFile(target, "w") as new:
        for name, content in members.items():
            method = compress if name.startswith("code/") else zipfile.ZIP_STORED
            new.writestr("top/" + name, content, compress_type=method)
    return target


# ---- what real archives answer


@pytest.mark.parametrize("name", ARCHIVES)
def test_logits_of_torch(run, name):
    traced = told(name)
    padded = [] if "attention_mask" in traced["arguments"] else ["--pad-to", traced["length"]]
    found = logits(run, archive(name), name, "--vocab", VOCABULARY, *padded)
    assert close(found, traced["answers"])


@pytest.mark.parametrize("name", [name for name in ARCHIVES if "no-mask" in name])
def test_padding_that_is_attended_to_changes_answers(run, name):
    """So --pad-to is needed for parity there, and only there."""
    assert not close(logits(run, archive(name), name, "--vocab", VOCABULARY), told(name)["answers"])


def test_pad_to_traced(run):
    name = "torch2.8-no-mask"
    flags = ["--vocab", VOCABULARY, "--pad-to", "traced"]
    assert close(logits(run, archive(name), name, *flags), told(name)["answers"])
    done = run("predict", archive("torch1.3-no-mask"), "the", *flags)
    assert done.returncode == 2 and "--pad-to N" in done.stderr


def test_masked_padding_changes_nothing(run):
    flags = ["--vocab", VOCABULARY]
    plain = logits(run, archive("torch2.8"), "torch2.8", *flags)
    assert logits(run, archive("torch2.8"), "torch2.8", *flags, "--pad-to", "traced") == plain


def test_pad_to_is_for_archives(run, tiny_model):
    done = run("predict", tiny_model, "the", "--pad-to", 8)
    assert done.returncode == 2 and "TorchScript" in done.stderr


@pytest.mark.parametrize("name", ARCHIVES)
def test_info(run, name):
    done = run("info", archive(name), "--vocab", VOCABULARY, "--json")
    assert done.returncode == 0, done.stderr
    info, traced = json.loads(done.stdout), told(name)
    assert info["format"] == "torchscript"
    assert (info["num_attention_heads"], info["num_hidden_layers"], info["hidden_size"]) == (4, 2, 32)
    assert info["torchscript"]["arguments"] == traced["arguments"]
    assert info["torchscript"]["attention_mask"] == ("attention_mask" in traced["arguments"])
    assert info["torchscript"]["traced_length"] == (12 if name.startswith("torch2") else None)
    text = run("info", archive(name), "--vocab", VOCABULARY).stdout
    assert "in torchscript" in text and "input_ids" in text and "tmp" not in text


# ---- where archives come from, and where the vocabulary does


def pack(path, files):
    with tarfile.open(path, "w:gz") as tar:
        for name, file in files.items():
            tar.add(file, name)
    return path


@pytest.fixture
def nowhere(tmp_path):
    """An environment without a cached model."""
    env = {**os.environ, "HOME": str(tmp_path), "HF_HOME": str(tmp_path / "hf"),
           "XDG_CACHE_HOME": str(tmp_path / "cache")}
    env.pop("BERTIE_VOCAB", None)
    return env


@pytest.mark.parametrize("member", ["traced_bert.pt", "model.pt", "export/other.pth"])
def test_in_a_tar(run, tmp_path, member):
    path = pack(tmp_path / "traced_bert.tar.gz", {member: archive("torch1.3")})
    found = logits(run, path, "torch1.3", "--vocab", VOCABULARY)
    assert close(found, told("torch1.3")["answers"])


def test_vocabulary_beside(run, tmp_path, nowhere):
    path = pack(tmp_path / "traced_bert.tar.gz",
                {"traced_bert.pt": archive("torch1.3"), "vocab.txt": VOCABULARY})
    done = run("predict", path, "the sea .", env=nowhere)
    assert done.returncode == 0 and "assumed uncased" in done.stderr, done.stderr


def test_no_vocabulary(run, tmp_path, nowhere):
    path = shutil.copy(archive("torch1.3"), tmp_path / "traced_bert.pt")
    done = run("predict", path, "the", env=nowhere)
    assert done.returncode == 1 and "--vocab" in done.stderr and "64 words" in done.stderr
    assert str(path) in done.stderr
    done = run("predict", path, "the", env={**nowhere, "BERTIE_VOCAB": str(VOCABULARY)})
    assert done.returncode == 0, done.stderr


def test_vocabulary_of_another_size(run, tmp_path):
    few = tmp_path / "few.txt"
    few.write_text(VOCABULARY.read_text() + "more\n")
    done = run("predict", archive("torch1.3"), "the", "--vocab", few)
    assert done.returncode == 1 and "65" in done.stderr and "64" in done.stderr


def test_folder_as_a_container_mounts_it(run, tmp_path):
    shutil.copy(archive("torch2.8"), tmp_path / "model.pt")
    shutil.copy(VOCABULARY, tmp_path)
    assert close(logits(run, tmp_path, "torch2.8"), told("torch2.8")["answers"])


def test_two_archives(run, tmp_path):
    for name in ("a.pt", "b.pt"):
        shutil.copy(archive("torch2.8"), tmp_path / name)
    done = run("predict", tmp_path, "the", "--vocab", VOCABULARY)
    assert done.returncode == 1 and "expected one" in done.stderr


def test_compile(run, tmp_path):
    path = shutil.copy(archive("torch1.3"), tmp_path / "traced_bert.pt")
    done = run("compile", path, "--vocab", VOCABULARY, "--format", "safetensors")
    assert done.returncode == 2 and "torchscript" in done.stderr
    done = run("compile", path, "--vocab", VOCABULARY, "--format", "torchscript", "--precision", "fp32")
    assert done.returncode == 0 and "as torchscript" in done.stderr, done.stderr
    found = logits(run, tmp_path / "traced_bert-fp32", "torch1.3")
    assert close(found, told("torch1.3")["answers"])


def test_compiled_keeps_its_padding(run, tmp_path):
    name = "torch2.8-no-mask"
    done = run("compile", archive(name), "--vocab", VOCABULARY, "--pad-to", "traced", "--precision",
               "fp32", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert close(logits(run, tmp_path / "out", name), told(name)["answers"])


def test_serve(serve, tmp_path):
    path = pack(tmp_path / "traced_bert.tar.gz", {"traced_bert.pt": archive("torch1.3")})
    server = serve(path, "--vocab", VOCABULARY)
    answers = told("torch1.3")["answers"]
    answer = server.invoke([one["text"] for one in answers])
    assert answer.status == 200 and close(answer.json(), answers)


def test_nothing_stays(run, tmp_path):
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    path = pack(tmp_path / "traced_bert.tar.gz", {"traced_bert.pt": archive("torch1.3")})
    assert run("predict", path, "the", "--vocab", VOCABULARY, env=env).returncode == 0
    assert [one.name for one in tmp_path.iterdir()] == ["traced_bert.tar.gz"]


# ---- layouts of releases that no environment here has, after PyTorch's own sources


def as_torch_1_4(members):
    """torch/csrc/jit/serialization/export.cpp of 1.4: version 2, no op_version_set in the code."""
    members["version"] = b"2\n"
    for name in members:
        if name.endswith(".py"):
            members[name] = members[name].replace(b"op_version_set = 1\n", b"")


def as_torch_1_6(members):
    as_torch_1_4(members)
    members["version"] = b"3\n"


def version_below_data(members):
    members[".data/version"] = members.pop("version", members.get(".data/version"))


@pytest.mark.parametrize("change", [as_torch_1_4, as_torch_1_6, version_below_data])
@pytest.mark.parametrize("compress", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_layouts(run, tmp_path, change, compress):
    path = rewrite(archive("torch1.3"), tmp_path / "a.pt", change, compress)
    assert close(logits(run, path, "torch1.3", "--vocab", VOCABULARY), told("torch1.3")["answers"])


# ---- what is refused


class Runs:
    """Its pickle calls os.system."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def code(pattern, replacement, count=0):
    def change(members):
        changed = 0
        for name in [name for name in members if name.endswith(".py")]:
            members[name], times = re.subn(pattern, replacement, members[name], count=count)
            changed += times
        assert changed

    return change


def replace(name, content):
    return lambda members: members.update({name: content})


def without(name):
    return lambda members: members.pop(name)


def cut(name):
    return lambda members: members.update({name: members[name][:-4]})


def in_pickle(old, new):
    def change(members):
        assert old in members["data.pkl"]
        members["data.pkl"] = members["data.pkl"].replace(old, new)

    return change


SELF = b"\x80\x02c__torch__\nA\n)\x81q\x00}(X\x01\x00\x00\x00xh\x00ub."
MAIN = "code/__torch__/transformers/modeling_bert.py"
REFUSED = {
    "itself in itself": (replace("data.pkl", SELF), "modules in each other"),
    "a class from elsewhere": (in_pickle(b"c__torch__.torch.nn.modules.sparse\nEmbedding",
                                         b"cbuiltins\neval"), "builtins.eval"),
    "no data.pkl": (without("data.pkl"), "data.pkl"),
    "no constants.pkl": (without("constants.pkl"), "constants.pkl"),
    "no version": (without("version"), "version"),
    "no code of the root": (without(MAIN), MAIN),
    "no tensor": (without("data/3"), "data/3"),
    "no constant": (without("constants/1"), "constants/1"),
    "a tensor cut short": (cut("data/3"), "its storage '3'"),
    "pickle cut short": (cut("data.pkl"), "data.pkl"),
    "a version of words": (replace("version", b"new\n"), "version"),
    "model.json": (replace("model.json", b"{}"), "1.2 or older"),
    "odd bytes in code": (replace(MAIN, b"class \xff\x00:\n  def \xfe"), MAIN),
    "code without an end": (replace(MAIN, b"class B(M):\n  def forward(self"), "not closed"),
    "code nested deep": (replace(MAIN, b"class BertForSequenceClassification(M):\n"
                                       b"  def forward(self, x):\n    return " + b"(" * 100000
                                       + b")" * 100000), "nested"),
    "code too long": (replace(MAIN, b"#" * (9 << 20)), "expected at most"),
    "a class of another name": (code(b"class BertForSequenceClassification", b"class Other"),
                                "no class 'BertForSequenceClassification'"),
    "another model": (in_pickle(b"\nBertForSequenceClassification\n", b"\nBertForQuestionAnswering\n"),
                      "BertForQuestionAnswering"),
    "heads that do not fit": (code(rb", 4, 8\]", b", 3, 8]"), "3 heads of 8"),
    "heads that differ": (code(rb", 4, 8\]", b", 8, 4]", 1), "heads"),
    "no heads": (code(rb"torch\.view\((x\d*|_\d+), \[.*, 4, 8\]\)", rb"\1"), "torch.view of"),
    "other scores": (code(rb"torch\.div\(attention_scores", b"torch.mul(attention_scores"),
                     "to be divided by"),
    "relu": (code(rb"torch\.mul\(_51, _52\)", b"torch.relu(x5)"), "relu"),
    "tanh": (code(rb"torch\.mul\(_51, _52\)", b"torch.tanh(x5)"), "is tanh"),
    "an activation that is none": (code(rb"torch\.erf", b"torch.erfc"), "activation"),
    "training": (code(rb"(torch\.dropout\(.*), False\)", rb"\1, True)"), "training mode"),
    "eps that differ": (code(rb"9\.9999999999999998e-13", b"1e-5", 1), "eps"),
    "control flow": (code(rb"    _0 = self\.bert", b"    if True:\n      pass\n    _0 = self.bert"),
                     "scripted"),
    "a function of its own": (code(rb"torch\.tanh\(", b"__torch__.f("), "own function"),
    "another mask": (code(rb"torch\.rsub\(", b"torch.tril("), "torch.tril"),
    "constants beyond": (code(rb"CONSTANTS\.c1", b"CONSTANTS.c9"), "CONSTANTS.c9"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(run, tmp_path, name):
    change, reason = REFUSED[name]
    path = rewrite(archive("torch1.3"), tmp_path / "a.pt", change, zipfile.ZIP_DEFLATED)
    done = run("info", path, "--vocab", VOCABULARY)
    assert done.returncode == 1, done.stdout
    assert reason in done.stderr and str(path) in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) == 1 and len(done.stderr) < 1000


@pytest.mark.parametrize("member", ["data.pkl", "constants.pkl", "traced_inputs.pkl"])
def test_nothing_is_executed(run, tmp_path, member):
    marker = tmp_path / "ran"
    hostile = pickle.dumps(Runs(marker), protocol=2)
    path = rewrite(archive("torch2.8"), tmp_path / "a.pt", replace(member, hostile))
    done = run("info", path, "--vocab", VOCABULARY)
    assert done.returncode == 1 and "system" in done.stderr and "nothing was executed" in done.stderr
    assert not marker.exists()


def test_state_dict_is_no_archive(run, tmp_path):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps({}, protocol=2))
    (tmp_path / "model.pt").write_bytes(data.getvalue())
    done = run("info", tmp_path / "model.pt", "--vocab", VOCABULARY)
    assert done.returncode == 1 and "no TorchScript archive" in done.stderr
