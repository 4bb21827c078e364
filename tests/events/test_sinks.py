from __future__ import annotations

import json
import logging
import os
import sys
import threading
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from portkey_router import (
    BudgetAlert,
    BudgetExceeded,
    CacheLookup,
    ConfigurationError,
    Event,
    TargetCooledDown,
    Usage,
)
from portkey_router.sinks import JsonLinesSink, LogSink, OpenTelemetrySink, PrometheusSink, record_of
from tests.events.calls import attempt, call, cost, decided

if TYPE_CHECKING:
    from pathlib import Path

LONG = 30.0
ALERT = BudgetAlert("search", "", 0.5, Decimal(25), Decimal(50), "2026-11")
REFUSED = BudgetExceeded("each user", "u1", Decimal(2), Decimal(2), Decimal("0.01"), "2026-11-25")
EVENTS: tuple[Event, ...] = (
    decided(),
    attempt(),
    call(),
    ALERT,
    REFUSED,
    TargetCooledDown("gpt-4o", 30.0, "429"),
    CacheLookup("call-0", None, 0.002, similarity=0.71),
)


# ---- as JSON ---------------------------------------------------------------------------------------------------------


def test_record() -> None:
    """An event's class, time and fields as plain JSON; amounts as text, to the last digit; what is None left out."""
    event = call(call_id="c", usage=Usage(5, 2, 7, 3), cost=cost("0.000000001"), tags={"user": "u1", "tags": ("a",)})
    record = record_of(event, at=0.25)
    assert json.loads(json.dumps(record)) == record
    assert record["event"] == "CallFinished"
    assert record["time"] == "1970-01-01T00:00:00.250000+00:00"
    assert record["usage"] == {"input_tokens": 5, "output_tokens": 2, "total_tokens": 7, "cache_read_tokens": 3}
    assert (record["cost"]["amount"], record["cost"]["source"]) == ("0.000000001", "genai-prices")
    assert record["tags"] == {"user": "u1", "tags": ["a"]}
    assert "error" not in record
    assert record_of(REFUSED)["needed_usd"] == "0.01"


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_is_json(event: Event) -> None:
    """Each of the family can be written, strictly."""
    record = record_of(event, at=1.0)
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def test_no_key_in_a_record() -> None:
    """A secret among the tags, or a text shaped like a key, is not written; what JSON lacks becomes text."""
    odd = {"key": SecretStr("pk-verysecretvalue"), "said": "use sk-abcdefghijklmnop", "nan": float("nan"), "o": object}
    written = json.dumps(record_of(call(tags=odd)), allow_nan=False)
    assert "verysecret" not in written
    assert "abcdefgh" not in written


def test_json_lines(tmp_path: Path) -> None:
    """One object a line, appended; a file that is rotated away is made anew."""
    file = tmp_path / "events.jsonl"
    sink = JsonLinesSink(file)
    for event in EVENTS:
        sink.handle(event)
    assert sink.flush(LONG)
    names = [json.loads(line)["event"] for line in file.read_text().splitlines()]
    assert names == [type(event).__name__ for event in EVENTS]
    file.rename(tmp_path / "old.jsonl")
    sink.handle(call())
    assert sink.close(LONG)
    assert len(file.read_text().splitlines()) == 1
    assert sink.dropped == 0


def test_json_lines_nowhere(tmp_path: Path) -> None:
    """A folder that is not there is told at once, not at the first event."""
    with pytest.raises(ConfigurationError, match="There is no folder"):
        JsonLinesSink(tmp_path / "no" / "events.jsonl")


def test_json_lines_of_two_processes(tmp_path: Path) -> None:
    """Two that write to one file leave whole lines."""
    file = tmp_path / "events.jsonl"
    sinks = [JsonLinesSink(file), JsonLinesSink(file)]
    for _ in range(300):
        for sink in sinks:
            sink.handle(call(tags={"text": "x" * 200}))
    assert all(sink.close(LONG) for sink in sinks)
    assert len([json.loads(line) for line in file.read_text().splitlines()]) == 600


# ---- the log ---------------------------------------------------------------------------------------------------------


def test_log(caplog: pytest.LogCaptureFixture) -> None:
    """A record for each event, with its fields, a line to read, and the caller's thread; failures are warnings."""
    sink = LogSink("app.calls")
    with caplog.at_level(logging.DEBUG, "app.calls"):
        for event in (*EVENTS, call(outcome="AuthenticationError", cost=None), attempt(outcome="ConnectFailedError")):
            sink.handle(event)
        assert sink.close(LONG)
    levels = [logging.getLevelName(record.levelno)[0] for record in caplog.records]
    assert "".join(levels) == "DDIWWWDWI"
    finished = caplog.records[2]
    assert finished.portkey["usage"]["input_tokens"] == 1000  # type: ignore[attr-defined]
    assert finished.getMessage().startswith('CallFinished {"call_id": ')
    assert {record.threadName for record in caplog.records} == {threading.current_thread().name}
    assert sink.dropped == 0


def test_log_level(caplog: pytest.LogCaptureFixture) -> None:
    """What is below the least level, or the logger's own, is not even made."""
    with caplog.at_level(logging.INFO, "app.calls"):
        quiet, plain = (
            LogSink("app.calls", level=logging.WARNING, background=False),
            LogSink("app.calls", background=False),
        )
        for event in EVENTS:
            quiet.handle(event)
        assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3
        plain.handle(attempt())
        plain.handle(call())
        assert len(caplog.records) == 4
    assert quiet.flush()
    assert quiet.close()


def test_a_slow_log_handler_holds_up_nobody() -> None:
    """A handler that is stuck is stuck in a thread of ours."""
    opened, seen = threading.Event(), list[str]()

    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            assert opened.wait(LONG)
            seen.append(record.getMessage())

    logger = logging.Logger("slow", logging.DEBUG)  # noqa: LOG001  (it leaves nothing behind)
    logger.addHandler(Slow())
    sink = LogSink(logger)
    for _ in range(5):
        sink.handle(call())
    assert seen == []
    opened.set()
    assert sink.close(LONG)
    assert len(seen) == 5


# ---- Prometheus ------------------------------------------------------------------------------------------------------


def value(registry: Any, name: str, **labels: str) -> float | None:
    """A sample of a registry."""
    found: float | None = registry.get_sample_value(name, labels)
    return found


def test_prometheus() -> None:
    """Calls, tokens, costs, durations and the rest, by who answered and by the tags named."""
    from prometheus_client import CollectorRegistry

    registry = CollectorRegistry()
    sink = PrometheusSink(registry, tags=["team"])
    used = Usage(1000, 500, 1500, 200, None, 50)
    sink.handle(call(usage=used, cost=cost("0.0075"), first_token=0.3, tags={"team": "search", "user": "u1"}))
    sink.handle(call("gpt-99", cost=None))
    sink.handle(call(cache="semantic", cost=None))
    sink.handle(call(usage=None, cost=None, outcome="AuthenticationError"))
    for event in EVENTS[1:2] + EVENTS[3:]:
        sink.handle(event)
    who = {"operation": "chat", "provider": "openai", "model": "gpt-4o", "target": "gpt-4o"}
    team = {**who, "team": "search"}
    assert value(registry, "portkey_calls_total", **team, outcome="ok", cache="") == 1
    assert value(registry, "portkey_calls_total", **who, team="", outcome="ok", cache="semantic") == 1
    assert value(registry, "portkey_calls_total", **who, team="", outcome="AuthenticationError", cache="") == 1
    assert value(registry, "portkey_tokens_total", **team, type="input") == 1000
    assert value(registry, "portkey_tokens_total", **team, type="cache_read") == 200
    assert value(registry, "portkey_tokens_total", **who, team="", type="input") is None, "neither a hit nor a failure"
    assert value(registry, "portkey_cost_usd_total", **team) == 0.0075
    other = {**who, "model": "gpt-99", "target": "gpt-99", "team": ""}
    assert value(registry, "portkey_unpriced_calls_total", **other) == 1
    assert value(registry, "portkey_call_seconds_sum", **who, outcome="ok", cache="") == 1.5
    assert value(registry, "portkey_first_token_seconds_count", **who) == 1
    assert value(registry, "portkey_attempts_total", target="gpt-4o", outcome="ok") == 1
    assert value(registry, "portkey_cache_lookups_total", layer="none") == 1
    assert value(registry, "portkey_cooldowns_total", target="gpt-4o") == 1
    assert value(registry, "portkey_budget_alerts_total", budget="search", share="0.5") == 1
    assert value(registry, "portkey_budget_refusals_total", budget="each user") == 1


def test_prometheus_shares_its_metrics() -> None:
    """A second sink on the same registry counts into the same metrics; other tags need another prefix."""
    from prometheus_client import CollectorRegistry

    registry = CollectorRegistry()
    for _ in range(2):
        PrometheusSink(registry).handle(attempt())
    assert value(registry, "portkey_attempts_total", target="gpt-4o", outcome="ok") == 2
    PrometheusSink(registry, prefix="app", tags=["team"]).handle(attempt())
    assert value(registry, "app_attempts_total", target="gpt-4o", outcome="ok") == 1
    with pytest.raises(ConfigurationError, match="prefix="):
        PrometheusSink(registry, tags=["team"])


@pytest.mark.parametrize("tag", ["a-b", "__x", "model", "1a", ""])
def test_prometheus_labels(tag: str) -> None:
    """A tag that cannot be a label is refused by name."""
    with pytest.raises(ConfigurationError, match="label"):
        PrometheusSink(tags=[tag])


# ---- what is not installed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "module", "extra"),
    [
        (PrometheusSink, "prometheus_client", "prometheus"),
        (OpenTelemetrySink, "opentelemetry", "otel"),
    ],
)
def test_a_missing_library(monkeypatch: pytest.MonkeyPatch, make: Any, module: str, extra: str) -> None:
    """A sink whose library is not installed names the extra that brings it."""
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match=rf"portkey-router\[{extra}\]"):
        make()


def test_importing_the_sinks_imports_no_library() -> None:
    """The libraries of the sinks are paid for by those who make one."""
    program = (
        "import sys, portkey_router.sinks;"
        "print(sorted({'opentelemetry', 'prometheus_client', 'redis'} & {m.partition('.')[0] for m in sys.modules}))"
    )
    root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))  # noqa: PTH120  (short)
    import subprocess

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "[]"
