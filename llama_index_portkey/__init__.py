"""LlamaIndex on Portkey: `PortkeyLLM`, an LLM, and `PortkeyEmbedding`, over the Portkey router."""

try:
    import llama_index.core as _llama_index_core  # noqa: F401  (only to say what is missing, where it is)
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        'llama_index_portkey needs LlamaIndex: pip install "portkey-router[llama-index]"', name=error.name
    ) from error

from llama_index_portkey.callbacks import PortkeyUsageCallbackHandler
from llama_index_portkey.embeddings import PortkeyEmbedding
from llama_index_portkey.errors import OutputRefusedError, StructuredOutputError
from llama_index_portkey.events import PortkeyUsageEvent, PortkeyUsageHandler
from llama_index_portkey.llm import PortkeyLLM
from llama_index_portkey.rate_limit import SharedRateLimiter

__all__ = [
    "OutputRefusedError",
    "PortkeyEmbedding",
    "PortkeyLLM",
    "PortkeyUsageCallbackHandler",
    "PortkeyUsageEvent",
    "PortkeyUsageHandler",
    "SharedRateLimiter",
    "StructuredOutputError",
]
