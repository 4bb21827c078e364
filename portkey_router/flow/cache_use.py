"""What a call says of the cache, and the cache it has then. Nothing of a cache is imported where there is none."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from portkey_router.errors import ConfigurationError
from portkey_router.flow.cache_steps import in_a_cache
from portkey_router.messages import CacheUse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portkey_router.cache.cache import SemanticCache
    from portkey_router.flow.caching import Caching
    from portkey_router.messages import CallOptions, Request
    from portkey_router.planner import Plan
    from portkey_router.settings import Settings

__all__ = ["CACHE_OPTIONS", "cache_use_of", "caching_of"]

_FIELDS = {
    "no_cache": "off",
    "refresh": "refresh",
    "cache_ttl": "ttl",
    "cache_tags": "tags",
    "tenant": "tenant",
    "namespace": "namespace",
}
CACHE_OPTIONS = frozenset({"cache_use", *_FIELDS})
"""The names under which each call takes them."""


def cache_use_of(own: CallOptions, arguments: Mapping[str, Any]) -> CacheUse | None:
    """The use of a cache by a call with these arguments, over the router's `own`. Raises `ConfigurationError`.

    - `no_cache=True`: nothing is looked up, nothing kept. `refresh=True`: nothing is looked up, the new answer kept.
    - `cache_ttl`: seconds that the answer is kept; `cache_tags`: texts by which it can be cleared.
    - `tenant`, `namespace`: keep answers apart. `cache_use`: all of it as one (`CacheUse`), for adapters.
    """
    given = {name: value for name in CACHE_OPTIONS if (value := arguments.get(name)) is not None}
    if not given:
        return own.cache_use
    use: CacheUse = given.pop("cache_use", None) or own.cache_use or CacheUse()
    if not given:
        return use
    _check(given)
    changes: dict[str, Any] = {_FIELDS[name]: value for name, value in given.items()}
    return replace(use, **changes)


def _check(given: Mapping[str, Any]) -> None:
    ttl, tags = given.get("cache_ttl", 1), given.get("cache_tags", ())
    if not (isinstance(ttl, int | float) and 0 < ttl < float("inf")):
        raise ConfigurationError("cache_ttl is how many seconds the answer is kept: above 0, and not infinite.")
    if isinstance(tags, str) or not all(isinstance(tag, str) for tag in tags):
        raise ConfigurationError("cache_tags is a list of texts by which entries can be cleared.")
    for name in ("no_cache", "refresh"):
        if given.get(name, True) not in {True, False}:
            raise ConfigurationError(f"{name} is True or False.")
    for name in ("tenant", "namespace"):
        if not isinstance(given.get(name, ""), str):
            raise ConfigurationError(f"{name} is a text that keeps a cache's answers apart.")


def caching_of(cache: SemanticCache | None, request: Request, plan: Plan, settings: Settings) -> Caching | None:
    """The cache of a call, as the call uses it; None where it has none, or is made by a cache itself."""
    use = request.options.cache_use or CacheUse()
    cache = use.cache or cache
    if cache is None or use.off or in_a_cache():
        return None
    from portkey_router.flow.caching import Caching  # noqa: PLC0415  (who does not use it does not pay for it)
    from portkey_router.flow.scope import scope_of  # noqa: PLC0415  (as above)

    return Caching(cache, use, scope_of(request, plan, settings))
