"""A page of Markdown as the steps that a reader would take, in order.

What is run: code indented by four spaces and code fenced as sh or console, by a shell; code fenced as
python. A block in which a line begins with `$ ` is a transcript: commands, each followed by what it
shows. Other fences (json, text, yaml, ...) are for reading.

HTML comments, which readers do not see, say what a test must know:

    <!-- test: page long -->                 the page takes minutes: tests/long runs it
    <!-- test: let MODEL=model FILE=a.csv --> from here on words of commands stand for others
    <!-- test: with COMMAND FLAG ... -->     from here on `bertie COMMAND` gets these too, to take less time
    <!-- test: hub ID ... -->                the hub has these models
    <!-- test: setup                         commands that a reader would have run elsewhere; they
         COMMANDS -->                        may use the functions of setup.sh
    <!-- test: python                        lines before the next block of python
         LINES -->
    <!-- test: skip REASON -->               the next block cannot be run by a test
    <!-- test: needs PROGRAM ... -->         it can where these programs are, or python:MODULE
    <!-- test: save NAME -->                 the next block is a file that the reader writes
    <!-- test: shows -->                     the next block is what the last command or python printed
"""

import dataclasses
import re
import subprocess

RUN_BY_SHELL = ("sh", "bash", "console")


class PageError(Exception):
    """A page that cannot be understood; the message has its line."""


@dataclasses.dataclass
class Step:
    """kind: let, with, hub, setup, command, python, save, shows, or skip."""
    kind: str
    line: int
    text: str
    shown: list = dataclasses.field(default_factory=list)
    needs: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Block:
    line: int
    language: str
    lines: list


@dataclasses.dataclass
class Page:
    long: bool
    steps: list


def read_page(text):
    """The Page that `text` is."""
    page = Page(long=False, steps=[])
    pending = []  # markers that are about the next block
    for part in _parts(text.splitlines()):
        if isinstance(part, Block):
            page.steps += _steps_of(part, pending)
            pending = []
            continue
        line, word, rest = part
        if word == "page" and rest == "long":
            page.long = True
        elif word in ("let", "with", "hub", "setup"):
            page.steps.append(Step(word, line, rest))
        elif word in ("skip", "needs", "save", "shows", "python"):
            if word == "skip" and len(rest.split()) < 3:
                raise PageError(f"line {line}: skip without a reason")
            pending.append((word, rest))
        else:
            raise PageError(f"line {line}: no such marker: {word} {rest}")
    if pending:
        raise PageError(f"the marker {pending[0][0]} has no block after it")
    return page


def replace_word(text, word, meant):
    """`text` with `meant` wherever `word` stands alone."""
    return re.sub(rf"(?<![\w.$-]){re.escape(word)}(?![\w-])", lambda _: meant, text)


def _parts(lines):
    """Blocks of code, and markers as (line, word, rest), in order."""
    at = 0
    blank = True  # whether the line before is empty: only then can indented code begin
    while at < len(lines):
        line = lines[at]
        start = at
        if line.lstrip().startswith("```"):
            indent = len(line) - len(line.lstrip())
            at += 1
            while at < len(lines) and lines[at].strip() != "```":
                at += 1
            if at == len(lines):
                raise PageError(f"line {start + 1}: a fence without an end")
            yield Block(start + 2, line.strip()[3:].strip(), [each[indent:] for each in lines[start + 1:at]])
            at += 1
        elif line.startswith("<!--"):
            while "-->" not in lines[at]:
                at += 1
                if at == len(lines):
                    raise PageError(f"line {start + 1}: a comment without an end")
            at += 1
            comment = "\n".join(lines[start:at]).removeprefix("<!--").rpartition("-->")[0].strip()
            if comment.startswith("test:"):
                word, _, rest = comment.removeprefix("test:").strip().partition(" ")
                if "\n" in word:
                    word, _, more = word.partition("\n")
                    rest = more + (" " + rest if rest else "")
                yield start + 1, word, rest.strip()
            blank = True
            continue
        elif blank and line.startswith("    "):
            while at < len(lines) and (lines[at].startswith("    ") or not lines[at].strip()):
                at += 1
            yield Block(start + 1, "sh", [each[4:] for each in lines[start:at]])
            blank = True
            continue
        else:
            at += 1
        blank = not line.strip()


def _steps_of(block, markers):
    told = dict(markers)
    text = "\n".join(block.lines)
    if "skip" in told:
        return [Step("skip", block.line, told["skip"], shown=block.lines)]
    if "save" in told:
        return [Step("save", block.line, text + "\n", shown=[told["save"]])]
    if "shows" in told:
        return [Step("shows", block.line, "", shown=block.lines, needs=told.get("needs", "").split())]
    if block.language == "python":
        lead = told["python"] + "\n" if "python" in told else ""
        steps = [Step("python", block.line, lead + text + "\n")]
    elif block.language not in RUN_BY_SHELL:
        if told:
            raise PageError(f"line {block.line}: a marker before a block that is not run")
        return []
    else:
        steps = list(_commands(block))
    for step in steps:
        step.needs = told.get("needs", "").split()
    return steps


def _commands(block):
    lines = block.lines
    transcript = any(line.startswith("$ ") for line in lines)
    step = None
    at = 0
    while at < len(lines):
        line = lines[at]
        if transcript and not line.startswith("$ "):
            if step is None:
                raise PageError(f"line {block.line + at}: output before the first command")
            step.shown.append(line)
            at += 1
            continue
        command = line[2:] if transcript else line
        start = at
        at += 1
        while at < len(lines) and not _whole(command):
            command += "\n" + lines[at]
            at += 1
        if not command.strip() or command.lstrip().startswith("#"):
            continue
        if step:
            yield step
        step = Step("command", block.line + start, command)
    if step:
        yield step


def _whole(command):
    """Whether a shell would take `command` as it is rather than wait for more lines."""
    here = re.search(r"(?<!<)<<-?\s*['\"]?(\w+)", command)
    if here:
        return command.splitlines()[-1].strip() == here.group(1)
    if command.endswith("\\"):
        return False
    said = subprocess.run(["bash", "-n"], input=command, text=True, capture_output=True, env={"LC_ALL": "C"}).stderr
    return "unexpected end of file" not in said and "unexpected EOF" not in said
