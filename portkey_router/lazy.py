"""Public names that are imported when they are first asked for: what a program does not use, its start does not pay."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["lazily"]


def lazily(places: Mapping[str, str], package: dict[str, Any]) -> Callable[[str], Any]:
    """A package's `__getattr__` (PEP 562). `places` names the module of each such name, `package` are its globals."""

    def get(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package['__name__']!r} has no attribute {name!r}")
        found = package[name] = getattr(import_module(places[name]), name)
        return found

    return get
