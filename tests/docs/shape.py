"""Whether a program printed what a page shows, but for numbers, times, hashes and kinds of processor.

A line of `...` on the page stands for any lines, `...` within a line for any text.
"""

import difflib
import re

_NUMBER = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:e[-+]?\d+)?")
_PROCESSOR = re.compile(r"\b(?:sse|avx|amx)\w*")
_HASH = re.compile(r"\b[0-9a-f]{12,64}\b")


_ANY = "\0"


def _plain(text):
    text = _HASH.sub("#", text)
    text = _PROCESSOR.sub("#", text)
    text = _NUMBER.sub("#", text)
    text = re.sub(r"-{2,}", "--", text)
    return re.sub(r"\s+", " ", text)


def shape(line):
    """The line with # for numbers and hashes, one blank for many, and _ANY for `...`."""
    return _ANY.join(_plain(part) for part in line.rstrip().split("..."))


def _shapes(lines):
    return [shape(line) for line in lines if line.strip()]


def difference(shown, printed):
    """None where `printed` has the shape of `shown` (lists of lines), else a diff of their shapes."""
    wanted = _shapes(shown)
    found = [line.replace(_ANY, "...") for line in _shapes(printed)]
    pattern = ""
    for line in wanted:
        if line.strip() == _ANY:
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*".join(re.escape(part) for part in line.split(_ANY)) + r"\n"
    if re.fullmatch(pattern, "".join(line + "\n" for line in found)):
        return None
    lines = difflib.unified_diff(wanted, found, "the page", "printed", lineterm="", n=1)
    return "\n".join(lines).replace(_ANY, "...")
