"""Every command in README.md and docs/ is run, in the page's order; every link leads somewhere.

tests/docs/ has the reader; tests/docs/page.py says how a page marks what a test must know. Pages that take
minutes, and all others once more with every program and package that they name, are run by
tests/long/test_docs.py.
"""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "docs"))
import links  # noqa: E402
from page import PageError, read_page  # noqa: E402
from reading import PAGES, classifier_of, left_out, page_of, read  # noqa: E402
from shape import difference  # noqa: E402


@pytest.fixture(scope="session")
def classifier(bertie, minilm, tmp_path_factory):
    return classifier_of(bertie, minilm, tmp_path_factory.mktemp("classifier"))


@pytest.mark.parametrize("name", [name for name in PAGES if not page_of(name).long])
def test_what_a_page_says_works(name, bertie, minilm, classifier, tmp_path):
    read(name, bertie, minilm, classifier, tmp_path, every_mail=12)


@pytest.mark.parametrize("place, reason", left_out())
def test_what_is_left_out(place, reason):
    pytest.skip(reason)


@pytest.mark.parametrize("name", links.PAGES)
def test_links_lead_somewhere(name):
    assert links.broken(name) == []


# ---- the reader itself


@pytest.mark.parametrize("shown, printed", [
    (["rows: 9173", "loss  0.3192"], ["rows: 12", "", "loss 1.5e-07"]),
    (["[[-1.59,1.63],[0.9,-1]]"], ["[[2,-0.5],[-1.25,3]]"]),
    (["first", "...", "saved model ..."], ["first", "1", "2", "saved model and more"]),
    (["-----  ---", "(laid out for avx2, 23 MB)"], ["---  -----", "(laid out for avx512_vnni, 7 MB)"]),
])
def test_numbers_and_what_is_left_open_may_differ(shown, printed):
    assert difference(shown, printed) is None


@pytest.mark.parametrize("shown, printed", [
    (["rows: 9173"], ["lines: 9173"]), (["one"], ["one", "two"]), (["one", "two"], ["one"]),
    (["one", "...", "two"], ["one", "three"]), (["[[1,2]]"], ["[[1,2],[3,4]]"]),
])
def test_words_may_not(shown, printed):
    assert difference(shown, printed)


@pytest.mark.parametrize("text, word", [
    ("<!-- test: skip -->\n\n    ls\n", "reason"), ("<!-- test: skp it needs root -->\n\n    ls\n", "skp"),
    ("<!-- test: skip it needs root\n", "end"), ("<!-- test: needs aws -->\n\nNo block.\n", "no block"),
    ("```sh\nls\n", "fence"),
])
def test_a_page_that_cannot_be_understood(text, word):
    with pytest.raises(PageError, match=word):
        read_page(text)


def reads(text, folder):
    (folder / "page.md").write_text(text)
    return subprocess.run([sys.executable, ROOT / "tests" / "docs" / "run_page.py", folder / "page.md", folder / "out"],
                          capture_output=True, text=True, timeout=60)


def test_a_page_goes_on_in_one_shell(bertie, tmp_path):
    page = """Text.

    export WORD=seven
    cat > file <<END
    $WORD days
    END

<!-- test: let NAME=file -->

    $ cat NAME
    seven days

<!-- test: save more/lines.txt -->

```text
kept
```

    $ cat more/lines.txt; for each in 1 2; do
    >   echo line $each
    > done
"""
    page = page.replace("    > ", "    ")
    page = page.replace("    done\n", "    done\n    kept\n    line 1\n    line 2\n")
    done = reads(page, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page, words", [
    ("    true\n    ls no-such-file\n", ["line 2", "no-such-file", "exit code 2"]),
    ("    $ echo one\n    two\n", ["line 1", "-two", "+one"]),
    ("    bertie no-such-command\n", ["no-such-command"]),
    ("    $ bertie --version\n    barty 1.0\n", ["-barty"]),
    ("    bertie serve no-such-model\n", ["line 1", "no server on port 8080"]),
    ("<!-- test: setup\nfalse\n-->\n\n    echo one\n", ["line 1", "the shell"]),
])
def test_a_page_that_says_what_is_not_so(page, words, bertie, tmp_path):
    done = reads(page, tmp_path)
    assert done.returncode == 1
    for word in words:
        assert word in done.stderr
