"""The journey hand-fed with every order of outcomes, up to three targets."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from portkey_router.errors import (
    PortkeyError,
)
from portkey_router.messages import Completion
from portkey_router.wire.http import HttpReply
from tests.core.fakes import (
    FILTERED,
    JSON,
    REFUSED,
    Reply,
    failed,
    late,
    memory,
    ok,
    plan,
    target,
    tell,
    too_long,
)

if TYPE_CHECKING:
    from collections.abc import Iterable


OUTCOMES: dict[str, list[Reply]] = {
    "answers": [ok()],
    "429": [failed(429)],
    "429 long": [failed(429, retry_after="99")],
    "503": [failed(503)],
    "401": [failed(401)],
    "400": [failed(400)],
    "446": [failed(446)],
    "filtered": [FILTERED],
    "too long": [too_long()],
    "refused": [REFUSED],
    "silent": [late("attempt")],
    "garbage": [HttpReply(200, JSON, b"{")],
    "total": [late("total")],
}
FINAL = {"400", "446", "filtered", "total"}
TRIES = {"429": 2, "503": 2, "refused": 2, "garbage": 2}


def expected(order: Iterable[str]) -> tuple[list[str], bool]:
    """By the README's table: the outcomes that are met, each as often as it is asked for, and whether one answers."""
    met: list[str] = []
    order = list(order)
    for outcome in order:
        met += [outcome] * TRIES.get(outcome, 1)
        if outcome in {"answers"} | FINAL:
            return met, outcome == "answers"
    return met, False


@pytest.mark.parametrize("first", OUTCOMES)
def test_every_order_of_outcomes(first: str) -> None:
    """Up to three targets, each with every outcome: the requests made are those of the table, and so is the end."""
    for length in (1, 2, 3):
        for rest in itertools.product(OUTCOMES, repeat=length - 1):
            order = (first, *rest)
            check_order(order)


def check_order(order: tuple[str, ...]) -> None:
    """One order, with and without health."""
    met, answers = expected(order)
    names = ["one", "two", "three"][: len(order)]
    attempts = plan(*(target(name, tries=2) for name in names))
    replies: list[Reply] = [reply for outcome in met for reply in OUTCOMES[outcome]]
    told = tell(attempts, *replies, health=memory())
    if answers:
        assert told.completion.text == "Hi", order
        assert len(told.completion.route.attempts) == len(met), order
        return
    error = told.error
    assert isinstance(error, PortkeyError), order
    assert len(error.attempts) == len(met), order
    assert not any(isinstance(item, Completion) for item in told.shown), order
