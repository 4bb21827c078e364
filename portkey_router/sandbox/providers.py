"""Model providers on loopback: any number of them in one server, to stand behind a gateway."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from portkey_router.sandbox.desk import Desk
from portkey_router.sandbox.faults import error_body
from portkey_router.sandbox.replies import json_reply
from portkey_router.sandbox.server import parsed, send, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web

    from portkey_router.sandbox.desk import Received
    from portkey_router.sandbox.faults import Fault

__all__ = ["Providers", "answer", "providers"]

# The provider behind `Providers.url`, whose path names none.
DEFAULT = "default"


class Providers:
    """Providers by name, in one server; made by `providers()`.

    A provider exists as soon as it is named. `url` is the base URL of the one named "default".
    """

    def __init__(self, root: str, desk: Desk) -> None:
        self._root = root
        self._desk = desk

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT/v1`: the provider named "default"."""
        return f"{self._root}/v1"

    def host(self, name: str) -> str:
        """`http://127.0.0.1:PORT/NAME/v1`: what a gateway is given as `custom_host`."""
        return f"{self._root}/{name}/v1"

    def script(self, name: str, *faults: Fault) -> None:
        """Queue faults for a provider: one for each request, then its ordinary answers again."""
        self._desk.script(name, *faults)

    def always(self, name: str, fault: Fault) -> None:
        """The answer of a provider whenever its queue is empty."""
        self._desk.always(name, fault)

    def clear(self, name: str) -> None:
        """No faults any more for a provider, queued or standing; its log stays."""
        self._desk.clear(name)

    def log(self, name: str) -> tuple[Received, ...]:
        """The requests a provider received, in order."""
        return self._desk.log(name)

    @property
    def requests(self) -> tuple[Received, ...]:
        """The requests all providers received, in order."""
        return self._desk.log()


@contextlib.contextmanager
def providers(*, latency: float = 0.0) -> Iterator[Providers]:
    """Providers on 127.0.0.1 that speak the OpenAI shape; they end with the block.

    `POST .../chat/completions` (streamed or not), `POST .../embeddings`, `GET .../models`. Every answer is derived
    from its request; no key is asked for. `latency` is how many seconds each answer takes to begin, faults included.
    """
    desk = Desk()

    async def handle(request: web.Request) -> web.StreamResponse:
        head, _, rest = request.path.lstrip("/").partition("/")
        name, path = (DEFAULT, f"/{rest}") if head == "v1" else (head, "/" + rest.removeprefix("v1/"))
        if (request.method, path) == ("GET", "/models"):
            return await send(request, json_reply(desk.models()))
        if request.method != "POST" or path not in {"/chat/completions", "/embeddings"}:
            message = f"Unknown request URL: {request.method} {request.path}"
            return await send(request, json_reply(error_body(404, message), 404))
        return await answer(request, desk, name, path, latency)

    with serving(handle) as root:
        yield Providers(root, desk)


async def answer(request: web.Request, desk: Desk, name: str, path: str, latency: float = 0.0) -> web.StreamResponse:
    """Answer a request as the provider of that name would: by its script, and into the log."""
    body = await parsed(request)
    headers = {key.lower(): value for key, value in request.headers.items()}
    entry = desk.receive(name, request.path, headers, body)
    reply = desk.answer(name, path, body)
    try:
        if reply.frames is None:
            # The log must not name a status that a client who left meanwhile was never sent.
            latency, reply = latency + reply.late, replace(reply, late=0.0)
        await asyncio.sleep(latency)
        if reply.ending != "never":
            desk.note(entry, status=reply.status)
        return await send(request, reply)
    except (ConnectionResetError, asyncio.CancelledError):
        desk.note(entry, closed_early=True)
        raise
