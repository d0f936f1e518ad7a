"""Every kind of tokenizer folder gives the ids that transformers' BertTokenizerFast gives.

Needs transformers, so it is no part of ctest; test_transformers.py says how it is run.
"""

import json
import pathlib
import random
import sys

import pytest

transformers = pytest.importorskip("transformers")

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS / "e2e"), str(TESTS / "text")]
from conftest import *  # noqa: E402,F401,F403
from hard_strings import HardStrings, as_line, as_text  # noqa: E402

VOCABULARY = ("[PAD] [unused0] [UNK] [CLS] [SEP] [MASK] a b c ##a ##b ##c foo bar ##foo ##bar hello "
              "world ##o A Foo").split()
LINES = "\n".join(VOCABULARY) + "\n"


def flagged(content, **flags):
    token = dict(content=content, single_word=False, lstrip=False, rstrip=False, normalized=False,
                 special=False)
    token.update(flags)
    return token


def added(number, content, **flags):
    return {"id": number, **flagged(content, **{"special": True, **flags})}


SPECIAL = [added(0, "[PAD]"), added(2, "[UNK]"), added(3, "[CLS]"), added(4, "[SEP]"),
           added(5, "[MASK]")]


def tokenizer_json(tokens=(), model=None, vocabulary=None, **normalizer):
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": SPECIAL + list(tokens),
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                       "strip_accents": None, "lowercase": True, **normalizer},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 4], "cls": ["[CLS]", 3]},
        "decoder": None,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100,
                  "vocab": {t: i for i, t in enumerate(VOCABULARY)} | (vocabulary or {}),
                  **(model or {})},
    }


MASK_OBJECT = {"__type": "AddedToken", **flagged("[MASK]", lstrip=True, normalized=True)}
MASK_MAP = {"mask_token": flagged("[MASK]", lstrip=True),
            "additional_special_tokens": ["<x>", "foo"]}
FLAGS = [added(21, "<x>", lstrip=True, rstrip=True), added(22, "ab", single_word=True),
         added(23, "bar", single_word=True, lstrip=True, rstrip=True, normalized=True),
         added(24, "[MA", rstrip=True), added(25, "é", normalized=True, special=False),
         added(26, "İ", normalized=True, special=False, single_word=True)]
# Each: what the folder holds, by file; a str is written as it is, all else as JSON.
FOLDERS = {
    "vocab only": {"vocab.txt": LINES},
    "vocab with CRLF": {"vocab.txt": LINES.replace("\n", "\r\n")},
    "vocab cased": {"vocab.txt": LINES, "tokenizer_config.json": {"do_lower_case": False}},
    "vocab with other names": {"vocab.txt": LINES, "tokenizer_config.json": {
        "unk_token": "foo", "cls_token": "bar", "sep_token": "a"}},
    "vocab and a mask with flags": {"vocab.txt": LINES,
                                    "tokenizer_config.json": {"mask_token": MASK_OBJECT}},
    "vocab and a map": {"vocab.txt": LINES, "special_tokens_map.json": MASK_MAP},
    "vocab and added_tokens.json": {"vocab.txt": LINES, "added_tokens.json": {"<x>": 21, "<Y>": 22}},
    "vocab and a decoder": {"vocab.txt": LINES, "tokenizer_config.json": {"added_tokens_decoder": {
        "21": flagged("<X>", normalized=True), "40": flagged("<y>", normalized=True),
        "3": flagged("[CLS]", special=True)}}},
    "json only": {"tokenizer.json": tokenizer_json()},
    "json cased without a config": {"tokenizer.json": tokenizer_json(lowercase=False)},
    "json cased": {"tokenizer.json": tokenizer_json(lowercase=False),
                   "tokenizer_config.json": {"do_lower_case": False}},
    "json overridden in all": {
        "tokenizer.json": tokenizer_json(lowercase=False, strip_accents=True, clean_text=False),
        "tokenizer_config.json": {"do_lower_case": False, "tokenize_chinese_chars": False}},
    "json without cleaning": {"tokenizer.json": tokenizer_json(clean_text=False)},
    "json and vocab": {"tokenizer.json": tokenizer_json(), "vocab.txt": LINES + "<x>\n"},
    "json without added tokens": {"tokenizer.json": {**tokenizer_json(), "added_tokens": []}},
    "json and a map": {"tokenizer.json": tokenizer_json(), "special_tokens_map.json": MASK_MAP},
    "json and added_tokens.json": {"tokenizer.json": tokenizer_json(),
                                   "added_tokens.json": {"<x>": 21, "<Y>": 22}},
    "json and more special tokens": {"tokenizer.json": tokenizer_json(), "tokenizer_config.json": {
        "additional_special_tokens": ["<x>", "<X>"], "bos_token": "<b>"}},
    "a mask with lstrip": {"tokenizer.json": tokenizer_json(), "tokenizer_config.json": {
        "added_tokens_decoder": {"5": flagged("[MASK]", lstrip=True, special=True)}}},
    "a mask made normalized": {"tokenizer.json": tokenizer_json(), "tokenizer_config.json": {
        "added_tokens_decoder": {"5": flagged("[MASK]", special=True, normalized=True)}}},
    "a decoder with defaults": {"tokenizer.json": tokenizer_json(), "tokenizer_config.json": {
        "added_tokens_decoder": {"21": {"content": "<X>"},
                                 "22": {"content": "<Y>", "special": True}}}},
    "tokens added again": {
        "tokenizer.json": tokenizer_json([added(21, "<x>", special=False, normalized=True)]),
        "tokenizer_config.json": {"added_tokens_decoder": {
            "21": flagged("<x>", lstrip=True), "12": flagged("foo", special=True, rstrip=True),
            "4": flagged("[SEP]", normalized=True, lstrip=True)}}},
    "ordinary added tokens": {"tokenizer.json": tokenizer_json([
        added(21, "<X>", normalized=True, special=False),
        added(22, "foo", special=False, single_word=True),
        added(23, "hello world", normalized=True, special=False),
        added(24, "hello", normalized=True, special=False)])},
    "all flags": {"tokenizer.json": tokenizer_json(FLAGS)},
    "all flags, cased by the config": {"tokenizer.json": tokenizer_json(FLAGS),
                                       "tokenizer_config.json": {"do_lower_case": False}},
    "ids that do not fit": {"tokenizer.json": tokenizer_json([
        added(30, "<X>", normalized=True, special=False),
        added(30, "<Y>", normalized=True, special=False)])},
    "blanks as tokens": {"tokenizer.json": tokenizer_json(
        [added(21, " "), added(22, "  ", lstrip=True)])},
    "no prefix, short words": {"tokenizer.json": tokenizer_json(
        model={"continuing_subword_prefix": "", "max_input_chars_per_word": 3})},
    "another prefix and unknown token": {"tokenizer.json": tokenizer_json(
        model={"continuing_subword_prefix": "@@", "unk_token": "a"})},
    "holes among the ids": {"tokenizer.json": tokenizer_json(
        [added(21, "<x>"), added(22, "<y>")], vocabulary={"zebra": 40, "##q": 50})},
}
PIECES = ("[PAD] [UNK] [CLS] [SEP] [MASK] [mask] [MA <x> <X> <y> <Y> <b> <B> foo Foo FOO bar Bar "
          "hello world Hello ab abc a b c é É E\u0301 İ i\u0307 i zebra zebraq foobar abcabc").split()
PIECES += [" ", "  ", "\t", "\u3000", "\u00a0", "\0", "\u200b", "\ufffd", "你", "_", "-", ".", "'",
           "\u0301", "hello world", "HELLO  WORLD", "hello\tworld"]


def cases(count, seed):
    pick = random.Random(seed)
    hard = HardStrings(seed)
    texts = []
    for _ in range(count):
        text = "".join(pick.choice(PIECES) + pick.choice(["", "", " "])
                       for _ in range(pick.randint(0, 10)))
        texts.append((text, None if pick.random() < 0.8 else hard.text()))
    return texts


@pytest.mark.parametrize("name", FOLDERS)
def test_same_ids(run, tmp_path, name):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    for file, content in FOLDERS[name].items():
        text = content if isinstance(content, str) else json.dumps(content)
        (tmp_path / file).write_text(text, encoding="utf-8", newline="")
    reference = transformers.BertTokenizerFast.from_pretrained(tmp_path).backend_tokenizer
    reference.no_truncation()
    reference.no_padding()
    texts = cases(2000, 1)
    result = run("tokenize", tmp_path,
                 stdin="".join(json.dumps(as_line(*case)) + "\n" for case in texts))
    assert result.returncode == 0, result.stderr
    ours = [json.loads(line)["ids"] for line in result.stdout.split("\n")[:-1]]
    theirs = reference.encode_batch(
        [as_text(a) if b is None else (as_text(a), as_text(b)) for a, b in texts])
    wrong = [(case, mine, other.ids) for case, mine, other in zip(texts, ours, theirs, strict=True)
             if mine != other.ids]
    assert not wrong, f"{len(wrong)} differ: {wrong[:3]!a}"
