"""A rate limiter for any LlamaIndex LLM or embedding model, counted in this process or in Redis for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_index.core.rate_limiter import BaseRateLimiter

from portkey_router.bootstrap import build_ledger
from portkey_router.ledger.gate import RateGate, for_every_call

if TYPE_CHECKING:
    from portkey_router.budget import RateLimit

__all__ = ["SharedRateLimiter"]


class SharedRateLimiter(BaseRateLimiter):
    """`OpenAI(rate_limiter=SharedRateLimiter(RateLimit("openai", requests=500), ledger="redis://localhost:6379"))`.

    The limits count whatever passes, whatever their `when`; a limit of the same name and period, in the same Redis and
    `namespace`, is the same limit, also where a `PortkeyLLM` keeps it. `wait` says whether callers wait, or how long at
    most before a `RateLimitExceededError`. `ledger` is a URL as `build_ledger` takes it.
    """

    def __init__(self, *limits: RateLimit, ledger: str = "memory://", namespace: str = "default") -> None:
        self._gate = RateGate(build_ledger(ledger, limits=for_every_call(limits), namespace=namespace))

    def acquire(self, num_tokens: int = 0) -> None:
        """Wait for the place of one request, and of so many tokens where the limit counts them."""
        self._gate.enter(tokens=num_tokens)

    async def async_acquire(self, num_tokens: int = 0) -> None:
        """`acquire`, in the running loop."""
        await self._gate.aenter(tokens=num_tokens)
