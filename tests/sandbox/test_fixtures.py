"""The pytest plugin, in a session of its own; and what importing the sandbox costs."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

USES_THE_GATEWAY = "def test_it(portkey_gateway): assert portkey_gateway.url"
USES_THE_OTHERS = """
from portkey_router.sandbox import Fault

def test_one(portkey_sandbox, portkey_providers):
    portkey_sandbox.script("vk-openai", Fault.status(500))
    portkey_providers.script("a", Fault.status(500))

def test_two(portkey_sandbox, portkey_providers):
    assert portkey_sandbox.requests == portkey_providers.requests == ()
"""


def session(folder: Path, test: str, monkeypatch: pytest.MonkeyPatch, **environment: str) -> tuple[int, str]:
    """Run a test in a pytest of its own with the plugin; its exit code and output."""
    (folder / "test_it.py").write_text(test, encoding="utf-8")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    command = [sys.executable, "-m", "pytest", "-p", "portkey_router.sandbox.fixtures", "-p", "no:cacheprovider", "-rs"]
    done = subprocess.run([*command, "test_it.py"], cwd=folder, capture_output=True, text=True, timeout=90, check=False)
    return done.returncode, done.stdout + done.stderr


def test_each_test_gets_fresh_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults and logs of one test are not seen by the next."""
    code, output = session(tmp_path, USES_THE_OTHERS, monkeypatch)
    assert (code, "2 passed" in output) == (0, True), output


@pytest.mark.parametrize(("ci", "code", "said"), [("", 0, "1 skipped"), ("true", 1, "1 error")])
def test_no_gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ci: str, code: int, said: str) -> None:
    """Where it cannot be installed: a loud skip on a user's machine, an error in CI; both say why."""
    file = tmp_path / "no-folder"
    file.touch()
    found, output = session(tmp_path, USES_THE_GATEWAY, monkeypatch, CI=ci, PORTKEY_ROUTER_CACHE=str(file))
    assert (found, said in output) == (code, True), output
    assert "PORTKEY_ROUTER_CACHE" in output
    if not ci:
        assert "THE PORTKEY GATEWAY IS MISSING" in output


def test_importing_the_sandbox_imports_no_pytest() -> None:
    """Only `sandbox.fixtures` needs pytest."""
    program = "import sys, portkey_router.sandbox as s; assert s.portkey; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 0
