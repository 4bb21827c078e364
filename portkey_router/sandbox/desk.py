"""The desk behind which providers sit: each name has its script of faults, its memory and its log."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from portkey_router.sandbox.engine import CACHED_FROM, Moment, system_prompt
from portkey_router.sandbox.faults import Fault
from portkey_router.sandbox.replies import answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portkey_router.sandbox.replies import Reply

__all__ = ["Desk", "Received"]


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it arrived, and what became of it.

    `time` is monotonic, in seconds. `provider` is the name it was sent to. `headers` are in lower case, as received.
    `body` is the parsed JSON, or the text where it is none. `status` is what was sent; None while nothing was sent
    (yet). `closed_early`: the client went away before the answer was complete.
    """

    time: float
    provider: str
    path: str
    headers: Mapping[str, str]
    body: Any
    status: int | None = None
    closed_early: bool = False


@dataclass(slots=True)
class _Name:
    queue: deque[Fault] = field(default_factory=deque)
    standing: Fault = field(default_factory=Fault.ok)
    prompts: set[str] = field(default_factory=set)


class Desk:
    """Providers by name, and the log of what they were asked. Any name is a provider; safe across threads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._names: dict[str, _Name] = {}
        self._log: list[Received] = []
        self._count = 0

    # ---- the test's side -----------------------------------------------------------------------------------------

    def script(self, name: str, *faults: Fault) -> None:
        """Queue faults for a provider: one for each request, then its ordinary answers again."""
        with self._lock:
            self._name(name).queue.extend(faults)

    def always(self, name: str, fault: Fault) -> None:
        """The answer of a provider whenever its queue is empty."""
        with self._lock:
            self._name(name).standing = fault

    def clear(self, name: str) -> None:
        """No faults any more for a provider, queued or standing; its log stays."""
        with self._lock:
            self._name(name).queue.clear()
            self._name(name).standing = Fault.ok()

    def log(self, name: str | None = None) -> tuple[Received, ...]:
        """What a provider was sent, in order; without a name, all of them."""
        with self._lock:
            return tuple(received for received in self._log if name in {None, received.provider})

    # ---- the server's side ---------------------------------------------------------------------------------------

    def receive(self, name: str, path: str, headers: Mapping[str, str], body: Any) -> int:
        """Write a request into the log; the number is its entry."""
        with self._lock:
            self._log.append(Received(time.monotonic(), name, path, dict(headers), body))
            return len(self._log) - 1

    def note(self, entry: int, *, status: int | None = None, closed_early: bool | None = None) -> None:
        """Write into the log what became of a request."""
        with self._lock:
            found = self._log[entry]
            self._log[entry] = replace(
                found,
                status=found.status if status is None else status,
                closed_early=found.closed_early if closed_early is None else closed_early,
            )

    def next_fault(self, name: str) -> Fault:
        """The first of the queue, else the standing one."""
        with self._lock:
            provider = self._name(name)
            return provider.queue.popleft() if provider.queue else provider.standing

    def answer(self, name: str, path: str, body: Any) -> Reply:
        """The provider's next answer: its next fault, applied to what the request asks for."""
        with self._lock:
            provider, fault = self._name(name), self.next_fault(name)
            self._count += 1
            moment = Moment(self._count, int(time.time()), self._remembered(provider, body))
        return answer(path, body, fault, moment)

    def models(self) -> dict[str, Any]:
        """The answer to GET /models: what was asked for so far, and one that always is there."""
        asked = [
            str(entry.body["model"]) for entry in self.log() if isinstance(entry.body, dict) and "model" in entry.body
        ]
        listed = dict.fromkeys(["sandbox-model", *asked])
        return {
            "object": "list",
            "data": [{"id": name, "object": "model", "created": 0, "owned_by": "sandbox"} for name in listed],
        }

    def _name(self, name: str) -> _Name:
        return self._names.setdefault(name, _Name())

    def _remembered(self, provider: _Name, body: Any) -> bool:
        """Whether the provider has seen this system prompt; from now on it has, if it is long enough to be kept."""
        try:
            prompt = system_prompt(body)
        except (AttributeError, TypeError):
            return False  # not a chat request: the engine will say so
        if len(prompt) < CACHED_FROM:
            return False
        seen = prompt in provider.prompts
        provider.prompts.add(prompt)
        return seen
