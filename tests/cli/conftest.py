from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from portkey_router import sandbox
from portkey_router.cli.app import run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portkey_router.sandbox import PortkeyDouble

ROOT = Path(__file__).parent.parent.parent
# What a terminal would decide is fixed: help is 100 wide, without colours.
PLAIN = {"COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1", "TERM": "dumb", "PYTHONWARNINGS": "error"}


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its output, parsed."""
        return json.loads(self.out)

    def failure(self, code: int) -> str:
        """The one line of an error, with this code; nothing else is printed."""
        assert (self.code, self.out) == (code, ""), self
        assert self.err.count("\n") == 1, self.err
        assert self.err.startswith("error: ")
        return self.err


@dataclass(slots=True)
class Shell:
    """Runs the command line as a subprocess in an empty folder, with an environment of its own."""

    folder: Path
    environment: dict[str, str]

    def run(self, *arguments: str, stdin: str = "", program: Any = ("-m", "portkey_router"), **more: str) -> Ended:
        """Run it to its end. No command line error is a traceback, whatever the test is about."""
        kept = {
            name: value for name, value in os.environ.items() if not name.upper().startswith(("PORTKEY_", "MASTER_"))
        }
        done = subprocess.run(
            [sys.executable, *program, *arguments],
            env={**kept, **PLAIN, "PYTHONPATH": str(ROOT), **self.environment, **more},
            input=stdin,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Ended(done.returncode, done.stdout, done.stderr)

    def fails(self, *arguments: str, code: int, **more: Any) -> str:
        """The one line of an error; nothing else is printed."""
        return self.run(*arguments, **more).failure(code)


@dataclass(frozen=True, slots=True)
class InProcess:
    """Runs commands of one group in this process: for what is not the process's own."""

    group: str
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    def run(self, *arguments: str, stdin: str = "") -> Ended:
        """Run it to its end."""
        self.monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        code = run([self.group, *arguments])
        told = self.capsys.readouterr()
        return Ended(code, told.out, told.err)

    def fails(self, *arguments: str, code: int, **more: Any) -> str:
        """The one line of an error; nothing else is printed."""
        return self.run(*arguments, **more).failure(code)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> InProcess:
    """The commands of `cache`, in this process."""
    return InProcess("cache", capsys, monkeypatch)


@pytest.fixture
def server() -> Iterator[PortkeyDouble]:
    """A double of hosted Portkey."""
    with sandbox.portkey() as running:
        yield running


@pytest.fixture
def shell(server: PortkeyDouble, tmp_path: Path) -> Shell:
    """A shell whose environment names the double."""
    return Shell(
        tmp_path,
        {
            "MASTER_PORTKEY_ADMIN_KEY": server.api_key,
            "PORTKEY_API_KEY": server.api_key,
            "PORTKEY_ADMIN_URL": server.url,
            "PORTKEY_GATEWAY_URL": server.url,
            "PORTKEY_VIRTUAL_KEY_OPENAI": "vk-openai",
        },
    )


@pytest.fixture
def bare(tmp_path: Path) -> Shell:
    """A shell with nothing set."""
    return Shell(tmp_path, {})
