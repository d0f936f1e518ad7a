#!/usr/bin/env python3
"""Makes the TorchScript archives in this folder: the model of ../tiny, traced by real PyTorch.

usage: make_archives.py [NAME...]

Each archive belongs to one release of PyTorch, so the script is run once in each of three
environments, and makes those of the release that it finds:

    python3.7   pip install torch==1.3.1 transformers==2.3.0
    python3.8   pip install torch==1.10.2 transformers==4.17.0
    python3.11  pip install torch==2.8.0 transformers==4.56.2

NAME.pt is the archive, NAME.json what the traced module answers: texts of whole words of
../tiny/vocab.txt, their ids with [CLS] and [SEP], padded to the traced length where the trace has no
mask, and the logits. Runs on Python 3.7 and needs no other package.
"""

import json
import pathlib
import struct
import sys

import torch
import transformers
from transformers import BertConfig, BertForSequenceClassification

HERE = pathlib.Path(__file__).resolve().parent
TINY = HERE.parent / "tiny"
LENGTH = 12  # of the traced text, as 64 is in the notebook whose artifact this stands for
TEXTS = ["the sea .", "it rain ##ed .", "word0 the sea it rain ##ed . the .", "the", "it the it"]

# name: (release, arguments of forward, settings of the model)
ARCHIVES = {
    "torch1.3": ("1.3.1", ("input_ids", "attention_mask"), {}),
    "torch1.3-no-mask": ("1.3.1", ("input_ids",), {}),
    "torch1.10": ("1.10.2", ("input_ids", "attention_mask", "token_type_ids"), {}),
    "torch2.8": ("2.8.0", ("input_ids", "attention_mask"), {"attn_implementation": "sdpa"}),
    "torch2.8-no-mask": ("2.8.0", ("input_ids",), {"attn_implementation": "sdpa"}),
    # Of a model that answers by a dict, which strict=False lets through.
    "torch2.8-dict": ("2.8.0", ("input_ids", "attention_mask"),
                      {"attn_implementation": "eager", "return_dict": True}),
}


def read_safetensors(path):
    data = path.read_bytes()
    size, = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + size].decode())
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        assert entry["dtype"] == "F32"
        begin, end = entry["data_offsets"]
        values = struct.unpack("<%df" % ((end - begin) // 4), data[8 + size + begin:8 + size + end])
        tensors[name] = torch.tensor(values, dtype=torch.float32).reshape(entry["shape"])
    return tensors


def make_model(settings):
    settings = dict(settings)
    known = json.loads((TINY / "config.json").read_text())
    names = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
             "intermediate_size", "max_position_embeddings", "type_vocab_size", "layer_norm_eps")
    config = BertConfig(num_labels=3, torchscript=not settings.pop("return_dict", False),
                        **{name: known[name] for name in names}, **settings)
    model = BertForSequenceClassification(config)
    missing, unexpected = model.load_state_dict(read_safetensors(TINY / "model.safetensors"),
                                                strict=False)
    assert not unexpected and all("_ids" in name for name in missing), (missing, unexpected)
    return model.eval()


def inputs(ids, arguments, length):
    padded = ids + [0] * (length - len(ids))
    given = {"input_ids": padded, "attention_mask": [1] * len(ids) + [0] * (length - len(ids)),
             "token_type_ids": [0] * length}
    return [torch.tensor([given[name]]) for name in arguments]


def make(name, arguments, settings):
    model = make_model(settings)
    # Ids and mask of zeros, as the notebook traces with.
    example = [torch.zeros(1, LENGTH, dtype=torch.long) for _ in arguments]
    with torch.no_grad():
        try:
            traced = torch.jit.trace(model, example, strict=False)
        except TypeError:  # before PyTorch 1.4
            traced = torch.jit.trace(model, example)
        # The name given to save is the top folder of the zip.
        torch.jit.save(traced, str(HERE / (name + ".pt")))
        words = (TINY / "vocab.txt").read_text().splitlines()
        answers = []
        for text in TEXTS:
            ids = [2] + [words.index(word) for word in text.split()] + [3]
            answer = traced(*inputs(ids, arguments, LENGTH))
            logits = answer["logits"] if isinstance(answer, dict) else answer[0]
            answers.append({"text": text.replace(" ##", ""), "ids": ids, "logits": logits[0].tolist()})
    told = {"torch": torch.__version__, "transformers": transformers.__version__,
            "arguments": arguments, "length": LENGTH, "answers": answers}
    (HERE / (name + ".json")).write_text(json.dumps(told, indent=1) + "\n")
    print(name, (HERE / (name + ".pt")).stat().st_size, "bytes")


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    for name, (release, arguments, settings) in ARCHIVES.items():
        wanted = len(sys.argv) < 2 or name in sys.argv[1:]
        if wanted and torch.__version__.split("+")[0] == release:
            make(name, arguments, settings)


if __name__ == "__main__":
    main()
