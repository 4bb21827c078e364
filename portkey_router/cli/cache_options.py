"""Options of the cache's commands, and the cache that they name."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import parse_qsl, urlsplit

import typer

from portkey_router.cli.options import from_variable
from portkey_router.cli.output import warn
from portkey_router.errors import ConfigurationError, PortkeyError, StoreError
from portkey_router.secrets import is_secret_name
from portkey_router.settings import read_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from portkey_router.cache.cache import SemanticCache
    from portkey_router.cache.verbs import Chosen

__all__ = [
    "LOCAL",
    "Address",
    "CacheName",
    "CacheTimeout",
    "Embeddings",
    "Listened",
    "Namespace",
    "OlderThan",
    "Prompt",
    "Tag",
    "Tenant",
    "Url",
    "UrlEnv",
    "address",
    "chosen",
    "embeddings_named",
    "seconds_of",
]

Url = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="The cache's Redis; by default that of PORTKEY_CACHE_URL.")
]
UrlEnv = Annotated[
    str | None, typer.Option("--url-env", metavar="VARIABLE", help="Take the URL from this variable, in its place.")
]
CacheName = Annotated[str, typer.Option("--name", help="The cache's name, which its keys begin with.")]
CacheTimeout = Annotated[float, typer.Option("--timeout", min=0.001, help="Seconds to wait for a connection.")]
Embeddings = Annotated[
    str | None,
    typer.Option(
        "--embeddings",
        metavar="MODEL|local",
        help="What embeds: a model, through Portkey, or a small one here; by default PORTKEY_CACHE_EMBEDDINGS.",
    ),
]
Tenant = Annotated[str | None, typer.Option("--tenant", help="Only this tenant's entries.")]
Namespace = Annotated[str | None, typer.Option("--namespace", help="Only entries of this namespace.")]
Tag = Annotated[str | None, typer.Option("--tag", help="Only entries with this tag.")]
Prompt = Annotated[str | None, typer.Option("--prompt", help="Only entries of this question, however spelt.")]
OlderThan = Annotated[
    str | None, typer.Option("--older-than", metavar="7d", help="Only entries older than so many s, m, h, d or w.")
]

LOCAL = "local"
"""What `--embeddings` calls the small model of `[local-embeddings]`."""
NO_URL = (
    "Which cache? Set PORTKEY_CACHE_URL to its Redis (redis://localhost:6379), or pass --url, or --url-env VARIABLE."
)
IN_MEMORY = (
    "memory:// is a cache inside your application's process: a command line would only see an empty one of its own. "
    "Give the application a Redis (redis://localhost:6379), and name it here."
)
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a cache is: the URL, and the option or variable that said so."""

    url: str = field(repr=False)
    origin: str

    @property
    def place(self) -> str:
        """For people: without the login, and without options."""
        parts = urlsplit(self.url)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"

    def open(self, name: str, timeout: float, **options: Any) -> SemanticCache:
        """The cache of that name. Nothing is connected yet."""
        from portkey_router.cache.cache import SemanticCache  # noqa: PLC0415  (who does not use it does not pay for it)

        # Somebody waits for just this: a command is as patient as it is asked to be.
        return SemanticCache(self.url, name=name, timeout=timeout, connect_timeout=timeout, **options)

    @contextmanager
    def reached(self) -> Iterator[None]:
        """A block in which an error of the store says what to do."""
        try:
            yield
        except StoreError as error:
            if advice := _advice(error.code, self.origin):
                error.add_note(advice)
            raise


def address(url: str | None, variable: str | None) -> Address:
    """The address, by whichever way it is given. A password in `--url` is warned of."""
    if url is not None and variable is not None:
        raise typer.BadParameter("give the URL one way: --url, or --url-env VARIABLE")
    if url is not None and _has_password(url):
        warn(
            "a password after --url stays in the shell's history, and others on this machine can read it in the list "
            "of processes; PORTKEY_CACHE_URL and --url-env keep it out of both"
        )
    origin = "--url" if url is not None else variable or "PORTKEY_CACHE_URL"
    found = url if url is not None else _from_environment(variable)
    if found.startswith("memory://"):
        raise ConfigurationError(IN_MEMORY)
    return Address(found, origin)


def _from_environment(variable: str | None) -> str:
    if variable is not None:
        return from_variable("--url-env", variable)
    found = read_environment().get("portkey_cache_url", "")
    if not found:
        raise ConfigurationError(NO_URL)
    return found


def _has_password(url: str) -> bool:
    """Between `:` and `@`, or as an option; of a URL that may be none."""
    login, _, _ = url.partition("://")[2].rpartition("@")
    options = parse_qsl(url.partition("?")[2])
    return bool(login.partition(":")[2]) or any(is_secret_name(name) for name, _ in options)


def _advice(code: str | None, origin: str) -> str:
    if code is None:
        return f"Is Redis running there? Check {origin}."
    if code in {"NOAUTH", "WRONGPASS"}:
        return f"The URL of {origin} holds user and password: redis://user:password@localhost:6379."
    if code == "NOPERM":
        return f"Allow the user of {origin} this command, on keys that begin with the cache's name."
    return "It is starting: try again." if code == "LOADING" else ""


def seconds_of(text: str | None, option: str) -> float | None:
    """`7d`, `90m`, `3600` as seconds; None for None."""
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhdw]?)\s*", text)
    if found is None:
        raise typer.BadParameter(f"{option} is a number with s, m, h, d or w, such as 7d; not {text!r}")
    return float(found[1]) * _UNITS[found[2]]


def chosen(
    tenant: str | None, namespace: str | None, tag: str | None, prompt: str | None, older_than: str | None
) -> Chosen:
    """Which entries: those that fit all that is given."""
    given: Chosen = {
        "tenant": tenant,
        "namespace": namespace,
        "tag": tag,
        "prompt": prompt,
        "older_than": seconds_of(older_than, "--older-than"),
    }
    return {name: value for name, value in given.items() if value is not None}  # type: ignore[return-value]  # a part of it


def embeddings_named(option: str | None) -> str | None:
    """The model that the option or the environment names."""
    return option or read_environment().get("portkey_cache_embeddings")


class Listened:
    """The encoder that `--embeddings` names, with the error that it ended in: a cache takes it for a miss."""

    def __init__(self, name: str) -> None:
        from portkey_router.cache.doors import encoder_by_name  # noqa: PLC0415  (who does not use it does not pay for it)
        from portkey_router.cache.encoders import encoder_of  # noqa: PLC0415  (as above)
        from portkey_router.cache.local_embeddings import LocalEmbeddings  # noqa: PLC0415  (as above)

        made = encoder_of(LocalEmbeddings() if name == LOCAL else name, by_name=encoder_by_name)
        if made is None:
            raise typer.BadParameter("--embeddings names a model")
        self._encode = made.encode
        self.encoder = replace(made, encode=self.encode)
        self.error: Exception | None = None

    def encode(self, text: str) -> Sequence[float]:
        """The text's vector."""
        try:
            return self._encode(text)
        except Exception as error:
            self.error = error
            raise

    def failure(self) -> PortkeyError:
        """That error; of an encoder that is not ours, in words."""
        if isinstance(self.error, PortkeyError):
            return self.error
        return ConfigurationError(f"The embedding failed: {type(self.error).__name__}: {self.error}")
