"""What is known of targets by how they behave: circuits, cooldowns, success and latency. Pure: it is handed the time.

A circuit opens after failures in a row, or after a share of failures among enough attempts; while it is open others are
asked. After its cooldown it is half open: a single probe is let through, and its success closes it (as does any other,
one of a request that began long before included). Cooldowns grow with each failed probe up to a few seconds only, so
that a target serves again soon after it has recovered.

Times are in seconds of whatever clock the caller keeps to.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

__all__ = ["Admission", "CircuitRules", "Health", "TargetHealth"]


class Admission(Enum):
    """Whether a target may be asked: as any other, as its only probe, or not now."""

    GO = "go"
    PROBE = "probe"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class CircuitRules:
    """When a circuit opens, and for how long.

    It opens after `in_a_row` failures in a row, or once `share` of the latest attempts have failed, where there were
    `at_least` of them (attempts count half after `memory` seconds). It stays open for `first` seconds, doubling up to
    `longest`, a fifth more or less at random. A probe that nobody hears of any more is forgotten after `probe_lease`.

    A target in trouble (overloaded or broken, `in_a_row` times) is sent no more than `burst` requests in any
    `burst_seconds`, whoever asks.
    """

    in_a_row: int = 3
    share: float = 0.5
    at_least: float = 10
    memory: float = 10.0
    first: float = 1.0
    longest: float = 4.0
    probe_lease: float = 130.0
    burst: int = 4
    burst_seconds: float = 3.3  # 3, and what a request may be held up on its way


@dataclass(frozen=True, slots=True)
class TargetHealth:
    """How a target does, as far as this process knows.

    `success` is the share of attempts that succeed, from 0 to 1, beginning with an optimistic prior and forgetting by
    half each minute. `latency` and `first_token` are the mean seconds of successful attempts, forgetting likewise;
    None while there were none. `open_for` is how many seconds its circuit stays open, 0 where it is closed.
    """

    success: float
    latency: float | None
    first_token: float | None
    failures_in_a_row: int
    open_for: float


HALF_LIFE = 60.0
_PRIOR = 19.0, 1.0
_TARGETS_KEPT = 4096
_SHORTEST_WAIT = 0.01  # a clock's least step may be longer than what is left


class _State:
    """What is kept of one target."""

    __slots__ = (
        "at",
        "bad",
        "failed_at",
        "first_token",
        "good",
        "in_a_row",
        "latency",
        "opened",
        "probing_since",
        "recent_bad",
        "recent_good",
        "sent",
        "troubled",
        "until",
        "weight",
        "weight_first",
    )

    def __init__(self, now: float, burst: int) -> None:
        self.at = now
        self.good = self.bad = self.recent_good = self.recent_bad = 0.0
        self.latency = self.first_token = self.weight = self.weight_first = 0.0
        self.in_a_row = self.opened = 0
        self.until = 0.0
        self.failed_at = float("-inf")
        self.probing_since: float | None = None
        self.troubled = 0
        self.sent: deque[float] = deque(maxlen=burst)

    def age(self, now: float, memory: float) -> None:
        """Let what is known fade until `now`."""
        passed = now - self.at
        if passed > 0:
            self.at = now
            fade, fade_recent = 0.5 ** (passed / HALF_LIFE), 0.5 ** (passed / memory)
            self.good *= fade
            self.bad *= fade
            self.weight *= fade
            self.weight_first *= fade
            self.recent_good *= fade_recent
            self.recent_bad *= fade_recent


class Health:
    """The health of every target that was asked, by key. Safe across threads, given a `threading.Lock`.

    Keys are made by the planner, and hold no key, virtual key or slug in clear.
    """

    def __init__(self, lock: AbstractContextManager[Any], rules: CircuitRules | None = None) -> None:
        self.rules = rules or CircuitRules()
        self._lock = lock
        self._states: dict[str, _State] = {}
        self._gateways: set[str] = set()

    # ---- before an attempt -------------------------------------------------------------------------------------------

    def admit(self, key: str, now: float) -> Admission:
        """Whether the target may be asked now. A `PROBE` is taken by asking: say what became of it, whatever did."""
        with self._lock:
            state = self._states.get(key)
            if state is None or not state.opened:
                return Admission.GO
            if now < state.until or self._probing(state, now):
                return Admission.WAIT
            state.probing_since = now
            return Admission.PROBE

    def available(self, key: str, now: float) -> bool:
        """Whether `admit` would let a request through; takes no probe."""
        with self._lock:
            state = self._states.get(key)
            return state is None or not state.opened or (now >= state.until and not self._probing(state, now))

    def depart(self, key: str, now: float) -> float:
        """Write down that a request is sent to the target; or, where that were one too many, the seconds to wait."""
        rules = self.rules
        with self._lock:
            state = self._states.get(key) or self._new(key, now)
            sent = state.sent
            if state.troubled >= rules.in_a_row and len(sent) == rules.burst and now - sent[0] < rules.burst_seconds:
                return max(_SHORTEST_WAIT, rules.burst_seconds - (now - sent[0]))
            sent.append(now)
            return 0.0

    def failed_at(self, key: str) -> float:
        """When the target last failed; minus infinity where it never did."""
        with self._lock:
            state = self._states.get(key)
            return float("-inf") if state is None else state.failed_at

    # ---- after it ----------------------------------------------------------------------------------------------------

    def succeeded(self, key: str, now: float, seconds: float, first_token: float | None = None) -> bool:
        """The target answered, in so many seconds; gives whether that closed its circuit."""
        with self._lock:
            state = self._states.get(key) or self._new(key, now)
            state.age(now, self.rules.memory)
            state.good += 1
            state.recent_good += 1
            state.weight += 1
            state.latency += (seconds - state.latency) / state.weight
            if first_token is not None:
                state.weight_first += 1
                state.first_token += (first_token - state.first_token) / state.weight_first
            closed = state.opened > 0
            self._close(state)
            return closed

    def alive(self, key: str) -> None:
        """The target answered, though not with what was asked for (it refused the request itself)."""
        with self._lock:
            if state := self._states.get(key):
                self._close(state)

    def failed(
        self,
        key: str,
        now: float,
        chance: float,
        *,
        probe: bool = False,
        lasting: bool = False,
        cooldown: float | None = None,
        in_a_row: int | None = None,
    ) -> float:
        """The target failed; gives for how many seconds that opens its circuit, 0 where it stays as it was.

        `probe`: the attempt was its probe. `lasting`: it is not that the target is overloaded or broken, but that it
        refuses (a wrong key), so that requests do it no harm. `cooldown` is how long it asked to be left alone (a long
        Retry-After); `chance` is uniform in [0, 1); `in_a_row` takes the place of the rules'.
        """
        rules = self.rules
        with self._lock:
            state = self._states.get(key) or self._new(key, now)
            state.age(now, rules.memory)
            state.bad += 1
            state.recent_bad += 1
            state.in_a_row += 1
            state.troubled = 0 if lasting else state.troubled + 1
            state.failed_at = now
            if probe:
                state.probing_since = None
            recent = state.recent_good + state.recent_bad
            enough = probe or state.in_a_row >= (in_a_row or rules.in_a_row)
            mostly = recent >= rules.at_least and state.recent_bad >= rules.share * recent
            if cooldown is None and not (enough or mostly):
                return 0.0
            if cooldown is None and state.opened and not probe and now < state.until:
                return 0.0  # one of several that were under way when it opened
            state.opened += 1
            pause = min(rules.longest, rules.first * 2.0 ** min(state.opened - 1, 30)) * (0.8 + 0.4 * chance)
            seconds = pause if cooldown is None else cooldown
            state.until = max(state.until, now + seconds)
            return state.until - now

    def released(self, key: str) -> None:
        """The attempt ended, and says nothing of the target (its caller left): another may be the probe."""
        with self._lock:
            if state := self._states.get(key):
                state.probing_since = None

    # ---- what others say ---------------------------------------------------------------------------------------------

    def hear(self, key: str, now: float, seconds: float) -> None:
        """Somebody else has found the target to be down, and leaves it alone for so many seconds; 0: it is up again."""
        with self._lock:
            state = self._states.get(key) or self._new(key, now)
            if seconds <= 0:
                self._close(state)
            elif now + seconds > state.until:
                state.opened = max(state.opened, 1)
                state.until = now + seconds

    # ---- what is known -----------------------------------------------------------------------------------------------

    def look(self, key: str, now: float) -> TargetHealth:
        """How the target does."""
        good, bad = _PRIOR
        with self._lock:
            state = self._states.get(key)
            if state is None:
                return TargetHealth(good / (good + bad), None, None, 0, 0.0)
            state.age(now, self.rules.memory)
            return TargetHealth(
                success=(good + state.good) / (good + bad + state.good + state.bad),
                latency=state.latency if state.weight else None,
                first_token=state.first_token if state.weight_first else None,
                failures_in_a_row=state.in_a_row,
                open_for=max(0.0, state.until - now) if state.opened else 0.0,
            )

    def outlook(self, key: str, now: float) -> tuple[float, bool]:
        """`look`'s `success`, and `available`, in one: asked for each target of each call that goes by cost."""
        good, bad = _PRIOR
        with self._lock:
            state = self._states.get(key)
            if state is None:
                return good / (good + bad), True
            state.age(now, self.rules.memory)
            up = not state.opened or (now >= state.until and not self._probing(state, now))
            return (good + state.good) / (good + bad + state.good + state.bad), up

    def knows_gateway(self, url: str) -> bool:
        """Whether what answers there was seen to be a Portkey gateway, which tells its targets' failures as replies."""
        return url in self._gateways

    def saw_gateway(self, url: str) -> None:
        """What answers there is a Portkey gateway."""
        self._gateways.add(url)

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _new(self, key: str, now: float) -> _State:
        if len(self._states) >= _TARGETS_KEPT:
            del self._states[next(iter(self._states))]  # the one first heard of
        state = self._states[key] = _State(now, self.rules.burst)
        return state

    def _probing(self, state: _State, now: float) -> bool:
        return state.probing_since is not None and now - state.probing_since < self.rules.probe_lease

    @staticmethod
    def _close(state: _State) -> None:
        if state.opened:
            state.recent_good = state.recent_bad = 0.0  # what opened it is settled
        state.in_a_row = state.opened = 0
        state.troubled = 0
        state.until = 0.0
        state.probing_since = None
