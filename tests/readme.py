"""Reads the fenced blocks of a README and says how each is held to its word; `test_readme.py` runs them.

A ```bash block is checked command by command (`check_command`), a ```python block is run. A comment directly before
the fence says what the block itself cannot:

    <!-- test: sandbox -->            run against the double of hosted Portkey, after the python blocks above it
    <!-- test: skip because ... -->   not run, for the reason given

Python blocks need one of the two. Names made by one block (`llm`, `router`) are there in the next. The environment
holds `PORTKEY_API_KEY`, `PORTKEY_GATEWAY_URL` and a `PORTKEY_VIRTUAL_KEY_...` for each of `PROVIDERS`.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from packaging.requirements import InvalidRequirement, Requirement

from portkey_router.sandbox import portkey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from portkey_router.sandbox import PortkeyDouble

ROOT = Path(__file__).parent.parent
SHOWN_ONLY = frozenset({"dotenv", "json", "mermaid", "text", "toml", "yaml"})
PROVIDERS = ("anthropic", "mistral", "openai")
_FENCE = re.compile(
    r"^(?:<!--[ ]*test:[ ]*(?P<mark>.*?)[ ]*-->[ \t]*\n(?:[ \t]*\n)*)?"
    r"^(?P<indent>[ \t]*)(?P<fence>```+)(?P<language>[^\n`]*)\n(?P<code>.*?)^(?P=indent)(?P=fence)[ \t]*$",
    re.MULTILINE | re.DOTALL,
)
_MARKER = re.compile(r"<!--[ ]*test:")

# Runs as `python -c`: starts the double, then each block, numbered as in the README so that tracebacks point there.
# A block with `await` at its top level runs as in a notebook.
SANDBOX_PROGRAM = """
import ast, asyncio, inspect, json, os, sys
from portkey_router.sandbox import portkey

names = {"__name__": "__main__"}
with portkey() as server:
    os.environ["PORTKEY_API_KEY"] = server.api_key
    os.environ["PORTKEY_GATEWAY_URL"] = server.url
    for provider in sys.argv[1].split(","):
        server.add_virtual_key(f"vk-{provider}", provider=provider)
        os.environ[f"PORTKEY_VIRTUAL_KEY_{provider.upper()}"] = f"vk-{provider}"
    for line, code in json.load(sys.stdin):
        program = compile("\\n" * line + code, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(program, names)
        if inspect.iscoroutine(result):
            asyncio.run(result)
"""


class ReadmeError(AssertionError):
    """The README says something that is not so, or that nobody checks."""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: the line of its opening fence, its language, its code, and the marker before it."""

    line: int
    language: str
    code: str
    mark: str = ""

    @property
    def skipped(self) -> bool:
        """Whether its marker says not to run it, and why; a skip without a reason is an error."""
        if not self.mark.startswith("skip"):
            return False
        if not re.fullmatch(r"skip because \S.*", self.mark):
            raise ReadmeError(f"line {self.line}: a skipped block needs a reason: <!-- test: skip because ... -->")
        return True


def blocks(text: str) -> list[Block]:
    """Every fenced block, in order. A marker that stands before no block, or an unknown language, is an error."""
    found = []
    for match in _FENCE.finditer(text):
        indent = match["indent"]
        code = "".join(line.removeprefix(indent) for line in match["code"].splitlines(keepends=True))
        line = text.count("\n", 0, match.start("fence")) + 1
        found.append(Block(line, match["language"].strip(), code, match["mark"] or ""))
    if len(_MARKER.findall(text)) != sum(bool(block.mark) for block in found):
        raise ReadmeError("a test marker stands alone: it goes on the line before a fence")
    for block in found:
        if block.language not in SHOWN_ONLY | {"bash", "python"}:
            raise ReadmeError(f"line {block.line}: {block.language or 'no language'!r}: use bash, python or text")
    return found


def commands(code: str) -> Iterator[list[str]]:
    """The commands of a bash block as words; continued lines are joined, comments dropped, `&&` divides."""
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while "&&" in words:
            yield words[: words.index("&&")]
            words = words[words.index("&&") + 1 :]
        if words:
            yield words


def check_command(words: Sequence[str]) -> None:
    """Hold one command to its word; a command that nothing here knows is an error."""
    for start, check in _CHECKS.items():
        if list(words[: len(start)]) == list(start):
            check(words[len(start) :])
            return
    raise ReadmeError(f"nobody checks this command: {shlex.join(words)}")


def _make(words: Sequence[str]) -> None:
    done = subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReadmeError(f"make {shlex.join(words)}: {done.stderr.strip()}")


def _pip_install(words: Sequence[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    known = {Requirement(line).name for lines in [project["dependencies"], *extras.values()] for line in lines}
    for word in words:
        if word in {"-e", "-U", "--editable", "--upgrade"}:
            continue
        spelled = f"{project['name']}{word.removeprefix('.')}" if word.startswith(".") else word
        try:
            requirement = Requirement(spelled)
        except InvalidRequirement as error:
            raise ReadmeError(f"pip install {word}: {error}") from error
        if requirement.name not in known | {project["name"]}:
            raise ReadmeError(f"pip install {word}: not a dependency of this project")
        if requirement.name == project["name"] and (unknown := requirement.extras - extras.keys()):
            raise ReadmeError(f"pip install {word}: no such extra: {', '.join(sorted(unknown))}")


def _example(words: Sequence[str]) -> None:
    script = words[0] if words else ""
    if not script.startswith("examples/") or not (ROOT / script).is_file():
        raise ReadmeError(f"python {shlex.join(words)}: only scripts that are there, in examples/, are run")
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise ReadmeError(f"python {shlex.join(words)} exits with {done.returncode}:\n{done.stdout}{done.stderr}")


def _export(words: Sequence[str]) -> None:
    settings = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "portkey_router").rglob("*.py")).lower()
    for word in words:
        name = word.partition("=")[0].lower()
        if f'"{name}"' not in settings and not name.startswith("portkey_virtual_key_"):
            raise ReadmeError(f"export {name.upper()}: no code reads it")


def _compose(words: Sequence[str]) -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    named = [word for word in words if not word.startswith("-")]
    if unknown := set(named) - set(services):
        raise ReadmeError(f"docker compose up: no such service: {', '.join(sorted(unknown))}")


def sink_wrote(folder: Path) -> None:
    """What a sink wrote there: `calls.jsonl`, and one that was rotated."""
    values = {
        "call_id": "1",
        "trace_id": "t",
        "outcome": "ok",
        "model": "gpt-4o",
        "seconds": 1.5,
        "tags": {"team": "red"},
    }
    told = {"event": "CallFinished", "time": "2026-11-03T12:00:00+00:00", **values}
    for name in ("calls.jsonl", "calls.jsonl.1"):
        (folder / name).write_text(json.dumps({**told, "call_id": name}) + "\n", encoding="utf-8")


def _unittest(words: Sequence[str]) -> None:
    """A file that is there; `tests/test_guide.py` runs it."""
    if len(words) != 1 or not (ROOT / words[0]).is_file():
        raise ReadmeError(f"python -m unittest {shlex.join(words)}: no such file")


def settings_of(server: PortkeyDouble) -> dict[str, str]:
    """An environment that names the double, with a key `openai-prod` in it and the providers' own keys."""
    server.add_virtual_key("openai-prod", provider="openai")
    return {
        "PORTKEY_API_KEY": server.api_key,
        "MASTER_PORTKEY_ADMIN_KEY": server.api_key,
        "PORTKEY_GATEWAY_URL": server.url,
        "PORTKEY_ADMIN_URL": server.url,
        "PORTKEY_VIRTUAL_KEY_OPENAI": "openai-prod",
        "PORTKEY_VIRTUAL_KEY_ANTHROPIC": "openai-prod",
        "OPENAI_API_KEY": "sk-none",
        "NEW_OPENAI_API_KEY": "sk-none",
    }


def _cli(words: Sequence[str]) -> None:
    """Run it against the double of Portkey, with the providers' own keys in the environment, where a sink wrote."""
    with portkey() as server, tempfile.TemporaryDirectory() as folder:
        sink_wrote(Path(folder))
        done = subprocess.run(
            [sys.executable, "-m", "portkey_router", *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **settings_of(server)},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    if done.returncode:
        raise ReadmeError(
            f"portkey-router {shlex.join(words)} exits with {done.returncode}:\n{done.stdout}{done.stderr}"
        )


_CHECKS: dict[tuple[str, ...], Callable[[Sequence[str]], None]] = {
    (".venv/bin/python",): _example,
    ("docker", "compose", "up"): _compose,
    ("export",): _export,
    ("make",): _make,
    ("pip", "install"): _pip_install,
    ("python", "-m", "pip", "install"): _pip_install,
    ("portkey-router",): _cli,
    ("python", "-m", "unittest"): _unittest,
    ("python",): _example,
}
