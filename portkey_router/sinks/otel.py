"""Calls as OpenTelemetry spans and metrics, by the semantic conventions for generative AI.

Names are written out: the conventions are still in development, and their Python package renames them from release to
release. github.com/open-telemetry/semantic-conventions-genai; `gen_ai.usage.cost.*` are those of its pull request 443,
which is open.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from portkey_router.errors import ConfigurationError
from portkey_router.events import AttemptFinished, CallFinished, RouteDecided
from portkey_router.sinks.background import Background, Queued
from portkey_router.sinks.otel_names import call_attributes, is_model_span, metric_attributes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, TracerProvider

    from portkey_router.events import Event

__all__ = ["OpenTelemetrySink"]

# The conventions' own boundaries, seconds and tokens.
_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
_NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class _Finished:
    """A call that ended: where it was made, its attempts with their ends, and its own end (nanoseconds)."""

    call: CallFinished
    context: Context
    attempts: Sequence[tuple[AttemptFinished, int]]
    own_span: bool
    ended: int


class OpenTelemetrySink(Queued):
    """A span `chat <model>` for each call, with its attempts as events, and metrics of duration, tokens and cost.

    Where another instrumentor (OpenInference, OpenLLMetry, LlamaIndex's own) has a span for the call already, that
    one is annotated with route and cost, and no second one is made (LlamaIndex's instrumentors end the span of a stream
    before its first token: that one stays as it is). `spans=False` makes and annotates none;
    `metrics=False` records none. Spans hold all of a call's tags that are plain values (`portkey.tag.<name>`), metrics
    only those named in `tags`: each of their values is a time series of its own.

    Spans are made when a call has ended, with the times that it had, in a thread of ours: an exporter, however slow,
    slows no call. `tracer_provider` and `meter_provider` are OpenTelemetry's global ones by default.

    Raises `ConfigurationError` where opentelemetry-api is not installed.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        spans: bool = True,
        metrics: bool = True,
        tags: Sequence[str] = (),
        queue_size: int = 10_000,
    ) -> None:
        try:
            from opentelemetry import context, trace  # noqa: PLC0415  (an extra)
            from opentelemetry import metrics as otel_metrics  # noqa: PLC0415  (an extra)
        except ImportError as error:
            msg = 'OpenTelemetrySink needs opentelemetry-api: pip install "portkey-router[otel]"'
            raise ConfigurationError(msg) from error
        self._context, self._trace = context, trace
        self._tracer = trace.get_tracer("portkey_router", tracer_provider=tracer_provider) if spans else None
        meter = otel_metrics.get_meter("portkey_router", meter_provider=meter_provider)
        self._instruments = _Instruments(meter, tags) if metrics else None
        self._queue: Background[_Finished] = Background("OpenTelemetrySink", self._write, size=queue_size)

    def for_call(self) -> _CallSink:
        """The sink of a call that is made here and now: in the current span, which may end before a stream does."""
        foreign = None
        if self._tracer is not None and is_model_span(current := self._trace.get_current_span()):
            foreign = current
        return _CallSink(self, self._context.get_current(), foreign, ask_langchain=self._tracer is not None)

    def handle(self, event: Event) -> None:
        """Take the end of a call by itself, as if it was made here and now."""
        self.for_call().handle(event)

    def finish(self, call: CallFinished, at: _CallSink) -> None:
        """Annotate the span of another that there is, and hand the rest to the thread."""
        if at.foreign is not None and at.foreign.is_recording():
            at.foreign.set_attributes(call_attributes(call, annotate=True))
        own_span = self._tracer is not None and at.foreign is None
        self._queue.put(_Finished(call, at.context, at.attempts, own_span, time.time_ns()))

    def _write(self, finished: Sequence[_Finished]) -> None:
        for each in finished:
            if each.own_span:
                self._make_span(each)
            if self._instruments is not None:
                self._instruments.record(each.call, each.context)

    def _make_span(self, finished: _Finished) -> None:
        call, tracer = finished.call, self._tracer
        if tracer is None:
            return
        span = tracer.start_span(
            f"{call.operation} {call.requested_model or call.model or ''}".rstrip(),
            context=finished.context,
            kind=self._trace.SpanKind.CLIENT,
            attributes=call_attributes(call),
            start_time=finished.ended - int(call.seconds * _NANO),
        )
        for attempt, at in finished.attempts:
            span.add_event("portkey.attempt", _attempt_attributes(attempt), timestamp=at)
        if call.failed:
            span.set_status(self._trace.StatusCode.ERROR, call.error)
        span.end(finished.ended)


class _CallSink:
    """Takes the events of one call."""

    __slots__ = ("_ask_langchain", "_sink", "attempts", "context", "foreign")

    def __init__(self, sink: OpenTelemetrySink, context: Context, foreign: Span | None, *, ask_langchain: bool) -> None:
        self._sink = sink
        self._ask_langchain = ask_langchain
        self.context = context
        self.foreign = foreign
        self.attempts: list[tuple[AttemptFinished, int]] = []

    def handle(self, event: Event) -> None:
        """Keep the attempts until the call ends."""
        if isinstance(event, RouteDecided | CallFinished) and self._ask_langchain and self.foreign is None:
            self.foreign = _span_of_langchain_run(event.tags.get("run_id"))
        if isinstance(event, AttemptFinished):
            self.attempts.append((event, time.time_ns()))
        elif isinstance(event, CallFinished):
            self._sink.finish(event, self)


def _attempt_attributes(attempt: AttemptFinished) -> dict[str, Any]:
    named = {
        "portkey.target": attempt.target,
        "gen_ai.request.model": attempt.model,
        "portkey.attempt.number": attempt.number,
        "portkey.attempt.seconds": attempt.seconds,
        "http.response.status_code": attempt.status,
        "error.type": None if attempt.outcome == "ok" else attempt.outcome,
    }
    return {name: value for name, value in named.items() if value is not None}


def _span_of_langchain_run(run_id: Any) -> Span | None:
    """The span that OpenInference has for a run of LangChain: it never makes it the current one."""
    module = sys.modules.get("openinference.instrumentation.langchain")
    if module is None or not isinstance(run_id, str):
        return None
    instrumentor = module.LangChainInstrumentor()
    try:
        run = UUID(run_id)
    except ValueError:  # a tag of the user's own, of that name
        return None
    span: Span | None = instrumentor.get_span(run) if instrumentor.is_instrumented_by_opentelemetry else None
    return span


class _Instruments:
    """The metrics, and what they are told of a call."""

    def __init__(self, meter: Any, tags: Sequence[str]) -> None:
        self._tags = tuple(tags)
        self._duration = _histogram(meter, "gen_ai.client.operation.duration", "s", _SECONDS)
        self._first = _histogram(meter, "gen_ai.client.operation.time_to_first_chunk", "s", _SECONDS)
        self._tokens = _histogram(meter, "gen_ai.client.token.usage", "{token}", _TOKENS)
        self._cost = meter.create_counter("gen_ai.client.usage.cost", unit="{USD}", description="What calls cost.")

    def record(self, call: CallFinished, context: Context) -> None:
        attributes = metric_attributes(call, self._tags)
        self._duration.record(call.seconds, attributes, context=context)
        if call.first_token is not None:
            self._first.record(call.first_token, attributes, context=context)
        if call.usage is None or call.hit:
            return
        for kind, count in (("input", call.usage.input_tokens), ("output", call.usage.output_tokens)):
            self._tokens.record(count, {**attributes, "gen_ai.token.type": kind}, context=context)
        if call.cost is not None:
            priced = {**attributes, "gen_ai.usage.cost.currency": call.cost.currency}
            self._cost.add(float(call.cost.amount), priced, context=context)


def _histogram(meter: Any, name: str, unit: str, boundaries: Sequence[float]) -> Any:
    return meter.create_histogram(name, unit=unit, explicit_bucket_boundaries_advisory=boundaries)
