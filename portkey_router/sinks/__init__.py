"""Where events go: `build_router(sinks=[LogSink(), PrometheusSink()])`, each with its library as an extra.

None of them slows a call or fails one. Those that write (to a file, a server, a log's handlers) do so in a thread of
their own, from a queue that drops what it cannot hold, counts it (`sink.dropped`) and says so in the log; at the
interpreter's end they are given two seconds to finish.
"""

from portkey_router.sinks.jsonl import JsonLinesSink
from portkey_router.sinks.log import LogSink
from portkey_router.sinks.otel import OpenTelemetrySink
from portkey_router.sinks.prometheus import PrometheusSink
from portkey_router.sinks.record import record_of
from portkey_router.sinks.redis_stream import RedisStreamSink

__all__ = ["JsonLinesSink", "LogSink", "OpenTelemetrySink", "PrometheusSink", "RedisStreamSink", "record_of"]
