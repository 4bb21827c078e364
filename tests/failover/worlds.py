"""Where calls fail: targets with scripts on loopback, asked directly, or by way of the real gateway.

Judged from the log of these servers, in which every attempt stands with its time.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from portkey_router import Target
from portkey_router.sandbox.desk import Desk
from portkey_router.sandbox.providers import answer
from portkey_router.sandbox.server import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web

    from portkey_router import sandbox
    from portkey_router.sandbox.desk import Received
    from portkey_router.sandbox.faults import Fault

__all__ = ["World", "fault_server"]

BURST = 4
BURST_SECONDS = 3.0


@dataclass(frozen=True)
class World:
    """Targets by name: their scripts, their log, and how a router reaches them."""

    name: str
    url: str
    desk: Desk
    providers: sandbox.Providers | None = None

    def target(self, name: str, **options: Any) -> Target:
        """The target of this name."""
        given = {"model": f"model-{name}", "name": name, **options}
        if self.providers is None:
            return Target(**given, virtual_key=name)
        return Target(**given, provider="openai", api_key="sk-test", custom_host=self.providers.host(name))

    def script(self, name: str, *faults: Fault) -> None:
        """Faults for the next requests to a target, one each; then it answers again."""
        self.desk.script(name, *faults)

    def always(self, name: str, fault: Fault) -> None:
        """What a target does whenever its script is through."""
        self.desk.always(name, fault)

    def asked(self) -> list[str]:
        """The targets that were asked, in the order in which the requests arrived."""
        return [received.provider for received in self.desk.log()]

    def log(self, name: str) -> tuple[Received, ...]:
        """What a target was asked."""
        return self.desk.log(name)

    def check_not_hammered(self, name: str, until: float = float("inf")) -> None:
        """A target that fails `until` then was sent no more than four requests in any three seconds."""
        times = [received.time for received in self.log(name) if received.time < until]
        gaps = [later - earlier for earlier, later in zip(times, times[BURST:], strict=False)]
        assert all(gap >= BURST_SECONDS for gap in gaps), f"{name}: {[round(t - times[0], 2) for t in times]}"


@contextlib.contextmanager
def fault_server() -> Iterator[tuple[str, Desk]]:
    """A server whose targets are told apart by their virtual key; its URL, and its desk."""
    desk = Desk()

    async def handle(request: web.Request) -> web.StreamResponse:
        name = request.headers.get("x-portkey-virtual-key", "nobody")
        return await answer(request, desk, name, request.path.removeprefix("/v1"))

    with serving(handle) as root:
        yield f"{root}/v1", desk
