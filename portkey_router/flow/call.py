"""One call while it runs: what it was asked, what it is handed of the world, what has become of it so far."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from portkey_router.errors import UpstreamError
from portkey_router.flow.accounting import (
    Trip,
    all_failed,
    completion,
    interrupted,
    priced,
    record,
    route_of,
    usage_in,
)
from portkey_router.flow.answers import answer_of
from portkey_router.flow.itinerary import Itinerary, Leg
from portkey_router.flow.policy import Policy
from portkey_router.flow.verdict import fault_of
from portkey_router.health import Admission
from portkey_router.reasoning import thinks_first
from portkey_router.wire.body import encode_body
from portkey_router.wire.http import Expiry, HttpCall

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from decimal import Decimal

    from portkey_router.costing import Experience
    from portkey_router.errors import AdmissionError, PortkeyError
    from portkey_router.events import EventHub
    from portkey_router.flow.deadlines import Deadlines
    from portkey_router.flow.steps import Step
    from portkey_router.health import Health
    from portkey_router.messages import AttemptRecord, Completion, Embeddings, Request, Usage
    from portkey_router.planner import Plan
    from portkey_router.pricing import PriceBook

__all__ = ["Call", "Surroundings"]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a journey is handed of the world: where the gateway is, and the clock and the chance to use.

    `clock` is `time.monotonic`'s, `now` the time of day, `chance` gives uniform numbers in [0, 1). `headers` are those
    of every attempt. `prices` says what answers cost; without them no cost is known. `more_urls` are those of further
    gateways, asked where one fails itself. `health` is what is known of targets, shared by calls; without it every
    target is taken for healthy. `hub` hears what happens, under the call's `call_id`. `until` ends a call that
    this journey is only a part of (a batch of many); without it `deadlines.total` counts from the journey's beginning.
    `experience` learns from what attempts bring; the call was thought to have so many `estimated` tokens of input, and
    to be of this `kind` (see `portkey_router.costing.Needs`). `caching` is the cache that the call asks first, and
    feeds. `spending` sets aside what each attempt may cost; without it nothing is counted.
    """

    url: str
    headers: Mapping[str, str] = field(repr=False)
    deadlines: Deadlines
    clock: Callable[[], float]
    chance: Callable[[], float]
    prices: PriceBook | None = None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    more_urls: tuple[str, ...] = ()
    policy: Policy = field(default_factory=Policy)
    health: Health | None = None
    hub: EventHub | None = None
    until: Expiry | None = None
    call_id: str = ""
    experience: Experience | None = None
    estimated: int = 0
    kind: int = 0
    caching: Answerer | None = None
    spending: Purse | None = None


class Answerer(Protocol):
    """Who may have the answer without asking a target: `flow.caching`, which stands above this file."""

    def answer(
        self, call: Call, ask: Callable[[Call], Generator[Step, Any, Completion | Embeddings]]
    ) -> Generator[Step, Any, Completion | Embeddings]:
        """The answer, its own or what `ask` brings."""


class Purse(Protocol):
    """Who sets aside what attempts may cost: `flow.spending`, which stands above this file."""

    def reserve(self, call: Call, leg: Leg) -> Generator[Step, Any, SetAside | None]:
        """Before an attempt. None where it is subject to nothing; raises `AdmissionError` for what may not be sent."""


class SetAside(Protocol):
    """What is set aside for one attempt."""

    def depart(self, call: Call, leg: Leg) -> Generator[Step, Any, Trip]:
        """`Call.depart`, with what the bound relies on."""

    def watch(
        self, call: Call, trip: Trip, going: Generator[Step, Any, Completion | Embeddings]
    ) -> Generator[Step, Any, Completion | Embeddings]:
        """The attempt as it goes; settled however it ends."""


class Call:
    """A call on its way.

    `told` is the hub that hears of it, None where nobody listens. `shown` is the trip whose chunks the caller has seen
    last; `void` says that the caller must be told so before anything else is shown, since that answer broke. `replayed`
    is the answer that a cache gave.
    """

    __slots__ = (
        "_order",
        "_wire_request",
        "around",
        "began",
        "errors",
        "itinerary",
        "plan",
        "records",
        "replayed",
        "request",
        "shown",
        "streams",
        "told",
        "total",
        "void",
    )

    def __init__(self, request: Request, plan: Plan, around: Surroundings) -> None:
        self.request = request
        self.plan = plan
        self.around = around
        self.streams = request.stream or (around.policy.wire_stream and request.operation == "chat")
        self.began = around.clock()
        self.total = around.until or Expiry(self.began + around.deadlines.total, "total", around.deadlines.total)
        self.itinerary = Itinerary(plan, around.health, around.prices)
        self.records: list[AttemptRecord] = []
        self.errors: list[PortkeyError] = []  # the last of each target
        self.shown: Trip | None = None
        self.void = False
        self.replayed: Completion | None = None
        self.told = around.hub if around.hub is not None and around.hub.listening else None
        self._order: tuple[str, ...] = () if around.more_urls else (around.url,)
        self._wire_request = request if request.stream == self.streams else replace(request, stream=True)

    # ---- attempts ----------------------------------------------------------------------------------------------------

    def depart(self, leg: Leg, more: Mapping[str, Any] | None = None) -> Trip:
        """One more attempt at a target, with `more` fields in its body."""
        around, attempt = self.around, leg.attempt
        override = {**attempt.override_params, **more} if more else attempt.override_params
        now = around.clock()
        url = self._gateways[0]
        request = self._wire_request
        call = HttpCall(
            url=url,
            headers={**around.headers, **attempt.headers},
            body=encode_body(request, model=attempt.model or request.model, override_params=override),
            expiry=self._patience(leg, now),
            connect=around.deadlines.connect,
        )
        return Trip(leg, call, now, _where(url) if around.more_urls else None)

    def _patience(self, leg: Leg, now: float) -> Expiry:
        """The deadline of an attempt's answer, or of its first token."""
        deadlines = self.around.deadlines
        if not self.streams:
            own = Expiry(now + deadlines.attempt, "attempt", deadlines.attempt)
        else:
            hurried = self.itinerary.others(now) and not self._thinks_first(leg)
            seconds = deadlines.first_token_within(self.total.remaining(now), hurried=hurried)
            own = Expiry(now + seconds, "first_token", seconds)
        return min(own, self.total)

    def _thinks_first(self, leg: Leg) -> bool:
        body = self.request.body
        params = {**body, **leg.attempt.override_params} if leg.attempt.override_params else body
        return thinks_first(leg.attempt.model or self.request.model, params)

    def silence(self, trip: Trip) -> float:
        """How many seconds of silence the stream is allowed, once it has begun to tell something."""
        hurried = not (trip.shown or self.shown) and self.others
        return self.around.deadlines.silence_within(hurried=hurried)

    def crowded(self, leg: Leg) -> float:
        """Seconds until the target, which is in trouble, may be sent one more request; 0 where it may now."""
        health = self.around.health
        if health is None or self.plan.run_on == "gateway":
            return 0.0
        return health.depart(leg.attempt.key, self.around.clock())

    @property
    def others(self) -> bool:
        """Whether another target could be asked now."""
        return self.itinerary.others(self.around.clock())

    def admits(self, trip: Trip) -> bool:
        """Whether the target's circuit is closed."""
        health = self.around.health
        return health is None or health.available(trip.attempt.key, self.around.clock())

    def time_for(self, pause: float) -> bool:
        """Whether the call has more time left than that."""
        return self.total.remaining(self.around.clock()) > pause

    # ---- gateways ----------------------------------------------------------------------------------------------------

    @property
    def _gateways(self) -> tuple[str, ...]:
        """Those to go by, the first of them now. In order once one is needed: that may take a gateway's only probe."""
        if not self._order:
            self._order = _in_order(self.around)
        return self._order

    @property
    def gateways_left(self) -> bool:
        """Whether there is another gateway to go to."""
        return len(self._gateways) > 1

    def next_gateway(self) -> None:
        """This one failed: the rest of the call goes by the next."""
        self._order = self._order[1:]

    # ---- what became of attempts -------------------------------------------------------------------------------------

    def answered(self, trip: Trip, body: Mapping[str, Any] | None) -> Completion | Embeddings:
        """This attempt brought the answer: as `body`, or by a stream, which the trip has."""
        around, model = self.around, trip.attempt.model or self.request.model
        now = around.clock()
        usage = usage_in(trip, body)
        self.records.append(record(trip, "ok", now - trip.began, usage))
        health = around.health
        if health is not None and self.plan.run_on == "client":
            first = None if trip.first_seen is None else trip.first_seen - trip.began
            health.succeeded(trip.attempt.key, now, now - trip.began, first)
        self._gateway_works(trip)
        if around.experience is not None:
            around.experience.answered(trip.attempt.key, around.estimated, usage, now - trip.began, around.kind)
        answer = answer_of(self.request, trip, body, route_of(trip, self.plan, self.records), model=model, usage=usage)
        return priced(answer, trip, around.prices, around.now(), self.request.model)

    def failed(self, trip: Trip, error: PortkeyError) -> float:
        """This attempt failed; gives for how many seconds its target is left alone because of it, 0 for none."""
        now = self.around.clock()
        self.records.append(record(trip, type(error).__name__, now - trip.began, trip.assembler.usage, error))
        error.attempts = tuple(self.records)
        self._learn_failure(trip)
        health = self.around.health
        if health is None:
            return 0.0
        by_gateway = _is_gateway(trip) or health.knows_gateway(trip.call.url)
        fault = fault_of(error, by_gateway=by_gateway)
        if fault != "gateway" and trip.status is not None:
            self._gateway_works(trip)
        elif self.around.more_urls:
            gateway = _gateway_key(trip.call.url)
            if fault == "gateway":
                health.failed(gateway, now, self.around.chance(), probe=True, in_a_row=1)
            else:
                health.released(gateway)
        if self.plan.run_on == "gateway":
            return 0.0
        return self._judge_target(trip, error, fault, now)

    def _learn_failure(self, trip: Trip) -> None:
        """What a failed attempt took, and billed: the tokens it stated, where a price for them is known."""
        around, failed = self.around, self.records[-1]
        if around.experience is None:
            return
        cost = None
        if around.prices is not None and failed.usage is not None and failed.billed != "no":
            model, provider = trip.attempt.model or "", trip.attempt.stated_provider
            cost = around.prices.cost(failed.usage, model=model, provider=provider, at=around.now())
        wasted = 0.0 if cost is None else float(cost.amount)
        around.experience.failed(trip.attempt.key, failed.seconds, wasted)

    def _judge_target(self, trip: Trip, error: PortkeyError, fault: str, now: float) -> float:
        health, key = self.around.health, trip.attempt.key
        assert health is not None  # noqa: S101  (its caller has looked)
        if fault == "request":
            health.alive(key)
        elif fault == "target":
            asked = getattr(error, "retry_after", None) or 0.0
            cooldown = asked if asked > self.around.policy.retry_after_max else None
            lasting = isinstance(error, UpstreamError) and not error.retryable
            chance, probe = self.around.chance(), trip.leg.probe
            return health.failed(key, now, chance, probe=probe, lasting=lasting, cooldown=cooldown)
        elif trip.leg.probe:
            health.released(key)
        return 0.0

    def left(self, trip: Trip) -> None:
        """The caller left, or what is no error of ours ended the attempt: nothing is learned of the target."""
        seconds = self.around.clock() - trip.began
        self.records.append(record(trip, "left", seconds, trip.assembler.usage))
        health = self.around.health
        if health is None:
            return
        if trip.leg.probe:
            health.released(trip.attempt.key)
        if self.around.more_urls:
            health.released(_gateway_key(trip.call.url))

    def _gateway_works(self, trip: Trip) -> None:
        health = self.around.health
        if health is None:
            return
        url = trip.call.url
        if self.around.more_urls:
            health.alive(_gateway_key(url))
        if _is_gateway(trip) and not health.knows_gateway(url):
            health.saw_gateway(url)

    def refused(self, leg: Leg, refusal: AdmissionError, last: PortkeyError | None) -> None:
        """We may not ask this target, of which `last` is what it answered before, if it was asked."""
        refusal.attempts = tuple(self.records)
        refusal.__cause__ = refusal.__cause__ or last
        self.errors.append(refusal)
        health = self.around.health
        if health is not None and leg.probe:
            health.released(leg.attempt.key)
        if health is not None and self.around.more_urls:
            health.released(_gateway_key(self._gateways[0]))

    def cost_of(self, trip: Trip, usage: Usage) -> Decimal | None:
        """What an attempt cost that has used so much, in USD; None where that is not known."""
        around, asked = self.around, self.request.model
        route = route_of(trip, self.plan, self.records)
        part = replace(completion(trip, None, route, trip.attempt.model or asked, usage), usage=usage)
        cost = priced(part, trip, around.prices, around.now(), asked).cost
        return None if cost is None else cost.amount

    # ---- the end -----------------------------------------------------------------------------------------------------

    def failure(self) -> PortkeyError:
        """What the caller is told where no target answered."""
        error = all_failed(self.records, self.errors, self.itinerary.sizes())
        return self.honest(error)

    def honest(self, error: PortkeyError) -> PortkeyError:
        """The error itself; or, where part of an answer has been shown, one that says that it is not whole."""
        if self.shown is None:
            return error
        told = interrupted(error, self.shown, self.request, self.plan, self.records)
        told.__cause__ = error
        return told


def _in_order(around: Surroundings) -> tuple[str, ...]:
    """The gateways to go by: those that work, as listed; then, of the others, the one that failed longest ago."""
    urls, health = (around.url, *around.more_urls), around.health
    if health is None:
        return urls
    now = around.clock()
    # Asked one by one: the first that is let through may be its gateway's only probe.
    first = next((url for url in urls if health.admit(_gateway_key(url), now) is not Admission.WAIT), None)
    works = {url: url == first or health.available(_gateway_key(url), now) for url in urls}
    return tuple(
        sorted(
            urls,
            key=lambda url: (url != first, not works[url], 0 if works[url] else health.failed_at(_gateway_key(url))),
        )
    )


def _gateway_key(url: str) -> str:
    return f"gateway {url}"


def _is_gateway(trip: Trip) -> bool:
    """Whether the reply carries a Portkey gateway's own headers."""
    return "x-portkey-provider" in trip.headers or "x-portkey-last-used-option-index" in trip.headers


@lru_cache(maxsize=64)
def _where(url: str) -> str:
    parts: Any = urlsplit(url)
    return str(parts.netloc.rpartition("@")[2])
