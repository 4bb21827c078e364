from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from portkey_router.cli import main
from portkey_router.sandbox import portkey
from tests.readme import ROOT, Block, blocks, check_command, settings_of, sink_wrote
from tests.test_readme import run_in_sandbox

if TYPE_CHECKING:
    import pytest

HEADING = "## What breaks, what you get"
GUIDE = "## Coming from Portkey's integration guide"
SHELL = ("pip ", "portkey-router ", "python ", "export ")
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def rows() -> list[str]:
    """The rows of the README's table of what breaks."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = text[text.index(HEADING) + len(HEADING) :].split("\n## ", 1)[0].splitlines()
    return [line for line in lines if line.startswith("| ") and not line.startswith("| what breaks")]


def test_each_row_names_a_test_that_shows_it() -> None:
    """One test for each row, which exists under that name, and has a claim."""
    found = rows()
    assert len(found) > 20
    for row in found:
        named = NAMED.findall(row)
        assert len(named) == 1, row
        path, name = named[0]
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        tests = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert name in tests, f"{path} has no {name}"
        assert ast.get_docstring(tests[name]), f"{path}::{name} claims nothing"


# ---- what the guide shows, and what does it here ---------------------------------------------------------------------


def guide_lines() -> list[tuple[int, str]]:
    """The line of code of each row of the guide's table, with the number of its line in the README."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    before, section = text.split(GUIDE, 1)
    first = before.count("\n") + 1
    found = []
    for number, line in enumerate(section.split("\n## ", 1)[0].splitlines(), first):
        if line.startswith("| ") and not line.startswith("| the guide"):
            cells = [cell.strip() for cell in line.strip("|").split(" | ")]
            (code,) = re.findall(r"^`([^`]+)`$", cells[1])
            found.append((number, code))
    return found


LINES = guide_lines()


def test_each_command_of_the_guides_table_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes from the guide and types what stands beside it gets what it says."""
    commands = [shlex.split(code) for _, code in LINES if code.startswith(SHELL)]
    assert len(commands) >= 12
    sink_wrote(Path.cwd())
    with portkey() as server:
        for name, value in settings_of(server).items():
            monkeypatch.setenv(name, value)
        for words in commands:
            if words[0] == "portkey-router":  # in this process: one of its own for each takes seconds
                assert main(words[1:]) == 0, words
            else:
                check_command(words)


def test_each_python_line_of_the_guides_table_works(tmp_path: Path) -> None:
    """One after the other, after the block above the table, with the names that its lines take for granted."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    start = readme[: readme.index(GUIDE)].count("\n")
    above = next(block for block in blocks(readme) if block.line > start)
    given = """
from portkey_router import Fallback, PortkeyRouter
messages = [{"role": "user", "content": "Hello"}]
fallbacks = [{"provider": "openai", "model": "gpt-4-turbo", "api_key": "your-openai-api-key"}]
"""
    lines = [Block(number, "python", code) for number, code in LINES if not code.startswith(SHELL)]
    assert len(lines) >= 12
    kept = Block(0, "python", "assert found is None and enabled and issubclass(NotEnabledError, RuntimeError)\n")
    done = run_in_sandbox([above, Block(0, "python", given), *lines, kept], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_guides_table_has_every_name_of_the_guide() -> None:
    """Each command, variable and verb that its blocks show stands in the table's first column, or in its notes."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").split(GUIDE, 1)[1].split("\n## ", 1)[0]
    shown = (ROOT / "tests" / "data" / "guide_blocks.md").read_text(encoding="utf-8")
    names = {*re.findall(r"manage_portkey_keys\.py ([\w-]+)", shown), *re.findall(r"redis_client\.(\w+)\(", shown)}
    names |= {name for name in re.findall(r"^(?:export )?([A-Z_]+)=", shown, re.MULTILINE) if "VIRTUAL_KEY" not in name}
    assert len(names) > 15
    assert {name for name in names if name not in text} == set()
