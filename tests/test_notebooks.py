from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.notebooks import METADATA, NOTEBOOKS, execute

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portkey_router.sandbox import PortkeyDouble

# What a machine leaves in a notebook: paths of its own, its ports, keys.
PATH = re.compile(r"(?:^|[\s\"'(=:])(?:/(?:Users|etc|home|mnt|opt|private|root|srv|tmp|usr|var|work)/|[A-Za-z]:\\)")
PORT = re.compile(r"(?:127\.0\.0\.1|\[::1\]|0\.0\.0\.0|localhost):\d|https?://[\w.-]+:\d")
KEY = re.compile(r"\b(?:Bearer |pk-|sk-|vk-|call_|chatcmpl-)")

each_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)


def read(notebook: Path) -> dict[str, Any]:
    """The notebook as JSON."""
    content: dict[str, Any] = json.loads(notebook.read_text(encoding="utf-8"))
    return content


def code_cells(content: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells that are run."""
    return [cell for cell in content["cells"] if cell["cell_type"] == "code"]


def stable_outputs(content: dict[str, Any]) -> dict[str, list[Any]]:
    """The outputs by cell, but for cells that say of themselves that they vary."""
    cells = code_cells(content)
    return {cell["id"]: cell["outputs"] for cell in cells if "volatile" not in cell["metadata"].get("tags", ())}


def stderr_of(content: dict[str, Any]) -> list[Any]:
    """What cells wrote to stderr, warnings among it."""
    return [output for cell in code_cells(content) for output in cell["outputs"] if output.get("name") == "stderr"]


def texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from texts(part)


@each_notebook
def test_a_notebook_prints_what_is_committed(notebook: Path, tmp_path: Path) -> None:
    """Without keys it runs to its end, warns of nothing, and prints what is committed (`python -m tests.notebooks`)."""
    executed, said = execute(notebook, tmp_path, {})
    fresh = read(executed)
    assert "Warning" not in said
    assert stderr_of(fresh) == []
    assert stable_outputs(fresh) == stable_outputs(read(notebook))


@each_notebook
def test_a_notebook_is_committed_as_executed(notebook: Path) -> None:
    """Every cell was run, in order, all that there is to see is there, and the file holds nothing of a machine."""
    content = read(notebook)
    cells = code_cells(content)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert any(cell["outputs"] for cell in cells)
    assert content["metadata"] == METADATA
    assert [text for text in texts(content) if PATH.search(text) or PORT.search(text)] == []
    assert [text for cell in cells for text in texts(cell["outputs"]) if KEY.search(text)] == []


@each_notebook
def test_a_notebook_takes_its_targets_from_the_environment(
    notebook: Path, tmp_path: Path, portkey_sandbox: PortkeyDouble
) -> None:
    """With keys it uses them: every request goes there, for the model chosen, and nothing is broken on purpose."""
    portkey_sandbox.add_virtual_key("vk-mine", provider="openai")
    keys = {
        "PORTKEY_API_KEY": portkey_sandbox.api_key,
        "PORTKEY_GATEWAY_URL": portkey_sandbox.url,
        "PORTKEY_VIRTUAL_KEY_OPENAI": "vk-mine",
        "PORTKEY_MODEL": "gpt-4.1",
    }
    executed, _ = execute(notebook, tmp_path, keys)
    assert {request.body["model"] for request in portkey_sandbox.requests} == {"gpt-4.1"}
    assert {request.status for request in portkey_sandbox.requests} == {200}
    assert portkey_sandbox.api_key not in executed.read_text(encoding="utf-8")
    assert stderr_of(read(executed)) == []


def notebook_of(source: str, folder: Path) -> Path:
    """A notebook of one cell, not yet run."""
    cell: dict[str, Any] = {"cell_type": "code", "id": "a", "metadata": {}, "source": source}
    cell |= {"execution_count": None, "outputs": []}
    content = {"cells": [cell], "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}
    folder.mkdir()
    (folder / "one.ipynb").write_text(json.dumps(content), encoding="utf-8")
    return folder / "one.ipynb"


def test_a_cell_that_fails_fails_the_run(tmp_path: Path) -> None:
    """`execute` raises for an error in a cell, and names it."""
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        execute(notebook_of("1 / 0", tmp_path / "in"), tmp_path, {})


def test_a_kernel_leaves_nothing_behind(tmp_path: Path) -> None:
    """Its connection file is in the folder given, and afterwards both the file and the process are gone."""
    source = "import os, ipykernel.connect as c; print(os.getpid(), c.get_connection_file())"
    executed, _ = execute(notebook_of(source, tmp_path / "in"), tmp_path, {})
    (output,) = code_cells(read(executed))[0]["outputs"]
    pid, connection = "".join(output["text"]).split(maxsplit=1)
    assert connection.startswith(str(tmp_path))
    assert not Path(connection.strip()).exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_what_a_machine_leaves_is_found() -> None:
    """The patterns know paths, ports and keys when they see them, and let ordinary text be."""
    assert PATH.search('"/home/someone/project"')
    assert PATH.search("C:\\Users")
    assert PATH.search("\n/tmp/x")
    assert PORT.search("http://127.0.0.1:4711/v1")
    assert KEY.search("pk-live")
    ordinary = "a chain, an and/or, https://portkey.ai/docs, 6 tasks-and-6 vendors"
    assert not any(pattern.search(ordinary) for pattern in (PATH, PORT, KEY))
