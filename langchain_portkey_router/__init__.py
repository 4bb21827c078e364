"""LangChain on Portkey: `ChatPortkey`, `PortkeyEmbeddings`, and `RedisSemanticCache`, a cache for any model."""

from typing import TYPE_CHECKING

try:
    # First, and from here: deeper down, CPython maps and unmaps a piece of its stack at every call (17,000 times).
    import langchain_core.language_models.chat_models as _langchain_core  # noqa: F401  (and to say what is missing)
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        'langchain_portkey_router needs LangChain: pip install "portkey-router[langchain]"', name=error.name
    ) from error

from langchain_portkey_router.chat_models import ChatPortkey
from langchain_portkey_router.errors import OutputRefusedError
from portkey_router.lazy import lazily as _lazily

if TYPE_CHECKING:
    from langchain_portkey_router.cache import RedisSemanticCache
    from langchain_portkey_router.callbacks import UsageCallbackHandler
    from langchain_portkey_router.embeddings import PortkeyEmbeddings
    from langchain_portkey_router.rate_limit import SharedRateLimiter

__all__ = [
    "ChatPortkey",
    "OutputRefusedError",
    "PortkeyEmbeddings",
    "RedisSemanticCache",
    "SharedRateLimiter",
    "UsageCallbackHandler",
]

_LAZY = {
    "PortkeyEmbeddings": "langchain_portkey_router.embeddings",
    "RedisSemanticCache": "langchain_portkey_router.cache",
    "SharedRateLimiter": "langchain_portkey_router.rate_limit",
    "UsageCallbackHandler": "langchain_portkey_router.callbacks",
}

if not TYPE_CHECKING:  # to type checkers the names are imported above, and a misspelt one is an error
    __getattr__ = _lazily(_LAZY, globals())
