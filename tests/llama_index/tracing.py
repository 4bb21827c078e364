"""`python -m tests.llama_index.tracing openinference` (or `otel`): what that package tells of a call by each verb.

A program of its own, since both packages set up the whole process, once. Prints JSON: the answers' own counts, and the
attributes of spans and of their events, by verb.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from llama_index_portkey import PortkeyLLM
from portkey_router import Fallback, sandbox
from tests.llama_index.verbs import CHAT, ask


def instrumented(package: str) -> InMemorySpanExporter:
    """Where the spans end up."""
    exporter = InMemorySpanExporter()
    if package == "otel":
        # Without types, as LlamaIndex's integrations are.
        from llama_index.observability.otel import LlamaIndexOpenTelemetry  # type: ignore[import-untyped]

        LlamaIndexOpenTelemetry(span_exporter=exporter, span_processor="simple").start_registering()
    else:
        from openinference.instrumentation.llama_index import LlamaIndexInstrumentor

        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        LlamaIndexInstrumentor().instrument(tracer_provider=provider)
    return exporter


def main() -> None:
    """Ask by each verb, over a fallback that fires."""
    exporter = instrumented(sys.argv[1])
    found: dict[str, Any] = {}
    with sandbox.portkey() as server:
        server.add_virtual_key("vk-anthropic", provider="anthropic")
        server.always("vk-openai", sandbox.Fault.status(503))
        llm = PortkeyLLM(
            strategy=Fallback("gpt-4o", "claude-sonnet-4-5"),
            virtual_keys={"openai": "vk-openai", "anthropic": "vk-anthropic"},
            base_url=server.url,
            api_key=server.api_key,
            max_retries=0,
        )
        for verb in CHAT:
            exporter.clear()
            said = ask(llm, verb, "Hello").additional_kwargs
            spans = exporter.get_finished_spans()
            found[verb] = {
                "said": {name: said[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")},
                "spans": [dict(span.attributes or {}) for span in spans],
                "events": {each.name: dict(each.attributes or {}) for span in spans for each in span.events},
            }
        found["keys"] = [server.api_key, "vk-openai", "vk-anthropic"]
    print(json.dumps(found, default=str))  # noqa: T201  (its purpose)


if __name__ == "__main__":
    main()
