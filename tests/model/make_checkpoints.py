"""Writes tests/model/data: one tiny BERT in every form in which checkpoints come.

    python3 tests/model/make_checkpoints.py

Needs torch and transformers (made with 2.8 and 4.56). Every folder holds the same numbers, but for
fp16 and bf16, which hold their roundings. expected.json has what torch itself finds in the model:
for each parameter its shape, its first values and its sum.
"""
import collections
import json
import pathlib
import shutil

import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
    BertTokenizerFast,
)

DATA = pathlib.Path(__file__).resolve().parent / "data"
LABELS = ["no", "yes"]
WORDS = """the a cat dog sat ran on under mat tree and or is was not big small red blue house
mouse ##s ##ed ##ing ##er ##ly . , ! ? he she it they we you i to of in at by for with who
what walk talk jump un ##happy happy""".split()


def make_vocabulary() -> list[str]:
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + WORDS
    return tokens + [f"[unused{i}]" for i in range(64 - len(tokens))]


def make_config() -> BertConfig:
    return BertConfig(
        vocab_size=64,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=32,
        id2label=dict(enumerate(LABELS)),
        label2id={label: i for i, label in enumerate(LABELS)},
    )


def make_model(config: BertConfig) -> BertForSequenceClassification:
    torch.manual_seed(1)
    model = BertForSequenceClassification(config).eval()
    # transformers starts biases at 0 and LayerNorm at 1, where mixed-up tensors would not show.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model


def folder(name: str, config: BertConfig) -> pathlib.Path:
    path = DATA / name
    path.mkdir(parents=True)
    config.save_pretrained(path)
    return path


def save_bin(name: str, config: BertConfig, content, **options) -> None:
    torch.save(content, folder(name, config) / "pytorch_model.bin", **options)


def gamma_beta(state: dict) -> collections.OrderedDict:
    return collections.OrderedDict(
        (name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"), value)
        for name, value in state.items())


def strided(state: dict) -> collections.OrderedDict:
    """The same numbers in other layouts: transposed in memory, and parts of one large storage."""
    result = collections.OrderedDict()
    for name, value in state.items():
        if value.dim() == 2:
            result[name] = value.t().contiguous().t()
        else:
            shared = torch.zeros(3, *value.shape)
            shared[1] = value
            result[name] = shared[1]
    return result


def expected(state: dict) -> dict:
    return {
        name: {
            "shape": list(value.shape),
            "first": [float(x) for x in value.flatten()[:3].double()],
            "last": float(value.flatten()[-1].double()),
            "sum": float(value.double().sum()),
        }
        for name, value in state.items()
    }


def main() -> None:
    shutil.rmtree(DATA, ignore_errors=True)
    DATA.mkdir()
    config = make_config()
    model = make_model(config)
    state = model.state_dict()

    model.save_pretrained(DATA / "safetensors")
    vocabulary = DATA / "safetensors" / "vocab.txt"
    vocabulary.write_text("\n".join(make_vocabulary()) + "\n")
    BertTokenizerFast(vocab_file=str(vocabulary), do_lower_case=True).save_pretrained(DATA / "safetensors")

    model.save_pretrained(DATA / "sharded_safetensors", max_shard_size="10KB")
    model.save_pretrained(DATA / "sharded_bin", max_shard_size="10KB", safe_serialization=False)
    save_bin("bin_zip", config, state)
    save_bin("bin_legacy", config, state, _use_new_zipfile_serialization=False)
    save_bin("bin_pickle4", config, state, pickle_protocol=4)
    save_bin("module_prefix", config, {"module." + name: value for name, value in state.items()})
    save_bin("strided", config, strided(state))
    save_bin("nested", config, {
        "epoch": 3, "best": 0.5, "notes": None, "state_dict": dict(model.named_parameters())})
    save_bin("gamma_beta", config, gamma_beta(state), _use_new_zipfile_serialization=False)

    bare = BertModel(config).eval()
    bare.load_state_dict({k[len("bert."):]: v for k, v in state.items() if k.startswith("bert.")})
    bare.save_pretrained(DATA / "no_prefix")
    masked = BertForMaskedLM(config).eval()
    masked.load_state_dict(state, strict=False)
    masked.save_pretrained(DATA / "masked_lm")

    for name, dtype in (("fp16", torch.float16), ("bf16", torch.bfloat16)):
        make_model(config).to(dtype).save_pretrained(DATA / name)
    save_bin("bf16_legacy", config, {name: value.bfloat16() for name, value in state.items()},
             _use_new_zipfile_serialization=False)

    (DATA / "expected.json").write_text(json.dumps({
        "F32": expected(state),
        "F16": expected({name: value.half() for name, value in state.items()}),
        "BF16": expected({name: value.bfloat16() for name, value in state.items()}),
    }, indent=1) + "\n")


if __name__ == "__main__":
    main()
