from __future__ import annotations

from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from portkey_router.sandbox.replies import json_reply
from portkey_router.sandbox.server import send, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web

    from tests.cli.conftest import Shell

SPAN = ["--workspace", "main", "--since", "2026-11-01", "--until", "2026-11-03"]


def points(*rows: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """A graph."""
    data = [{"timestamp": f"2026-11-{moment}:00Z", **values} for moment, values in rows]
    return {"object": "analytics-graph", "summary": {}, "data_points": data}


FIGURES = {
    "graphs/requests": points(("01T01:00", {"total": 10}), ("01T13:00", {"total": 30}), ("02T01:00", {"total": 5})),
    "graphs/errors": points(("01T13:00", {"total": 4})),
    "graphs/cost": points(
        ("01T01:00", {"total": 12.5, "avg": 1}), ("01T13:00", {"total": 7.5}), ("02T01:00", {"total": 10})
    ),
    "graphs/latency": points(("01T01:00", {"avg": 100}), ("01T13:00", {"avg": 500}), ("02T01:00", {"avg": 250})),
    "groups/ai-models": {"object": "list", "total": 1, "data": [{"ai_model": "gpt-4o", "requests": "45"}]},
    "groups/metadata/team": {
        "object": "list",
        "total": 1,
        "data": [{"metadata_value": "red", "requests": 9, "cost": 250}],
    },
}


@contextmanager
def analytics(seen: list[str]) -> Iterator[str]:
    """A server that knows these figures."""

    async def handle(request: web.Request) -> web.StreamResponse:
        seen.append(request.path_qs)
        return await send(request, json_reply(FIGURES[request.path.removeprefix("/v1/analytics/")]))

    with serving(handle) as root:
        yield f"{root}/v1"


def test_usage_adds_up_by_day(shell: Shell) -> None:
    """Requests, failures and dollars of a day are summed, latency is a request's mean; cents never reach the user."""
    seen: list[str] = []
    with analytics(seen) as url:
        told = shell.run("usage", *SPAN, "--model", "openai__gpt-4o", "--json", PORTKEY_ADMIN_URL=url).json
        table = shell.run("usage", *SPAN, "--bars", PORTKEY_ADMIN_URL=url).out
    first, second = told["rows"]
    assert (first["day"], first["calls"], first["failed"], first["failure_share"]) == ("2026-11-01", 40, 4, 0.1)
    assert (Decimal(first["cost_usd"]), Decimal(second["cost_usd"])) == (Decimal("0.2"), Decimal("0.1"))
    assert (first["seconds_mean"], second["seconds_mean"]) == (0.4, 0.25)
    cost = table.split("\ncost USD\n")[1].split("\n\n")[0]
    assert [line.count("█") for line in cost.splitlines()] == [40, 20]
    query = parse_qs(urlsplit(seen[0]).query)
    assert query["ai_org_model"] == ["openai__gpt-4o"]
    assert query["time_of_generation_min"] == ["2026-11-01T00:00:00.000Z"]


def test_usage_by_model_and_by_tag(shell: Shell) -> None:
    """What Portkey counts apart: requests by model, requests and dollars by a metadata field."""
    with analytics([]) as url:
        at = {"PORTKEY_ADMIN_URL": url, "PORTKEY_WORKSPACE": "main"}
        assert shell.run("usage", "--by", "model", "--json", **at).json["rows"] == [
            {"model": "gpt-4o", "calls": 45, "cost_usd": None}
        ]
        (shell.folder / ".env").write_text('PORTKEY_WORKSPACE="main"')  # as every other setting
        (row,) = shell.run("usage", "--by", "tag:team", "--json", PORTKEY_ADMIN_URL=url).json["rows"]
    assert (row["tag:team"], row["calls"], Decimal(row["cost_usd"])) == ("red", 9, Decimal("2.5"))


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 3, "--workspace SLUG, or set PORTKEY_WORKSPACE"),
        (["--by", "hour"], 2, "--by is one of"),
        (["--by", "tag:"], 2, "--by is one of"),
        (["--by", "provider", "--workspace", "main"], 2, "--by provider needs --jsonl or --redis"),
        (["--days", "3", "--since", "2026-11-01"], 2, "--days, or --since"),
        (["--since", "yesterday"], 2, "--since"),
        (["--workspace", "main", "--since", "2026-11-02", "--until", "2026-11-01"], 3, "the earlier one first"),
    ],
)
def test_usage_that_cannot_be_asked_is_one_line(shell: Shell, arguments: list[str], code: int, words: str) -> None:
    """What is wrong, before the network."""
    assert words in shell.fails("usage", *arguments, code=code)


def test_against_portkeys_own_description(shell: Shell, prism_url: str) -> None:
    """Each request of `usage` is taken by Prism."""
    at = {"PORTKEY_ADMIN_URL": prism_url}
    for more in ([], ["--by", "model"], ["--by", "user"], ["--by", "tag:env"]):
        assert shell.run("usage", *SPAN, *more, **at).code == 0
