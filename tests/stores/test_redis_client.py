from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import redis
import redis.asyncio

from portkey_router.errors import ConfigurationError, StoreError
from portkey_router.stores.commands import Script
from portkey_router.stores.redis_client import RedisClient
from tests.net_server import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from portkey_router.stores.commands import Argument, Command, Commands
    from tests.services.redis import RedisCluster, RedisServer

ROOT = Path(__file__).parent.parent.parent
GENEROUS = 20.0
PATIENT: Any = {"timeout": GENEROUS, "connect_timeout": GENEROUS}


def ask(*args: Argument) -> Commands[Any]:
    """One command."""
    return (yield args)


def ask_all(*commands: Command) -> Commands[list[Any]]:
    """Several, in one round trip."""
    replies: list[Any] = yield list(commands)
    return replies


def either(client: RedisClient, commands: Commands[Any], *, use_async: bool, **options: Any) -> Any:
    """Run them in this thread, or in a loop of their own."""
    return asyncio.run(client.arun(commands, **options)) if use_async else client.run(commands, **options)


both = pytest.mark.parametrize("use_async", [False, True], ids=["sync", "async"])


@pytest.fixture
def key() -> str:
    """A key that no other test uses."""
    return f"test:{uuid4().hex}"


@both
@pytest.mark.parametrize("protocol", [2, 3])
def test_replies_come_as_redis_gives_them(plain_redis: RedisServer, key: str, protocol: int, use_async: bool) -> None:
    """Bytes, integers and None, whichever protocol the connection speaks."""
    client = RedisClient(f"{plain_redis.url}?protocol={protocol}", **PATIENT)
    commands: list[Command] = [("HSET", key, "field", b"\xff"), ("HMGET", key, "field", "none"), ("GET", f"{key}:none")]
    assert either(client, ask_all(*commands), use_async=use_async) == [1, [b"\xff", None], None]
    whole = either(client, ask("HGETALL", key), use_async=use_async)
    assert whole == ({b"field": b"\xff"} if protocol == 3 else [b"field", b"\xff"])


@both
def test_a_refused_command_is_an_error_with_its_code(plain_redis: RedisServer, key: str, use_async: bool) -> None:
    """Alone it is thrown into the generator; among others it stands in its reply's place."""
    client = RedisClient(plain_redis.url, **PATIENT)

    def wrong_type() -> Commands[Any]:
        yield ("SET", key, "text")
        try:
            yield ("HGET", key, "field")
        except StoreError as error:
            thrown = error.code
        replies = yield [("HGET", key, "field"), ("GET", key), ("NOSUCH",)]
        return [thrown, replies[0].code, replies[1], replies[2].code]

    assert either(client, wrong_type(), use_async=use_async) == ["WRONGTYPE", "WRONGTYPE", b"text", "ERR"]
    with pytest.raises(StoreError, match="refused a command") as caught:
        either(client, ask("HGET", key, "field"), use_async=use_async)
    assert caught.value.code == "WRONGTYPE"


@both
def test_a_script_is_sent_once(plain_redis: RedisServer, key: str, use_async: bool) -> None:
    """A server that does not know a script is sent it; after that its hash is enough."""
    script = Script(f"redis.call('SET', KEYS[1], ARGV[1]) return ARGV[1] -- {key}")
    client = RedisClient(plain_redis.url, **PATIENT)
    assert either(client, ask("SCRIPT", "EXISTS", script.sha), use_async=use_async) == [0]
    assert either(client, script.run([key], ["one"]), use_async=use_async) == b"one"
    assert either(client, ask(*script.call([key], ["two"])), use_async=use_async) == b"two"


@both
def test_a_server_that_does_not_answer_is_given_up(fresh_redis: Callable[..., RedisServer], use_async: bool) -> None:
    """Neither a connection nor a reply is waited for past its time, and afterwards the next run works."""
    server = fresh_redis(search=False)
    client = RedisClient(server.url, timeout=0.05, connect_timeout=0.1)

    async def with_a_loop() -> None:
        await client.arun(ask("SET", "key", "1"))
        server.pause()
        with pytest.raises(StoreError, match="did not answer within 50 ms") as caught:
            await client.arun(ask("GET", "key"))
        assert caught.value.code is None
        with pytest.raises(StoreError):  # no connection either
            await client.arun(ask("GET", "key"))
        server.resume()
        assert await client.arun(ask("GET", "key"), timeout=GENEROUS) == b"1"

    if use_async:
        asyncio.run(with_a_loop())
        return
    client.run(ask("SET", "key", "1"))
    server.pause()
    with pytest.raises(StoreError, match="did not answer within 50 ms"):
        client.run(ask("GET", "key"))
    with pytest.raises(StoreError):
        client.run(ask("GET", "key"))
    server.resume()
    assert client.run(ask("GET", "key"), timeout=GENEROUS) == b"1"


@both
def test_a_server_that_is_not_there(fresh_redis: Callable[..., RedisServer], use_async: bool) -> None:
    """A killed server is an error that names the place; one that comes back is used again."""
    server = fresh_redis(search=False)
    client = RedisClient(server.url, timeout=GENEROUS, connect_timeout=GENEROUS)
    either(client, ask("SET", "key", "1"), use_async=use_async)
    server.kill()
    assert until(lambda: not Path(f"/proc/{server.pid}").exists())
    with pytest.raises(StoreError, match=f"127.0.0.1:{server.port} cannot be reached"):
        either(client, ask("GET", "key"), use_async=use_async)
    fresh_redis(search=False, port=server.port)
    assert either(client, ask("GET", "key"), use_async=use_async) is None


@both
def test_a_wrong_password_is_told_without_it(fresh_redis: Callable[..., RedisServer], use_async: bool) -> None:
    """The error says that the login failed, and neither it nor the client's repr holds the password."""
    server = fresh_redis("--requirepass", "opensesame", search=False)
    client = RedisClient(f"redis://:opennothing@127.0.0.1:{server.port}", **PATIENT)
    with pytest.raises(StoreError, match="refused the login") as caught:
        either(client, ask("PING"), use_async=use_async)
    assert "opennothing" not in str(caught.value) + repr(client)
    assert either(RedisClient(server.url, **PATIENT), ask("PING"), use_async=use_async) == b"PONG"


@both
def test_a_cluster_by_one_of_its_nodes(redis_nodes: RedisCluster, use_async: bool) -> None:
    """Commands of one round trip go to the nodes of their keys, and replies come in the commands' order."""
    client = RedisClient(redis_nodes.url.replace("redis://", "redis+cluster://"), timeout=GENEROUS)
    keys = [f"test:{uuid4().hex}" for _ in range(12)]
    written = either(client, ask_all(*[("HSET", key, "at", at) for at, key in enumerate(keys)]), use_async=use_async)
    assert written == [1] * 12
    read = either(client, ask_all(*[("HGET", key, "at") for key in keys], ("GET", keys[0])), use_async=use_async)
    assert read[:12] == [str(at).encode() for at in range(12)]
    assert read[12].code == "WRONGTYPE"
    script = Script("return redis.call('HGET', KEYS[1], 'at')")
    assert either(client, script.run([keys[3]]), use_async=use_async) == b"3"


@both
def test_a_synchronous_client_of_ones_own_serves_both(plain_redis: RedisServer, key: str, use_async: bool) -> None:
    """Its connections are used as they are, decoding or not; asynchronous calls reach the same server."""
    with plain_redis.client(decode_responses=True, db=3) as held:
        client = RedisClient(client=held)
        either(client, ask("SET", key, b"\xff\xfe", "PX", 60_000), use_async=use_async)
        assert either(client, ask("GET", key), use_async=use_async) == b"\xff\xfe"
        assert held.exists(key) == 1  # database 3
        client.close()
        assert held.ping()


async def test_an_asynchronous_client_belongs_to_its_loop(plain_redis: RedisServer, key: str) -> None:
    """It serves its own loop; another loop, or no loop, is told what to give instead."""
    async with redis.asyncio.Redis(port=plain_redis.port) as held:
        client = RedisClient(client=held)
        assert await client.arun(ask_all(("SET", key, 1), ("GET", key))) == [b"OK", b"1"]
        with pytest.raises(ConfigurationError, match="belongs to the event loop that first used it"):
            await asyncio.to_thread(lambda: asyncio.run(client.arun(ask("GET", key))))
        with pytest.raises(ConfigurationError, match="asynchronous Redis client, which synchronous calls cannot use"):
            client.run(ask("GET", key))


async def test_cancelling_leaves_the_connection_usable(fresh_redis: Callable[..., RedisServer]) -> None:
    """A cancelled run's late reply is never taken for the next one's."""
    server = fresh_redis(search=False)
    client = RedisClient(server.url, timeout=GENEROUS, max_connections=1)
    await client.arun(ask_all(("SET", "a", "A"), ("SET", "b", "B")))
    server.pause()
    waiting = asyncio.create_task(client.arun(ask("GET", "a")))
    await asyncio.sleep(0.05)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    server.resume()
    assert await client.arun(ask("GET", "b")) == b"B"


def test_many_threads_share_few_connections(plain_redis: RedisServer, key: str) -> None:
    """32 threads on 4 connections wait for one another, and each gets its own replies."""
    client = RedisClient(plain_redis.url, timeout=GENEROUS, connect_timeout=GENEROUS, max_connections=4)
    wrong: list[Any] = []

    def work(number: int) -> None:
        for turn in range(20):
            value = f"{number}:{turn}".encode()
            replies = client.run(ask_all(("SET", f"{key}:{number}", value, "PX", 60_000), ("GET", f"{key}:{number}")))
            if replies != [b"OK", value]:
                wrong.append(replies)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(GENEROUS)
    assert wrong == []


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "dropped"])
@pytest.mark.parametrize("server", ["plain_redis", "redis_nodes"])
def test_a_client_that_is_closed_or_dropped_closes_its_connections(
    server: str, key: str, closed: bool, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one in a reference cycle, and while somebody holds a connection: no socket waits for the collector."""
    connections: list[Any] = []
    connect: Callable[[Any], None] = redis.Connection.connect

    def noted(connection: Any) -> None:
        connections.append(connection)
        connect(connection)

    url = request.getfixturevalue(server).url  # it may start now, and connects to see that it runs
    monkeypatch.setattr(redis.Connection, "connect", noted)
    client = RedisClient(url.replace("redis:", "redis+cluster:") if server == "redis_nodes" else url, timeout=GENEROUS)
    client.cycle = client  # type: ignore[attr-defined]
    assert client.run(ask("GET", key)) is None
    assert any(connection._sock for connection in connections)
    if closed:
        held = client._sync  # so that nothing is dropped
        client.close()
        assert held is not None
    else:
        del client
        gc.collect()
    assert not any(connection._sock for connection in connections)


def test_mistakes_are_told_before_the_network() -> None:
    """No URL, two, a scheme that is none, a client that is none: each message says what to give."""
    with pytest.raises(ConfigurationError, match="either a URL"):
        RedisClient()
    with pytest.raises(ConfigurationError, match="no scheme of a Redis URL") as caught:
        RedisClient("http://:secret-word@localhost")
    assert "secret-word" not in str(caught.value)
    with pytest.raises(ConfigurationError, match=r"takes a redis\.Redis.*no dict"):
        RedisClient(client={})
    with pytest.raises(ConfigurationError, match="an option that redis-py does not take"):
        RedisClient("redis://localhost?no_such_option=1").run(ask("PING"))


def test_redis_py_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without redis-py the error says what to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r'pip install "portkey-router\[redis\]"'):
        RedisClient("redis://localhost")


PROGRAMS = {
    "two loops one after the other": "asyncio.run(use()); asyncio.run(use())",
    "a loop closed without a word": (
        "loop = asyncio.new_event_loop(); loop.run_until_complete(use()); loop.close()\nasyncio.run(use())"
    ),
    "a loop closed at exit": (
        "import atexit\nloop = asyncio.new_event_loop(); atexit.register(loop.close); loop.run_until_complete(use())"
    ),
    "uvloop": (
        "import uvloop\nuvloop.run(use())\nloop = uvloop.new_event_loop(); loop.run_until_complete(use()); loop.close()"
    ),
    "a thread's loop at exit": (
        "loop = asyncio.new_event_loop()\n"
        "threading.Thread(target=loop.run_forever, daemon=True).start()\n"
        "asyncio.run_coroutine_threadsafe(use(), loop).result(20)"
    ),
    "a client that is dropped while its loop runs": (
        "async def main():\n"
        "    global client\n"
        "    await use()\n"
        "    del client\n"
        "    gc.collect()\n"
        "    async with asyncio.timeout(20):\n"
        "        while per_loop._used:\n"
        "            await asyncio.sleep(0.005)\n"
        "asyncio.run(main())"
    ),
    "closed by hand": (
        "async def main():\n"
        "    await use(); await client.aclose(); await use(); await client.aclose()\n"
        "client.run(ask()); client.close(); client.run(ask())\n"
        "asyncio.run(main())"
    ),
    "a fork between uses": (
        "async def main():\n"
        "    await use()\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        os._exit(0 if threads() else 1)\n"
        "    assert os.waitpid(child, 0)[1] == 0\n"
        "    await use()\n"
        "def threads():\n"
        "    answers = []\n"
        "    def work():\n"
        "        asyncio.run(use()); answers.append(client.run(ask()))\n"
        "    thread = threading.Thread(target=work); thread.start(); thread.join(20)\n"
        "    return answers == [b'PONG']\n"
        "client.run(ask()); asyncio.run(main()); client.run(ask())"
    ),
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_nothing_has_to_be_closed(plain_redis: RedisServer, program: str) -> None:
    """However loops, threads and processes come and go, nothing is left open, and nobody is warned of it."""
    start = (
        "import asyncio, gc, logging, os, threading\n"
        # A slow machine is not what is tested.
        "logging.getLogger('asyncio').addFilter(lambda record: not record.getMessage().startswith('Executing '))\n"
        "from portkey_router.stores import per_loop\n"
        "from portkey_router.stores.redis_client import RedisClient\n"
        f"client = RedisClient({plain_redis.url!r}, timeout=20, connect_timeout=20)\n"
        "def ask():\n"
        "    return (yield ('PING',))\n"
        "async def use():\n"
        "    assert await asyncio.gather(*[client.arun(ask()) for _ in range(3)]) == [b'PONG'] * 3\n"
    )
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", start + program + "\ngc.collect()\nprint('done')"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)
