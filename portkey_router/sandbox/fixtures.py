"""Fixtures for pytest.

In the `conftest.py` at the root of your tests:

```
pytest_plugins = ["portkey_router.sandbox.fixtures"]
```

Only this module imports pytest.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import pytest

from portkey_router.sandbox.gateway import Gateway, GatewayUnavailableError, gateway
from portkey_router.sandbox.hosted import PortkeyDouble, portkey
from portkey_router.sandbox.providers import Providers, providers

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["portkey_gateway", "portkey_providers", "portkey_sandbox"]

# Values of CI that mean: not there.
NO_CI = frozenset({"", "0", "false", "no"})


@pytest.fixture(scope="session")
def portkey_gateway() -> Iterator[Gateway]:
    """The real open-source gateway, one for the session.

    Where it cannot be had, its tests are skipped with the reason; where `CI` is set in the environment, they fail.
    """
    with contextlib.ExitStack() as stack:
        try:
            running = stack.enter_context(gateway())
        except GatewayUnavailableError as error:
            if os.environ.get("CI", "").strip().lower() not in NO_CI:
                raise
            pytest.skip(f"THE PORTKEY GATEWAY IS MISSING, so nothing is tested against it: {error}")
        yield running


@pytest.fixture
def portkey_providers() -> Iterator[Providers]:
    """Providers without faults and with an empty log."""
    with providers() as running:
        yield running


@pytest.fixture
def portkey_sandbox() -> Iterator[PortkeyDouble]:
    """A double of hosted Portkey, as new: no faults, an empty log, and only the virtual key "vk-openai"."""
    with portkey() as running:
        yield running
