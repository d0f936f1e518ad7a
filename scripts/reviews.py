#!/usr/bin/env python3
"""Turns rated snippets into sentences labelled negative or positive.

usage: reviews.py SDIST_FOLDER OUT.jsonl

SDIST_FOLDER holds the source distribution of vaderSentiment 3.3.2, which contains the data of Hutto
and Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text"
(ICWSM 2014): snippets with the mean of twenty people's ratings from -4 to 4. Taken are the snippets
of movie reviews whose rating is at least 1 away from neutral.
"""

import json
import pathlib
import sys
import tarfile

NEUTRAL = 1.0
MEMBER = "movieReviewSnippets_GroundTruth.txt"


def only_file(paths, what):
    paths = list(paths)
    if len(paths) != 1:
        raise SystemExit(f"reviews.py: expected one {what}, found {len(paths)}")
    return paths[0]


def rated_snippets(folder):
    """(rating, text) of each line; a line is number, rating, text with tabs between."""
    sdist = only_file(folder.glob("*.tar.gz"), f"source distribution in {folder}")
    with tarfile.open(sdist) as outer:
        inner = only_file((m for m in outer if m.name.endswith("hutto_ICWSM_2014.tar.gz")),
                          f"hutto_ICWSM_2014.tar.gz in {sdist}")
        with tarfile.open(fileobj=outer.extractfile(inner)) as data:
            member = only_file((m for m in data if m.name.endswith(MEMBER)), f"{MEMBER} in {sdist}")
            text = data.extractfile(member).read().decode("utf-8")
    for line in text.splitlines():
        _, rating, snippet = line.split("\t")
        yield float(rating), snippet


def main():
    folder, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    part = out.with_suffix(".part")
    with open(part, "w", encoding="utf-8") as file:
        for rating, snippet in rated_snippets(folder):
            if abs(rating) >= NEUTRAL and snippet.strip():
                label = "positive" if rating > 0 else "negative"
                file.write(json.dumps({"sentence": snippet, "label": label}) + "\n")
    part.rename(out)


if __name__ == "__main__":
    main()
