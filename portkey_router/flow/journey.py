"""The journey of one request: attempt, try again, fall back, answer. Written once, for every verb, without I/O.

`journey` is a generator: it yields `Step`s and is sent their outcomes, or thrown their errors. Whatever happens, an
opened stream is let go of, also when the caller leaves early (`CallerLeft`) or its task is cancelled: that is why
`BaseException`s are thrown in too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from portkey_router.errors import AdmissionError, ContextLengthError, PortkeyError, UpstreamUnavailableError
from portkey_router.events import TargetCooledDown
from portkey_router.flow.attempt import attempt
from portkey_router.flow.call import Call, Surroundings
from portkey_router.flow.deadlines import DONE_WAIT, USAGE_WAIT, Deadlines
from portkey_router.flow.steps import Emit, Show, Wait
from portkey_router.flow.telling import attempt_finished, call_finished, route_decided
from portkey_router.flow.verdict import Verdict, backoff, judge

if TYPE_CHECKING:
    from collections.abc import Generator

    from portkey_router.flow.accounting import Trip
    from portkey_router.flow.itinerary import Leg
    from portkey_router.flow.steps import Step
    from portkey_router.messages import Completion, Embeddings, Request
    from portkey_router.planner import Plan

__all__ = ["DONE_WAIT", "USAGE_WAIT", "Deadlines", "Surroundings", "journey"]

_LONGEST_TURN = 15.0  # seconds that a call waits for its turn at a target in trouble


def journey(request: Request, plan: Plan, around: Surroundings) -> Generator[Step, Any, None]:
    """Make the attempts of a plan until one answers.

    Shows chunks (of a stream) and, last of all, the whole `Completion` or `Embeddings`. Raises the error of the only
    target tried, or `AllTargetsFailedError`; `StreamInterruptedError` once part of a failed answer has been shown.
    """
    call = Call(request, plan, around)
    if call.told:
        yield Emit(call.told, route_decided(call))
    try:
        answer = yield from _answer(call)
    except GeneratorExit:
        raise  # nobody drives any more
    except BaseException as error:
        if call.told:
            yield Emit(call.told, call_finished(call, None, error))
        raise
    if call.told:
        yield Emit(call.told, call_finished(call, answer))
    yield Show(answer)


def _answer(call: Call) -> Generator[Step, Any, Completion | Embeddings]:
    """Ask one target after the other."""
    while (leg := call.itinerary.leg(call.around.clock())) is not None:
        answer = yield from _ask(call, leg)
        if answer is not None:
            return answer
    raise call.failure()


def _ask(call: Call, leg: Leg) -> Generator[Step, Any, Completion | Embeddings | None]:
    """Ask one target, again where that may help; None to go on with the next."""
    tried = 0
    last: PortkeyError | None = None
    while True:
        if not (yield from _uncrowded(call, leg, last)):
            if last is None:
                call.itinerary.pass_over(leg)
            else:
                call.errors.append(last)
            return None
        held, spending = None, call.around.spending
        if spending is not None:
            try:
                held = yield from spending.reserve(call, leg)
            except AdmissionError as refusal:
                call.refused(leg, refusal, last)
                return None
        tried += 1
        trip = call.depart(leg) if held is None else (yield from held.depart(call, leg))
        try:
            going = _attempt(call, trip)
            return (yield from going if held is None else held.watch(call, trip, going))
        except PortkeyError as error:
            last = error
            verdict = _verdict(call, trip, error, tried)
            if verdict is Verdict.GATEWAY:
                call.next_gateway()
                tried -= 1  # the target was not reached
                continue
            pause = backoff(error, tried, call.around.chance()) if verdict is Verdict.AGAIN else 0.0
            if call.time_for(pause):
                if verdict is Verdict.AGAIN:
                    yield Wait(pause)
                    continue
            elif verdict is Verdict.NEXT or not call.others:
                verdict = Verdict.RAISE  # the call's own time is over
            if verdict is Verdict.RAISE:
                raise call.honest(error) from error.__cause__
            call.errors.append(error)
            return None


def _attempt(call: Call, trip: Trip) -> Generator[Step, Any, Completion | Embeddings]:
    """Make one attempt, and write down what became of it."""
    try:
        body = yield from attempt(call, trip)
    except PortkeyError as error:
        cooled = call.failed(trip, error)
        if call.told:
            yield Emit(call.told, attempt_finished(call, trip))
            if cooled:
                yield Emit(call.told, TargetCooledDown(trip.attempt.target, cooled, type(error).__name__))
        raise
    except GeneratorExit:
        call.left(trip)
        raise
    except BaseException:
        call.left(trip)
        if call.told:
            yield Emit(call.told, attempt_finished(call, trip))
        raise
    answer = call.answered(trip, body)
    if call.told:
        yield Emit(call.told, attempt_finished(call, trip))
    return answer


def _verdict(call: Call, trip: Trip, error: PortkeyError, tried: int) -> Verdict:
    """Where to go after a failed attempt; raises where the caller holds part of an answer that is to be kept."""
    policy = call.around.policy
    if trip.shown:
        if policy.on_stream_break == "raise":
            raise call.honest(error) from error
        call.void = True
    others = call.others
    verdict = judge(
        error,
        trip.attempt,
        tried=tried,
        tries=trip.leg.tries,
        others=others,
        policy=policy,
        run_on=call.plan.run_on,
        gateways_left=call.gateways_left,
    )
    if isinstance(error, ContextLengthError) and verdict is Verdict.NEXT:
        call.itinerary.too_long(trip.attempt, error)
    if verdict is Verdict.NEXT:
        call.itinerary.skip(_targets_used(trip, call.plan) - 1)
    # A target that has just been found to be down is not asked again while another is not.
    return Verdict.NEXT if verdict is Verdict.AGAIN and others and not call.admits(trip) else verdict


def _uncrowded(call: Call, leg: Leg, last: PortkeyError | None) -> Generator[Step, Any, bool]:
    """Wait until a target in trouble may be sent one more request; False to ask another in the meantime.

    Once it has waited for long, it raises the target's `last` error to this call, or `UpstreamUnavailableError`.
    """
    waited = 0.0
    while (pause := call.crowded(leg)) > 0:
        if call.others:
            return False
        waited += pause
        if waited > _LONGEST_TURN or not call.time_for(pause):
            raise _no_turn(call, leg) if last is None else call.honest(last)
        yield Wait(pause)
    return True


def _no_turn(call: Call, leg: Leg) -> PortkeyError:
    msg = (
        f"{leg.attempt.target} has failed several times in the last seconds, and too many calls wait to be sent to it: "
        "this one was not. Try again later, or add a fallback target."
    )
    error = UpstreamUnavailableError(msg, status=503, retryable=True)
    error.attempts = tuple(call.records)
    return call.honest(error)


def _targets_used(trip: Trip, plan: Plan) -> int:
    """How far to move on: past the targets that the gateway has been through itself, where it runs the fallback."""
    path = trip.headers.get("x-portkey-last-used-option-index", "")
    if plan.run_on != "gateway" or not path.startswith("config.targets["):
        return 1
    digits = path.removeprefix("config.targets[").partition("]")[0]
    return int(digits) + 1 if digits.isdigit() else 1
