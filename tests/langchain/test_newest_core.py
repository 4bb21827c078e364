"""LangChain's suites once more, on the newest langchain-core, beside the one that is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

NEWEST = "1.8.2"
ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
# What runs on it: the unit suite, and the integration suite over the double.
SUITES = ("test_standard_unit.py", "test_standard_integration.py::TestOverTheDouble", "test_errors.py")
NO_CI = frozenset({"", "0", "false", "no"})


def newest_core() -> Path:
    """The folder with langchain-core in its newest version: installed once, without what it asks for, and kept.

    Its dependencies are those of the version that is installed, but for a certifi that not every index has.
    """
    kept = Path(os.environ.get("PORTKEY_ROUTER_CACHE") or Path.home() / ".cache" / "portkey-router")
    folder = kept / f"langchain-core-{NEWEST}"
    if (folder / "langchain_core").is_dir():
        return folder
    kept.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix="langchain-core-", dir=kept))
    try:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        wanted = ["--no-compile", "--target", str(fresh), f"langchain-core=={NEWEST}"]
        subprocess.run([*pip, *wanted], check=True, capture_output=True, text=True, timeout=60)
        try:
            fresh.rename(folder)  # whole or not at all, whoever else is at it
        except OSError:
            if not (folder / "langchain_core").is_dir():
                raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def test_the_suites_on_the_newest_core() -> None:
    """`ChatPortkey` passes on langchain-core 1.8.2 what it passes on the installed one."""
    try:
        folder = newest_core()
    except (subprocess.SubprocessError, OSError) as error:
        if os.environ.get("CI", "").strip().lower() not in NO_CI:
            raise
        why = getattr(error, "stderr", None) or error
        pytest.skip(f"LANGCHAIN-CORE {NEWEST} IS MISSING, so nothing is tested on it: {why}")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    env = {name: value for name, value in env.items() if not name.startswith("PYTEST_")}
    version = "import langchain_core.version as v, langchain_core as c; print(v.VERSION, c.__file__)"
    told = subprocess.run([sys.executable, "-c", version], env=env, check=True, capture_output=True, text=True)
    assert told.stdout.startswith(f"{NEWEST} {folder}")
    pytest_run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
    where = ["--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml"), *(str(HERE / suite) for suite in SUITES)]
    run = subprocess.run(
        [*pytest_run, *where], env=env, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout
