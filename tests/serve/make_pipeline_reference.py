"""Writes pipeline.json: what transformers answers with tests/golden/tiny, for `bertie serve` to equal.

    .venv/bin/pip install torch transformers && .venv/bin/python tests/serve/make_pipeline_reference.py

Made with torch 2.8 and transformers 4.56 in float32. logits: of each text. pipeline: the answers of
pipeline("text-classification") to inputs and parameters, each under the name of its shape.
"""
import json
import pathlib

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

HERE = pathlib.Path(__file__).resolve().parent
MODEL = HERE.parent / "golden" / "tiny"

TEXTS = ["the sea", "", "it rained.", "The Sea. It rained, the rain", "caf\u00e9 \u00e0 la mer", "word0 zzz 9",
         "the sea it rained . the rain it seas"]
PAIR = {"text": "the sea", "text_pair": "it rained"}

CASES = {
    "a text": (TEXTS[0], {}),
    "an object": (PAIR, {}),
    "a list of one": ([TEXTS[0]], {}),
    "a list": (TEXTS[:3], {}),
    "a list with a pair": ([PAIR, {"text": TEXTS[2]}], {}),
    "a text, top_k null": (TEXTS[0], {"top_k": None}),
    "a text, top_k 1": (TEXTS[0], {"top_k": 1}),
    "a text, top_k 2": (TEXTS[0], {"top_k": 2}),
    "a text, top_k above the labels": (TEXTS[0], {"top_k": 9}),
    "an object, top_k null": (PAIR, {"top_k": None}),
    "a list, top_k null": (TEXTS[:3], {"top_k": None}),
    "a list, top_k 1": (TEXTS[:3], {"top_k": 1}),
    "a list with a pair, top_k null": ([PAIR, {"text": TEXTS[2]}], {"top_k": None}),
    "a text, return_all_scores": (TEXTS[0], {"return_all_scores": True}),
    "a list, return_all_scores": (TEXTS[:3], {"return_all_scores": True}),
    "an object, return_all_scores": (PAIR, {"return_all_scores": True}),
    "a text, return_all_scores false": (TEXTS[0], {"return_all_scores": False}),
    "a text, top_k beats return_all_scores": (TEXTS[0], {"top_k": 2, "return_all_scores": True}),
    "a text, sigmoid": (TEXTS[0], {"top_k": None, "function_to_apply": "sigmoid"}),
    "a text, softmax": (TEXTS[0], {"function_to_apply": "softmax"}),
    "a text, none": (TEXTS[0], {"top_k": None, "function_to_apply": "none"}),
    "a text, truncated": (TEXTS[6], {"truncation": True, "max_length": 6}),
}


def main() -> None:
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    model = AutoModelForSequenceClassification.from_pretrained(MODEL, attn_implementation="eager").eval()
    with torch.no_grad():
        logits = [model(**tokenizer(text, return_tensors="pt")).logits[0].tolist() for text in TEXTS]
    classify = pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")
    cases = []
    for name, (inputs, parameters) in CASES.items():
        cases.append({"name": name, "request": {"inputs": inputs, "parameters": parameters},
                      "answer": classify(inputs, **parameters)})
    reference = {"texts": TEXTS, "logits": logits, "pipeline": cases}
    (HERE / "pipeline.json").write_text(json.dumps(reference, indent=1) + "\n")


if __name__ == "__main__":
    main()
