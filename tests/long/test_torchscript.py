"""Archives that the real PyTorch makes here, of the size of bert-base too: the same logits to 1e-4.

    BERTIE=build/release/bertie .venv/peers/bin/python -m pytest tests/long/test_torchscript.py
"""

import gc
import json
import pathlib
import random
import sys
import tarfile

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from conftest import *  # noqa: E402,F401,F403

LENGTH = 64
SIZES = {
    "small": dict(hidden_size=96, num_hidden_layers=3, num_attention_heads=6, intermediate_size=160),
    "bert-base": dict(),
}
FORMS = {
    "mask": (("input_ids", "attention_mask"), dict(torchscript=True)),
    "mask and types, sdpa": (("input_ids", "attention_mask", "token_type_ids"),
                             dict(torchscript=True, attn_implementation="sdpa")),
    "eager, as a dict": (("input_ids", "attention_mask"), dict(attn_implementation="eager")),
    "no mask": (("input_ids",), dict(torchscript=True)),
    "no mask, eager": (("input_ids",), dict(torchscript=True, attn_implementation="eager")),
}


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory):
    """As many words as bert-base-uncased has."""
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words += [f"w{i}" for i in range(30522 - len(words))]
    path.write_text("\n".join(words) + "\n")
    return path


def texts():
    choose = random.Random(3)
    lengths = [1, 2, 5, 11, 30, LENGTH - 2]
    return [" ".join(f"w{choose.randrange(30000)}" for _ in range(length)) for length in lengths]


def encode(text, arguments, length):
    ids = [2] + [int(word[1:]) + 5 for word in text.split()] + [3]
    rest = length - len(ids)
    given = {"input_ids": ids + [0] * rest, "attention_mask": [1] * len(ids) + [0] * rest,
             "token_type_ids": [0] * length}
    return [torch.tensor([given[name]]) for name in arguments]


def trace(size, form):
    arguments, settings = FORMS[form]
    torch.manual_seed(1)
    config = transformers.BertConfig(num_labels=2, **SIZES[size], **settings)
    model = transformers.BertForSequenceClassification(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("classifier"):
                parameter.normal_(std=0.3)  # so that a wrong answer is not a small one
    # As the notebook does: ids and mask of zeros.
    return torch.jit.trace(model, [torch.zeros(1, LENGTH, dtype=torch.long) for _ in arguments],
                           strict=False)


@pytest.mark.parametrize("size,form", [(size, form) for size in SIZES for form in FORMS
                                       if size == "small" or form in ("mask", "no mask")])
def test_logits(run, tmp_path, vocabulary, size, form):
    arguments, _ = FORMS[form]
    traced = trace(size, form)
    torch.jit.save(traced, str(tmp_path / "traced_bert.pt"))
    with torch.no_grad():
        answers = [traced(*encode(text, arguments, LENGTH)) for text in texts()]
    expected = [(one["logits"] if isinstance(one, dict) else one[0])[0].tolist() for one in answers]
    del traced
    gc.collect()
    with tarfile.open(tmp_path / "traced_bert.tar.gz", "w:gz", compresslevel=1) as tar:
        tar.add(tmp_path / "traced_bert.pt", "traced_bert.pt")
    flags = [] if "attention_mask" in arguments else ["--pad-to", "traced"]
    for path in (tmp_path / "traced_bert.pt", tmp_path / "traced_bert.tar.gz"):
        done = run("predict", path, "--vocab", vocabulary, "--format", "json", "--logits", *flags,
                   stdin="\n".join(texts()) + "\n")
        assert done.returncode == 0, done.stderr
        for line, logits in zip(done.stdout.splitlines(), expected, strict=True):
            found = json.loads(line)["logits"]
            found = list(found.values()) if isinstance(found, dict) else found
            assert found == pytest.approx(logits, abs=1e-4)
    info = json.loads(run("info", path, "--vocab", vocabulary, "--json").stdout)
    assert info["num_attention_heads"] == SIZES[size].get("num_attention_heads", 12)
    assert info["torchscript"]["traced_length"] == LENGTH


@pytest.mark.parametrize("change,reason", [
    (dict(hidden_act="relu"), "relu"),
    (dict(hidden_act="gelu_new"), "gelu_new"),
    (dict(position_embedding_type="relative_key"), "distance_embedding"),
])
def test_other_models(run, tmp_path, vocabulary, change, reason):
    config = transformers.BertConfig(num_labels=2, torchscript=True, **SIZES["small"], **change)
    model = transformers.BertForSequenceClassification(config).eval()
    example = [torch.zeros(1, LENGTH, dtype=torch.long)] * 2
    torch.jit.save(torch.jit.trace(model, example, strict=False), str(tmp_path / "model.pt"))
    done = run("info", tmp_path / "model.pt", "--vocab", vocabulary)
    assert done.returncode == 1 and reason in done.stderr, done.stderr


def test_frozen(run, tmp_path, vocabulary):
    frozen = torch.jit.freeze(trace("small", "mask").eval())
    torch.jit.save(frozen, str(tmp_path / "model.pt"))
    done = run("info", tmp_path / "model.pt", "--vocab", vocabulary)
    assert done.returncode == 1 and "frozen" in done.stderr, done.stderr
