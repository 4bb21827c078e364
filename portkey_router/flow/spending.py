"""The money of a call: what an attempt may cost is set aside before it is sent, and settled to what it cost.

Every attempt comes here: the first, each retry, each fallback, and the new answer after a stream that broke. What is
not known of an attempt that may have been billed counts as the bound that was held for it, so a hard budget holds
whatever happens; what is known not to have been billed is given back.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from portkey_router.bound import OUTPUT_CAP, Bound, bound_of
from portkey_router.costing import needs_of
from portkey_router.flow.call import Call
from portkey_router.flow.steps import Feed, Release, Reserve, Settle, Wait
from portkey_router.ledger.provider_limits import provider_limits
from portkey_router.pricing.book import PricedAs, priced_as
from portkey_router.reasoning import thinks_first
from portkey_router.targets import leaves

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from decimal import Decimal

    from portkey_router.budget import Reservation
    from portkey_router.costing import Experience
    from portkey_router.flow.accounting import Trip
    from portkey_router.flow.call import Surroundings
    from portkey_router.flow.itinerary import Leg
    from portkey_router.flow.steps import Step
    from portkey_router.ledger.keeper import BudgetLedger
    from portkey_router.messages import AttemptRecord, Completion, Embeddings, Request, Usage
    from portkey_router.planner import Attempt, Plan

    Answering = Generator[Step, Any, Completion | Embeddings]

__all__ = ["Held", "Spending"]

_THINKING = 4  # a model that thinks gets so many times the cap of one that does not
_USUAL_LEASE = 900.0  # seconds; a call that may take longer has a lease of its own, which ends
_AFTER_THE_CALL = 60.0  # so long after it
# OpenAI's models that refuse `max_tokens`, by whichever provider.
_NEW_NAME = re.compile(r"(?:.*/)?(?:o\d(?!\d)|gpt-5|codex|computer-use)", re.IGNORECASE)


class Spending:
    """A ledger's part in calls. It keeps nothing of them, and is shared by all.

    `experience` learns how long answers are wherever a budget or limit goes by expectation; `count` counts tokens.
    """

    __slots__ = ("_count", "_experience", "ledger")

    def __init__(self, ledger: BudgetLedger, experience: Experience, count: Callable[[str], int] | None = None) -> None:
        self.ledger = ledger
        self._experience = experience
        self._count = count

    def reserve(self, call: Call, leg: Leg) -> Generator[Step, Any, Held | None]:
        """Set aside what an attempt may cost, and wait until the limits let it go; None where it is subject to nothing.

        Raises `AdmissionError` for what may not be sent.
        """
        attempt = leg.attempt
        reachable = _reachable(call, attempt)
        tags = _tags_of(call, attempt, reachable)
        terms = self.ledger.terms(tags)
        if not terms.any:
            return None
        now = call.around.clock()
        left = call.total.remaining(now)
        estimated = self._estimate(call) if terms.expecting else 0
        bound = self._bound(call, attempt, reachable, estimated, hard=terms.hard)
        # Who may ask another target waits for this one no longer than for a Retry-After. An answer takes time, too.
        usual = self._experience.of(attempt.key).seconds or 0.0
        patience = min(left, call.around.policy.retry_after_max) if call.others else left - usual
        lease = left + _AFTER_THE_CALL if left + _AFTER_THE_CALL > _USUAL_LEASE else None
        reservation: Reservation = yield Reserve(self.ledger, bound, tags, max(0.0, patience), lease, call.told)
        capped = {} if bound.cap is None else {_cap_name(reachable[0]): bound.cap}
        held = Held(self, reservation, capped, estimated)
        if reservation.wait > 0:
            yield from held.unless_interrupted(Wait(reservation.wait))
        return held

    def affordable(self, plan: Plan, request: Request, around: Surroundings) -> Plan:
        """A call's plan without the attempts that would be refused, as far as this process knows."""
        call = Call(request, plan, replace(around, more_urls=()))  # no gateway is chosen: nothing is sent
        reasons = [self._foreseen(call, attempt) for attempt in plan.attempts]
        told = zip(plan.attempts, reasons, strict=True)
        return replace(
            plan,
            attempts=tuple(each for each, why in zip(plan.attempts, reasons, strict=True) if why is None),
            # Of other plans than a cost-aware one there are none.
            targets=tuple(each for each, why in zip(plan.targets, reasons, strict=False) if why is None),
            excluded=(*plan.excluded, *((each.target, why) for each, why in told if why is not None)),
        )

    def _foreseen(self, call: Call, attempt: Attempt) -> str | None:
        reachable = _reachable(call, attempt)
        tags = _tags_of(call, attempt, reachable)
        terms = self.ledger.terms(tags)
        if not terms.any:
            return None
        estimated = self._estimate(call) if terms.expecting else 0
        return self.ledger.foresee(self._bound(call, attempt, reachable, estimated, hard=terms.hard), tags)

    def _estimate(self, call: Call) -> int:
        """About how many tokens of input the call has."""
        if call.around.estimated or call.request.operation != "chat":
            return call.around.estimated
        return needs_of(call.request, self._count).tokens

    def _bound(self, call: Call, attempt: Attempt, reachable: list[_Reachable], estimated: int, *, hard: bool) -> Bound:
        """What the attempt may use: of a strategy that the gateway runs, whichever of its targets answers."""
        cap = max(_cap(call.request, each) for each in reachable) if hard else None
        bounds = [self._bound_at(call, attempt, each, estimated, cap) for each in reachable]
        return bounds[0] if len(bounds) == 1 else _most_of(bounds, reachable)

    def _bound_at(self, call: Call, attempt: Attempt, each: _Reachable, estimated: int, cap: int | None) -> Bound:
        around, request = call.around, call.request
        learned = self._experience.of(attempt.key)
        card = None
        if around.prices is not None and each.whose is not None:
            tier = {**request.body, **each.override}.get("service_tier")
            asked = "priority" if tier == "priority" else None  # the others cost less than the standard one, or as much
            card = around.prices.card(each.whose.provider, each.whose.asked, around.now(), service_tier=asked)
        bound = bound_of(
            request,
            card,
            override_params=each.override,
            cap=cap,
            max_cost=request.options.max_cost,
            expected_input=estimated * learned.ratio if estimated else None,
            expected_output=learned.answer,
        )
        if each.whose is None and bound.most is None:
            why = f"which targets {attempt.target} has is the gateway's alone to know. State max_cost= for the call."
            return replace(bound, unknown=why)
        return bound

    def learn(self, call: Call, trip: Trip, estimated: int, usage: Usage | None) -> None:
        """How long the answer was; a cost-aware call learns that anyway."""
        if estimated and call.around.experience is None:
            self._experience.answered(trip.attempt.key, estimated, usage, call.records[-1].seconds)


class Held:
    """What is set aside for one attempt, until it is settled or given back."""

    __slots__ = ("_capped", "_estimated", "_reservation", "_spending")

    def __init__(self, spending: Spending, reservation: Reservation, capped: Mapping[str, int], estimated: int) -> None:
        self._spending = spending
        self._reservation = reservation
        self._capped = capped
        self._estimated = estimated

    def unless_interrupted(self, step: Step) -> Generator[Step, Any, None]:
        """Before anything is sent: whatever interrupts the step, all is given back."""
        try:
            yield step
        except GeneratorExit:
            raise  # nobody drives any more: its lease ends it
        except BaseException:
            yield Release(self._spending.ledger, self._reservation, sent=False)
            raise

    def depart(self, call: Call, leg: Leg) -> Generator[Step, Any, Trip]:
        """The attempt, with the cap that its bound relies on."""
        try:
            return call.depart(leg, self._capped)
        except BaseException:
            yield Release(self._spending.ledger, self._reservation, sent=False)
            raise

    def watch(self, call: Call, trip: Trip, going: Answering) -> Answering:
        """The attempt, settled when it ends, however it ends."""
        try:
            answer = yield from going
        except GeneratorExit:
            raise  # as above
        except BaseException:
            yield from self._failed(call, trip, call.records[-1])
            raise
        cost, usage = answer.cost, answer.usage
        self._spending.learn(call, trip, self._estimated, usage)
        cached = cost is not None and cost.source == "cache"
        yield from self._settle(trip, None if cost is None else cost.amount, 0 if cached else _tokens(usage))
        return answer

    def _failed(self, call: Call, trip: Trip, record: AttemptRecord) -> Generator[Step, Any, None]:
        if record.billed == "no":
            yield Release(self._spending.ledger, self._reservation, sent=record.status is not None)
            yield from self._feed(trip)
            return
        # Of a stream that broke off, the tokens that it stated are those so far.
        usage = record.usage if all(trip.assembler.finish_reasons) else None
        cost = None if usage is None else call.cost_of(trip, usage)
        yield from self._settle(trip, cost, _tokens(usage))

    def _settle(self, trip: Trip, cost: Decimal | None, tokens: int | None) -> Generator[Step, Any, None]:
        yield Settle(self._spending.ledger, self._reservation, cost, tokens)
        yield from self._feed(trip)

    def _feed(self, trip: Trip) -> Generator[Step, Any, None]:
        """Tell the limits what the provider says of its own. Of several targets, nobody knows whose word it is."""
        one = trip.attempt.strategy is None or len(leaves(trip.attempt.strategy)) == 1
        if self._reservation.slots and one and provider_limits(trip.headers) is not None:
            yield Feed(self._spending.ledger, trip.headers, self._reservation.tags)


# ---- targets ---------------------------------------------------------------------------------------------------------


class _Reachable(NamedTuple):
    """A target that an attempt may reach: whose prices it has (None: only the gateway knows), its own body fields."""

    whose: PricedAs | None
    override: Mapping[str, Any]


def _reachable(call: Call, attempt: Attempt) -> list[_Reachable]:
    """The targets that an attempt may reach: one, or where the gateway runs a strategy, all of that."""
    own = call.request.model
    if attempt.strategy is not None:
        found = [(leaf.provider, leaf.model, leaf.override_params) for leaf in leaves(attempt.strategy)]
    elif call.plan.run_on == "gateway":
        return [_Reachable(None, attempt.override_params)]
    else:
        found = [(attempt.stated_provider or attempt.provider, attempt.model, attempt.override_params)]
    return [
        _Reachable(priced_as(provider, None, None, override.get("model") or model or own), override)
        for provider, model, override in found
    ]


def _tags_of(call: Call, attempt: Attempt, reachable: list[_Reachable]) -> dict[str, Any]:
    """The call's tags, and the provider, model and target of the attempt: several, where the gateway chooses."""
    found = [each.whose for each in reachable if each.whose is not None]
    own = {
        "provider": [whose.provider for whose in found if whose.provider],
        "model": [whose.model for whose in found if whose.model],
        "target": [leaf.label for leaf in leaves(attempt.strategy)] if attempt.strategy else [attempt.target],
    }
    tags = dict(call.request.options.tags)
    for name, values in own.items():
        each = tuple(dict.fromkeys(values))
        tags[name] = each[0] if len(each) == 1 else each
    return tags


def _most_of(bounds: list[Bound], reachable: list[_Reachable]) -> Bound:
    """The bound of an attempt that any of several targets may answer."""
    tokens = max(bound.tokens for bound in bounds)
    expected = max((bound.expected for bound in bounds if bound.expected is not None), default=None)
    unknown = next((bound.unknown for bound in bounds if bound.most is None), "")
    caps = [bound.cap for bound in bounds if bound.cap is not None]
    if caps and len({_cap_name(each) for each in reachable}) > 1:
        unknown = (
            "its targets take max_tokens under different names. Give each its own (override_params=), run the strategy "
            "on the client, or state max_cost=."
        )
    if unknown:
        return Bound(expected=expected, tokens=tokens, unknown=unknown)
    return Bound(max(bound.most or 0 for bound in bounds), expected, tokens, max(caps, default=None), "")


# ---- the cap that a bound relies on ----------------------------------------------------------------------------------


def _cap(request: Request, each: _Reachable) -> int:
    """The `max_tokens` for a request that names none: a model that thinks spends some before its first word."""
    body = {**request.body, **each.override} if each.override else request.body
    thinking = body.get("thinking")
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    if isinstance(budget, int) and not isinstance(budget, bool) and budget > 0:
        return budget + OUTPUT_CAP
    return OUTPUT_CAP * (_THINKING if each.whose is not None and thinks_first(each.whose.model, body) else 1)


def _cap_name(each: _Reachable) -> str:
    """The field of the body that caps the answer of this target."""
    return "max_completion_tokens" if each.whose and _NEW_NAME.match(each.whose.model) else "max_tokens"


def _tokens(usage: Usage | None) -> int | None:
    return None if usage is None else usage.total_tokens or usage.input_tokens + usage.output_tokens
