"""Links between the project's pages: each file is there, and each heading that an anchor names."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md",
         *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
_LINK = re.compile(r"!?\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)|(?:href|src|srcset)=\"([^\"]+)\"")


def _prose(text):
    """The text without code, in which brackets mean other things."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    text = re.sub(r"^    .*$", "", text, flags=re.M)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(text):
    """Names by which GitHub's pages reach a text's headings."""
    found = {}
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", re.sub(r"^```.*?^```", "", text, flags=re.S | re.M), re.M):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        name = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        found[name] = found.get(name, -1) + 1
    return {name if not again else f"{name}-{again}" for name, count in found.items() for again in range(count + 1)}


def broken(name):
    """Links of a page that lead nowhere. Other hosts are not asked."""
    page = ROOT / name
    text = page.read_text(encoding="utf-8")
    wrong = []
    for groups in _LINK.findall(_prose(text)):
        target = groups[0] or groups[1]
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists():
            wrong.append(f"{target}: no such file")
        elif anchor and anchor not in anchors(file.read_text(encoding="utf-8")):
            wrong.append(f"{target}: no such heading")
    return wrong
