from __future__ import annotations

import gzip
import io
import json
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from portkey_router.cli import main
from portkey_router.cli.charts import bars
from portkey_router.cli.usage_lines import UsageLine
from portkey_router.sinks import record_of
from tests.cli.conftest import PLAIN, ROOT
from tests.events.calls import attempt, call, cost, decided

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Shell
    from tests.services.redis import RedisServer

MONDAY, TUESDAY = (datetime(2026, 11, day, 12, tzinfo=UTC).timestamp() for day in (2, 3))
EVENTS: list[tuple[Any, float]] = [
    (decided("a"), MONDAY),
    (attempt("a"), MONDAY),
    (call("gpt-4o", call_id="a", cost=cost("0.010000001"), seconds=1.0, first_token=0.2, tags={"team": "red"}), MONDAY),
    (call("gpt-4o", call_id="b", cost=None, seconds=1.0, tags={"user": "u1"}), MONDAY),
    (call("gpt-4o", call_id="c", outcome="UpstreamRateLimitError", usage=None, cost=None), MONDAY),
    (call("claude-sonnet-4-5", call_id="d", provider="anthropic", cost=cost("0.5"), seconds=4.0), TUESDAY),
    (call("gpt-4o", call_id="e", cache="exact", usage=None, cost=None), TUESDAY),
]
LINES = [json.dumps(record_of(event, at)) + "\n" for event, at in EVENTS]


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A file that a sink wrote, with a foreign line in it and its last line torn."""
    path = tmp_path / "calls.jsonl"
    path.write_text("".join([*LINES, "Killed\n", LINES[2][:40]]))
    return str(path)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    """What `usage` prints and notes, run here: a process of its own for each would take seconds."""
    assert main(["usage", *arguments]) == 0
    out, err = capsys.readouterr()
    return out, err


def rows(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """Its rows as JSON, by their first field."""
    return {next(iter(row.values())): row for row in json.loads(said(capsys, *arguments, "--json")[0])["rows"]}


def test_by_day(shell: Shell, file: str) -> None:
    """As a program: exact costs, unknown ones apart, failures by share and class, times, hits and what they saved."""
    ended = shell.run("usage", "--jsonl", file, "--json")
    assert ended.code == 0
    monday, tuesday = ended.json["rows"]
    assert (monday["day"], monday["calls"], monday["cost_usd"], monday["unpriced"]) == (
        "2026-11-02",
        3,
        "0.010000001",
        1,
    )
    assert (monday["failed"], monday["failure_share"], monday["errors"]) == (1, 0.333333, {"UpstreamRateLimitError": 1})
    assert (monday["seconds_p50"], monday["seconds_p95"], monday["first_token_p50"]) == (1.0, 1.0, 0.2)
    assert (tuesday["hits"], tuesday["hit_share"], tuesday["saved_usd_estimate"]) == (1, 0.5, "0.010000001")
    assert (ended.json["total"]["calls"], ended.json["total"]["cost_usd"]) == (5, "0.510000001")
    assert (ended.json["passed_over"]["foreign"], ended.json["passed_over"]["other"]) == (1, 2)
    assert ended.err == "Read past: 1 line that is no event, 1 torn last line.\n"


def test_the_table_and_its_bars(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The columns that say something, the total, the failures by class, and bars where they are asked for."""
    table, _ = said(capsys, "--jsonl", file, "--by", "model", "--bars")
    heading = table.splitlines()[0]
    for column in ("calls", "failed", "cost USD", "unpriced", "seconds p50, p95", "first token", "hits", "saved USD"):
        assert column in heading
    assert "Failed: 1 UpstreamRateLimitError.\n" in table
    assert [line.split()[0] for line in table.splitlines()[2:5]] == ["claude-sonnet-4-5", "gpt-4o", "total"]
    for line in (
        "cost USD\n  claude-sonnet-4-5  " + "█" * 40 + " 0.5\n",
        "failed\n",
        " 25.0% 1 UpstreamRateLimitError\n",
    ):
        assert line in table
    piped, _ = said(capsys, "--jsonl", file, "--by", "model")
    assert "█" not in piped


def test_each_dimension(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Provider, target, user, tag, and the outcome, each by the same file."""
    found = {
        by: list(rows(capsys, "--jsonl", file, "--by", by))
        for by in ("provider", "target", "user", "tag:team", "outcome")
    }
    assert found == {
        "provider": ["anthropic", "openai"],
        "target": ["claude-sonnet-4-5", "gpt-4o"],
        "user": [None, "u1"],
        "tag:team": [None, "red"],
        "outcome": ["ok", "UpstreamRateLimitError"],
    }


def test_since_until_and_model(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The first moment counts, the last does not; a model is the one asked for or the one that answered."""
    assert list(rows(capsys, "--jsonl", file, "--since", "2026-11-02T12:00:00", "--until", "2026-11-03")) == [
        "2026-11-02"
    ]
    assert list(rows(capsys, "--jsonl", file, "--since", "2026-11-02T12:00:01")) == ["2026-11-03"]
    assert rows(capsys, "--jsonl", file, "--until", "2026-11-03T12:00:00") == {
        "2026-11-02": rows(capsys, "--jsonl", file)["2026-11-02"]
    }
    assert [row["calls"] for row in rows(capsys, "--jsonl", file, "--model", "claude-sonnet-4-5").values()] == [1]
    assert said(capsys, "--jsonl", file, "--since", "2026-12-01")[0] == "No calls in that time.\n"


def test_a_call_without_a_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By day it has a row of its own, of a span that is asked for it is none; either way it is said."""
    (tmp_path / "f").write_text(json.dumps(record_of(call())) + "\n" + LINES[3])
    assert list(rows(capsys, "--jsonl", "f")) == ["2026-11-02", None]
    for more in ([], ["--since", "2026-11-01"]):
        assert said(capsys, "--jsonl", "f", *more)[1] == "Read past: 1 call without a time.\n"
    assert list(rows(capsys, "--jsonl", "f", "--since", "2026-11-01")) == ["2026-11-02"]
    assert said(capsys, "--jsonl", "f", "--by", "model")[1] == ""


def test_rotated_files_and_standard_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several files, a pattern, gzip, and a pipe."""
    (tmp_path / "c.jsonl").write_text("".join(LINES[4:]))
    (tmp_path / "c.jsonl.1.gz").write_bytes(gzip.compress("".join(LINES[:4]).encode()))
    for names in (["--jsonl", "c.jsonl*"], ["--jsonl", "c.jsonl", "--jsonl", "c.jsonl.1.gz"]):
        assert [row["calls"] for row in rows(capsys, *names).values()] == [3, 2]
    piped = io.TextIOWrapper(io.BufferedReader(io.BytesIO(gzip.compress("".join(LINES).encode()))))
    monkeypatch.setattr(sys, "stdin", piped)
    assert [row["calls"] for row in rows(capsys, "--jsonl", "-").values()] == [3, 2]


def test_a_redis_stream(
    plain_redis: RedisServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same sums from a stream, by its URL or by a variable that holds it."""
    name = f"test:{uuid4().hex}"
    with plain_redis.client() as redis:
        for line in LINES:
            redis.xadd(name, {"data": line})
        monkeypatch.setenv("EVENTS_URL", plain_redis.url)
        for where in (["--redis", plain_redis.url], ["--redis-env", "EVENTS_URL"]):
            found = rows(capsys, *where, "--stream", name, "--by", "provider")
            assert {by: row["cost_usd"] for by, row in found.items()} == {"anthropic": "0.5", "openai": "0.010000001"}
        redis.delete(name)


def test_more_rows_than_a_screen_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The dearest fifty, with a word of the others; JSON has all, and so have days."""
    lines = [
        json.dumps(record_of(call(tags={"user": f"u{n}"}, cost=cost(str(n))), MONDAY + n * 86400)) for n in range(60)
    ]
    (tmp_path / "f").write_text("\n".join(lines))
    out, err = said(capsys, "--jsonl", "f", "--by", "user")
    assert len(out.splitlines()) == 2 + 50 + 1
    assert "u59" in out
    assert err == "The dearest 50 of 60 rows; --json has all.\n"
    assert len(rows(capsys, "--jsonl", "f", "--by", "user")) == 60
    assert len(said(capsys, "--jsonl", "f")[0].splitlines()) == 2 + 60 + 1
    drawn = said(capsys, "--jsonl", "f", "--bars")[0].split("\ncost USD\n")[1]
    assert drawn.count("█" * 40) == 1 + 31  # one cost, 31 times
    assert drawn.splitlines()[30].split() == ["2026-12-31", "█" * 40, "59"]  # the last days


def test_at_a_terminal_it_is_drawn(file: str) -> None:
    """Where the output is a terminal, bars come by themselves."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "portkey_router", "usage", "--jsonl", file]
    environment = {**os.environ, **PLAIN, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL, env=environment) as child:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:  # how Linux says that the other side has closed
            pass
        assert child.wait(60) == 0
    os.close(ours)
    assert "█".encode() in shown


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_a_picture(file: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, suffix: str, start: bytes) -> None:
    """`--plot` writes it, in the format of its name, beside the table."""
    picture = tmp_path / f"out{suffix}"
    out, err = said(capsys, "--jsonl", file, "--by", "model", "--plot", str(picture))
    assert picture.read_bytes().startswith(start)
    assert "gpt-4o" in out
    assert f"Drawn: {picture}\n" in err


def test_without_matplotlib_it_says_the_pip_line(
    file: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is read: one line, code 3; without --plot nothing needs it."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["usage", "--jsonl", file, "--plot", "out.png"]) == 3
    assert capsys.readouterr() == ("", 'error: --plot needs matplotlib: pip install "portkey-router[plots]"\n')
    assert rows(capsys, "--jsonl", file)


def test_bars_where_a_terminal_knows_no_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """ASCII stands in; what is 0 everywhere is not drawn."""
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    lines = [UsageLine("a", Decimal(2), 0.0, 1.0, 2.0, {}, {}), UsageLine("b", Decimal(1), None, None, None, {}, {})]
    drawn = bars(lines)
    monkeypatch.undo()
    assert drawn == [
        "", "cost USD", f"  a  {'#' * 40} 2", f"  b  {'#' * 20} 1",
        "", "seconds, median, and 95th percentile", f"  a  {'#' * 20}{'.' * 20} 1.00, 2.00", "  b",
    ]  # fmt: skip
    assert bars([]) == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--jsonl", "nowhere"], 3, "There is no file nowhere."),
        (["--jsonl", "."], 3, "cannot be read"),
        (["--jsonl", "f", "--redis", "redis://localhost"], 2, "--jsonl, or --redis"),
        (["--jsonl", "f", "--workspace", "main"], 2, "for Portkey's analytics"),
        (["--stream", "s"], 2, "--stream goes with --redis"),
        (["--jsonl", "f", "--stream", "s"], 2, "--stream goes with --redis"),
        (["--redis", "http://localhost"], 3, "no scheme of a Redis URL"),
        (["--redis", "redis://127.0.0.1:1"], 6, "cannot be reached"),
        (["--redis-env", "NOT_THERE"], 3, "--redis-env NOT_THERE"),
        (["--redis-env", "redis://:hidden@h"], 3, "--redis-env takes the name of a variable that is set, not"),
        (["--redis", "redis://localhost", "--redis-env", "X"], 2, "one way"),
        (["--jsonl", "f", "--since", "2026-11-02", "--until", "2026-11-01"], 3, "the earlier one first"),
        (["--jsonl", "f", "--plot", "out.gif"], 3, "--plot writes .png, .svg, .pdf"),
        (["--jsonl", "f", "--plot", "no/where.png"], 3, "there is no folder"),
        ([], 3, "--jsonl FILE or --redis URL"),
    ],
)
def test_what_cannot_be_read_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    """What is wrong, and what to do; no traceback."""
    (tmp_path / "f").write_text("")
    assert main(["usage", *arguments]) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert words in err
    assert "hidden" not in err


def test_a_password_in_argv_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    """As a key is; and it is not repeated."""
    assert main(["usage", "--redis", "redis://u:planted-7f3a@127.0.0.1:1"]) == 6
    err = capsys.readouterr().err
    assert err.startswith("warning: a password after --redis stays in the shell's history")
    assert "planted" not in err
