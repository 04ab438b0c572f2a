"""What README, the pages and the cards show runs, or is at least a command line that there is.

Blocks of `python` and `console` are run, in the order of a page and in one folder; `yaml` is a file
for them, named in its first line, or a card. Other commands are only parsed.
"""

import doctest
import re
import shlex
from unittest import SkipTest

import pytest
import typer
from command_line import ROOT

from zoo import cli
from zoo.cards import parse_card

sybil = pytest.importorskip("sybil", reason="sybil, of the extra dev, is not installed")
myst = pytest.importorskip("sybil.parsers.myst")

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in PAGES if "generated" not in page.parts]
OTHERS = [*(ROOT / "cards").glob("*.md"), *ROOT.glob("zoo_plugins/*/README.md")]
WITH_COMMANDS = [*PAGES, ROOT / "CONTRIBUTING.md", *sorted(OTHERS)]
CONTINUED = re.compile(r"\\\n\s*")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def run_commands(example):
    """Run what follows `$`; what it prints is what is written below, if anything is."""
    text = CONTINUED.sub(" ", example.parsed)
    for command, wanted in re.findall(r"(?m)^\$ (.+)\n((?:[^$].*\n)*)", text):
        name, *words = shlex.split(command)
        assert name == "zoo", f"only zoo's commands are run, got {command}"
        status = cli.main(words)
        said = example.namespace["capsys"].readouterr()
        assert status == 0, said.err
        assert not wanted or doctest.OutputChecker().check_output(wanted, said.out, FLAGS), said.out


def read_yaml(example):
    if example.parsed.startswith("---\n"):
        parse_card(example.parsed, source=example.path)
    else:
        name = example.parsed.removeprefix("# ").splitlines()[0]
        assert name.endswith(".yaml"), f"wanted a file's name, got {name}"
        with open(name, "w") as file:
            file.write(example.parsed)


SYBIL = sybil.Sybil(
    parsers=[
        myst.PythonCodeBlockParser(doctest_optionflags=FLAGS),
        myst.CodeBlockParser("console", run_commands),
        myst.CodeBlockParser("yaml", read_yaml),
        myst.SkipParser(),
    ],
    path=str(ROOT),
)
RUN = [page for page in PAGES if list(SYBIL.parse(page).examples())]


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_of_a_page_run(page, hub, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "hf_write")
    document = SYBIL.parse(page)
    document.namespace["capsys"] = capsys
    for example in document.examples():
        try:
            example.evaluate()
        except SkipTest:  # `skip: next`, with its reason
            continue


def commands(page):
    text = CONTINUED.sub(" ", page.read_text())
    return re.findall(r"(?m)^(?: {4}|\$ |)zoo ([a-z][^|`\n]*)$", text)


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.name)
def test_commands_of_a_page_are_those_that_there_are(page):
    application = typer.main.get_command(cli.application())
    for line in commands(page):
        command, words = application, shlex.split(line, comments=True)
        while hasattr(command, "commands"):
            assert words and words[0] in command.commands, line
            command = command.commands[words.pop(0)]
        try:
            command.make_context("zoo", words)
        except Exception as error:
            pytest.fail(f"zoo {line}: {error.format_message()}")


def test_commands_are_found():
    assert any("skull-superres-512" in line for line in commands(ROOT / "docs/other-tasks.md"))
