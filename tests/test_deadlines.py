"""Deadlines, against providers that are really silent. Only hangs are judged by the clock, never speed."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from portkey_router import (
    AsyncCompletionStream,
    CompletionStream,
    DeadlineExceededError,
    Deadlines,
    Fallback,
    PortkeyRouter,
    StreamInterruptedError,
    Target,
    sandbox,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from portkey_router.messages import Completion
    from portkey_router.sandbox import PortkeyDouble

MESSAGES = [{"role": "user", "content": "What does a gateway do?"}]
SHORT = Deadlines(first_token=0.3, silence=0.3, attempt=0.3)
# For the silent one of two; whoever answers has more, on a busy machine too.
HURRIED = Deadlines(hurried_first_token=0.3, attempt=2.0)


@pytest.fixture
def router(portkey_sandbox: PortkeyDouble) -> Callable[..., PortkeyRouter]:
    """Makes routers over the double, in which "vk-a" and "vk-b" are two targets."""
    for name in ("vk-a", "vk-b"):
        portkey_sandbox.add_virtual_key(name, provider="openai")

    def make(*names: str, **options: Any) -> PortkeyRouter:
        strategy = Fallback(*(Target(f"model-{name}", virtual_key=name) for name in names))
        server: dict[str, Any] = {"base_url": portkey_sandbox.url, "api_key": portkey_sandbox.api_key}
        return PortkeyRouter.from_env(strategy=strategy, **{**server, "deadlines": SHORT, **options})

    return make


def ask(router: PortkeyRouter, verb: str) -> Completion:
    """One answer by the verb."""
    if verb == "complete":
        return router.complete(MESSAGES)
    if verb == "acomplete":
        return asyncio.run(router.acomplete(MESSAGES))
    stream: CompletionStream | AsyncCompletionStream
    if verb == "stream":
        stream = router.stream(MESSAGES)
        for _ in stream:
            pass
    else:
        stream = asyncio.run(finished(router))
    assert stream.completion is not None
    return stream.completion


async def finished(router: PortkeyRouter) -> AsyncCompletionStream:
    """An async stream, read to its end."""
    stream = router.astream(MESSAGES)
    async for _ in stream:
        pass
    return stream


@pytest.mark.parametrize("verb", ["complete", "acomplete", "stream", "astream"])
def test_a_silent_target_is_left_for_the_next(
    portkey_sandbox: PortkeyDouble, router: Callable[..., PortkeyRouter], verb: str
) -> None:
    """It accepts and never answers: asked once, not again, and the next target answers."""
    portkey_sandbox.always("vk-a", sandbox.Fault.hang())
    answer = ask(router("vk-a", "vk-b", deadlines=HURRIED), verb)
    assert [(a.target, a.outcome) for a in answer.route.attempts] == [
        ("model-vk-a", "DeadlineExceededError"),
        ("model-vk-b", "ok"),
    ]


@pytest.mark.parametrize(("verb", "phase"), [("complete", "attempt"), ("stream", "first_token")])
def test_the_only_target_being_silent_names_the_deadline(
    portkey_sandbox: PortkeyDouble, router: Callable[..., PortkeyRouter], verb: str, phase: str
) -> None:
    """The error says which deadline passed, and how long it was."""
    portkey_sandbox.always("vk-a", sandbox.Fault.hang())
    with pytest.raises(DeadlineExceededError) as caught:
        ask(router("vk-a"), verb)
    assert (caught.value.phase, caught.value.seconds) == (phase, 0.3)


@pytest.mark.parametrize("verb", ["stream", "astream"])
def test_silence_within_a_stream_is_an_interruption(
    portkey_sandbox: PortkeyDouble, router: Callable[..., PortkeyRouter], verb: str
) -> None:
    """After the first words, silence ends the stream with what had come; the cause is the deadline."""
    portkey_sandbox.always("vk-a", sandbox.Fault.slow(between=30))
    patient = Deadlines(first_token=60, silence=0.3)
    # The role comes at once and the first words thirty seconds later: to the caller that is a late first token.
    with pytest.raises(DeadlineExceededError) as late:
        ask(router("vk-a", deadlines=Deadlines(first_token=0.3)), verb)
    assert late.value.phase == "first_token"
    portkey_sandbox.always("vk-a", sandbox.Fault.slow(between=1.0))
    with pytest.raises(StreamInterruptedError) as caught:
        ask(router("vk-a", deadlines=patient), verb)
    assert isinstance(caught.value.__cause__, DeadlineExceededError)
    assert caught.value.__cause__.phase == "silence"
    assert caught.value.partial is not None


@pytest.mark.parametrize("verb", ["complete", "acomplete", "stream", "astream"])
def test_the_total_bounds_all_attempts_together(
    portkey_sandbox: PortkeyDouble, router: Callable[..., PortkeyRouter], verb: str
) -> None:
    """`timeout` ends a call whose targets are all silent, long before their own deadlines would."""
    for name in ("vk-a", "vk-b"):
        portkey_sandbox.always(name, sandbox.Fault.hang())
    started = time.monotonic()
    with pytest.raises(DeadlineExceededError) as caught:
        ask(router("vk-a", "vk-b", deadlines=Deadlines(first_token=60, attempt=60), timeout=0.5), verb)
    assert caught.value.phase == "total"
    assert time.monotonic() - started < 20
