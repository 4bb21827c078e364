"""Portkey's integration guide, block by block as it stands there (`tests/data/guide_blocks.md`), run.

What `tests/test_guide.py` says of the guide it says in words of its own; here nothing is changed but the import path,
and the comments that stand where a reader's code would go.
"""

from __future__ import annotations

import ast
import asyncio
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from portkey_router import guide, load_settings, sandbox
from portkey_router.guide import PortkeyClient
from tests.readme import Block, blocks, check_command, commands

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portkey_router.sandbox import PortkeyDouble

ROOT = Path(__file__).parent.parent
GUIDE = blocks((ROOT / "tests" / "data" / "guide_blocks.md").read_text(encoding="utf-8"))
KEY = "your-portkey-api-key"
ADMIN_KEY = "your-admin-key"
SLUGS = ("openai", "anthropic", "mistral")
CACHE = ("portkey_semantic_cache", "portkey_store_semantic_cache", "clear_portkey_cache")


def kind(block: Block) -> str:
    """What a block is: python, on the cache or not; settings; or commands."""
    if block.language == "python":
        return "cache" if any(name in block.code for name in CACHE) else "python"
    lines = [line for line in block.code.splitlines() if line and not line.startswith("#")]
    return (
        "settings"
        if lines[0].startswith(("PORTKEY_", "export ")) and "manage_portkey_keys" not in block.code
        else "commands"
    )


def of(wanted: str) -> list[Block]:
    """The blocks of a kind, in the guide's order."""
    return [block for block in GUIDE if kind(block) == wanted]


def test_every_block_is_run_by_somebody() -> None:
    """Nineteen blocks, each of a kind that a test below runs, or the cache's."""
    assert {name: len(of(name)) for name in ("python", "cache", "settings", "commands")} == {
        "python": 8, "cache": 3, "settings": 4, "commands": 4,
    }  # fmt: skip
    assert len(GUIDE) == 19


# ---- python ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[PortkeyDouble]:
    """A double of Portkey that takes the guide's own key, and has the guide's virtual keys."""
    with sandbox.portkey(api_key=KEY) as running:
        for provider in SLUGS:
            running.add_virtual_key(f"vk_{provider}_...", provider=provider)
        monkeypatch.setenv("PORTKEY_GATEWAY_URL", running.url)
        monkeypatch.setenv("PORTKEY_ADMIN_URL", running.url)
        yield running


def run_block(block: Block, names: dict[str, Any]) -> Any:
    """Run a block that may await and return, with the names of those before it; what it returns."""
    code = block.code.replace("packages.shared.src.storage.redis_client", "portkey_router.guide")
    code = code.replace("    # ...\n", "    pass\n")  # where the reader's own code goes
    tree = ast.parse("async def block():\n" + "".join(f"    {line}\n" for line in code.splitlines()))
    (function,) = tree.body
    assert isinstance(function, ast.AsyncFunctionDef)
    stored = {node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    stored |= {alias.name for node in ast.walk(function) if isinstance(node, ast.ImportFrom) for alias in node.names}
    if stored:
        function.body.insert(0, ast.Global(names=sorted(stored)))
    program = compile(ast.fix_missing_locations(tree), f"guide_blocks.md, block of line {block.line}", "exec")
    exec(program, names)  # noqa: S102  (our own file)
    return asyncio.run(names["block"]())


def test_the_python_blocks_run_one_after_another(
    server: PortkeyDouble, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each block works with what the ones before it made: the call, the client, the three strategies, the status."""
    monkeypatch.setenv("PORTKEY_VIRTUAL_KEY_OPENAI", "vk_openai_...")
    monkeypatch.setenv("PORTKEY_API_KEY", KEY)
    names: dict[str, Any] = {"portkey_client": PortkeyClient()}
    strategies = []
    for block in of("python"):
        run_block(block, names)
        if "setup_portkey_config" in block.code and "except" not in block.code:
            strategies.append(type(names["redis_client"].portkey.router.strategy).__name__)
            answer = asyncio.run(
                names["redis_client"].portkey.generate_response(messages=[{"role": "user", "content": "Hi"}])
            )
            assert answer.text.endswith("answers to: Hi")
    assert names["response"].text == "gpt-4 answers to: Hello, GPT-4!"
    assert strategies == ["Fallback", "Fallback", "LoadBalance", "CostAware"]
    assert names["PortkeyError"] is guide.PortkeyError
    # Without fallbacks there is nothing to route over: the guide's own handler says so.
    assert capsys.readouterr().out.startswith("Portkey API error: setup_portkey_config needs models")


def test_the_cache_blocks_run_one_after_another(server: PortkeyDouble) -> None:
    """Miss, answer, store, return; the second time a hit; a key of one's own; cleared, it is a miss again."""
    asked: list[str] = []

    async def generate_llm_response(query: str) -> str:
        asked.append(query)
        return "Paris"

    lookup, keyed, clear = of("cache")
    redis_client = guide.RedisClient(use_portkey=True, portkey_api_key=KEY, cache="memory://")  # no host to connect to
    names: dict[str, Any] = {"query": "capital?", "generate_llm_response": generate_llm_response, "response": "Paris"}
    names["redis_client"] = redis_client
    assert [run_block(lookup, names) for _ in range(2)] == ["Paris"] * 2
    assert asked == ["capital?"]
    run_block(keyed, names)
    assert asyncio.run(redis_client.cache.aget(key="geography:france:capital")) == "Paris"
    run_block(clear, names)
    run_block(lookup, names)
    assert len(asked) == 2


# ---- settings --------------------------------------------------------------------------------------------------------


def write_settings(block: Block) -> None:
    """A block as the `.env` of this folder."""
    Path(".env").write_text(block.code, encoding="utf-8")


def test_the_settings_blocks_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys with the admin's, the export lines, the config, and all variables of the guide together, as `.env`."""
    keys, exported, config, everything = of("settings")
    write_settings(keys)
    assert {slug.get_secret_value().partition("_...")[0] for slug in load_settings().virtual_keys.values()} == {
        f"vk_{name}" for name in SLUGS
    }
    for words in commands(exported.code):
        check_command(words)
        name, _, value = words[1].partition("=")
        monkeypatch.setenv(name, value)
    Path(".env").unlink()
    settings = load_settings()
    assert settings.api_key is not None
    assert (settings.api_key.get_secret_value(), settings.enabled) == (KEY, True)
    write_settings(config)
    assert load_settings().config == "gw_config_..."
    write_settings(everything)
    settings = load_settings()
    assert len(settings.virtual_keys) == 15
    assert [target.model for target in settings.fallbacks] == ["gpt-4-turbo", "claude-3-opus"]
    assert settings.strategy == "fallback"


async def test_a_client_by_those_settings_answers(server: PortkeyDouble) -> None:
    """All of the guide's variables, with a config that there is: it answers the call."""
    server.add_config("pc-guide", {"virtual_key": "vk_openai_..."})
    everything = of("settings")[-1]
    write_settings(
        replace(everything, code=everything.code.replace("gw_config_...", "pc-guide"))
    )  # as Portkey names them
    answer = await PortkeyClient().generate_response(model="gpt-4", messages=[{"role": "user", "content": "Hi"}])
    assert answer.text == "gpt-4 answers to: Hi"


# ---- commands --------------------------------------------------------------------------------------------------------


def test_the_installation_is_a_package_of_ours() -> None:
    """`pip install portkey-ai` installs the SDK, which we take clients of (`[sdk]`)."""
    first = of("commands")[0]
    (words,) = commands(first.code)
    assert words == ["pip", "install", "portkey-ai"]
    check_command(words)


@pytest.mark.skipif(shutil.which("sh") is None, reason="NO SHELL: the guide's commands are a shell's")
def test_the_commands_run_in_a_shell(tmp_path: Path) -> None:
    """`manage_portkey_keys.py`, as the guide spells each line, with the guide's own admin key and slugs."""
    (tmp_path / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (tmp_path / "python").chmod(0o755)
    scripts = [block.code for block in of("commands") if "manage_portkey_keys.py" in block.code]
    assert [code.count("python scripts/") for code in scripts] == [4, 3]
    with sandbox.portkey(api_key=ADMIN_KEY) as server:
        for slug in ("vk_...", "vk_openai_...", "vk_anthropic_..."):
            server.add_virtual_key(slug, provider="openai")
        environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            ["sh", "-e"],
            input="\n".join(scripts),
            env={**environment, "PORTKEY_ADMIN_URL": server.url},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        asked = [
            (record.path, record.body.get("name")) for record in server.admin_requests if isinstance(record.body, dict)
        ]
    assert done.stdout.count("pc-") == 6  # each is saved, exported and listed
    for made in ("OpenAI-Prod", "Anthropic-Prod", "The new key of vk_... is in place", "Saved pc-"):
        assert made in done.stdout
    assert ("POST /v1/configs", "Fallback Config") in asked
    assert ("POST /v1/configs", "Load Balance Config") in asked
    assert done.stderr.count("warning: a key after --") == 3
