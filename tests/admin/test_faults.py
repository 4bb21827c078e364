from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest

from portkey_router import sandbox
from portkey_router.admin import AdminClient, AsyncAdminClient
from portkey_router.admin.asks import Ask, Found, listing
from portkey_router.admin.models import VirtualKey
from portkey_router.errors import (
    AdminError,
    ConfigurationError,
    ConnectFailedError,
    CreateUnconfirmedError,
    DeadlineExceededError,
    MissingCredentialError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from portkey_router.sandbox import PortkeyDouble

Fault = sandbox.Fault
PLANTED = "sk-planted-0123456789"


@pytest.fixture
def server() -> Iterator[PortkeyDouble]:
    """A double of hosted Portkey."""
    with sandbox.portkey() as running:
        yield running


@pytest.fixture
def admin(server: PortkeyDouble) -> AdminClient:
    """Its client, which does not wait for long."""
    return AdminClient(base_url=server.url, api_key=server.api_key, timeout=20)


def sent(server: PortkeyDouble, method: str) -> int:
    """How many requests of a method arrived."""
    return sum(request.path.startswith(method) for request in server.admin_requests)


LOST = [Fault.reset(), Fault.cut(), Fault.invalid_json(), Fault.html(502), Fault.html(200), Fault.status(500)]


@pytest.mark.parametrize("fault", LOST, ids=["reset", "cut", "half a JSON", "HTML 502", "HTML 200", "500"])
def test_a_create_whose_reply_is_lost_is_sent_once_and_looked_up(
    server: PortkeyDouble, admin: AdminClient, fault: Fault
) -> None:
    """Nothing is created twice: the error says what of that name exists, and holds no key."""
    server.script("admin", fault)
    with pytest.raises(CreateUnconfirmedError, match="'Prod' was lost, and it was not sent again") as caught:
        admin.virtual_keys.create(name="Prod", provider="openai", key=PLANTED)
    assert sent(server, "POST") == 1
    done = fault.kind in {"reset", "cut", "invalid_json"}
    assert [key.name for key in caught.value.found] == (["Prod"] if done else [])
    assert ("can be created again" in str(caught.value)) is not done
    assert PLANTED not in repr(caught.value) + repr(caught.value.__cause__) + repr(vars(caught.value.__cause__))


def test_a_create_that_was_never_answered_is_looked_up_too(server: PortkeyDouble) -> None:
    """A deadline that passes after the request went out leaves it open whether it was done."""
    server.script("admin", Fault.hang())
    with pytest.raises(CreateUnconfirmedError) as caught:
        AdminClient(base_url=server.url, api_key=server.api_key, timeout=1).configs.create(
            name="C", config={"virtual_key": "vk-openai"}
        )
    assert isinstance(caught.value.__cause__, DeadlineExceededError)
    assert [config.name for config in caught.value.found] == ["C"]


def test_where_the_look_up_fails_as_well_both_are_said(server: PortkeyDouble, admin: AdminClient) -> None:
    """The error is still that of the creation, and says that it could not be looked up."""
    server.script("admin", Fault.reset(), *[Fault.status(401)] * 3)
    with pytest.raises(CreateUnconfirmedError, match="could not be looked up"):
        admin.integrations.create(name="I", provider="openai", key=PLANTED)


def test_a_create_that_was_refused_is_simply_refused(server: PortkeyDouble, admin: AdminClient) -> None:
    """400, 409 and 429 say that nothing was done: no look-up, and no second try, even where one may try again."""
    for status, code in [(400, "AB01"), (409, "AB07"), (429, "AB06")]:
        body = {"error": {"code": code, "message": "no"}}
        server.script("admin", Fault.status(status, body, retry_after=2 if status == 429 else None))
        with pytest.raises(AdminError) as caught:
            admin.virtual_keys.create(name="Prod", provider="openai", key=PLANTED)
        assert (caught.value.status, caught.value.code) == (status, code)
    assert caught.value.retry_after == 2
    assert "try again in 2 s" in str(caught.value)
    assert len(server.admin_requests) == 3


def test_where_nothing_listens_nothing_was_created() -> None:
    """A refused connection is that and no more, names the variable to check, and the address without its key."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(ConnectFailedError, match=r"127\.0\.0\.1:\d+.*PORTKEY_ADMIN_URL"):
        AdminClient(base_url=url, api_key="pk-any").virtual_keys.create(name="A", provider="openai", key=PLANTED)


@pytest.mark.parametrize("fault", [Fault.status(429, retry_after=0), Fault.status(503), Fault.reset(), Fault.cut()])
def test_what_only_reads_is_asked_again(server: PortkeyDouble, admin: AdminClient, fault: Fault) -> None:
    """A passing fault of a read costs another try, and the caller sees the answer."""
    made = admin.virtual_keys.create(name="A", provider="openai", key=PLANTED)
    server.script("admin", fault, fault)
    assert admin.virtual_keys.get(made.slug).name == "A"
    assert sent(server, "GET") == 3


def test_a_fault_that_stays_is_told_after_the_last_try(server: PortkeyDouble, admin: AdminClient) -> None:
    """Three tries, then the error, with what the API said."""
    server.always("admin", Fault.status(503))
    with pytest.raises(AdminError, match="503 to GET /virtual-keys"):
        list(admin.virtual_keys.list())
    assert sent(server, "GET") == 3


def test_a_long_wait_is_the_callers_to_decide(server: PortkeyDouble, admin: AdminClient) -> None:
    """A Retry-After longer than ten seconds is not waited for."""
    server.script("admin", Fault.status(429, retry_after=60))
    with pytest.raises(AdminError) as caught:
        list(admin.configs.list())
    assert caught.value.retry_after == 60
    assert sent(server, "GET") == 1


def test_a_delete_whose_reply_was_lost_is_done(server: PortkeyDouble, admin: AdminClient) -> None:
    """The second try finds nothing to delete, which is what was wanted; without a loss 404 is an error."""
    made = admin.virtual_keys.create(name="A", provider="openai", key=PLANTED)
    server.script("admin", Fault.reset())
    admin.virtual_keys.delete(made.slug)
    assert sent(server, "DELETE") == 2
    with pytest.raises(AdminError) as caught:
        admin.virtual_keys.delete(made.slug)
    assert (caught.value.status, caught.value.code) == (404, "AB02")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault.html(200), "no JSON.*PORTKEY_ADMIN_URL"),
        (Fault.invalid_json(), "no JSON, or only its beginning"),
        (Fault.status(302, "", headers={"location": "http://elsewhere/"}), "points elsewhere.*PORTKEY_ADMIN_URL"),
        (Fault.status(403, {"success": False, "data": {"message": "no"}}), "403.*: no .*MASTER_PORTKEY_ADMIN_KEY"),
        (Fault.error_in_200(body={"success": False, "data": {"message": "not today"}}), "200 .*not today"),
        (Fault.status(402, {"error": {"code": "AB09", "message": "over"}}), "AB09.*subscription"),
        (Fault.error_in_200(body={"success": True, "data": {"usage_limits": 7}}), "VirtualKey.*not as documented"),
    ],
)
def test_what_is_no_answer_says_what_to_do(server: PortkeyDouble, admin: AdminClient, fault: Fault, words: str) -> None:
    """HTML, half a JSON, a redirect, both error shapes: an AdminError in words."""
    made = admin.virtual_keys.create(name="A", provider="openai", key=PLANTED)
    server.always("admin", fault)
    with pytest.raises(AdminError, match=words):
        admin.virtual_keys.get(made.slug)


def test_an_error_does_not_quote_the_keys_that_were_sent(server: PortkeyDouble, admin: AdminClient) -> None:
    """An API that quotes a key back: struck from message and body, the provider's and our own."""
    told = {"error": {"message": f"bad key {PLANTED} by {server.api_key}", "code": "AB01"}}
    server.script("admin", Fault.status(400, told))
    with pytest.raises(AdminError) as caught:
        admin.keys.create(name="A", provider="openai", key=PLANTED, kind="virtual-key")
    text = repr(caught.value) + json.dumps(caught.value.body)
    assert PLANTED not in text
    assert server.api_key not in text


@pytest.mark.parametrize("shapes", ["wrapped", "bare"])
def test_both_documented_shapes_are_read(server: PortkeyDouble, admin: AdminClient, shapes: Any) -> None:
    """`{"success": true, "data": {...}}` and the bare object mean the same."""
    server.administer(shapes=shapes)
    made = admin.virtual_keys.create(name="A", provider="openai", key=PLANTED)
    assert admin.virtual_keys.get(made.slug).slug == made.slug
    saved = admin.configs.create(name="C", config={"virtual_key": made.slug})
    assert saved.slug is not None
    assert admin.configs.get(saved.slug).config == {"virtual_key": made.slug}


def test_a_slug_names_nothing_but_itself(server: PortkeyDouble, admin: AdminClient) -> None:
    """Slashes and questions marks are quoted; `..` and the empty one are refused before the network."""
    with pytest.raises(AdminError):
        admin.configs.get("a/../b?c=d#e f")
    slug = server.admin_requests[-1].path.removeprefix("GET /v1/configs/")
    assert not set("/?#") & set(slug)
    assert unquote(slug) == "a/../b?c=d#e f"
    for wrong in ("", "..", "."):
        with pytest.raises(ConfigurationError, match="empty, or no id"):
            admin.configs.delete(wrong)


def test_the_key_is_the_admins_then_the_apis(monkeypatch: pytest.MonkeyPatch, server: PortkeyDouble) -> None:
    """MASTER_PORTKEY_ADMIN_KEY wins over PORTKEY_API_KEY; without either, the error names both."""
    with pytest.raises(MissingCredentialError, match=r"MASTER_PORTKEY_ADMIN_KEY.*PORTKEY_API_KEY"):
        AdminClient()
    monkeypatch.setenv("PORTKEY_ADMIN_URL", server.url)
    monkeypatch.setenv("PORTKEY_API_KEY", "pk-of-the-workspace")
    with pytest.raises(AdminError) as caught:
        list(AdminClient().configs.list())
    assert caught.value.status == 401
    monkeypatch.setenv("MASTER_PORTKEY_ADMIN_KEY", server.api_key)
    assert list(AdminClient().configs.list()) == []


async def test_the_asynchronous_client_meets_faults_alike(server: PortkeyDouble) -> None:
    """The other end: a read is asked again, a lost creation is looked up."""
    admin = AsyncAdminClient(base_url=server.url, api_key=server.api_key)
    server.script("admin", Fault.status(503))
    assert [key async for key in admin.virtual_keys.list()] == []
    server.script("admin", Fault.reset())
    with pytest.raises(CreateUnconfirmedError) as caught:
        await admin.virtual_keys.create(name="A", provider="openai", key=PLANTED)
    assert [key.name for key in caught.value.found] == ["A"]


# ---- pages that change underneath ------------------------------------------------------------------------------------


def read_all(
    names: list[str], change: Callable[[int, list[str]], None], *, cap: int = 100, total: bool = True
) -> list[str]:
    """What a listing finds at a server whose objects `change` alters before each request (given its number)."""
    operation = listing(VirtualKey, "/virtual-keys", key=lambda key: key.slug)
    found: list[str] = []
    requests = 0
    reply: Any = None
    try:
        while True:
            wanted = operation.send(reply)
            reply = None
            if isinstance(wanted, Found):
                found.append(wanted.item.slug)
                continue
            assert isinstance(wanted, Ask)
            change(requests, names)
            requests += 1
            assert requests < 100, "the listing never ends"
            size = min(cap, wanted.query["page_size"])
            start = wanted.query["current_page"] * size
            page = [{"slug": name} for name in names[start : start + size]]
            reply = {"object": "list", "data": page, **({"total": len(names)} if total else {})}
    except StopIteration:
        return found


def numbered(count: int) -> list[str]:
    """Names of so many objects."""
    return [f"key-{number}" for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 250])
@pytest.mark.parametrize("total", [True, False])
def test_every_object_is_found_once(count: int, total: bool) -> None:
    """Any number of pages, with or without a stated total."""
    assert read_all(numbered(count), lambda *_: None, total=total) == numbered(count)


def test_a_server_that_gives_smaller_pages_is_read_to_its_end() -> None:
    """Pages of 30 where 100 were asked for."""
    assert read_all(numbered(100), lambda *_: None, cap=30) == numbered(100)


def test_a_server_that_ignores_paging_does_not_hold_us_for_ever() -> None:
    """The same page again and again ends the listing."""
    operation = listing(VirtualKey, "/virtual-keys", key=lambda key: key.slug)
    found: list[str] = []
    reply: Any = None
    for _ in range(50):
        try:
            wanted = operation.send(reply)
        except StopIteration:
            break
        reply = None if isinstance(wanted, Found) else {"data": [{"slug": "a"}, {"slug": "b"}], "total": 1000}
        found += [wanted.item.slug] if isinstance(wanted, Found) else []
    else:
        pytest.fail("the listing never ends")
    assert found == ["a", "b"]


@pytest.mark.parametrize("extra", [0, 1], ids=["one deleted", "one deleted, another made"])
def test_what_slips_between_two_pages_is_found(extra: int) -> None:
    """An object of the first page is deleted before the second is read: that of position 100 moves up, unread."""

    def change(request: int, names: list[str]) -> None:
        if request == 1:
            names.remove("key-5")
            names.extend(["new"] * extra)

    found = read_all(numbered(150), change)
    assert len(found) == len(set(found))
    assert set(numbered(150)) - set(found) == set()
    assert ("new" in found) is bool(extra)


def test_what_is_pushed_to_the_next_page_is_found_once() -> None:
    """An object made at the front pushes one that was read onto the next page."""
    found = read_all(numbered(150), lambda request, names: names.insert(0, "new") if request == 1 else None)
    assert sorted(found) == sorted([*numbered(150), "new"])


def test_a_listing_that_never_rests_ends() -> None:
    """A server to which something is added before each page: bounded, and nothing comes twice."""
    found = read_all(numbered(150), lambda request, names: names.insert(0, f"new-{request}"))
    assert len(found) == len(set(found))
    assert set(numbered(150)) <= set(found)
