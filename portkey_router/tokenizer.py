"""Exact token counts of texts, by tiktoken (extra: `tiktoken`), for who wants them in the place of the estimate.

tiktoken downloads an encoding when it is first asked for. The two that today's OpenAI models use come with LlamaIndex:
where that is installed, they are read from there, and nothing is downloaded.
"""

from __future__ import annotations

import importlib.util
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from portkey_router.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["tiktoken_counter"]

_KEPT_IN = "TIKTOKEN_CACHE_DIR"
_BUNDLED = ("cl100k_base", "o200k_base")


def tiktoken_counter(model: str = "gpt-4o") -> Callable[[str], int]:
    """A function that counts the tokens of a text as this model does; models that tiktoken does not know as gpt-4o.

    For `PortkeyRouter(count_tokens=...)`. The first call for an encoding takes 0.3 to 0.6 s of CPU and some 60 MB.
    Raises `ConfigurationError` where tiktoken, or the encoding, cannot be had.
    """
    try:
        import tiktoken  # noqa: PLC0415  (an extra)
    except ModuleNotFoundError as error:
        msg = 'tiktoken_counter needs tiktoken: pip install "portkey-router[tiktoken]"'
        raise ConfigurationError(msg) from error
    try:
        name = tiktoken.encoding_name_for_model(model.rpartition("/")[2])
    except KeyError:
        name = "o200k_base"
    encode = _encoding(name).encode_ordinary
    return lambda text: len(encode(text.encode(errors="replace").decode()))


@cache
def _encoding(name: str) -> Any:
    import tiktoken  # noqa: PLC0415  (as above)

    before = os.environ.get(_KEPT_IN)
    bundled = _bundled() if before is None and name in _BUNDLED else None
    if bundled is not None:
        os.environ[_KEPT_IN] = str(bundled)  # tiktoken has no other way to be told
    try:
        return tiktoken.get_encoding(name)
    except Exception as error:  # whatever its HTTP client raises: it is a download that failed
        msg = (
            f"tiktoken could not load its encoding {name!r}, which it downloads: install llama-index-core, which "
            f"ships it, or name a folder that holds it in {_KEPT_IN}."
        )
        raise ConfigurationError(msg) from error
    finally:
        if bundled is not None:
            os.environ.pop(_KEPT_IN, None)


def _bundled() -> Path | None:
    """The encodings that LlamaIndex ships; None where it is not installed. It is not imported for that."""
    spec = importlib.util.find_spec("llama_index")
    places = [Path(place) for place in spec.submodule_search_locations or ()] if spec else []
    folders = [place / "core" / "_static" / "tiktoken_cache" for place in places]
    return next((folder for folder in folders if folder.is_dir()), None)
