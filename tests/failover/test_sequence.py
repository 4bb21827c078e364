"""A primary that goes down and comes back while requests go on, and gateways that do; judged from the targets' log."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from portkey_router import Deadlines, Fallback, PortkeyRouter, StreamInterruptedError, sandbox
from portkey_router.bootstrap import process_health
from portkey_router.sandbox.engine import Moment
from portkey_router.sandbox.relay import failure
from portkey_router.sandbox.replies import answer
from portkey_router.sandbox.server import send, serving
from tests.failover.faces import FACES, MESSAGES, STREAMED, Face

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web

    from tests.failover.worlds import World

DOWN, BACK_WITHIN, GENEROUS = 3.0, 6.0, 30.0
each_face = pytest.mark.parametrize("face", FACES, ids=lambda face: face.name)


@pytest.mark.parametrize(
    "fault",
    [sandbox.Fault.status(503), sandbox.Fault.status(429), sandbox.Fault.reset()],
    ids=lambda fault: f"{fault.kind} {fault.code}",
)
def test_an_outage_and_the_way_back(world: World, fault: sandbox.Fault) -> None:
    """Down for seconds with requests throughout: all answered, a handful of probes, and back to the primary soon."""
    router = PortkeyRouter.from_env(
        base_url=world.url,
        api_key=None if world.providers else "pk",
        strategy=Fallback(world.target("a"), world.target("b")),
    )
    answered: list[str] = []
    up_again = None
    world.always("a", fault)
    began = time.monotonic()
    while not (up_again and answered[-3:] == ["a"] * 3):
        answered.append(router.complete(MESSAGES).route.target)
        now = time.monotonic()
        if up_again is None and now - began > DOWN:
            world.desk.clear("a")
            up_again = time.monotonic()
        assert now - began < GENEROUS
        time.sleep(0.02)
    back = next(received.time for received in world.log("a") if received.time >= up_again)
    probes = [received for received in world.log("a") if received.time < up_again]
    assert back - up_again < BACK_WITHIN
    assert len(probes) <= 3 + 4  # until its circuit opened, and then one after a second, two, four
    world.check_not_hammered("a", until=up_again)


def test_many_at_once_send_one_probe(world: World) -> None:
    """Fifty calls in flight when a target may be probed: one of them is."""
    health = process_health()
    router = PortkeyRouter.from_env(
        base_url=world.url,
        api_key=None if world.providers else "pk",
        strategy=Fallback(world.target("a"), world.target("b")),
        max_retries=0,
    )
    world.always("a", sandbox.Fault.status(503))
    for _ in range(3):
        router.complete(MESSAGES)
    assert len(world.log("a")) == 3
    key = router.plan(MESSAGES).attempts[0].key
    end = time.monotonic() + GENEROUS
    while not health.available(key, time.monotonic()):
        assert time.monotonic() < end
        time.sleep(0.02)
    time.sleep(3.4)  # till requests that were sent to it before count no more

    async def storm() -> list[str]:
        answers = await asyncio.gather(*(router.acomplete(MESSAGES) for _ in range(50)))
        return [answer.route.target for answer in answers]

    assert asyncio.run(storm()) == ["b"] * 50
    assert len(world.log("a")) == 4


# ---- gateways --------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["refused", "its own 500", "a page of a proxy"])
def bad_gateway(request: pytest.FixtureRequest) -> Iterator[str]:
    """A gateway that fails itself."""
    own, page = failure("Something went wrong", 500), answer("", {}, sandbox.Fault.html(502), Moment())

    async def handle(asked: web.Request) -> web.StreamResponse:
        return await send(asked, own if request.param == "its own 500" else page)

    with serving(handle) as root:
        url = f"{root}/v1"
        if request.param != "refused":
            yield url
            return
    yield url


@each_face
def test_a_gateway_that_fails_is_passed_over(face: Face, world: World, bad_gateway: str) -> None:
    """The same target answers, by the next gateway; no target's circuit hears of it."""
    options: dict[str, Any] = {
        "base_url": [bad_gateway, world.url],
        "api_key": None if world.providers else "pk",
        "strategy": Fallback(world.target("a"), world.target("b")),
    }
    for _ in range(4):
        seen = face.ask(**options)
        seen.check_whole()
        assert seen.target == "a"
    assert world.asked() == ["a"] * 4


@pytest.mark.parametrize("face", STREAMED, ids=lambda face: face.name)
@pytest.mark.parametrize("after", [1, 3])
def test_a_gateway_that_restarts_within_a_stream(face: Face, direct: World, after: int) -> None:
    """Before the first word the next gateway answers; after it the caller is told what had come."""
    asked: list[str] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers["x-portkey-virtual-key"])
        body = await request.json()
        reply = answer("/chat/completions", body, sandbox.Fault.reset(after=after), Moment())
        return await send(request, reply)

    with serving(handle) as root:
        options: dict[str, Any] = {
            "base_url": [f"{root}/v1", direct.url],
            "api_key": "pk",
            "strategy": Fallback(direct.target("a"), direct.target("b")),
            "deadlines": Deadlines(),
        }
        if after == 1:
            assert face.ask(**options).target == "a"
            assert direct.asked() == ["a"]
        else:
            with pytest.raises(StreamInterruptedError):
                face.ask(**options)
            assert direct.asked() == []
    assert asked == ["a"]
