from __future__ import annotations

import ast
import re

from tests.readme import ROOT

HEADING = "## What breaks, what you get"
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
