"""What a rate limit guarantees: however calls come and are settled, no stretch of time sees more than its share."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from portkey_router.ledger.books import Books
from portkey_router.ledger.commands import Admitted, Bucket, Reserve, Return, Settle

LENGTH, LIMIT = 60_000_000.0, 1000
TOKEN = LENGTH / LIMIT


def bucket(tokens: int, patience: float) -> Bucket:
    """A bucket of 1000 tokens a minute."""
    return Bucket("b", LENGTH, 0.0, TOKEN, 1, tokens, patience)


@settings(max_examples=400)
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 70_000_000), st.integers(1, LIMIT), st.floats(0, 1), st.integers(0, 12)),
        min_size=2,
        max_size=25,
    ),
    patience=st.sampled_from([0.0, 30_000_000.0]),
)
def test_no_stretch_of_time_sees_more_than_its_share(steps: list[tuple[int, int, float, int]], patience: float) -> None:
    """In any stretch, calls that use what they use may take a full bucket, and what is filled in meanwhile; no more.

    Calls are settled late and out of order, and give back what they did not use: which must not let others in twice.
    """
    books, now = Books(), 1_790_000_000_000_000
    flying: list[tuple[str, int, int, tuple[tuple[float, float], tuple[float, float]]]] = []
    sent: list[tuple[float, int]] = []
    for number, (passed, tokens, share, settled) in enumerate(steps):
        now += passed
        reply = books.do(Reserve(str(number), 10**12, "spend", (), (bucket(tokens, patience),)), now)
        if isinstance(reply, Admitted):
            used = round(tokens * share)
            sent.append((now + reply.wait, used))
            flying.append((str(number), tokens, used, reply.marks[0]))
        for _ in range(min(settled % 3, len(flying))):
            id_, held, used, marks = flying.pop(settled % len(flying))
            books.do(Settle(id_, (), (Return("b", LENGTH, 0.0, (held - used) * TOKEN, *marks),)), now)
    sent.sort()
    for first in range(len(sent)):
        total = 0
        for moment, used in sent[first:]:
            total += used
            assert total <= LIMIT + (moment - sent[first][0]) / TOKEN + 1
