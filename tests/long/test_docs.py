"""The documentation's pages as in tests/e2e/test_docs.py, with the slow ones and with all of the tutorial's mail.

Steps that need a program or a package which tests/requirements.txt does not have (aws, transformers) run here where
it is there.
"""

import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "docs"))
from reading import PAGES, classifier_of, read  # noqa: E402


@pytest.fixture(scope="session")
def minilm():
    if "BERTIE_MINILM" not in os.environ:
        pytest.skip("BERTIE_MINILM is not set")
    return pathlib.Path(os.environ["BERTIE_MINILM"]).resolve()


@pytest.fixture(scope="session")
def classifier(minilm, tmp_path_factory):
    return classifier_of(pathlib.Path(os.environ["BERTIE"]).resolve(), minilm, tmp_path_factory.mktemp("classifier"))


@pytest.mark.parametrize("name", PAGES)
def test_what_a_page_says_works(name, minilm, classifier, tmp_path):
    read(name, pathlib.Path(os.environ["BERTIE"]).resolve(), minilm, classifier, tmp_path, limit=3600)
