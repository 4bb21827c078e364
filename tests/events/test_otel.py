from __future__ import annotations

import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from portkey_router import Usage
from portkey_router.events import EventHub
from portkey_router.sinks import OpenTelemetrySink
from tests.events.calls import attempt, call, cost, decided

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

LONG = 30.0


class Telemetry:
    """OpenTelemetry's SDK in memory, with a sink on it."""

    def __init__(self, **options: Any) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader])
        self.sink = OpenTelemetrySink(tracer_provider=self.tracers, meter_provider=self.meters, **options)
        self.hub = EventHub([self.sink])

    def spans(self) -> list[ReadableSpan]:
        """Those that have ended."""
        assert self.sink.flush(LONG)
        return list(self.exporter.get_finished_spans())

    def points(self) -> dict[str, list[Any]]:
        """The points of each metric."""
        assert self.sink.flush(LONG)
        data = self.reader.get_metrics_data()
        found: dict[str, list[Any]] = {}
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                found |= {metric.name: list(metric.data.data_points) for metric in scope.metrics}
        return found

    def close(self) -> None:
        """Let go of the SDK's threads."""
        assert self.sink.close(LONG)
        self.tracers.shutdown()
        self.meters.shutdown()


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """Spans and metrics, in memory."""
    made = Telemetry(tags=["team"])
    yield made
    made.close()


def finished(**more: Any) -> Any:
    """A call with everything known."""
    values = {
        "call_id": "call-0",
        "requested_model": "gpt-4o",
        "model": "gpt-4o-2024-08-06",
        "target": "gpt-4o",
        "usage": Usage(1000, 500, 1500, 200, 10, 50),
        "cost": cost("0.0075"),
        "streamed": True,
        "first_token": 0.25,
        "attempts": 2,
        "retries": 1,
        "tags": {"team": "search", "user": "u1", "tags": ("a", "b")},
    }
    return call(**{**values, **more})


def test_a_span_for_a_call(telemetry: Telemetry) -> None:
    """By the conventions: its name, kind, times and attributes; the attempts are its events."""
    hub = telemetry.hub.for_call()
    for event in (decided(), attempt(outcome="UpstreamRateLimitError", status=429), attempt(number=2), finished()):
        hub.emit(event)
    [span] = telemetry.spans()
    assert (span.name, span.kind) == ("chat gpt-4o", trace.SpanKind.CLIENT)
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.end_time - span.start_time == 1_500_000_000
    attributes = dict(span.attributes or {})
    assert (
        attributes.items()
        >= {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o",
            "gen_ai.request.stream": True,
            "gen_ai.response.model": "gpt-4o-2024-08-06",
            "gen_ai.response.time_to_first_chunk": 0.25,
            "gen_ai.usage.input_tokens": 1000,
            "gen_ai.usage.output_tokens": 500,
            "gen_ai.usage.cache_read.input_tokens": 200,
            "gen_ai.usage.cache_creation.input_tokens": 10,
            "gen_ai.usage.reasoning.output_tokens": 50,
            "gen_ai.usage.cost.amount": 0.0075,
            "gen_ai.usage.cost.currency": "USD",
            "gen_ai.usage.cost.source": "local",
            "portkey.cost.usd": "0.0075",
            "portkey.trace_id": "trace-1",
            "portkey.attempts": 2,
            "portkey.tag.team": "search",
            "portkey.tag.user": "u1",
            "portkey.tag.tags": ("a", "b"),
        }.items()
    )
    assert "error.type" not in attributes
    assert [(event.name, (event.attributes or {}).get("error.type")) for event in span.events] == [
        ("portkey.attempt", "UpstreamRateLimitError"),
        ("portkey.attempt", None),
    ]


def test_a_failed_call(telemetry: Telemetry) -> None:
    """An error has a type and a status; a caller who left early is none."""
    telemetry.hub.emit(finished(outcome="AllTargetsFailedError", error="All 2 targets failed.", usage=None, cost=None))
    telemetry.hub.emit(finished(call_id="call-1", outcome="left"))
    failed, left = telemetry.spans()
    assert (failed.attributes or {})["error.type"] == "AllTargetsFailedError"
    assert (failed.status.status_code, failed.status.description) == (trace.StatusCode.ERROR, "All 2 targets failed.")
    assert left.status.status_code is trace.StatusCode.UNSET


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("bedrock", "aws.bedrock"), ("google", "gcp.gemini"), ("x-ai", "x_ai"), ("groq", "groq"), (None, "portkey")],
)
def test_names_of_providers(telemetry: Telemetry, ours: str | None, theirs: str) -> None:
    """Providers go by the conventions' well-known names."""
    telemetry.hub.emit(finished(provider=ours, cost=cost(source="reported")))
    [span] = telemetry.spans()
    assert (span.attributes or {})["gen_ai.provider.name"] == theirs
    assert (span.attributes or {})["gen_ai.usage.cost.source"] == "provider"


def test_metrics(telemetry: Telemetry) -> None:
    """Duration, first chunk, tokens by type, and cost, by model and by the tags named; a hit used nothing."""
    telemetry.hub.emit(finished())
    telemetry.hub.emit(finished(call_id="call-1", cache="semantic", cost=None, tags={}))
    points = telemetry.points()
    [first, _] = points["gen_ai.client.operation.duration"]
    assert (first.sum, first.count) == (1.5, 1)
    assert first.explicit_bounds[:2] == (0.01, 0.02)
    assert dict(first.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "portkey.target": "gpt-4o",
        "portkey.tag.team": "search",
    }
    tokens = {point.attributes["gen_ai.token.type"]: point.sum for point in points["gen_ai.client.token.usage"]}
    assert tokens == {"input": 1000, "output": 500}
    [spent] = points["gen_ai.client.usage.cost"]
    assert (spent.value, spent.attributes["gen_ai.usage.cost.currency"]) == (0.0075, "USD")
    assert len(points["gen_ai.client.operation.time_to_first_chunk"]) == 2


def test_the_span_stands_where_the_call_was_made(telemetry: Telemetry) -> None:
    """Its parent is the span that was current at the call, though a stream was read to its end elsewhere."""
    with telemetry.tracers.get_tracer("app").start_as_current_span("request") as request:
        hub = telemetry.hub.for_call()
        hub.emit(decided())
    hub.emit(finished())
    own = next(span for span in telemetry.spans() if span.name != "request")
    assert own.parent is not None
    assert own.parent.span_id == request.get_span_context().span_id


@pytest.mark.parametrize(
    ("scope", "name", "attributes"),
    [
        ("opentelemetry.instrumentation.langchain", "ChatPortkey.chat", {"gen_ai.system": "portkey"}),
        ("mine", "chat gpt-4o", {"gen_ai.operation.name": "chat"}),
        ("openinference.instrumentation.llama_index", "PortkeyLLM.astream_chat", {}),
        ("llamaindex.opentelemetry.tracer", "PortkeyLLM.complete", {}),
        ("x", "ChatPortkey", {"openinference.span.kind": "LLM"}),
    ],
)
def test_no_second_span(telemetry: Telemetry, scope: str, name: str, attributes: dict[str, Any]) -> None:
    """Where another instrumentor has a span for the call, that one gets route and cost, and it stays the only one."""
    with telemetry.tracers.get_tracer(scope).start_as_current_span(name, attributes=attributes):
        hub = telemetry.hub.for_call()
        hub.emit(decided())
        hub.emit(finished())
    [span] = telemetry.spans()
    assert span.name == name
    found = dict(span.attributes or {})
    assert (found["gen_ai.usage.cost.amount"], found["portkey.target"], found["portkey.tag.user"]) == (
        0.0075,
        "gpt-4o",
        "u1",
    )
    assert "gen_ai.usage.input_tokens" not in found, "that instrumentor counts them itself"
    assert telemetry.points()["gen_ai.client.operation.duration"][0].count == 1


@pytest.mark.parametrize(("scope", "name"), [("app", "GET /"), ("llamaindex.opentelemetry.tracer", "Workflow.run")])
def test_a_span_of_something_else(telemetry: Telemetry, scope: str, name: str) -> None:
    """A server's span, or a workflow's, is no model's: the call has one of its own, within it, and leaves it alone."""
    with telemetry.tracers.get_tracer(scope).start_as_current_span(name):
        telemetry.hub.for_call().emit(finished())
    spans = {span.name: span for span in telemetry.spans()}
    assert set(spans) == {name, "chat gpt-4o"}
    assert not spans[name].attributes


def test_a_span_that_ended_before_its_stream(telemetry: Telemetry) -> None:
    """An instrumentor whose span ends before the stream does is left as it is: no second span, and no warning."""
    with telemetry.tracers.get_tracer("llamaindex.opentelemetry.tracer").start_as_current_span("P.stream_chat"):
        hub = telemetry.hub.for_call()
    hub.emit(decided())
    hub.emit(finished())
    [span] = telemetry.spans()
    assert not span.attributes
    assert telemetry.points()["gen_ai.client.operation.duration"][0].count == 1


def test_openinference_for_langchain(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenInference's spans of LangChain are never current: they are asked for by the run's id."""
    run, theirs = uuid4(), telemetry.tracers.get_tracer("openinference").start_span("ChatPortkey")

    class LangChainInstrumentor:
        is_instrumented_by_opentelemetry = True

        def get_span(self, run_id: UUID) -> trace.Span | None:
            return theirs if run_id == run else None

    module = SimpleNamespace(LangChainInstrumentor=LangChainInstrumentor)
    monkeypatch.setitem(sys.modules, "openinference.instrumentation.langchain", module)
    telemetry.hub.for_call().emit(finished(tags={"run_id": str(run)}))
    theirs.end()
    telemetry.hub.for_call().emit(finished(tags={"run_id": str(uuid4())}))
    telemetry.hub.for_call().emit(finished(tags={"run_id": "7"}))
    spans = telemetry.spans()
    assert [span.name for span in spans] == ["ChatPortkey", "chat gpt-4o", "chat gpt-4o"]
    assert (spans[0].attributes or {})["gen_ai.usage.cost.amount"] == 0.0075


def test_what_is_switched_off() -> None:
    """Without spans none is made, and none annotated; without metrics none is recorded."""
    for options, spans, metrics in (({"spans": False}, 1, 3), ({"metrics": False}, 2, 0)):
        telemetry = Telemetry(**options)
        with telemetry.tracers.get_tracer("app").start_as_current_span("chat", attributes={"gen_ai.system": "x"}):
            telemetry.hub.for_call().emit(finished(first_token=None))
        telemetry.hub.emit(finished(first_token=None))
        found = telemetry.spans()
        assert len(found) == spans
        assert ("portkey.target" in (found[0].attributes or {})) == ("metrics" in options)
        assert len(telemetry.points()) == metrics
        telemetry.close()


def test_a_slow_exporter_holds_up_nobody() -> None:
    """An exporter that is stuck, without a batching processor, is stuck in a thread of ours."""
    opened = threading.Event()

    class Slow(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            assert opened.wait(LONG)
            return SpanExportResult.SUCCESS

    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(Slow()))
    sink = OpenTelemetrySink(tracer_provider=tracers, metrics=False, queue_size=2)
    for number in range(10):
        sink.handle(finished(call_id=str(number)))
    assert sink.dropped >= 7
    opened.set()
    assert sink.close(LONG)
    tracers.shutdown()
