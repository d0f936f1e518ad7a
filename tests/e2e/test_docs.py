"""Every command in README.md and docs/ is run, in the page's order; every link leads somewhere.

tests/docs/ has the reader; tests/docs/page.py says how a page marks what a test must know. Pages that take
minutes are run by tests/long/test_docs.py.
"""

import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "docs"))
import links  # noqa: E402
from reading import PAGES, classifier_of, left_out, page_of, read  # noqa: E402


@pytest.fixture(scope="session")
def classifier(bertie, minilm, tmp_path_factory):
    return classifier_of(bertie, minilm, tmp_path_factory.mktemp("classifier"))


@pytest.mark.parametrize("name", [name for name in PAGES if not page_of(name).long])
def test_what_a_page_says_works(name, bertie, minilm, classifier, tmp_path):
    read(name, bertie, minilm, classifier, tmp_path)


@pytest.mark.parametrize("place, reason", left_out())
def test_what_is_left_out(place, reason):
    pytest.skip(reason)


@pytest.mark.parametrize("name", links.PAGES)
def test_links_lead_somewhere(name):
    assert links.broken(name) == []
