"""Random journeys: whatever happens, in whatever order, nothing stays held, and what is spent is what was billed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from hypothesis import example, given
from hypothesis import strategies as st

from portkey_router.budget import Budget
from portkey_router.errors import PortkeyError, StoreError
from portkey_router.flow.policy import Policy
from portkey_router.flow.steps import CallerLeft, Feed, Open, Read, Release, Reserve, Send, Settle, Show
from portkey_router.money import usd
from portkey_router.stores.memory_ledger import MemoryLedgerStore
from tests.core.fakes import (
    JSON,
    REFUSED,
    RESET,
    WHOLE,
    Clock,
    Stream,
    failed,
    late,
    ok,
    perform,
    plan,
    start,
    target,
)
from tests.core.money import COST, ZERO, spending, state

if TYPE_CHECKING:
    from decimal import Decimal

    from portkey_router.flow.steps import Step
    from portkey_router.ledger.commands import Command, Reply

Kind = Literal["whole", "no usage", "cut", "broken", "late", "refused", "rejected", "busy", "interrupted"]
KINDS: tuple[Kind, ...] = (
    *("whole", "no usage", "cut", "broken", "late"),
    *("refused", "rejected", "busy", "interrupted"),
)
FREE = {"refused", "rejected", "busy"}
_SAID = 5  # pieces of `WHOLE` after which its usage is known

Fault = Literal["before", "after", "interrupted"]


def reply(kind: Kind, *, stream: bool) -> Any:
    """What comes of an attempt of that kind."""
    statuses = {"rejected": failed(401), "busy": failed(503)}
    errors = {"broken": RESET, "late": late("first_token"), "refused": REFUSED, "interrupted": KeyboardInterrupt()}
    if kind in errors:
        return errors[kind]
    if kind in statuses:
        answer = statuses[kind]
        return Stream([answer.body], answer.status, JSON) if stream else answer
    if not stream:
        return ok() if kind == "whole" else ok(usage=None) if kind == "no usage" else RESET
    return Stream({"whole": WHOLE, "no usage": (*WHOLE[:4], WHOLE[5]), "cut": WHOLE[:3]}[kind])


class Faulty(MemoryLedgerStore):
    """A store whose commands fail as scripted: before they are done, after, or by an interruption after."""

    def __init__(self, faults: list[Fault | None]) -> None:
        super().__init__(Clock(1_700_000_000.0))
        self.faults = faults

    def run(self, command: Command) -> Reply:
        """Do it, or not."""
        fault = self.faults.pop(0) if self.faults else None
        if fault == "before":
            raise StoreError("not reached")
        done = super().run(command)
        if fault == "after":
            raise StoreError("no answer")
        if fault == "interrupted":
            raise KeyboardInterrupt
        return done


@dataclass
class Journey:
    """A journey under way, and what it owes by what was sent: worked out from the wire alone."""

    kinds: list[Kind]
    stream: bool
    due: Decimal = ZERO
    steps: int = 0
    bound: Decimal = ZERO
    sent: Kind | None = None
    read: int = 0
    cut: bool = False
    shown: list[Any] = field(default_factory=list)

    def perform(self, step: Step) -> Any:
        """Do a step, and note what it costs."""
        if isinstance(step, Settle | Release):
            self.due += self._owed()
            self.sent = None
        if isinstance(step, Reserve):
            self.bound = usd(step.bound.most or 0)
        if isinstance(step, Send | Open):
            self.sent, self.read = (self.kinds.pop(0) if self.kinds else "whole"), 0
            return perform(step, [reply(self.sent, stream=self.stream)])
        outcome = perform(step, ())
        self.read += isinstance(step, Read)
        return outcome

    def _owed(self) -> Decimal:
        if self.sent is None or (self.sent in FREE and not self.cut):
            return ZERO
        known = self.sent == "whole" and (self.read >= _SAID or not (self.stream or self.cut))
        return COST if known else self.bound


def travel(going: Any, journey: Journey, interruption: int | None) -> BaseException | None:
    """Perform a journey to its end; at the step of that number (none of the ledger's) its caller leaves."""
    resume: Any = going.send
    outcome: Any = None
    while True:
        try:
            step = resume(outcome)
        except StopIteration:
            return None
        except BaseException as error:  # noqa: BLE001  (what ended it)
            return error
        ours = isinstance(step, Reserve | Settle | Release | Feed)
        journey.steps += not ours
        if journey.steps == interruption and not ours:
            journey.cut = journey.sent is not None or isinstance(step, Send | Open)
            if isinstance(step, Send | Open):
                journey.sent, journey.read = "broken", 0
            left: BaseException = CallerLeft() if isinstance(step, Show) else KeyboardInterrupt()
            resume, outcome = going.throw, left
            continue
        try:
            resume, outcome = going.send, journey.perform(step)
        except BaseException as error:  # noqa: BLE001  (handed to the journey, as a driver does)
            journey.cut = journey.cut or (isinstance(error, KeyboardInterrupt) and journey.sent is not None)
            resume, outcome = going.throw, error


@given(
    kinds=st.lists(st.sampled_from(KINDS), max_size=6),
    stream=st.booleans(),
    targets=st.integers(1, 3),
    tries=st.integers(1, 3),
    on_break=st.sampled_from(["raise", "restart"]),
    poor=st.booleans(),
    interruption=st.none() | st.integers(1, 25),
    faults=st.lists(st.sampled_from([None, None, None, "before", "after", "interrupted"]), max_size=8),
    policy=st.sampled_from(["allow", "deny"]),
)
@example(["busy", "cut"], True, 2, 2, "restart", False, 9, [None, "after"], "deny")
def test_nothing_stays_held_and_what_was_billed_is_spent(  # noqa: PLR0917  (hypothesis's arguments)
    kinds: list[Kind],
    stream: bool,
    targets: int,
    tries: int,
    on_break: Any,
    poor: bool,
    interruption: int | None,
    faults: list[Fault | None],
    policy: Any,
) -> None:
    """By the wire alone: attempts, retries, fallbacks and restarts, left and interrupted, with a store that fails."""
    store = Faulty(list(faults))
    budget = Budget("all", usd="0.0105" if poor else 100, per="total")
    around = spending(budget, store=store, on_ledger_error=policy, pause=0.0)
    named = [target(name, tries=tries) for name in ("one", "two", "three")[:targets]]
    journey = Journey(list(kinds), stream)
    going = start(plan(*named), stream=stream, policy=Policy(on_stream_break=on_break), **around)
    ended = travel(going, journey, interruption)
    assert ended is None or isinstance(ended, PortkeyError | CallerLeft | KeyboardInterrupt)
    assert journey.sent is None, "an attempt that was sent was neither settled nor given back"
    store.faults = []
    stands = state(around)
    assert stands.held_usd == 0
    assert stands.spent_usd == journey.due
    if faults and policy == "allow":
        return  # what was let through without the store is told to it whatever is left
    assert stands.spent_usd <= budget.usd
