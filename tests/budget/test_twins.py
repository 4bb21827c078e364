"""One state machine, two stores: Redis says what time it was, and the books in memory do the same at that time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from portkey_router.ledger.books import Books
from portkey_router.ledger.commands import (
    Admitted,
    Bucket,
    Command,
    Counter,
    Feed,
    LedgerStore,
    Peek,
    Peeked,
    Refused,
    Reply,
    Reserve,
    Return,
    Settle,
    Settlement,
    Tightened,
)
from tests.budget.stores import redis_store

if TYPE_CHECKING:
    from tests.services.redis import RedisServer

MS = 1000
LIMIT = 1000
# Windows so short that they end while the machine runs, and two that do not.
KINDS: tuple[tuple[Literal["calendar", "fixed", "sliding", "total"], int], ...] = (
    ("calendar", 4 * MS),
    ("calendar", 3600 * 1000 * MS),
    ("fixed", 3 * MS),
    ("fixed", 3600 * 1000 * MS),
    ("sliding", 5 * MS),
    ("sliding", 2000 * MS),
    ("total", 0),
)
LENGTHS = (2.0 * MS, 60_000.0 * MS)


def counter(number: int, amount: int) -> Counter:
    """The counter of that number; a calendar window is the one of our own clock, which may be over by then."""
    kind, length = KINDS[number]
    start = time.time_ns() // 1000 // length * length if kind == "calendar" else 0
    return Counter(f"counter{number}", kind, start, length, LIMIT, amount)


def bucket(number: int, tokens: int, patience: float) -> Bucket:
    """The bucket of that number: 5 requests, 700 tokens."""
    length = LENGTHS[number]
    return Bucket(f"bucket{number}", length, length / 5, length / 700, 1, tokens, patience)


COUNTERS = st.lists(st.integers(0, len(KINDS) - 1), unique=True, max_size=4)
BUCKETS = st.lists(st.integers(0, len(LENGTHS) - 1), unique=True, max_size=2)
AMOUNTS = st.integers(0, 150) | st.integers(0, LIMIT + 1)
ALERTS = (20, 50, 100, 150, 300, LIMIT // 2, LIMIT)
SHARES = st.sampled_from([-0.02, 0.0, 0.1, 0.2, 1 / 3, 1.02])


class Twins(RuleBasedStateMachine):
    """Does every command twice, and compares what is answered."""

    made = Bundle("made")

    def __init__(self, store: LedgerStore) -> None:
        super().__init__()
        self.store, self.books = store, Books()
        self.promised = True  # no cost above its bound, and nothing forced

    def both(self, command: Command) -> Reply:
        """Redis first: its reply has the time."""
        theirs = self.store.run(command)
        ours = self.books.do(command, theirs.now)
        assert ours == theirs
        return theirs

    @initialize()
    def begin(self) -> None:
        """All counters begin empty."""
        for number in range(len(KINDS)):
            self.both(Peek((counter(number, 0),)))

    @rule(
        target=made,
        counters=COUNTERS,
        buckets=BUCKETS,
        amount=AMOUNTS,
        tokens=st.integers(0, 800),
        lease=st.sampled_from([1, MS, 3600 * 1000 * MS]),
        late=st.sampled_from(["spend", "release"]),
        patience=st.sampled_from([0.0, 1.0 * MS, float("inf")]),
        forced=st.sampled_from([False, False, False, False, True]),
    )
    def reserve(
        self, counters: list[int], buckets: list[int], amount: int, tokens: int, **rest: Any
    ) -> tuple[Reserve, Reply]:
        """A new call asks for its place."""
        return self._reserve(uuid4().hex, counters, buckets, amount, tokens, **rest)

    def _reserve(
        self, id_: str, counters: list[int], buckets: list[int], amount: int, tokens: int, **rest: Any
    ) -> tuple[Reserve, Reply]:
        places = tuple(bucket(number, tokens, rest["patience"]) for number in buckets)
        amounts = tuple(counter(number, amount) for number in counters)
        command = Reserve(id_, rest["lease"], rest["late"], amounts, places, rest["forced"])
        reply = self.both(command)
        if command.forced and isinstance(reply, Admitted):
            self.promised = False
        return command, reply

    @rule(call=made)
    def reserve_again(self, call: tuple[Reserve, Reply]) -> None:
        """The same call asks again, as after a reply that was lost."""
        self.both(call[0])

    @rule(call=made, share=st.sampled_from([0, 0.3, 1, 1.5]), request=SHARES, token=SHARES)
    def settle(self, call: tuple[Reserve, Reply], share: float, request: float, token: float) -> None:
        """A call is settled, perhaps a second time, perhaps for more than it had set aside, perhaps never admitted."""
        command, reply = call
        marks = reply.marks if isinstance(reply, Admitted) else (((0.0, 0.0), (0.0, 0.0)),) * len(command.buckets)
        due = tuple(
            Settlement(each.key, each.kind, each.length, round(each.amount * share), ALERTS)
            for each in command.counters
        )
        back = tuple(
            Return(each.key, each.length, request * each.length, token * each.length, *mark)
            for each, mark in zip(command.buckets, marks, strict=True)
        )
        self.promised = self.promised and share <= 1
        self.both(Settle(command.id, due, back))

    @rule(numbers=BUCKETS, requests=SHARES, tokens=SHARES)
    def feed(self, numbers: list[int], requests: float, tokens: float) -> None:
        """A provider says how much is left."""
        self.both(
            Feed(
                tuple(Tightened(f"bucket{n}", LENGTHS[n], requests * LENGTHS[n], tokens * LENGTHS[n]) for n in numbers)
            )
        )

    @rule(milliseconds=st.sampled_from([0.2, 2, 6]))
    def wait(self, milliseconds: float) -> None:
        """Windows end, and leases run out."""
        time.sleep(milliseconds / 1000)

    @invariant()
    def all_agree(self) -> None:
        """A look at everything; and no counter holds more than its limit, unless it was forced to."""
        every = tuple(counter(number, 0) for number in range(2, len(KINDS)))
        reply = self.both(Peek(every, tuple(bucket(number, 0, 0) for number in range(len(LENGTHS)))))
        assert isinstance(reply, Peeked)
        if self.promised:
            for asked, state in zip(every, reply.counters, strict=True):
                assert asked.kind == "sliding" or state.spent + state.held <= LIMIT
            assert all(state.spent >= 0 and state.held >= 0 for state in reply.counters)


def test_redis_and_memory_do_the_same(plain_redis: RedisServer) -> None:
    """Whatever is asked of them, in whatever order, both stores answer the same to the last digit."""
    url = plain_redis.url
    run_state_machine_as_test(
        lambda: Twins(redis_store(url)),  # type: ignore[arg-type]  # hypothesis takes what makes a machine as well
        settings=settings(max_examples=60, stateful_step_count=40),
    )


def test_the_machine_reaches_refusals(plain_redis: RedisServer) -> None:
    """Both refuse what does not fit, and say by what."""
    store, books = redis_store(plain_redis.url), Books()
    for amount, refused in ((LIMIT, False), (1, True)):
        command = Reserve(uuid4().hex, MS, "spend", (counter(6, amount),), (bucket(1, 1, 0.0),))
        reply = store.run(command)
        assert isinstance(reply, Refused) is refused
        assert books.do(command, reply.now) == reply


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    calls=st.lists(st.tuples(st.integers(1, 200), SHARES, SHARES), min_size=2, max_size=5).flatmap(
        lambda calls: st.tuples(st.just(calls), st.permutations(range(len(calls))))
    )
)
def test_what_many_calls_give_back_is_the_same(
    plain_redis: RedisServer, calls: tuple[list[tuple[int, float, float]], list[int]]
) -> None:
    """Places in one bucket, given back in another order than they were taken: to the last digit the same."""
    store, books = redis_store(plain_redis.url), Books()
    settles = []
    for tokens, *shares in calls[0]:
        place = bucket(1, tokens, float("inf"))
        command = Reserve(uuid4().hex, 3600 * 1000 * MS, "spend", (), (place,))
        reply = store.run(command)
        assert isinstance(reply, Admitted)
        assert books.do(command, reply.now) == reply
        request, token = (share * place.length for share in shares)
        settles.append(Settle(command.id, (), (Return(place.key, place.length, request, token, *reply.marks[0]),)))
    for position in calls[1]:
        for question in (settles[position], Peek((), (bucket(1, 0, 0.0),))):
            answer = store.run(question)
            assert books.do(question, answer.now) == answer
