"""What a cassette may hold: a short list of headers, and texts without keys and addresses.

Headers are kept by name, never dropped by name: a header that nobody thought of stays out of the cassette. In what is
kept (the path, the bodies, those headers), the keys that the request carried in its headers are struck out wherever
they turn up again, and so is everything that has the shape of a key.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Protocol

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

GATEWAY = "http://gateway.invalid"
STRUCK = "REDACTED"
REQUEST_HEADERS = frozenset({"accept", "content-type"})
RESPONSE_HEADERS = frozenset(
    {
        "content-type",
        "retry-after",
        "x-portkey-cache-status",
        "x-portkey-last-used-option-index",
        "x-portkey-provider",
        "x-portkey-retry-attempt-count",
    }
)
SHORTEST = 4  # a "key" of fewer characters is part of any text
_ADDRESS = re.compile(r"\b(?:127\.0\.0\.1|localhost|\[::1\])(?::\d+)?")
_KEY_SHAPE = re.compile(r"\b(?:sk|pk|vk|pc)-[\w.-]+|\bBearer\s+[^\s\"'\\]+", re.IGNORECASE)
_SECRET_NAME = re.compile(r"key|token|secret|password|authorization|credential", re.IGNORECASE)
_CREATED = re.compile(r'("created": ?)\d+')
# What no cassette may hold, whoever wrote it. Apart from the expressions above, so that a slip there is found here.
_FORBIDDEN = re.compile(
    r"\b(?:sk|pk|vk)-[^\s\"']*|\bBearer\b|authorization|(?:127\.0\.0\.1|localhost):\d+"
    r"|x-portkey-(?:api-key|virtual-key|config|metadata|custom-host|trace-id)",
    re.IGNORECASE,
)


class Request(Protocol):
    """The part of vcrpy's request that is changed here."""

    uri: str
    path: str
    body: Any
    headers: Mapping[str, Any]


class Redaction:
    """Takes the secrets out of one cassette; an object for each, because answers may repeat a request's keys."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()

    def request(self, request: Request) -> Request:
        """What is recorded of a request, and what another is compared with; vcrpy gives a copy."""
        self._secrets.update(secrets_in(request.headers))
        request.uri = GATEWAY + self._clean(request.path)
        request.headers = self._kept(request.headers, REQUEST_HEADERS)
        body = request.body.read() if hasattr(request.body, "read") else request.body
        if body is not None:
            request.body = self._clean(bytes(body).decode()).encode()
        return request

    def response(self, response: dict[str, Any]) -> dict[str, Any]:
        """What is recorded of a response; vcrpy gives a copy. Its time is fixed: recorded anew, it is the same."""
        body = response["body"].get("string") or b""
        body = body if isinstance(body, str) else body.decode()
        return {
            "status": response["status"],
            "headers": self._kept(response["headers"], RESPONSE_HEADERS),
            "body": {"string": _CREATED.sub(r"\g<1>1767225600", self._clean(body)).encode()},
        }

    def _kept(self, headers: Mapping[str, Any], names: frozenset[str]) -> dict[str, list[str]]:
        listed = {name.lower(): [self._clean(text) for text in _texts(value)] for name, value in headers.items()}
        return {name: listed[name] for name in sorted(names & listed.keys())}

    def _clean(self, text: str) -> str:
        for secret in sorted(self._secrets, key=len, reverse=True):  # one may hold another, whose remains would be left
            text = text.replace(secret, STRUCK)
        return _ADDRESS.sub("gateway.invalid", _KEY_SHAPE.sub(STRUCK, text))


def secrets_in(headers: Mapping[str, Any]) -> set[str]:
    """The secrets that request headers carry: under a name like a key's, also inside a header that is JSON."""
    found = {text.rpartition(" ")[2] for name, text in _named(headers) if _SECRET_NAME.search(_own_name(name))}
    return {secret for secret in found if len(secret) >= SHORTEST}


def forbidden_in(cassette: str) -> list[str]:
    """What should not be in the text of a cassette: keys, headers that hold them, addresses of this machine."""
    return _FORBIDDEN.findall(cassette)


def _own_name(name: str) -> str:
    """A header's name without "portkey", which has a "key" of its own."""
    return name.lower().removeprefix("x-portkey-")


def _named(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """(name, text) of every text inside; a text that is a JSON object or list is looked into as well."""
    if isinstance(value, str):
        yield name, value
        if value.lstrip().startswith(("{", "[")):
            try:
                value = json.loads(value)
            except ValueError:
                return
    if hasattr(value, "items"):
        for key, each in value.items():
            yield from _named(each, key)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _named(each, name)


def _texts(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(each) for each in value]


# ---- readable YAML ---------------------------------------------------------------------------------------------------


class _Dumper(yaml.SafeDumper):
    """Texts of several lines (server-sent events) as blocks."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


class ReadableYaml:
    """vcrpy's serializer, for people who read the differences."""

    @staticmethod
    def serialize(cassette: dict[str, Any]) -> str:
        """The cassette as text."""
        return yaml.dump(cassette, Dumper=_Dumper, allow_unicode=True, width=10_000)

    @staticmethod
    def deserialize(text: str) -> Any:
        """The cassette as vcrpy keeps it."""
        return yaml.safe_load(text)
