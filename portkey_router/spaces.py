"""Vector spaces: vectors of one model and one length can be compared, any others cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portkey_router.errors import ConfigurationError
from portkey_router.providers import providers_of
from portkey_router.targets import leaves

if TYPE_CHECKING:
    from portkey_router.targets import Strategy, Target

__all__ = ["bare_model", "check_one_space"]


def bare_model(model: str) -> str:
    """A model's own name: without the slug (`@openai-prod/...`) and without known providers (`openrouter/openai/...`).

    What else stands before a slash is part of the name (`BAAI/bge-small-en-v1.5`).
    """
    name = model.partition("/")[2] if model.startswith("@") else model
    while matches := providers_of(name):
        if matches[0].model == name:
            break
        name = matches[0].model
    return name


def check_one_space(strategy: Strategy, *, model: str | None = None, dimensions: int | None = None) -> None:
    """Refuse a strategy over targets of more than one vector space.

    `model` and `dimensions` are the call's, for targets that do not set their own. Without a check, a fallback would
    put vectors into an index that nothing there can be compared with, and nobody would hear of it.
    """
    spaces: dict[tuple[str, int | None], str] = {}
    for leaf in leaves(strategy):
        space = _space(leaf, model, dimensions)
        if space is not None:
            spaces.setdefault(space, leaf.label)
    if len(spaces) > 1:
        named = "; ".join(f"{label!r} embeds with {_described(*space)}" for space, label in spaces.items())
        msg = (
            f"These targets are of mixed vector spaces: {named}. Vectors of different models or dimensions cannot be "
            "compared, so one answering for another would spoil an index. Give every target the same model and the "
            "same dimensions: that model at another provider, or under another key, may stand in for it."
        )
        raise ConfigurationError(msg)


def _space(target: Target, model: str | None, dimensions: int | None) -> tuple[str, int | None] | None:
    asked = target.override_params.get("model") or target.model or model
    return (bare_model(asked).lower(), target.override_params.get("dimensions", dimensions)) if asked else None


def _described(model: str, dimensions: int | None) -> str:
    return f"{model} ({f'{dimensions} dimensions' if dimensions else 'its own dimensions'})"
