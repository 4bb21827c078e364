"""Portkey's price files from disk, for `PriceBook(portkey=...)`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portkey_router.errors import ConfigurationError

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["load_portkey_prices"]


def load_portkey_prices(path: str | PathLike[str]) -> dict[str, dict[str, Any]]:
    """Portkey's price files by provider: one file (`pricing/openai.json`), or every file of a folder (`pricing/`).

    They are those of github.com/Portkey-AI/models, and `https://configs.portkey.ai/pricing/openai.json`; a file is
    named by its provider. Nothing is downloaded. Raises `ConfigurationError`.
    """
    place = Path(path)
    files = sorted(place.glob("*.json")) if place.is_dir() else [place]
    prices = {}
    for file in files:
        try:
            entries = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            msg = f"{file} cannot be read as a price file of Portkey: {error}"
            raise ConfigurationError(msg) from error
        if not isinstance(entries, dict):
            msg = f"{file} is no price file of Portkey: it should hold an object, model by model."
            raise ConfigurationError(msg)
        prices[file.stem] = entries
    if not prices:
        msg = f"There is no price file of Portkey (*.json) in {place}."
        raise ConfigurationError(msg)
    return prices
