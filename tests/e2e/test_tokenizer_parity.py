"""`bertie tokenize` gives the ids of Hugging Face's `tokenizers`, on hard strings and on CoLA."""
import json
import sys

import pytest
from conftest import TESTS

sys.path.insert(0, str(TESTS / "text"))

from hard_strings import SPECIAL, HardStrings, as_line, as_text, vocabulary  # noqa: E402

tokenizers = pytest.importorskip("tokenizers", reason="pip install -r tests/requirements.txt")

LENGTHS = [None, 5, 9, 33, 128]


def tokenize(run, folder, cases, max_length):
    flags = [] if max_length is None else ["--max-length", max_length]
    lines = "".join(json.dumps(as_line(*case)) + "\n" for case in cases)
    result = run("tokenize", folder, *flags, stdin=lines, timeout=600)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.split("\n")[:-1]]


def assert_same(run, folder, reference, cases, lengths=LENGTHS):
    """Cuts the cases to the lengths in turn."""
    wrong = []
    for i, max_length in enumerate(lengths):
        part = cases[i::len(lengths)]
        if max_length is None:
            reference.no_truncation()
        else:
            reference.enable_truncation(max_length, strategy="longest_first")
        ours = tokenize(run, folder, part, max_length)
        texts = [as_text(a) if b is None else (as_text(a), as_text(b)) for a, b in part]
        theirs = reference.encode_batch(texts)
        assert len(ours) == len(theirs) == len(part)
        for case, mine, other in zip(part, ours, theirs):
            if (mine["ids"] != other.ids or mine["type_ids"] != other.type_ids or
                    mine["truncated"] != bool(other.overflowing)):
                wrong.append(f"{case!a} cut to {max_length}: {mine['tokens']}, "
                             f"expected {other.tokens}")
    shown = "\n".join(wrong[:10])
    assert not wrong, (f"{len(wrong)} of {len(cases)} differ from tokenizers "
                       f"{tokenizers.__version__}:\n{shown}")


def make_reference(tokens, **normalizer):
    """What transformers makes of a vocab.txt."""
    reference = tokenizers.Tokenizer(tokenizers.models.WordPiece(
        {token: i for i, token in enumerate(tokens)}, unk_token="[UNK]"))
    reference.normalizer = tokenizers.normalizers.BertNormalizer(**normalizer)
    reference.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    reference.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[(token, tokens.index(token)) for token in ("[CLS]", "[SEP]")])
    reference.add_special_tokens(
        [tokenizers.AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    return reference


@pytest.fixture(scope="module")
def all_characters(tmp_path_factory):
    """Tokens for the first plane and what follows it, so that no character hides behind [UNK]."""
    tokens = vocabulary([(0x21, 0xABFF), (0xF900, 0x11FFF), (0x1D000, 0x1FAFF)])
    folder = tmp_path_factory.mktemp("all_characters")
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8", newline="\n")
    return folder, tokens


@pytest.fixture(scope="module")
def minilm_reference(minilm):
    reference = tokenizers.Tokenizer.from_file(str(minilm / "tokenizer.json"))
    reference.no_padding()
    return reference


@pytest.mark.parametrize("config, normalizer, seed", [
    ({}, dict(lowercase=True), 1),
    ({"do_lower_case": False}, dict(lowercase=False), 2),
    ({"strip_accents": False}, dict(lowercase=True, strip_accents=False), 3),
    ({"do_lower_case": False, "strip_accents": True, "tokenize_chinese_chars": False},
     dict(lowercase=False, strip_accents=True, handle_chinese_chars=False), 4),
], ids=["uncased", "cased", "uncased with accents", "cased without accents"])
def test_hard_strings(run, all_characters, config, normalizer, seed):
    folder, tokens = all_characters
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    hard = HardStrings(seed)
    cases = [hard.case() for _ in range(13_000)]
    assert_same(run, folder, make_reference(tokens, **normalizer), cases)


def test_hard_strings_with_a_real_vocabulary(run, minilm, minilm_reference):
    hard = HardStrings(5)
    assert_same(run, minilm, minilm_reference, [hard.case() for _ in range(10_000)])


def test_cola(run, minilm, minilm_reference, cola):
    sentences = []
    for name in ("in_domain_train.tsv", "in_domain_dev.tsv", "out_of_domain_dev.tsv"):
        text = (cola / name).read_text(encoding="utf-8")
        sentences += [line.split("\t")[3] for line in text.splitlines()]
    assert len(sentences) > 9_500
    pairs = list(zip(sentences, sentences[1:]))
    for offset in range(len(LENGTHS)):  # so that each sentence has its turn with each length
        assert_same(run, minilm, minilm_reference, [(s, None) for s in sentences[offset:]])
    assert_same(run, minilm, minilm_reference, pairs)


def test_every_line_is_answered(run, tiny_model):
    lines = '"a"\n{"text": "a", "pair": "b"}\n{"text_bytes": [97, 255]}\n""'
    result = run("tokenize", tiny_model, stdin=lines)
    assert result.returncode == 0, result.stderr
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(answers) == 4
    for answer in answers:
        assert set(answer) == {"ids", "type_ids", "tokens", "truncated"}
        assert len(answer["ids"]) == len(answer["type_ids"]) == len(answer["tokens"])
    assert answers[0]["ids"] == answers[2]["ids"]
    assert answers[1]["type_ids"][-1] == 1
    assert len(answers[3]["ids"]) == 2


@pytest.mark.parametrize("line, message", [
    ('{"text": 1}', "stdin:2: text is an integer, expected a string"),
    ('{"pair": "a"}', 'stdin:2: "text" is missing'),
    ('{"text_bytes": [256]}', "stdin:2: text_bytes is not an array of integers from 0 to 255"),
    ("[1]", "stdin:2: found an array, expected a string or an object"),
    ("{", "stdin:2:1:"),
])
def test_bad_lines_are_named(run, tiny_model, line, message):
    result = run("tokenize", tiny_model, stdin='"good"\n' + line + "\n")
    assert result.returncode == 1
    assert message in result.stderr
    assert len(result.stdout.splitlines()) == 1


def test_a_folder_without_a_tokenizer(run, tmp_path):
    result = run("tokenize", tmp_path, stdin='"a"\n')
    assert result.returncode == 1
    assert "holds neither tokenizer.json nor vocab.txt" in result.stderr
