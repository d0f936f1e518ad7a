"""A million generated strings give the ids that Hugging Face's `tokenizers` gives.

BERTIE_STRINGS is how many (1,000,000 unless told) and BERTIE_SEED the first of their seeds (1),
so that other seeds give other strings. A million take some minutes. test_transformers.py says how
it is run.
"""

import functools
import os
import sys
import pathlib

import pytest

tokenizers = pytest.importorskip("tokenizers")

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS / "e2e"), str(TESTS / "text")]
from conftest import *  # noqa: E402,F401,F403
from hard_strings import HardStrings  # noqa: E402
from test_tokenizer_parity import (  # noqa: E402,F401
    all_characters, assert_same, make_reference, minilm_reference)

COUNT = int(os.environ.get("BERTIE_STRINGS", 1_000_000))
SEED = int(os.environ.get("BERTIE_SEED", 1))
CHUNK = 20_000
# Mostly whole, which shows most, and because `tokenizers` takes long to make parts of what is cut.
LENGTHS = [None, None, None, 64]


@functools.cache
def cased_characters():
    """Characters that some mapping of case changes, and what they change to."""
    found = {}
    for c in map(chr, (*range(0xD800), *range(0xE000, 0x110000))):
        forms = {c.lower(), c.upper(), c.title(), c.casefold()} - {c}
        if forms:
            found.update(dict.fromkeys((c, *sorted(forms))))
    return list(found)


class MoreStrings(HardStrings):
    """Besides those of the shorter tests: odd cases, longer runs of marks, words and texts."""

    def cases(self):
        r = self.random
        parts = [r.choice(cased_characters()) + self.chars("marks", r.choice([0, 0, 0, 1, 2]))
                 for _ in range(r.randint(1, 12))]
        return r.choice(["", "", " ", "\u200d", "'"]).join(parts)

    def mark_run(self):
        r = self.random
        names = r.choice([["kept_marks"], ["marks", "kept_marks"], ["kept_marks", "controls"]])
        return self.char("latin") + "".join(
            self.char(r.choice(names)) for _ in range(r.randint(10, 60)))

    def joined_words(self):
        """Words without blanks, in which the longest piece is often followed by one that fails."""
        count = self.random.randint(2, 15)
        return "".join(self.words().replace(" ", "")[:self.random.randint(1, 9)]
                       for _ in range(count))

    def text(self):
        r = self.random
        if r.random() < 0.7:
            return super().text()
        makers = [self.cases, self.cases, self.mark_run, self.joined_words]
        return " ".join(r.choice(makers)() for _ in range(r.randint(1, 3)))

    def case(self):
        if self.random.random() > 0.0005:
            return super().case()
        # Over the 16 KB in which long texts are taken. No second text, since `tokenizers` makes all
        # pairs of what is cut off from both.
        return " ".join(self.text() for _ in range(500))[:40_000], None


def make_cases(seed):
    hard = MoreStrings(seed)
    return [hard.case() for _ in range(CHUNK)]


def check(run, folder, reference):
    for start in range(0, COUNT, CHUNK):
        cases = make_cases(SEED + start)[:COUNT - start]
        assert_same(run, folder, reference, cases, LENGTHS)


def test_bert_base_uncased(run, minilm, minilm_reference):  # noqa: F811
    """MiniLM's vocabulary is that of bert-base-uncased."""
    check(run, minilm, minilm_reference)


def test_cased(run, all_characters):  # noqa: F811
    folder, tokens = all_characters
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    check(run, folder, make_reference(tokens, lowercase=False))
