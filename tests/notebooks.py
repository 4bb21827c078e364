"""Executes the notebooks of `examples/` in a kernel of this Python; `test_notebooks.py` holds them to their outputs.

`python -m tests.notebooks` executes them without keys and writes the outputs into them, to be committed. A cell tagged
"volatile" may print something else each time; every other cell must print what is committed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
# What an editor and a kernel write of themselves is left out: it differs from machine to machine.
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
# Jupyter looks at this machine's settings, kernels and history: these variables lead it into an empty folder.
FOLDERS = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
SECONDS = 100


def execute(notebook: Path, folder: Path, environment: Mapping[str, str]) -> tuple[Path, str]:
    """The notebook as executed in `folder`, and what Jupyter and the kernel said on stderr beside its cells.

    It runs in a process of its own, and returns when the kernel is gone too: the kernel holds the same pipes.
    RuntimeError, with the traceback, where a cell fails.
    """
    executed = folder / notebook.name
    here = {"PYTHONPATH": str(ROOT)}  # this checkout, whatever is installed
    private = {name: str(folder / name.lower()) for name in FOLDERS}
    # Off: the debugger's notice about frozen modules on stderr, and settings in folders of the system.
    fixed = {"PYDEVD_DISABLE_FILE_VALIDATION": "1", "JUPYTER_NO_CONFIG": "1", "JUPYTER_PLATFORM_DIRS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.notebooks", str(notebook), str(executed)],
        cwd=ROOT,
        env={**os.environ, **here, **private, **fixed, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return executed, done.stderr


def _execute_here(notebook: Path, executed: Path) -> None:
    """What the process of `execute` does."""
    import nbformat
    from nbclient import NotebookClient

    content: Any = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]  # it has no types
    client = NotebookClient(
        content,
        timeout=SECONDS,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,  # how the prints of a cell arrive in packets is chance
        resources={"metadata": {"path": str(executed.parent)}},
    )
    manager: Any = client.create_kernel_manager()
    manager.connection_file = str(executed.with_suffix(".connection.json"))  # else it is among the machine's own
    client.execute()
    content.metadata = nbformat.from_dict(METADATA)  # type: ignore[no-untyped-call]  # as above
    executed.write_text(nbformat.writes(content) + "\n", encoding="utf-8")  # type: ignore[no-untyped-call]  # as above


def _rewrite() -> None:
    own = {name: value for name, value in os.environ.items() if name.startswith("PORTKEY_")}
    if own:
        sys.exit(f"The committed outputs are those of the double; unset {', '.join(own)} first.")
    for notebook in NOTEBOOKS:
        with tempfile.TemporaryDirectory() as folder:
            executed, _ = execute(notebook, Path(folder), {})
            notebook.write_bytes(executed.read_bytes())


if __name__ == "__main__":
    _execute_here(Path(sys.argv[1]), Path(sys.argv[2])) if sys.argv[1:] else _rewrite()
