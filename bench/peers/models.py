#!/usr/bin/env python3
"""Makes the models that every engine runs.

usage: models.py MINILM_FOLDER OUT

OUT/bert-base-random: bert-base's shape with seeded random weights (speed does not depend on their
values); OUT/minilm-l6: the real MiniLM with a seeded head of two labels; OUT/NAME.onnx of both, and
OUT/NAME.optimized.onnx with the fused operators of ONNX Runtime's own optimizer.
"""

import pathlib
import shutil
import sys

import torch
from onnxruntime.transformers import optimizer
from transformers import BertConfig, BertForSequenceClassification

TOKENIZER_FILES = ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def save(model, minilm, folder):
    model.save_pretrained(folder)
    for name in TOKENIZER_FILES:
        shutil.copy(minilm / name, folder)


def export(folder, file):
    model = BertForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()
    example = torch.ones(2, 16, dtype=torch.long)
    names = ["input_ids", "attention_mask", "token_type_ids"]
    torch.onnx.export(
        model, (example, example, torch.zeros_like(example)), str(file), input_names=names,
        output_names=["logits"], opset_version=17, dynamo=False,
        dynamic_axes={name: {0: "batch", 1: "length"} for name in names})
    fused = optimizer.optimize_model(
        str(file), model_type="bert", num_heads=model.config.num_attention_heads,
        hidden_size=model.config.hidden_size)
    fused.save_model_to_file(str(file.with_suffix(".optimized.onnx")))


def main():
    minilm, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    save(BertForSequenceClassification(BertConfig(num_labels=2)), minilm, out / "bert-base-random")
    torch.manual_seed(1)
    real = BertForSequenceClassification.from_pretrained(minilm, num_labels=2)
    with torch.no_grad():  # far enough from zero for a comparison of logits to mean something
        real.classifier.weight.normal_()
    save(real, minilm, out / "minilm-l6")
    for name in ("bert-base-random", "minilm-l6"):
        export(out / name, out / f"{name}.onnx")
    (out / "complete").touch()


if __name__ == "__main__":
    main()
