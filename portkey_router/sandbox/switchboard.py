"""One request at the double of Portkey: who asks, by which config, which providers are tried, and what is told."""

from __future__ import annotations

import asyncio
import json
import random
import time
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from portkey_router.sandbox.conditions import RoutingError
from portkey_router.sandbox.config_check import faults_of
from portkey_router.sandbox.relay import GATEWAY_EXCEPTION, failure, fetch_failed, relayed, timed_out
from portkey_router.sandbox.reply_cache import ReplyCache
from portkey_router.sandbox.routing import Ask, Context, Pause, Routed, route
from portkey_router.sandbox.vault import RefusedError, Vault

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from portkey_router.sandbox.desk import Desk
    from portkey_router.sandbox.replies import Reply
    from portkey_router.sandbox.reply_cache import CacheStatus
    from portkey_router.sandbox.vault import Destination

__all__ = ["Call", "Switchboard"]

UNAUTHORISED: Final = failure("Portkey Error: Invalid API Key. Error Code: 03", 401)


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it arrived: the path below /v1, headers in lower case, the parsed body."""

    path: str
    headers: Mapping[str, str]
    body: Any

    @property
    def metadata(self) -> Mapping[str, Any]:
        """`x-portkey-metadata`, parsed; empty where it is no JSON object."""
        try:
            found = json.loads(self.headers.get("x-portkey-metadata", "{}"))
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True)
class _Tried:
    """What one attempt came to: the reply as it will be passed on; `entry` is its line in the provider's log."""

    reply: Reply
    provider: str
    cache: CacheStatus = "DISABLED"
    entry: int | None = None

    @property
    def status(self) -> int:
        return self.reply.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self.reply.headers


@dataclass(slots=True)
class Switchboard:
    """Answers calls. `pace` stretches the pauses between retries: 1.0 waits as Portkey does, 0.0 not at all."""

    desk: Desk
    vault: Vault
    api_key: str
    pace: float
    cache: ReplyCache = field(default_factory=ReplyCache)
    draw: Callable[[], float] = random.random

    async def answer(self, call: Call) -> tuple[Reply, int | None]:
        """The reply to a call, with Portkey's headers; and the entry of the provider's log that it stems from."""
        if self._key(call) != self.api_key:
            return UNAUTHORISED, None
        try:
            config = self._config(call)
            body = call.body if isinstance(call.body, dict) else {}
            context = Context(call.metadata, f"/v1{call.path}", self.draw)
            routed = await self._perform(call, route(config, body, context))
        except RefusedError as refused:
            return refused.reply, None
        except RoutingError as error:
            return failure(str(error)), None
        return self._signed(call, routed), routed.answer.entry

    def _key(self, call: Call) -> str:
        """Portkey's key: in its own header, else the bearer, which is what an OpenAI client sends."""
        bearer = call.headers.get("authorization", "").removeprefix("Bearer ").strip()
        return call.headers.get("x-portkey-api-key") or bearer

    def _config(self, call: Call) -> Mapping[str, Any]:
        """The config of a call: inline, saved, or what single headers say."""
        names = {"virtual_key": "x-portkey-virtual-key", "provider": "x-portkey-provider"}
        said: dict[str, Any] = {key: call.headers[name] for key, name in names.items() if call.headers.get(name)}
        if (limit := call.headers.get("x-portkey-request-timeout", "")).isdecimal():
            said["request_timeout"] = int(limit)
        text = call.headers.get("x-portkey-config")
        if not text:
            return said
        config = self.vault.configs.get(text) if text.startswith("pc-") else _json(text)
        if config is None:
            raise RefusedError(failure(f"Invalid config passed. You need to pass a valid json or slug: {text[:80]}"))
        if faults := faults_of(config):
            raise RefusedError(failure("Invalid config passed", errors=faults))
        # A config that names nobody is about the provider of the headers.
        whole = any(config.get(key) for key in ("targets", "provider", "virtual_key"))
        return config if whole else {**said, **config}

    async def _perform(
        self, call: Call, steps: Generator[Ask | Pause, _Tried | None, Routed[_Tried]]
    ) -> Routed[_Tried]:
        sent: _Tried | None = None
        while True:
            try:
                step = steps.send(sent)
            except StopIteration as end:
                routed: Routed[_Tried] = end.value
                return routed
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds * self.pace)
                sent = None
            else:
                sent = await self._try(call, step)

    async def _try(self, call: Call, ask: Ask) -> _Tried:
        """One attempt: look up, ask the provider, store."""
        try:
            to = self.vault.destination(ask.target, ask.body)
        except RefusedError as refused:
            return _Tried(refused.reply, refused.provider)
        found = self.cache.look_up(ask.target, to.name, to.body, call.headers, time.monotonic())
        if found.reply is not None:
            return _Tried(found.reply, to.provider, found.status)
        if not to.reachable:
            return _Tried(fetch_failed(), to.provider, found.status)
        tried = await self._ask(call, ask, to)
        self.cache.store(found, tried.reply, time.monotonic())
        return replace(tried, cache=found.status)

    async def _ask(self, call: Call, ask: Ask, to: Destination) -> _Tried:
        """The provider's reply, waited for until its headers are there."""
        entry = self.desk.receive(to.name, call.path, call.headers, to.body)
        raw = self.desk.answer(to.name, call.path, to.body)
        late = None if raw.ending == "never" else 0.0 if raw.frames is not None else raw.late
        try:
            if ask.timeout is not None and (late is None or late >= ask.timeout):
                await asyncio.sleep(ask.timeout)
                self.desk.note(entry, closed_early=True)
                return _Tried(timed_out(ask.timeout), to.provider, entry=entry)
            await (asyncio.Event().wait() if late is None else asyncio.sleep(late))
        except asyncio.CancelledError:
            self.desk.note(entry, closed_early=True)
            raise
        self.desk.note(entry, status=raw.status)
        arrived = raw if raw.frames is not None else replace(raw, late=0.0)
        reply = relayed(arrived, to.provider, streamed=bool(to.body.get("stream")))
        return _Tried(reply, to.provider, entry=entry)

    def _signed(self, call: Call, routed: Routed[_Tried]) -> Reply:
        """The reply with Portkey's own headers; what the gateway stumbled over has none."""
        tried = routed.answer
        if GATEWAY_EXCEPTION in tried.headers:
            return tried.reply
        headers = {
            "x-portkey-last-used-option-index": routed.ask.index,
            "x-portkey-trace-id": call.headers.get("x-portkey-trace-id") or str(uuid.uuid4()),
            "x-portkey-retry-attempt-count": str(routed.retries),
            "x-portkey-cache-status": tried.cache,
        }
        if tried.provider:
            headers["x-portkey-provider"] = tried.provider
        return replace(tried.reply, headers={**tried.headers, **headers})


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None
