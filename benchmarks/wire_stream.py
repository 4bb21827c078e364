"""What `wire_stream=True` costs: whole answers, plainly and streamed underneath, side by side in one run.

    .venv/bin/python benchmarks/wire_stream.py            # about a minute
    .venv/bin/python benchmarks/wire_stream.py --quick    # seconds, rough

CPU time; read the differences. How it is measured is in loopback.py.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from loopback import MESSAGES, MODEL, TOKENS, measure_async, server

from langchain_portkey_router import ChatPortkey
from llama_index_portkey import PortkeyLLM
from portkey_router import PortkeyRouter


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few calls: rough figures")
    waves, rounds = (2, 3) if parser.parse_args().quick else (20, 15)
    with server() as url:
        asyncio.run(compare(url, waves, rounds))


async def compare(url: str, waves: int, rounds: int) -> None:
    """Each client by its ways in turn, 8 calls at a time: plain, events that arrive at once, and one by one."""
    print(f"| {TOKENS} tokens, CPU ms a call | plain | at once | us a token | one by one | us a token |")
    print("|---|---|---|---|---|---|")
    for name, make in CLIENTS.items():
        ways = {
            "plain": make(base_url=url + "/v1", wire_stream=False),
            "at once": make(base_url=url + "/v1", wire_stream=True),
            "one by one": make(base_url=url + "/slow/v1", wire_stream=True),
        }
        taken = await measure_async(ways, 8, waves, rounds)
        plain, *streamed = taken.values()
        cells = [f"{figure:.3f} | {(figure - plain) * 1000 / TOKENS:.1f}" for figure in streamed]
        print(f"| {name} | {plain:.3f} | {' | '.join(cells)} |")


Ask = Callable[[], Awaitable[str]]
COMMON: dict[str, Any] = {"model": MODEL, "virtual_key": "none"}


def by_router(**options: Any) -> Ask:
    """The core's verb."""
    router = PortkeyRouter.from_env(**COMMON, **options, env_file=None)

    async def ask() -> str:
        return (await router.acomplete(MESSAGES)).text

    return ask


def by_langchain(**options: Any) -> Ask:
    """LangChain's."""
    llm = ChatPortkey(**COMMON, **options)

    async def ask() -> str:
        return str((await llm.ainvoke(QUESTION)).text)

    return ask


def by_llama_index(**options: Any) -> Ask:
    """LlamaIndex's."""
    llm = PortkeyLLM(**COMMON, **options)

    async def ask() -> str:
        return (await llm.acomplete(QUESTION)).text

    return ask


QUESTION = str(MESSAGES[0]["content"])
CLIENTS: dict[str, Callable[..., Ask]] = {
    "PortkeyRouter": by_router,
    "ChatPortkey": by_langchain,
    "PortkeyLLM": by_llama_index,
}


if __name__ == "__main__":
    main()
