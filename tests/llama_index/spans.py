"""`python -m tests.llama_index.spans openinference` (or `otel`): the spans of a call, with our own sink beside.

A program of its own, since both packages set up the whole process, once. Prints JSON: the spans' names and costs, by
verb.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from llama_index_portkey import PortkeyLLM
from portkey_router import sandbox
from portkey_router.sinks import OpenTelemetrySink
from tests.llama_index.tracing import instrumented
from tests.llama_index.verbs import CHAT, ask


def main() -> None:
    """Ask by each verb."""
    theirs, ours = instrumented(sys.argv[1]), InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ours))
    sink = OpenTelemetrySink(tracer_provider=provider, metrics=False)
    found: dict[str, Any] = {}
    with sandbox.portkey() as server:
        server.add_virtual_key("vk-a", provider="openai")
        llm = PortkeyLLM(model="gpt-4o", virtual_key="vk-a", base_url=server.url, api_key=server.api_key, sinks=[sink])
        for verb in CHAT:
            theirs.clear()
            ours.clear()
            ask(llm, verb, "Hello")
            assert sink.flush(30)
            spans = theirs.get_finished_spans()
            found[verb] = {
                "theirs": {span.name: (span.attributes or {}).get("portkey.cost.usd") for span in spans},
                "ours": [span.name for span in ours.get_finished_spans()],
            }
    print(json.dumps(found))  # noqa: T201  (its purpose)


if __name__ == "__main__":
    main()
