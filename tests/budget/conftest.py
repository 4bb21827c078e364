from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest
from hypothesis import settings

from portkey_router.ledger.keeper import BudgetLedger
from portkey_router.stores.memory_ledger import MemoryLedgerStore
from tests.budget.stores import redis_store

if TYPE_CHECKING:
    from typing import Any

    from portkey_router.ledger.commands import LedgerStore

# No deadline for one example: a busy machine is slow now and then. No database: tests leave nothing behind.
settings.register_profile("budget", deadline=None, database=None, print_blob=True)
settings.load_profile("budget")


class MakeLedger(Protocol):
    """Builds a ledger on a store of the test's own."""

    def __call__(self, *args: Any, **options: Any) -> BudgetLedger:
        """`BudgetLedger`'s arguments, without the store."""


@pytest.fixture(params=["memory", "redis", "cluster"])
def store(request: pytest.FixtureRequest) -> LedgerStore:
    """Each store in turn: they behave alike."""
    if request.param == "memory":
        return MemoryLedgerStore()
    if request.param == "redis":
        return redis_store(request.getfixturevalue("plain_redis").url)
    return redis_store(request.getfixturevalue("redis_nodes").url.replace("redis://", "redis+cluster://"))


@pytest.fixture
def make_ledger(store: LedgerStore) -> MakeLedger:
    """Builds a ledger on the store of this test."""

    def make(*args: Any, **options: Any) -> BudgetLedger:
        return BudgetLedger(store, *args, **options)

    return make
