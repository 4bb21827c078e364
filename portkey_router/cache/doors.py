"""The doors up to the composition root, which alone knows the stores and the router."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from portkey_router.cache.store import CacheStore

__all__ = ["encoder_by_name", "open_store"]


def open_store(url: str | None, **options: Any) -> CacheStore:
    """The store at a URL, or over a client; nothing is connected yet."""
    from portkey_router.bootstrap import build_cache_store  # noqa: PLC0415  (upward: see above)

    return build_cache_store(url, **options)


def encoder_by_name(model: str) -> Any:
    """What embeds with a model of this name through Portkey; nothing is built yet."""
    from portkey_router.bootstrap import NamedEncoder  # noqa: PLC0415  (upward: see above)

    return NamedEncoder(model)
