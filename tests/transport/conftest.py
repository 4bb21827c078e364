from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from portkey_router.transport import Transport
from tests.net_server import NetServer, net_server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[NetServer]:
    """A server of the test's own."""
    with net_server() as running:
        yield running


@pytest.fixture
def transport() -> Transport:
    """A transport of the test's own."""
    return Transport()
