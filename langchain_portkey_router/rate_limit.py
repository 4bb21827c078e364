"""A rate limiter for any LangChain chat model, counted in this process or in Redis for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_core.rate_limiters import BaseRateLimiter

from portkey_router.bootstrap import build_ledger
from portkey_router.ledger.gate import RateGate, for_every_call

if TYPE_CHECKING:
    from portkey_router.budget import RateLimit

__all__ = ["SharedRateLimiter"]


class SharedRateLimiter(BaseRateLimiter):
    """`ChatOpenAI(rate_limiter=SharedRateLimiter(RateLimit("openai", requests=500), ledger="redis://localhost:6379"))`.

    Counts requests; LangChain does not say how many tokens a call will be, so `tokens=` of a limit is not counted here.
    The limits count whatever passes, whatever their `when`; a limit of the same name and period, in the same Redis and
    `namespace`, is the same limit, also where a `ChatPortkey` keeps it. `wait` says whether callers wait, or how long
    at most before a `RateLimitExceededError`. `ledger` is a URL as `build_ledger` takes it.
    """

    def __init__(self, *limits: RateLimit, ledger: str = "memory://", namespace: str = "default") -> None:
        self._gate = RateGate(build_ledger(ledger, limits=for_every_call(limits), namespace=namespace))

    def acquire(self, *, blocking: bool = True) -> bool:
        """Wait for one request's place; without `blocking`, whether there is one now."""
        return self._gate.enter(blocking=blocking)

    async def aacquire(self, *, blocking: bool = True) -> bool:
        """`acquire`, in the running loop."""
        return await self._gate.aenter(blocking=blocking)
