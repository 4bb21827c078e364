"""Redis as users have it: with TLS, with users of few rights, and with indexes of every kind."""

from __future__ import annotations

import logging
import socket
import struct
from typing import TYPE_CHECKING, Any

import pytest
import redis

from portkey_router.cache.cache import SemanticCache
from portkey_router.cache.results import Hit, Miss
from portkey_router.cache.store import Marks, Nearest, Row, Space
from portkey_router.errors import ConfigurationError, StoreError
from portkey_router.stores.redis_cache import RedisCacheStore
from portkey_router.stores.redis_client import RedisClient
from tests.cache.test_faults import does_without, works
from tests.cache.test_semantic_cache import ALIKE, OTHER, QUESTION, key, said, spoken
from tests.certificate import self_signed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cache.words import Words
    from tests.services.redis import RedisServer

Ask = Any
Make = Any  # makes a cache
Start = Any  # starts a server of the test's own


@pytest.fixture
def linked(words: Words) -> Make:
    """Makes caches on a server that ends with the test, so that nothing has to be cleared."""

    def make(url: str) -> SemanticCache:
        return SemanticCache(url, words, timeout=20.0, connect_timeout=20.0, distance_threshold=0.15, name="test:links")

    return make


# ---- TLS -------------------------------------------------------------------------------------------------------------


def with_tls(server: RedisServer, folder: Path) -> str:
    """Have a server listen with TLS as well; its `rediss://` URL."""
    private, certificate = self_signed(folder)
    with server.client() as client:
        files = {"tls-key-file": private, "tls-cert-file": certificate, "tls-ca-cert-file": certificate}
        client.execute_command("CONFIG", "SET", *(str(part) for pair in files.items() for part in pair))
        client.config_set("tls-auth-clients", "no")
        for _ in range(5):  # somebody may take a free port before the server does
            with socket.socket() as listener:
                listener.bind(("127.0.0.1", 0))
                port = int(listener.getsockname()[1])
            if _listens(client, port):
                return f"rediss://127.0.0.1:{port}"
    raise AssertionError("no port for TLS")


def _listens(client: Any, port: int) -> bool:
    try:
        client.config_set("tls-port", port)
    except redis.ResponseError as error:
        if "listen" not in str(error):
            raise
        return False
    return True


def test_tls(fresh_redis: Start, linked: Make, ask: Ask, tmp_path: Path) -> None:
    """`rediss://` with the authority's file: all layers work."""
    url = with_tls(fresh_redis(), tmp_path)
    assert works(linked(f"{url}?ssl_ca_certs={tmp_path / 'cert.pem'}"), ask)


def test_a_certificate_that_nobody_trusts(fresh_redis: Start, linked: Make, ask: Ask, tmp_path: Path) -> None:
    """Is a miss, an answer that is not kept, and an event for each; never a connection that is not verified."""
    url = with_tls(fresh_redis(), tmp_path)
    stranger = linked(url)
    does_without(stranger, ask, "certificate")
    assert works(linked(f"{url}?ssl_ca_certs={tmp_path / 'cert.pem'}"), ask)


# ---- users with few rights -------------------------------------------------------------------------------------------

RIGHTS = "+hget +hset +hkeys +hdel +exists +type +del +pexpire +persist +eval +evalsha"
SEARCH = "+ft.create +ft.search"


def user(server: RedisServer, rights: str, keys: str = "~test:*") -> str:
    """A user of this name with these rights, and nothing else; the URL to come in by."""
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "reader", "reset", "on", ">secret-word", keys, *rights.split())
    return f"redis://reader:secret-word@127.0.0.1:{server.port}"


def test_a_user_of_few_rights(fresh_redis: Start, linked: Make, ask: Ask) -> None:
    """Those that the README names are enough for all layers."""
    assert works(linked(user(fresh_redis(), f"{RIGHTS} {SEARCH}")), ask)


def test_a_user_who_may_not_search(
    fresh_redis: Start, linked: Make, ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    """Gets equal questions answered, as without search, and is told so once."""
    cache = linked(user(fresh_redis(), RIGHTS))
    with caplog.at_level(logging.WARNING, "portkey_router.cache"):
        assert isinstance(ask(cache, "lookup", key(cache, QUESTION), spoken), Miss)
        assert ask(cache, "store", key(cache, QUESTION), said("Click here.")) is None
        assert isinstance(ask(cache, "lookup", key(cache, QUESTION), spoken), Hit)
        assert isinstance(ask(cache, "lookup", key(cache, ALIKE), spoken), Miss)
    (told,) = caplog.records
    assert "equal questions only" in told.message
    assert "ft.create" in told.message
    assert "secret-word" not in caplog.text


@pytest.mark.parametrize("granted", [(RIGHTS, "~other:*"), ("+ping", "~test:*")])
def test_a_user_without_rights(fresh_redis: Start, linked: Make, ask: Ask, granted: tuple[str, str]) -> None:
    """Is a miss and an event; the password is in neither."""
    cache = linked(user(fresh_redis(), *granted))
    does_without(cache, ask, "NOPERM")
    assert "secret-word" not in repr(cache.stats())


def test_a_wrong_password(fresh_redis: Start, linked: Make, ask: Ask) -> None:
    """As well."""
    url = user(fresh_redis(), RIGHTS).replace("secret-word", "guessed-word")
    does_without(linked(url), ask, "refused the login")


def test_sentinels_hand_over_a_client(linked: Make) -> None:
    """Their URLs are not taken; the error says what is."""
    with pytest.raises(ConfigurationError, match="master_for"):
        linked("redis+sentinel://localhost:26379/mymaster")


# ---- kinds of indexes ------------------------------------------------------------------------------------------------

KINDS = [("FLAT", "FLOAT16"), ("HNSW", "FLOAT32"), ("HNSW", "FLOAT16")]


@pytest.mark.parametrize(("algorithm", "dtype"), KINDS)
def test_every_kind_of_index_answers_alike(
    redis_url: str, make_cache: Make, ask: Ask, algorithm: str, dtype: str
) -> None:
    """By meaning, within the scope, past the guards, and no less after a clear."""
    cache = make_cache(redis_url, algorithm=algorithm, dtype=dtype)
    exact = make_cache("memory://")
    for _ in range(2):
        for each in (cache, exact):
            ask(each, "store", key(each, QUESTION), said("Click here."))
            ask(each, "store", key(each, OTHER), said("Nine to five."))
            ask(each, "store", key(each, QUESTION, "Be long."), said("First of all, ..."))
        hit, expected = (ask(each, "lookup", key(each, ALIKE), spoken) for each in (cache, exact))
        assert (hit.value, hit.layer) == ({"text": "Click here."}, "semantic")
        assert hit.similarity == pytest.approx(expected.similarity, abs=2e-3)
        assert isinstance(ask(cache, "lookup", key(cache, ALIKE, "Be rude."), spoken), Miss)
        unlike = "How do I not reset the password of my account?"
        assert ask(cache, "lookup", key(cache, unlike), spoken).reason == "vetoed: negation"
        ask(cache, "reject", hit)
        assert isinstance(ask(cache, "lookup", key(cache, ALIKE), spoken), Miss)
        assert ask(cache, "clear") == 3
        ask(exact, "clear")


@pytest.mark.parametrize(("algorithm", "dtype"), KINDS)
def test_the_index_is_of_the_kind_asked_for(fresh_redis: Start, make_cache: Make, algorithm: str, dtype: str) -> None:
    """And stands beside one of another kind: each finds its own rows, and equal questions are found by both."""
    server = fresh_redis()
    usual, cache = make_cache(server.url), make_cache(server.url, algorithm=algorithm, dtype=dtype)
    for each, question in ((usual, OTHER), (cache, QUESTION)):
        each.store(key(each, question), said("Yes."))
    with server.client(decode_responses=True, protocol=2) as client:
        names = client.execute_command("FT._LIST")
        told = {name: str(client.execute_command("FT.INFO", name)) for name in names}
    (index,) = [name for name in names if name.endswith(f"{algorithm}-{dtype}".lower())]
    assert len(names) == 2
    assert f"'{algorithm}'" in told[index]
    assert f"'{dtype}'" in told[index]
    assert isinstance(cache.lookup(key(cache, ALIKE), spoken), Hit)
    assert isinstance(usual.lookup(key(usual, QUESTION), spoken), Hit)


REFUSALS = [
    "ERR Bad arguments for vector similarity FLAT index type",  # RediSearch before 2.10
    "Invalid field type for field `v`: Error parsing value for the parameter `TYPE` - Unknown argument `FLOAT16`",
]


def played(operation: Any, refusal: str) -> list[Any]:
    """What a store sends to a server that refuses FLOAT16 so, and takes all else."""
    sent: list[Any] = []
    replies: Any = None
    while True:
        try:
            step = operation.send(replies)
        except StopIteration:
            return sent
        if isinstance(step, tuple):
            sent.append(step)
            replies = 1
            continue
        commands = step if isinstance(step, list) else step.commands
        sent += commands
        replies = [_reply(command, refusal) for command in commands]


def _reply(command: Any, refusal: str) -> Any:
    if "FLOAT16" in command:
        return StoreError(refusal, code="ERR")
    return StoreError("no such index", code="ERR") if command[1].endswith("float16") else [0]


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize("first", ["search", "put"])
def test_a_server_without_float16_keeps_float32(refusal: str, first: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whether it is first looked up in or stored in; it is told once."""
    store = RedisCacheStore(RedisClient("redis://localhost:1"), dtype="FLOAT16")
    space, vector = Space("0123456789ab", 2), struct.pack("<2f", 1.0, 0.0)
    row = Row("r", b"0[]", Marks("s", "t", "n", "p"), 1.0, None, space, vector)
    operations = [store.search("c", Nearest(space, "s", vector, 3)), store.put("c", row)]
    with caplog.at_level(logging.WARNING, "portkey_router.cache"):
        sent = [
            command
            for operation in (operations if first == "search" else operations[::-1])
            for command in played(operation, refusal)
        ]
    created = [command for command in sent if command[0] == "FT.CREATE"]
    assert ["FLOAT16" in command for command in created] == [True, False]
    (kept,) = [command for command in sent if command[0] == "EVALSHA"]
    assert kept[-2:] == ("v_0123456789ab_32", vector)
    assert [record.message for record in caplog.records] == [
        "This Redis has no vectors of FLOAT16: the cache keeps FLOAT32 in their place."
    ]
