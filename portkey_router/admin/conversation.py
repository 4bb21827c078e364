"""How a verb's requests are held: deadlines, and another try where that is harmless. No I/O: it yields `Step`s."""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from portkey_router._version import __version__
from portkey_router.admin.asks import Found
from portkey_router.admin.replies import read, secrets_of
from portkey_router.errors import AdminError, ConnectFailedError, PortkeyError
from portkey_router.flow.steps import Send, Show, Wait
from portkey_router.wire.http import Expiry, HttpCall

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from pydantic import SecretStr

    from portkey_router.admin.asks import Ask, Operation
    from portkey_router.flow.steps import Step

__all__ = ["Result", "Session", "conversation"]

PASSING = frozenset({429, 500, 502, 503, 504, 529})
LONGEST_WAIT = 10.0


@dataclass(frozen=True, slots=True)
class Session:
    """Where the admin API is, and who asks. `timeout` (seconds) bounds each request with its further tries."""

    url: str
    api_key: SecretStr
    timeout: float = 30.0
    max_retries: int = 2
    workspace_id: str | None = None
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    chance: Callable[[], float] = field(default=random.random, repr=False)


@dataclass(frozen=True, slots=True)
class Result:
    """What a verb comes to."""

    value: Any


def conversation(operation: Operation[Any], session: Session) -> Generator[Step, Any, None]:
    """The steps of a verb: it shows what is found, and at its end its `Result`."""
    resume: Callable[[Any], Any] = operation.send
    value: Any = None
    while True:
        try:
            wanted = resume(value)
        except StopIteration as end:
            yield Show(Result(end.value))  # type: ignore[arg-type]  # the drivers hand it on, whatever it is
            return
        resume, value = operation.send, None
        if isinstance(wanted, Found):
            yield Show(wanted)  # type: ignore[arg-type]  # as above
            continue
        try:
            value = yield from _exchange(wanted, session)
        except PortkeyError as error:
            resume, value = operation.throw, error


def _exchange(ask: Ask, session: Session) -> Generator[Step, Any, Any]:
    expiry = Expiry(session.clock() + session.timeout, "total", session.timeout)
    call = _call(ask, session, expiry)
    secrets = [session.api_key.get_secret_value(), *secrets_of(ask.body)]
    tried, lost = 0, False
    while True:
        try:
            return read((yield Send(call)), ask, secrets)
        except (AdminError, ConnectFailedError) as error:
            if lost and ask.method == "DELETE" and isinstance(error, AdminError) and error.status == 404:  # noqa: PLR2004
                return {}  # the reply that was lost said so
            pause = _pause(ask, session, error, tried, expiry)
            if pause is None:
                raise
            lost |= not isinstance(error, AdminError) or error.status != 429  # noqa: PLR2004
        tried += 1
        yield Wait(pause)


def _pause(ask: Ask, session: Session, error: PortkeyError, tried: int, expiry: Expiry) -> float | None:
    """Seconds until the next try; None: there is none."""
    if not ask.repeatable or tried >= session.max_retries:
        return None
    wait = 0.2 * 2**tried * (0.5 + session.chance() / 2)
    if isinstance(error, AdminError):
        if error.status not in PASSING:
            return None
        wait = wait if error.retry_after is None else error.retry_after
    return wait if wait <= min(LONGEST_WAIT, expiry.remaining(session.clock())) else None


def _call(ask: Ask, session: Session, expiry: Expiry) -> HttpCall:
    headers = {
        "x-portkey-api-key": session.api_key.get_secret_value(),
        "accept": "application/json",
        "user-agent": f"portkey-router/{__version__}",
    }
    body = b""
    if ask.body is not None:
        headers["content-type"] = "application/json"
        body = json.dumps(ask.body, default=str).encode()
    query = {name: value for name, value in ask.query.items() if value is not None}
    url = session.url + ask.path + (f"?{urlencode(query)}" if query else "")
    return HttpCall(url, headers, expiry, body, method=ask.method, variable="PORTKEY_ADMIN_URL")
