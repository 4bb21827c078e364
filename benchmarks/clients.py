"""What one chat call costs by each client, on loopback, side by side in one run: why the hot path is not the SDK's.

    .venv/bin/python benchmarks/clients.py            # about two minutes
    .venv/bin/python benchmarks/clients.py --quick    # a few seconds, rough

CPU time, not wall time: other programs on the machine disturb it less. Rounds of all clients are interleaved and the
median is printed, so the ratios hold where the absolute figures do not. The answering server is another process.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sys
from typing import TYPE_CHECKING, Any

from loopback import MESSAGES, MODEL, imports, measure, measure_async, server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

IMPORTS = ("aiohttp", "httpx", "openai", "portkey_ai", "portkey_router", "langchain_portkey_router")


def sync_clients(url: str) -> dict[str, Callable[[], str]]:
    """One chat call by each client, blocking."""
    import httpx
    import openai
    import portkey_ai

    from portkey_router import PortkeyRouter

    http = httpx.Client()
    sdk = openai.OpenAI(base_url=url, api_key="no-key")
    portkey = portkey_ai.Portkey(base_url=url, api_key="no-key", virtual_key="none")
    router = PortkeyRouter.from_env(base_url=url, model=MODEL, virtual_key="none", env_file=None)
    body = {"model": MODEL, "messages": MESSAGES}
    return {
        "httpx": lambda: text_in(http.post(url + "/chat/completions", json=body).json()),
        "openai SDK": lambda: text_of(sdk.chat.completions.create(model=MODEL, messages=MESSAGES)),  # type: ignore[arg-type]
        "portkey-ai SDK": lambda: text_of(portkey.chat.completions.create(model=MODEL, messages=MESSAGES)),
        "PortkeyRouter": lambda: router.complete(MESSAGES).text,
    }


def async_clients(url: str) -> dict[str, Callable[[], Awaitable[str]]]:
    """One chat call by each client, in the running loop."""
    import httpx
    import openai
    import portkey_ai

    from portkey_router import PortkeyRouter

    http = httpx.AsyncClient(limits=httpx.Limits(max_connections=64), timeout=60)
    sdk = openai.AsyncOpenAI(base_url=url, api_key="no-key")
    portkey = portkey_ai.AsyncPortkey(base_url=url, api_key="no-key", virtual_key="none")
    router = PortkeyRouter.from_env(base_url=url, model=MODEL, virtual_key="none", env_file=None)
    body = {"model": MODEL, "messages": MESSAGES}

    async def by_httpx() -> str:
        return text_in((await http.post(url + "/chat/completions", json=body)).json())

    async def by_openai() -> str:
        return text_of(await sdk.chat.completions.create(model=MODEL, messages=MESSAGES))  # type: ignore[arg-type]

    async def by_portkey() -> str:
        return text_of(await portkey.chat.completions.create(model=MODEL, messages=MESSAGES))

    async def by_router() -> str:
        return (await router.acomplete(MESSAGES)).text

    return {"httpx": by_httpx, "openai SDK": by_openai, "portkey-ai SDK": by_portkey, "PortkeyRouter": by_router}


def text_in(body: dict[str, Any]) -> str:
    """The answer in a reply's JSON."""
    return str(body["choices"][0]["message"]["content"])


def text_of(completion: Any) -> str:
    """The answer in an SDK's object."""
    return str(completion.choices[0].message.content)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few calls, rough figures")
    quick = parser.parse_args().quick
    rounds, calls, waves = (1, 20, 1) if quick else (7, 200, 5)
    with server() as url:
        one = measure(sync_clients(url + "/v1"), calls, rounds)
        many = asyncio.run(measure_async(async_clients(url + "/v1"), 64, waves, rounds))
    print("| client | one call, CPU ms | x httpx | 64 in flight, CPU ms a call | x httpx |\n|---|---|---|---|---|")
    for name, milliseconds in one.items():
        ratios = milliseconds / one["httpx"], many[name] / many["httpx"]
        print(f"| {name} | {milliseconds:.2f} | {ratios[0]:.2f} | {many[name]:.2f} | {ratios[1]:.2f} |")
    print("\n| import | CPU s | MB |\n|---|---|---|")
    for name, (cpu, megabytes) in imports(IMPORTS, 1 if quick else 5).items():
        print(f"| {name} | {cpu:.2f} | {megabytes:.0f} |")
    print(f"\nPython {sys.version.split()[0]} on {platform.system()}, {os.cpu_count()} processors.")


if __name__ == "__main__":
    main()
