"""Requests by the standard library's HTTP client, and what came back, down to a broken stream."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

HELLO: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello there"}]}


@dataclass(frozen=True, slots=True)
class Raw:
    """A reply; `broken` is the error with which its body ended, `body` what had arrived by then."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    broken: Exception | None = None

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """What the model said, streamed or not."""
        if self.headers["content-type"].startswith("application/json"):
            return str(self.json["choices"][0]["message"]["content"])
        deltas = (choice["delta"] for event in self.events for choice in event["choices"])
        return "".join(delta.get("content") or "" for delta in deltas)

    @property
    def data(self) -> list[str]:
        """The data of each event of a stream, as text."""
        lines = self.body.decode().splitlines()
        return [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]

    @property
    def events(self) -> list[Any]:
        """The events of a stream but for [DONE], parsed."""
        return [json.loads(data) for data in self.data if data != "[DONE]"]

    @property
    def reasons(self) -> list[str]:
        """Every `finish_reason` that a stream gave."""
        return [c["finish_reason"] for event in self.events for c in event["choices"] if c["finish_reason"]]


def send(
    method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None, timeout: float = 20.0
) -> Raw:
    """Send one request on a connection of its own; a body that is not bytes goes as JSON."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
    try:
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection.request(method, parts.path, content, {"content-type": "application/json", **(headers or {})})
        reply = connection.getresponse()
        told = {name.lower(): value for name, value in reply.getheaders()}
        arrived = bytearray()
        try:
            while piece := reply.read1():
                arrived += piece
            if reply.length:
                raise http.client.IncompleteRead(bytes(arrived), reply.length)
        except (http.client.HTTPException, OSError) as error:
            return Raw(reply.status, told, bytes(arrived), error)
        return Raw(reply.status, told, bytes(arrived))
    finally:
        connection.close()


def chat(base: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None) -> Raw:
    """POST {base}/chat/completions; the body is `HELLO` changed by `body`."""
    return send("POST", f"{base}/chat/completions", {**HELLO, **(body or {})}, headers)
