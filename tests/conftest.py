from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = ["portkey_router.sandbox.fixtures"]

# Where downloads are kept; a setting of the tests' own services, read by programs that tests start.
KEPT = frozenset({"PORTKEY_ROUTER_CACHE"})


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the settings of the machine it runs on: neither its variables nor a `.env` in its folder."""
    for name in os.environ:
        if (name.startswith(("PORTKEY_", "MASTER_PORTKEY_")) or name == "PREFERRED_LLM_PROVIDER") and name not in KEPT:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
