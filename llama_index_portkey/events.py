"""What calls used and cost, on LlamaIndex's instrumentation: an event for each, and a handler that sums them."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from llama_index.core.instrumentation.event_handlers import BaseEventHandler, NullEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.span import active_span_id
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.dispatcher import active_instrument_tags
from pydantic import Field, field_serializer

from portkey_router.events import CallFinished, plain_tags
from portkey_router.report import Reporting, UsageReport

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llama_index_instrumentation.dispatcher import Dispatcher

    from portkey_router.events import Event

__all__ = ["PortkeyUsageEvent", "PortkeyUsageHandler", "call_here", "instrument_tags_here"]

_dispatcher = get_dispatcher(__name__)


class PortkeyUsageEvent(BaseEvent):
    """A call of a `PortkeyLLM`, or a batch of a `PortkeyEmbedding`, ended: what it used and cost, and who answered.

    There is one for each, streamed or not, structured or not, left early or failed, and its `span_id` is that of
    the call. `cost_usd` is None where no price is known; in dumps it is text, since a float would round it. `cache`
    names the cache that answered, which cost nothing. `outcome` is `ok`, `left`, or the name of the error's class.
    """

    call_id: str
    trace_id: str
    outcome: str
    model: str | None
    requested_model: str | None
    provider: str | None
    target: str | None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: Decimal | None = None
    cost_source: str | None = None
    cache: str | None = None
    operation: str = "chat"
    streamed: bool = False
    estimated: bool = False
    attempts: int = 0
    retries: int = 0
    seconds: float = 0.0
    first_token: float | None = None
    call: Any = Field(exclude=True, repr=False)
    """The core's own `CallFinished`."""

    @classmethod
    def class_name(cls) -> str:
        """The event's name in traces."""
        return "PortkeyUsageEvent"

    @field_serializer("cost_usd")
    def _exactly(self, value: Decimal | None) -> str | None:
        return None if value is None else f"{value:f}"

    @classmethod
    def of(cls, call: CallFinished, *, span_id: str | None, tags: dict[str, Any]) -> PortkeyUsageEvent:
        """The event of a call."""
        usage, cost = call.usage, call.cost
        used: dict[str, Any] = {}
        if usage is not None and not call.hit:
            used = {
                "prompt_tokens": usage.input_tokens,
                "completion_tokens": usage.output_tokens,
                "total_tokens": usage.total_tokens,
                "cached_tokens": usage.cache_read_tokens or 0,
                "reasoning_tokens": usage.reasoning_tokens or 0,
            }
        same = {name: getattr(call, name) for name in _SAME}
        return cls(
            **same,
            **used,
            cost_usd=Decimal(0) if call.hit else cost.amount if cost else None,
            cost_source=cost.source if cost else None,
            cache=call.cache or ("gateway" if call.hit else None),
            call=call,
            span_id=span_id,
            tags=tags,
        )


_SAME = (
    *("call_id", "trace_id", "outcome", "model", "requested_model", "provider", "target"),
    *("operation", "streamed", "estimated", "attempts", "retries", "seconds", "first_token"),
)


class PortkeyUsageHandler(Reporting, BaseEventHandler):
    """Sums the usage and cost of all calls that a dispatcher hears of.

    ```python
    usage = PortkeyUsageHandler()
    get_dispatcher().add_event_handler(usage)          # the root dispatcher hears of everything
    with instrument_tags({"user": "u1"}):
        query_engine.query(question)
    print(usage.cost_usd, usage.by("model"), usage.by("user"))
    ```

    Each call is counted once, also where a structured call stands around it or several dispatchers hand it on. It
    keeps every call; for one block, rather than for the process, there is `portkey_router.usage_report()`.
    """

    report: UsageReport = Field(default_factory=UsageReport, exclude=True)

    @classmethod
    def class_name(cls) -> str:
        """The handler's name."""
        return "PortkeyUsageHandler"

    def handle(self, event: BaseEvent, **_: Any) -> None:
        """Count it, where it is one of ours."""
        if isinstance(event, PortkeyUsageEvent):
            self.report.add(event.call)


def instrument_tags_here() -> dict[str, Any]:
    """The plain values of LlamaIndex's `instrument_tags` that are set here, as a call's tags."""
    return plain_tags(active_instrument_tags.get())


def _is_heard() -> bool:
    """Whether anybody listens: an event that nobody would hear is not made."""
    dispatcher: Dispatcher | None = _dispatcher
    while dispatcher is not None:
        if any(not isinstance(handler, NullEventHandler) for handler in dispatcher.event_handlers):
            return True
        dispatcher = dispatcher.parent if dispatcher.propagate else None
    return False


def call_here(others: Sequence[Callable[[Event], object]] = ()) -> Callable[[Event], None]:
    """For a call that begins here: takes its events, and dispatches a `PortkeyUsageEvent` in the span open here.

    Asked at the call's entry: the span is closed when a stream is read, and so are the tags. `others` hear of the
    events, too.
    """
    span_id, tags = active_span_id.get(), dict(active_instrument_tags.get())

    def hear(event: Event) -> None:
        if isinstance(event, CallFinished) and _is_heard():
            _dispatcher.event(PortkeyUsageEvent.of(event, span_id=span_id, tags=tags))
        for other in others:
            other(event)

    return hear
