from __future__ import annotations

import gzip
import json
import time
import tracemalloc
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portkey_router import ConfigurationError, StoreError, Usage
from portkey_router.bootstrap import stream_entries
from portkey_router.report import PassedOver, UsageSummary, call_of, calls_in, files_named, lines_of, reading
from portkey_router.report.files import LONGEST_LINE
from portkey_router.sinks import JsonLinesSink, RedisStreamSink, record_of
from tests.events.calls import attempt, call, cost, decided

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.services.redis import RedisServer

LONG = 30.0
AT = 1_793_707_200.0  # 2026-11-03 12:00 UTC


def line(event: Any, at: float | None = AT) -> bytes:
    """As a sink writes it."""
    return json.dumps(record_of(event, at)).encode() + b"\n"


FULL = call(
    usage=Usage(1000, 100, 1100, 400, 50, 60, 7, 8, Decimal("0.000000001"), "priority", "input below cached"),
    cost=cost("0.0125", rates={"input": Decimal("2.50")}, guessed=True, service_tier="priority"),
    streamed=True,
    first_token=0.3,
    retries=2,
    cache_status="MISS",
    estimated=True,
    error="none",
    operation="embeddings",
    tags={"user": "u1", "tags": ["a"], "depth": 3},
)


@pytest.mark.parametrize(
    "event", [FULL, call(usage=None, cost=None, model=None), call(cache="exact", saved_usd=Decimal("0.0000000010"))]
)
def test_what_a_sink_wrote_is_read_back(event: Any) -> None:
    """The same call, to the last field, and the time it was told."""
    [(read, at)] = calls_in([line(event)])
    assert read == event
    assert at == datetime.fromtimestamp(AT, UTC)


def test_each_thing_that_is_no_call_is_counted_once_by_why() -> None:
    """Other events, foreign lines, calls of other versions, repeated ones, a torn last line: the sums stand."""
    good = call(call_id="good")
    lines = [
        b"\xef\xbb\xbf" + line(good),
        line(good),
        line(decided()),
        line(attempt()),
        b"\n",
        b"2026-11-03 nginx: GET /\n",
        b'{"event": "SomethingElse"}\n',
        b'{"event": ["CallFinished"]}\n',
        b"[1, 2]\n",
        b"\xff\xfe\x00\n",
        b"[" * 100_000 + b"\n",
        line(call(call_id="second")),
        b'{"event": "CallFinished", "call_id": "x", "cost_usd": 0.01}\n',
        line(call(call_id="torn"))[:80],
    ]
    passed_over = PassedOver()
    assert [read.call_id for read, _ in calls_in(lines, passed_over)] == ["good", "second"]
    assert passed_over == PassedOver(other=2, foreign=6, unreadable=1, torn=1, repeated=1)
    assert str(passed_over) == (
        "6 lines that are no events, 1 call that another version wrote, 1 torn last line, 1 call that was there twice"
    )
    assert str(PassedOver(other=5, outside=7)) == ""


def test_a_last_line_that_only_lacks_its_end_is_read() -> None:
    """A line feed that has not been written yet is no reason to lose a call."""
    assert [read.call_id for read, _ in calls_in([line(call(call_id="last")).rstrip()])] == ["last"]


@pytest.mark.parametrize(
    "change",
    [
        {"seconds": None}, {"seconds": -1}, {"seconds": float("nan")}, {"seconds": 1e300}, {"seconds": True},
        {"outcome": 5}, {"call_id": None}, {"tags": ["a"]}, {"operation": "images"}, {"model": {"name": "m"}},
        {"cost": "0.1"}, {"cost": {"amount": 0.1, "source": "user"}}, {"cost": {"amount": "1e99", "source": "user"}},
        {"cost": {"amount": "-1", "source": "user"}}, {"cost": {"amount": "1", "source": "user", "currency": "EUR"}},
        {"cost": {"amount": "1"}}, {"usage": {"input_tokens": "many"}}, {"usage": {"input_tokens": -5}},
        {"usage": [1, 2]}, {"usage": {"input_tokens": 10**15}}, {"attempts": "two"},
    ],
    ids=str,
)  # fmt: skip
def test_a_field_that_is_none_of_ours_is_another_versions(change: dict[str, Any]) -> None:
    """What cannot be summed up is not summed up: a float's cost, another currency, a figure that drowns all others."""
    assert call_of({**record_of(FULL), **change}) is None


def test_what_an_older_version_lacks_and_a_newer_one_adds() -> None:
    """Missing fields are as if None; unknown ones, anywhere, are passed over."""
    read = call_of({"event": "CallFinished", "call_id": "1", "outcome": "ok", "seconds": 2, "usage": {}, "new": 1})
    assert read is not None
    assert (read.cost, read.usage, read.tags, read.seconds) == (None, Usage(), {}, 2.0)
    record = record_of(FULL)
    record["cost"]["new"] = record["usage"]["new"] = {"deep": True}
    assert call_of(record) == FULL


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
KEYS = st.sampled_from(["amount", "rates", "input_tokens", "tags"])
JSON = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner), max_leaves=4)


@given(st.dictionaries(st.sampled_from(sorted(record_of(FULL))), JSON))
def test_no_json_is_a_traceback(change: dict[str, Any]) -> None:
    """Whatever stands in the fields, it is a call that can be summed up, or none."""
    passed_over, summary = PassedOver(), UsageSummary("tag:user")
    text = json.dumps({**record_of(FULL), **change, "event": "CallFinished"}).encode()
    for read, at in calls_in([text + b"\n"], passed_over):
        summary.add(read, at)
    assert summary.total.totals.calls + passed_over.unreadable == 1
    assert json.dumps(summary.total.as_dict())


@pytest.fixture
def _new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose clock shows New York's time."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.delenv("TZ")
    time.tzset()


@pytest.mark.usefixtures("_new_york")
def test_times() -> None:
    """Zones are heeded, a time without one is UTC, wherever it is read; what is no time is none."""
    record = record_of(call())
    times = ["2026-11-03T13:00:00+01:00", "2026-11-03T12:00:00", "2026-11-03T12:00:00Z", "yesterday", 5, None]
    times += ["0001-01-01T00:00:00+14:00"]
    lines = [json.dumps({**record, "call_id": str(n), "time": told}).encode() for n, told in enumerate(times)]
    noon = datetime(2026, 11, 3, 12, tzinfo=UTC)
    assert [at for _, at in calls_in(lines)] == [noon] * 3 + [None] * 4


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are taken as they are needed, calls are not kept, and only so many ids are."""
    monkeypatch.setattr(reading, "REMEMBERED", 100)
    record = record_of(call(), AT)
    many = 5000

    def lines() -> Any:
        for number in range(many):
            yield json.dumps({**record, "call_id": f"call-{number}"}).encode() + b"\n"

    summary = UsageSummary("model")
    tracemalloc.start()
    for read, at in calls_in(lines()):
        summary.add(read, at)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert summary.total.totals.calls == many
    assert peak < 1_000_000, peak  # the lines alone are three million


# ---- files -----------------------------------------------------------------------------------------------------------


def test_rotated_and_compressed_files_are_read_once_each(tmp_path: Path) -> None:
    """A pattern names them all; gzip is seen by its bytes; the same file by two names is one file."""
    (tmp_path / "calls.jsonl").write_bytes(line(call(call_id="new")))
    (tmp_path / "calls.jsonl.1").write_bytes(line(call(call_id="old")))
    (tmp_path / "calls.jsonl.2").write_bytes(gzip.compress(line(call(call_id="older"))))
    names = files_named([str(tmp_path / "calls.jsonl*"), str(tmp_path / "calls.jsonl")])
    assert [read.call_id for read, _ in calls_in(lines_of(names))] == ["new", "old", "older"]


def test_a_compressed_file_that_is_cut_short_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    """It is counted, and the next file is read."""
    whole = gzip.compress(b"".join(line(call(call_id=uuid4().hex)) for _ in range(300)))
    (tmp_path / "cut.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "spoilt.gz").write_bytes(b"\x1f\x8bnot gzip at all")
    (tmp_path / "good").write_bytes(line(call(call_id="good")))
    passed_over = PassedOver()
    names = [str(tmp_path / name) for name in ("cut.gz", "spoilt.gz", "good")]
    read = [read.call_id for read, _ in calls_in(lines_of(names, passed_over), passed_over)]
    assert read[-1] == "good"
    assert 1 < len(read) < 301
    assert passed_over.cut == 2


def test_a_line_without_end_is_not_kept(tmp_path: Path) -> None:
    """A line of many megabytes comes as one foreign line of bounded size, and the next line as itself."""
    (tmp_path / "f").write_bytes(b"x" * (3 * LONGEST_LINE + 5) + b"\n" + line(call(call_id="next")))
    assert next(len(each) for each in lines_of([str(tmp_path / "f")])) == LONGEST_LINE + 1
    passed_over = PassedOver()
    assert [read.call_id for read, _ in calls_in(lines_of([str(tmp_path / "f")]), passed_over)] == ["next"]
    assert passed_over.foreign == 1


def test_what_cannot_be_read_says_so(tmp_path: Path) -> None:
    """No such file, and a folder: by name, as a ConfigurationError."""
    with pytest.raises(ConfigurationError, match=r"There is no file nowhere\.jsonl"):
        files_named(["nowhere.jsonl"])
    with pytest.raises(ConfigurationError, match=r"cannot be read: .*directory"):
        list(lines_of([str(tmp_path)]))


def test_what_the_sink_writes_is_what_is_read(tmp_path: Path) -> None:
    """From the sink's queue, through its file, to the sums."""
    sink = JsonLinesSink(tmp_path / "calls.jsonl")
    for event in (decided(), attempt(), call("gpt-4o"), call("claude-sonnet-4-5", cost=cost("1"))):
        sink.handle(event)
    assert sink.close(LONG)
    passed_over, summary = PassedOver(), UsageSummary("model")
    for read, at in calls_in(lines_of([str(tmp_path / "calls.jsonl")], passed_over), passed_over):
        assert at is not None
        summary.add(read, at)
    assert {model: str(row.totals.cost_usd) for model, row in summary.rows.items()} == {
        "claude-sonnet-4-5": "1", "gpt-4o": "0.0125",
    }  # fmt: skip
    assert passed_over == PassedOver(other=2)


# ---- a Redis stream --------------------------------------------------------------------------------------------------


def test_a_stream_is_read_page_by_page(plain_redis: RedisServer) -> None:
    """Each entry once, in order, over several pages, up to the last one that was there; foreign ones are counted."""
    name = f"test:{uuid4().hex}"
    with plain_redis.client() as redis:
        sink = RedisStreamSink(plain_redis.url, stream=name)
        for number in range(1200):
            sink.handle(call(call_id=f"call-{number}"))
        assert sink.close(LONG)
        redis.xadd(name, {"something": "else"})
        redis.xadd(name, {"data": "no json"})
        passed_over, found = PassedOver(), []
        for read, _ in calls_in(stream_entries(plain_redis.url, stream=name), passed_over):
            found.append(read.call_id)
            if len(found) == 1:  # what is added meanwhile is not waited for
                redis.xadd(name, {"data": line(call(call_id="later"))})
        assert found == [f"call-{number}" for number in range(1200)]
        assert passed_over.foreign == 2
        redis.delete(name)


def test_a_stream_from_some_time_on(plain_redis: RedisServer) -> None:
    """What was added more than an hour before is not even asked for."""
    name = f"test:{uuid4().hex}"
    with plain_redis.client() as redis:
        for hours in (-5, -0.5, 1):
            redis.xadd(name, {"data": line(call(call_id=str(hours)))}, id=f"{int((AT + hours * 3600) * 1000)}-1")
        entries = stream_entries(plain_redis.url, stream=name, since=AT)
        assert [read.call_id for read, _ in calls_in(entries)] == ["-0.5", "1"]
        redis.delete(name)


def test_no_stream_and_no_redis(plain_redis: RedisServer) -> None:
    """A name that is none says so, with where it looked; a string is Redis's own error; no server a StoreError."""
    with pytest.raises(ConfigurationError, match=r"no stream 'nothing:here' in RedisClient\(redis://127"):
        list(stream_entries(plain_redis.url, stream="nothing:here"))
    name = f"test:{uuid4().hex}"
    with plain_redis.client() as redis:
        redis.set(name, "taken")
        with pytest.raises(StoreError, match="WRONGTYPE"):
            list(stream_entries(plain_redis.url, stream=name))
        redis.delete(name)
    with pytest.raises(StoreError, match="cannot be reached"):
        list(stream_entries("redis://127.0.0.1:1"))
