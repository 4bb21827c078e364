from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.failover.worlds import World, fault_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portkey_router.sandbox import Providers


@pytest.fixture(params=["direct", "gateway"])
def world(request: pytest.FixtureRequest, portkey_providers: Providers) -> Iterator[World]:
    """Targets asked directly, and the same by way of the real gateway."""
    if request.param == "gateway":
        gateway = request.getfixturevalue("portkey_gateway")
        yield World("gateway", gateway.url, portkey_providers._desk, portkey_providers)
        return
    with fault_server() as (url, desk):
        yield World("direct", url, desk)


@pytest.fixture
def direct() -> Iterator[World]:
    """Targets asked directly."""
    with fault_server() as (url, desk):
        yield World("direct", url, desk)
