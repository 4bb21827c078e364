"""The same for LlamaIndex's older callbacks: a handler for a `CallbackManager`, on our LLM and on others."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.callbacks.schema import CBEventType, EventPayload

from llama_index_portkey._usage import model_of, usage_of_response
from llama_index_portkey.events import call_here, instrument_tags_here
from portkey_router.events import CallFinished
from portkey_router.pricing import PriceBook
from portkey_router.report import Reporting, UsageReport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llama_index.core.callbacks import CallbackManager

    from portkey_router.pricing import Price

__all__ = ["PortkeyUsageCallbackHandler", "told_here"]

_STARTS_KEPT = 10_000


class PortkeyUsageCallbackHandler(Reporting, BaseCallbackHandler):
    """Sums usage and cost: `Settings.callback_manager = CallbackManager([PortkeyUsageCallbackHandler()])`.

    Calls of a `PortkeyLLM` have the cost that the router worked out; those of other LLMs are priced by `prices` (a
    `PriceBook`, or your own prices by model) from the usage that their answers state, and are not counted where they
    state none. New code hears more, and in the right span, by `PortkeyUsageHandler`.
    """

    def __init__(self, *, prices: PriceBook | Mapping[str, Price] | None = None) -> None:
        super().__init__(event_starts_to_ignore=[], event_ends_to_ignore=[])
        self.report = UsageReport()
        self._prices = prices if isinstance(prices, PriceBook) else PriceBook(prices)
        self._started: dict[str, tuple[float, Mapping[str, Any]]] = {}

    # --- what LlamaIndex tells --------------------------------------------------------------------------------------

    def on_event_start(
        self,
        event_type: CBEventType,
        payload: dict[str, Any] | None = None,
        event_id: str = "",
        parent_id: str = "",  # noqa: ARG002  (LlamaIndex's signature)
        **_: Any,
    ) -> str:
        """Note when a call began, and of what."""
        if event_type == CBEventType.LLM:
            while len(self._started) >= _STARTS_KEPT:  # calls whose end nobody told
                self._started.pop(next(iter(self._started)), None)
            self._started[event_id] = time.monotonic(), (payload or {}).get(EventPayload.SERIALIZED) or {}
        return event_id

    def on_event_end(
        self, event_type: CBEventType, payload: dict[str, Any] | None = None, event_id: str = "", **_: Any
    ) -> None:
        """Count a call of an LLM that is not ours: ours tell of theirs themselves."""
        if event_type != CBEventType.LLM:
            return
        now = time.monotonic()
        began, serialized = self._started.pop(event_id, (now, {}))
        told = payload or {}
        response = told.get(EventPayload.RESPONSE) or told.get(EventPayload.COMPLETION)
        usage = None if response is None else usage_of_response(response)
        if usage is None or "portkey" in (getattr(response, "additional_kwargs", None) or {}):
            return
        model = model_of(response, serialized)
        cost = self._prices.cost(usage, model=model or "", at=datetime.now(UTC))
        asked = serialized.get("model") or serialized.get("model_name")
        self.report.add(
            CallFinished(
                call_id=event_id,
                trace_id="",
                outcome="ok",
                requested_model=asked,
                model=model,
                provider=cost.provider if cost else None,
                target=None,
                usage=usage,
                cost=cost,
                streamed=getattr(response, "delta", None) is not None,
                seconds=now - began,
                attempts=1,
                tags=instrument_tags_here(),
            )
        )

    def start_trace(self, trace_id: str | None = None) -> None:
        """Nothing to do."""

    def end_trace(self, trace_id: str | None = None, trace_map: dict[str, list[str]] | None = None) -> None:
        """Nothing to do."""


def told_here(given: Mapping[str, Any], manager: CallbackManager | None) -> dict[str, Any]:
    """A call's own options, with what is known where it is made: the tags set here, and who hears of its events.

    Those are the dispatcher, in the span that is open here, our handlers of the callback manager, and the call's own
    `on_event`.
    """
    handlers = manager.handlers if manager is not None else ()
    own = given.get("on_event")
    others = [handler.report.add for handler in handlers if isinstance(handler, PortkeyUsageCallbackHandler)]
    tags = {**instrument_tags_here(), **(given.get("portkey_tags") or {})}
    return {**given, "portkey_tags": tags, "on_event": call_here([*others, *([own] if own is not None else [])])}
