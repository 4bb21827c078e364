"""`portkey-router cache`, on a real Redis: as a subprocess where the process is the point, else in this one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from portkey_router import SemanticCache
from portkey_router.cache.policy import Answer
from portkey_router.cache.results import NewAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from portkey_router.sandbox import PortkeyDouble
    from tests.cli.conftest import InProcess, Shell
    from tests.services.redis import RedisServer

CAPITAL = "What is the capital of France?"
KEY = "geography:france:capital"
PLANTED = "sk-planted-0123456789"
PASSWORD = "hunter2-planted-0123456789"
DEAD = "redis://127.0.0.1:9"


@pytest.fixture
def name() -> str:
    """A name of this test's own in the session's Redis."""
    return f"test:{uuid4().hex}"


@pytest.fixture
def at(redis_url: str, name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The options that name this test's cache, whose Redis the environment names; cleared at the end."""
    monkeypatch.setenv("PORTKEY_CACHE_URL", redis_url)
    yield ["--name", name]
    SemanticCache(redis_url, name=name, connect_timeout=20.0).clear()


# ---- the whole way, as a user goes it --------------------------------------------------------------------------------


def test_an_answer_is_put_found_seen_and_cleared(bare: Shell, redis_url: str, name: str) -> None:
    """With a key, a ttl, a tag; the URL from a `.env`; every step as JSON; in the end nothing is left."""
    (bare.folder / ".env").write_text(f"PORTKEY_CACHE_URL={redis_url}\n")
    at = ["--name", name, "--json"]
    put = ["put", "Paris", "--question", CAPITAL, "--key", KEY, "--ttl", "24h", "--tag", "geography"]
    assert bare.run("cache", *put, *at).json == {"kept": True, "seconds": 86400.0}
    found = bare.run("cache", "get", "--question", "what is the  capital of france", *at).json
    assert (found["hit"], found["value"], found["layer"]) == (True, "Paris", "normalised")
    told = bare.run("cache", "stats", *at).json
    assert (told["entries"], told["names"], told["endless"]) == (1, 1, 0)
    assert told["tags"] == [{"name": "geography", "entries": 1}]
    assert told["row_bytes"] > 100
    assert bare.run("cache", "clear", "--tag", "geography", "--yes", *at).json == {"removed": 2}
    assert SemanticCache(redis_url, name=name, connect_timeout=20.0).count() == 0


def test_a_password_is_warned_of_and_never_printed(bare: Shell, fresh_redis: Callable[..., RedisServer]) -> None:
    """After --url it works, with a warning; from a variable without one; a wrong one is refused with code 4."""
    server = fresh_redis("--requirepass", PASSWORD)
    ended = bare.run("cache", "stats", "--url", server.url)
    assert ended.code == 0
    assert ended.err.startswith("warning: a password after --url stays in the shell's history")
    quiet = bare.run("cache", "stats", "--url-env", "CACHE", CACHE=server.url)
    assert (quiet.code, "warning" in quiet.err) == (0, False)
    assert f"redis://127.0.0.1:{server.port}" in quiet.out
    wrong = bare.fails("cache", "stats", code=4, PORTKEY_CACHE_URL=server.url.replace("hunter2", "hunter3"))
    assert "PORTKEY_CACHE_URL holds user and password" in wrong
    assert not any("planted" in text for text in (ended.out, ended.err, quiet.out, quiet.err, wrong))


# ---- looking ---------------------------------------------------------------------------------------------------------


def fill(redis_url: str, name: str, **options: Any) -> SemanticCache:
    """A cache with an answer of a model, and two of one's own; one of those has a key in its text."""
    cache = SemanticCache(redis_url, name=name, timeout=20.0, connect_timeout=20.0, **options)
    message = {"choices": [{"message": {"role": "assistant", "content": "It is\nParis."}}]}
    asked = cache.key([{"role": "user", "content": CAPITAL}], model="gpt-4o")
    cache.store(asked, NewAnswer("completion", message, [Answer("Paris", "stop")], model="gpt-4o"), namespace="bot")
    cache.put(f"Is {PLANTED} a good key?", "Not any more.", tenant="acme", tags=["keys"])
    cache.put(None, {"long": "x" * 100, "secret": PLANTED}, key="k")
    return cache


def test_entries_are_shown_in_a_table(cli: InProcess, at: list[str], redis_url: str, name: str) -> None:
    """Question, answer, what finds it, model, age, size; long texts cut, columns without anything left out."""
    fill(redis_url, name)
    told = cli.run("inspect", *at).out
    header, _, *rows = told.splitlines()
    assert header.split()[:5] == ["question", "answer", "found", "by", "model"]
    assert header.split()[-4:] == ["namespace", "key", "size", "id"]
    assert len(rows) == 3
    assert "It is Paris." in told
    assert "gpt-4o" in told
    assert f'{{"long": "{"x" * 47}...' in told
    assert "x" * 48 not in told
    few = cli.run("inspect", *at, "--limit", "1")
    assert len(few.out.splitlines()) == 3
    assert "There are more than these 1" in few.err
    assert cli.run("inspect", *at, "--tenant", "nobody").out == f"No entries of {name} at {redis_url} fit.\n"
    assert cli.run("inspect", *at, "--tenant", "nobody", "--json").out == "[]\n"
    (entry,) = cli.run("inspect", *at, "--tenant", "acme", "--json").json
    assert (entry["answer"], entry["tags"], entry["model"]) == ("Not any more.", ["keys"], None)
    assert 500_000 < entry["expires_in"] <= 7 * 86400
    assert len(cli.run("inspect", *at, "--prompt", CAPITAL.lower(), "--json").json) == 1
    assert cli.run("inspect", *at, "--older-than", "1d", "--json").json == []


def test_what_is_shaped_like_a_key_is_struck_out(cli: InProcess, at: list[str], redis_url: str, name: str) -> None:
    """In questions and answers, in tables and in JSON."""
    fill(redis_url, name).put("Whose?", "Mine.", tags=[PLANTED])
    for more in ([], ["--json"]):
        for command in ("inspect", "stats"):
            told = cli.run(command, *at, *more)
            assert "***" in told.out
            assert "planted" not in told.out + told.err


def test_statistics_say_what_is_there(cli: InProcess, at: list[str], redis_url: str, name: str) -> None:
    """Sums, groups, memory, indexes; that hits are counted elsewhere; a part of it; and that there is nothing."""
    empty = cli.run("stats", *at)
    assert (empty.code, "--name, if the cache has another" in empty.out) == (0, True)
    from portkey_router import LocalEmbeddings

    fill(redis_url, name, embeddings=LocalEmbeddings())
    told = cli.run("stats", *at)
    assert ["entries", "3"] in [line.split() for line in told.out.splitlines()]
    assert "acme" in told.out
    assert "gpt-4o" in told.out
    assert "flat-float32" in told.out
    assert "each process counts its own" in told.err
    index = cli.run("stats", *at, "--json").json["indexes"][0]
    assert (index["dims"], index["failures"]) == (256, 0)
    assert cli.run("stats", *at, "--json", "--tenant", "acme").json["entries"] == 1
    part = cli.run("stats", *at, "--limit", "1")
    assert "2 more: --limit" in part.out
    assert "None" not in told.out + part.out


def test_a_redis_without_search_is_said_to_have_none(
    cli: InProcess, at: list[str], plain_redis: RedisServer, name: str
) -> None:
    """It is no error: equal questions are answered."""
    fill(plain_redis.url, name)
    told = cli.run("stats", *at, "--url", plain_redis.url)
    assert (told.code, "has no search" in told.err) == (0, True)
    alike = cli.run("get", "--question", "Which city?", "--embeddings", "local", *at, "--url", plain_redis.url)
    assert (alike.code, alike.err) == (5, "Nothing: the store cannot search: equal questions only.\n")


# ---- clearing --------------------------------------------------------------------------------------------------------


def test_clearing_asks_first(cli: InProcess, at: list[str], redis_url: str, name: str) -> None:
    """It says how many; No leaves everything, and so does a pipe that ends; where nothing fits it does not ask."""
    cache = fill(redis_url, name)
    for stdin in ("n\n", ""):
        asked = cli.run("clear", *at, stdin=stdin)
        assert asked.code == 130
        assert asked.err.endswith("Nothing was removed. (With --yes it is not asked.)\n")
        assert f"Remove 3 entries of {name} at {redis_url}?" in asked.err + asked.out
    assert "Nothing to remove" in cli.run("clear", *at, "--older-than", "2w").out
    assert cache.count() == 3
    assert "Removed 1 entry" in cli.run("clear", *at, "--tenant", "acme", stdin="y\n").out
    (entry,) = (entry for entry in cache.inspect() if entry.model)
    assert cli.run("clear", *at, "--id", entry.id, "-y", "--json").json == {"removed": 1}
    assert cli.run("clear", *at, "--key", "k", "-y", "--json").json == {"removed": 1}
    assert cache.count() == 0


# ---- answers of one's own --------------------------------------------------------------------------------------------


def test_questions_in_other_words_are_found_by_the_same_model(cli: InProcess, at: list[str]) -> None:
    """The threshold decides, a guard objects, and each is said; without the model only equal questions are found."""
    local = ["--embeddings", "local"]
    assert cli.run("put", "-", "--question", CAPITAL, *local, *at, stdin="Paris").code == 0
    alike = ["get", "--question", "Which city is the capital of France?", *at]
    near = cli.run(*alike, *local)
    assert (near.code, near.out) == (5, "")
    assert "Nothing: nothing alike (the nearest: similarity 0.8" in near.err
    found = cli.run(*alike, *local, "--threshold", "0.8")
    assert (found.code, found.out) == (0, "Paris\n")
    assert found.err.startswith("(semantic, similarity 0.8")
    other = cli.run("get", "--question", "What is the capital of Spain?", *local, "--threshold", "0.3", *at)
    assert "Nothing: vetoed: entities" in other.err
    assert "no embeddings: equal questions only" in cli.run(*alike).err
    own = cli.run("get", "--question", CAPITAL, "--tenant", "another", *at, "--json")
    assert (own.code, own.json["hit"]) == (5, False)


def test_a_model_is_asked_through_portkey(
    cli: InProcess, at: list[str], server: PortkeyDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its name, or by PORTKEY_CACHE_EMBEDDINGS; where it fails, a store says so, and a lookup is an error."""
    monkeypatch.setenv("PORTKEY_API_KEY", server.api_key)
    monkeypatch.setenv("PORTKEY_GATEWAY_URL", server.url)
    monkeypatch.setenv("PORTKEY_VIRTUAL_KEY_OPENAI", "vk-openai")
    monkeypatch.setenv("PORTKEY_CACHE_EMBEDDINGS", "text-embedding-3-small")
    assert cli.run("put", "Paris", "--question", CAPITAL, *at).err == ""
    assert server.requests[-1].body["model"] == "text-embedding-3-small"
    monkeypatch.setenv("PORTKEY_API_KEY", PLANTED)
    put = cli.run("put", "Paris", "--question", "And of Spain?", *at)
    assert (put.code, put.err.startswith("warning: only equal questions will find it")) == (0, True)
    assert "401" in cli.fails("get", "--question", "And of Italy?", *at, code=4)
    assert cli.run("get", "--question", CAPITAL, *at).code == 0


# ---- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["stats"], 3, "Set PORTKEY_CACHE_URL to its Redis"),
        (["stats", "--url", "memory://"], 3, "a cache inside your application's process"),
        (["stats", "--url", DEAD], 6, "127.0.0.1:9. Connection refused. Is Redis running there? Check --url."),
        (["inspect", "--url-env", "NOT_SET"], 3, "--url-env NOT_SET: this variable is not set"),
        (["inspect", "--url-env", "redis://:hidden@h"], 3, "--url-env takes the name of a variable that is set, not"),
        (["clear", "--url", DEAD, "--url-env", "X"], 2, "one way: --url, or --url-env"),
        (["clear", "--url", "http://localhost"], 3, "'http' is no scheme of a Redis URL"),
        (["clear", "--url", "localhost:6379"], 3, "A Redis URL begins with its scheme"),
        (["clear", "--url", DEAD, "--yes"], 6, "cannot be reached"),
        (["clear", "--url", DEAD, "--older-than", "a week"], 2, "such as 7d; not 'a week'"),
        (["clear", "--url", DEAD, "--id", "x", "--tag", "y"], 2, "--id and --key say which"),
        (["stats", "--url", DEAD, "--name", "{a}"], 3, "A cache's name"),
        (["get", "--url", DEAD], 2, "give --question or --key, one of them"),
        (["get", "--url", DEAD, "--key", "a", "--question", "b"], 2, "one of them"),
        (["get", "--url", DEAD, "--key", "a"], 6, "cannot be reached"),
        (["put", "x", "--url", DEAD], 2, "give --question or --key, or both"),
        (["put", "x", "--url", DEAD, "--key", "a", "--ttl", "0"], 2, "--ttl is above 0"),
        (["put", "x", "--url", DEAD, "--key", "a"], 6, "cannot be reached"),
        (["put", "--url", DEAD, "--key", "a"], 2, "Missing argument 'response'"),
        (["forget"], 2, "No such command 'forget'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_mistake_is_one_line(cli: InProcess, arguments: list[str], code: int, words: str) -> None:
    """With what to do, and a code that says what kind it is."""
    told = cli.fails(*arguments, code=code)
    assert words in told
    assert "hidden" not in told


@pytest.mark.parametrize("url", ["redis://:{}/x@localhost", "{}@localhost:6379", "redis://localhost:{}", "{}"])
def test_of_a_url_that_cannot_be_read_nothing_is_quoted(
    cli: InProcess, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part of its password may be what cannot be read."""
    monkeypatch.setenv("PORTKEY_CACHE_URL", url.format(PASSWORD))
    told = cli.fails("stats", code=3)
    assert "redis://" in told
    assert "planted" not in told


def test_the_commands_named_alone_show_their_help(cli: InProcess) -> None:
    """And nothing else: there is no error to tell."""
    ended = cli.run()
    assert (ended.code, ended.err) == (2, "")
    assert "calibrate" in ended.out


def test_errors_are_json_where_results_are(cli: InProcess) -> None:
    """With what is said, and the code."""
    ended = cli.run("stats", "--url", DEAD, "--json")
    told = json.loads(ended.err)
    assert (told["error"], told["exit_code"]) == ("StoreError", 6)
    assert told["message"].endswith("Check --url.")


def test_what_a_redis_refuses_is_said(cli: InProcess, at: list[str], fresh_redis: Callable[..., RedisServer]) -> None:
    """A user without a right, and a memory that is full: with its own words; neither is a traceback."""
    server = fresh_redis("--maxmemory", "1")
    full = cli.fails("put", "x", "--key", "k", "--url", server.url, code=1)
    assert "It was not kept: the store failed: Redis refused a command: OOM" in full
    assert ".." not in full
    with server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "reader", "on", "nopass", "~*", "+ping", "+hello", "+client")
    url = f"redis://reader@127.0.0.1:{server.port}"
    assert "command. Allow the user of --url this command" in cli.fails("stats", "--url", url, code=4)
