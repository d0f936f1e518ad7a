#!/usr/bin/env python3
"""Makes the models that every engine runs.

usage: models.py MINILM_FOLDER OUT [CALIBRATION_TEXTS]

OUT/bert-base-random: bert-base's shape with seeded random weights (speed does not depend on their
values); OUT/minilm-l6: the real MiniLM with a seeded head of two labels. For both, what the engines
read: OUT/NAME.onnx, OUT/NAME.optimized.onnx with the fused operators of ONNX Runtime's own
optimizer, OUT/NAME.int8.onnx (its dynamic quantisation, a scale a channel), OUT/NAME.int8.xml and
OUT/NAME.static.xml (NNCF's compressed weights, and its static quantisation), OUT/NAME.ct2
(CTranslate2). CALIBRATION_TEXTS, one a line, is for the static one.
"""

import pathlib
import shutil
import sys
import tempfile

import numpy as np

TOKENIZER_FILES = ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
CALIBRATION_SENTENCES = 128
# Where no file is given. Static quantisation only needs the usual range of each activation.
SOME_TEXTS = ["It rained.", "Who does John visit Sally because he likes?",
              "The more you would want, the less you would eat.",
              "I don't think that anybody who hasn't read the first chapter could answer it."]


def save(model, minilm, folder):
    model.save_pretrained(folder)
    for name in TOKENIZER_FILES:
        shutil.copy(minilm / name, folder)


def make_folders(minilm, out):
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(1)
    save(BertForSequenceClassification(BertConfig(num_labels=2)), minilm, out / "bert-base-random")
    torch.manual_seed(1)
    real = BertForSequenceClassification.from_pretrained(minilm, num_labels=2)
    with torch.no_grad():  # far enough from zero for a comparison of logits to mean something
        real.classifier.weight.normal_()
    save(real, minilm, out / "minilm-l6")


def export(folder, file):
    import torch
    from onnxruntime.transformers import optimizer
    from transformers import BertForSequenceClassification

    model = BertForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()
    example = torch.ones(2, 16, dtype=torch.long)
    torch.onnx.export(
        model, (example, example, torch.zeros_like(example)), str(file), input_names=list(INPUTS),
        output_names=["logits"], opset_version=17, dynamo=False,
        dynamic_axes={name: {0: "batch", 1: "length"} for name in INPUTS})
    fused = optimizer.optimize_model(
        str(file), model_type="bert", num_heads=model.config.num_attention_heads,
        hidden_size=model.config.hidden_size)
    fused.save_model_to_file(str(file.with_suffix(".optimized.onnx")))


def quantise_onnx(optimized, file):
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # Shape inference does not know the fused operators, so it has to be told their type.
    quantize_dynamic(optimized, file, weight_type=QuantType.QInt8, per_channel=True,
                     extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT})


def quantise_openvino(folder, onnx_file, compressed, static, texts):
    import nncf
    import openvino as ov
    from tokenizers import Tokenizer

    core = ov.Core()
    ov.save_model(nncf.compress_weights(core.read_model(onnx_file)), compressed,
                  compress_to_fp16=False)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    examples = []
    for encoding in tokenizer.encode_batch(texts[:CALIBRATION_SENTENCES]):
        ids = np.array([encoding.ids], dtype=np.int64)
        examples.append(dict(zip(INPUTS, (ids, np.ones_like(ids), np.zeros_like(ids)))))
    quantised = nncf.quantize(core.read_model(onnx_file), nncf.Dataset(examples),
                              model_type=nncf.ModelType.TRANSFORMER, subset_size=len(examples))
    ov.save_model(quantised, static, compress_to_fp16=False)


def convert_ctranslate2(folder, out):
    from ctranslate2.converters import TransformersConverter
    from transformers import BertModel

    with tempfile.TemporaryDirectory() as encoder:  # it converts BertModel only
        BertModel.from_pretrained(folder).save_pretrained(encoder)
        for name in TOKENIZER_FILES:
            shutil.copy(folder / name, encoder)
        TransformersConverter(encoder).convert(str(out), force=True)


def main():
    minilm, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    texts = SOME_TEXTS
    if len(sys.argv) > 3:
        texts = pathlib.Path(sys.argv[3]).read_text(encoding="utf-8").splitlines()
    out.mkdir(parents=True, exist_ok=True)
    make_folders(minilm, out)
    for name in ("bert-base-random", "minilm-l6"):
        folder, file = out / name, out / f"{name}.onnx"
        export(folder, file)
        quantise_onnx(file.with_suffix(".optimized.onnx"), out / f"{name}.int8.onnx")
        quantise_openvino(folder, file, out / f"{name}.int8.xml", out / f"{name}.static.xml", texts)
        convert_ctranslate2(folder, out / f"{name}.ct2")


if __name__ == "__main__":
    main()
