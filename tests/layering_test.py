"""Includes under src/ point one way, as tests/layering.json says, files stay short, no two headers
define a type of one name in one namespace (the linker would take the members of one for the other's),
and no two files of a folder have one thing in their anonymous namespaces (sanitizer builds compile them
together).

Prints each offending line as file:line and exits 1 when there is one.
"""
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
RULES = json.loads((ROOT / "tests" / "layering.json").read_text())
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')

NAMESPACE = re.compile(r"namespace ([\w:]+) \{")
TYPE = re.compile(r"(?:struct|class) (\w+)(?: final)?(?: : [^;{]*)? \{")

# What begins a line in an anonymous namespace: a type, a constant, a function with its parameters.
PRIVATE = re.compile(r"(?:(?:struct|class|enum class|enum) (\w+)[^;]*\{"
                     r"|(?:constexpr|const) [^(]*?\b(k[A-Z]\w*)(?:\[\w*\])?(?: =|\{|\()"
                     r"|(?:[\w:<>,*&]+ )+[*&]?(\w+\([^)]*\)?))")


def across_rooms(path: pathlib.Path, target: str) -> list[str]:
    """Where a folder has rooms, what they share lies beside them and knows none; its .cc files join them."""
    folder, *inner = path.relative_to(ROOT / "src").parts
    rooms = RULES["rooms"].get(folder)
    owner, *wanted = target.split("/")
    if rooms is None or owner != folder or len(wanted) < 2 or inner[0] == wanted[0]:
        return []
    if len(inner) < 2:
        return [f"what the rooms of {folder} share may not include {target}"] if path.suffix == ".h" else []
    return [] if wanted[0] in rooms.get(inner[0], []) else [f"{folder}/{inner[0]} may not include {target}"]


def check(path: pathlib.Path) -> list[str]:
    folder = path.relative_to(ROOT / "src").parts[0]
    if folder not in RULES["may_include"]:
        return [f"{path}:1: folder '{folder}' is not in tests/layering.json"]
    allowed = RULES["may_include"][folder]
    problems = []
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        kind, target = match.groups()
        where = f"{path.relative_to(ROOT)}:{number}"
        if kind == '"':
            other = target.split("/")[0]
            if other in RULES["may_include"] and other != folder and "*" not in allowed and other not in allowed:
                problems.append(f"{where}: {folder} may not include {target}")
            problems += [f"{where}: {wrong}" for wrong in across_rooms(path, target)]
        for prefix, owners in RULES["only_in"].items():
            if target.startswith(prefix) and folder not in (owners if isinstance(owners, list) else [owners]):
                problems.append(f"{where}: only {owners} may include <{target}>")
    name = str(path.relative_to(ROOT))
    if len(lines) > RULES["max_lines"] and name not in RULES["long_files"]:
        problems.append(f"{name}:{len(lines)}: longer than {RULES['max_lines']} lines")
    return problems


def twins(headers: list[pathlib.Path]) -> list[str]:
    seen, problems = {}, []
    for path in headers:
        namespace = ""
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if match := NAMESPACE.match(line):
                namespace = match[1]
            if match := TYPE.match(line):
                where = f"{path.relative_to(ROOT)}:{number}"
                first = seen.setdefault((namespace, match[1]), where)
                if first != where:
                    problems.append(f"{where}: {namespace}::{match[1]} is defined at {first} too")
    return problems


def together(files: list[pathlib.Path]) -> list[str]:
    seen, problems = {}, []
    for path in files:
        private = False
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if line.startswith(("namespace {", "}  // namespace")):
                private = line == "namespace {"
            match = PRIVATE.match(line) if private else None
            if not match:
                continue
            what = match[1] or match[2] or match[3]
            where = f"{path.relative_to(ROOT)}:{number}"
            first = seen.setdefault((path.relative_to(ROOT).parts[:2], what), where)
            if first.split(":")[0] != where.split(":")[0]:
                problems.append(f"{where}: {what} is in the anonymous namespace of {first} too")
    return problems


def main() -> int:
    files = sorted(p for p in (ROOT / "src").rglob("*") if p.suffix in (".h", ".cc"))
    problems = [problem for path in files for problem in check(path)]
    problems += twins([path for path in files if path.suffix == ".h"])
    problems += together([path for path in files if path.suffix == ".cc"] + sorted((ROOT / "tests").glob("*/*.cc")))
    for problem in problems:
        print(problem)
    print(f"{len(files)} files, {len(problems)} problems")
    return 1 if problems or not files else 0


if __name__ == "__main__":
    sys.exit(main())
