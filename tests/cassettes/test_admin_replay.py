"""The admin client on what Prism answered over Portkey's own description of its API, replayed with sockets blocked."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

import pytest

from portkey_router.admin import AdminClient, AsyncAdminClient
from tests.admin.test_endpoints import LISTINGS, VERBS
from tests.cassettes.redaction import GATEWAY, Redaction

if TYPE_CHECKING:
    from vcr.request import Request  # type: ignore[import-untyped]

KEY = "pk-recorded-admin"
COLOURS = ("sync", "async")
# A cassette for each, so that they stay of a size that people read.
KEYS, ALL_ELSE = "keys", "all_else"
_KEYS = ("/virtual-keys", "/providers", "/integrations", "/api-keys")
# Some bodies name a day that is always ahead.
_EXPIRES = re.compile(rb'("expires_at": ?)"[^"]+"')

recorded = pytest.mark.vcr
whole = pytest.mark.usefixtures("whole_cassette_offline")


@pytest.fixture
def url(request: pytest.FixtureRequest, record_mode: str) -> str:
    """Prism while recording, where it must not be missing; nothing while replaying."""
    if record_mode == "none":
        return f"{GATEWAY}/v1"
    request.getfixturevalue("monkeypatch").setenv("CI", "true")
    return str(request.getfixturevalue("prism_url"))


@pytest.fixture
def vcr_config(url: str) -> dict[str, Any]:
    """As for the gateway's cassettes; the days that lie ahead are one and the same."""
    redaction = Redaction()

    def redacted(request: Request) -> Request:
        cleaned: Any = redaction.request(request)
        if cleaned.body:
            cleaned.body = _EXPIRES.sub(rb'\1"2027-01-01T00:00:00Z"', cleaned.body)
        return cleaned

    return {
        "match_on": ["method", "path", "body"],
        "before_record_request": redacted,
        "before_record_response": redaction.response,
        "decode_compressed_response": True,
    }


@pytest.fixture
def default_cassette_name(request: pytest.FixtureRequest) -> str:
    """The two clients send the same; what is about keys is apart."""
    name = str(request.function.__name__).removeprefix("test_")
    area = request.node.callspec.params.get("area")
    return f"{name}.{area}" if area else name


def client(colour: str, url: str) -> Any:
    """Either of the two clients."""
    return (AdminClient if colour == "sync" else AsyncAdminClient)(base_url=url, api_key=KEY, env_file=None)


@recorded
@whole
@pytest.mark.parametrize("area", [KEYS, ALL_ELSE])
@pytest.mark.parametrize("colour", COLOURS)
async def test_admin_verbs_are_answered(url: str, colour: str, area: str) -> None:
    """Each verb, through both clients: the requests that were recorded, read as the records they should be."""
    admin = client(colour, url)
    for _, route, verb, kind in VERBS:
        if route.startswith(_KEYS) is not (area == KEYS):
            continue
        result = verb(admin)
        result = await result if inspect.isawaitable(result) else result
        assert result is None if kind is None else isinstance(result, kind), route


@recorded
@whole
@pytest.mark.parametrize("colour", COLOURS)
async def test_admin_listings_are_answered(url: str, colour: str) -> None:
    """Each listing likewise, to its last page."""
    admin = client(colour, url)
    for route, listing, kind in LISTINGS:
        found = listing(admin)
        items = [item async for item in found] if colour == "async" else list(found)
        assert items, route
        assert all(isinstance(item, kind) for item in items), route
