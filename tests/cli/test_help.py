from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer.main

from portkey_router import __version__
from portkey_router.cli.app import app
from tests.cli.conftest import PLAIN, ROOT

if TYPE_CHECKING:
    from tests.cli.conftest import Shell

HELP = Path(__file__).parent / "help"
COMMANDS = [
    *(str(command.name) for command in app.registered_commands),
    *(
        f"{group.name} {name}"
        for group in app.registered_groups
        if group.typer_instance is not None
        for name in typer.main.get_group(group.typer_instance).commands
    ),
]
GROUPS = [str(group.name) for group in app.registered_groups]


def shown(command: str) -> str:
    """A help text, as an 100 columns wide terminal without colours shows it."""
    environment = {**os.environ, **PLAIN, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "portkey_router", *command.split(), "--help"],
        env=environment, capture_output=True, text=True, check=True, timeout=100,
    )  # fmt: skip
    return "\n".join(line.rstrip() for line in done.stdout.splitlines()).strip() + "\n"


def _file(command: str) -> Path:
    return HELP / f"{command.replace(' ', '-') or 'portkey-router'}.txt"


@pytest.mark.parametrize("command", ["", *GROUPS, *COMMANDS], ids=lambda name: name or "portkey-router")
def test_help_says_what_it_said(command: str) -> None:
    """The help texts are those in `tests/cli/help`; `python -m tests.cli.test_help` writes them anew."""
    assert shown(command) == _file(command).read_text("utf-8")


def test_every_command_and_option_is_explained() -> None:
    """No command without a text, no option without one, and --json wherever there is a result."""
    for name in COMMANDS:
        text = _file(name).read_text("utf-8")
        assert re.search(r"Usage: portkey-router \S+ .*\n\n \S", text), name
        assert "--json" in text, name
        bare = re.findall(r"^│ [* ] +(--[\w-]+) +\S+ *│\n(?!│ {10})", text, re.MULTILINE)
        assert bare == [], name


def test_the_commands_of_the_project_are_all_there() -> None:
    """Those that the guide and the README name."""
    assert {
        "create-key", "list-keys", "rotate-key", "delete-key", "set-limits", "create-config", "list-configs",
        "show-config", "update-config", "delete-config", "status", "plan", "chat", "usage", "gateway", "demo",
        "cache stats", "cache inspect", "cache clear", "cache get", "cache put", "cache calibrate",
    } == set(COMMANDS)  # fmt: skip


def test_a_version_and_a_wrong_command(bare: Shell) -> None:
    """--version prints it; a command that is none is one line, with the one that may be meant."""
    assert bare.run("--version").out == f"portkey-router {__version__}\n"
    assert bare.fails("list-key", code=2).endswith(
        "Did you mean 'list-keys', 'delete-key'? See: portkey-router --help\n"
    )


def test_no_command_at_all_shows_the_help(bare: Shell) -> None:
    """And nothing else: no error without words below it."""
    ended = bare.run()
    assert ended.code == 2
    assert "Usage: portkey-router" in ended.out + ended.err
    assert "error" not in ended.err


def test_a_shell_can_complete(bare: Shell) -> None:
    """The commands, and the names of providers, complete in bash."""
    completing = {"_PORTKEY_ROUTER_COMPLETE": "complete_bash"}
    program = ("-c", "import sys; from portkey_router.cli import main; sys.exit(main())")
    commands = bare.run(program=program, COMP_WORDS="portkey-router rotate", COMP_CWORD="1", **completing)
    assert commands.out.split() == ["rotate-key"]
    words = "portkey-router create-key --provider anth"
    providers = bare.run(program=program, COMP_WORDS=words, COMP_CWORD="3", **completing)
    assert providers.out.split() == ["anthropic"]
    # Which shell it is run from depends on who runs the tests: here it is named.
    shown = bare.run("--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert "complete_bash" in shown.out


def test_without_its_extra_it_says_the_pip_line() -> None:
    """Where typer is not installed: one line, code 1."""
    program = "import sys; sys.modules['typer'] = None; from portkey_router.cli import main; sys.exit(main(['status']))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == 'error: the command line needs its extra: pip install "portkey-router[cli]"\n'


def test_the_commands_start_without_the_sandbox(bare: Shell) -> None:
    """What serves a demonstration is imported by it alone: every other command starts without its server."""
    program = "import sys; from portkey_router.cli import main; main(['--version']); print(*sorted(sys.modules))"
    imported = bare.run(program=("-c", program)).out.split()
    assert "portkey_router.cli.local" in imported
    assert "portkey_router.sandbox" not in imported


if __name__ == "__main__":
    for each in ["", *GROUPS, *COMMANDS]:
        _file(each).write_text(shown(each), "utf-8")
