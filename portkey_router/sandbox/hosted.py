"""A double of hosted Portkey on loopback: what the open-source gateway does, and what only the service has.

```
with sandbox.portkey() as server:
    server.add_virtual_key("vk-a", provider="openai")
    ChatPortkey(base_url=server.url, api_key=server.api_key, virtual_key="vk-a")
```

The service adds virtual keys and the Model Catalog, saved configs, budgets, guardrails and a cache, and an admin API
at the same address (`AdminClient(base_url=server.url, api_key=server.api_key)`). The providers
behind it are those of `providers()`, by the slug of their key, with the same faults and the same log.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final, Literal

from portkey_router.sandbox.config_check import faults_of
from portkey_router.sandbox.control import Control, is_admin
from portkey_router.sandbox.desk import Desk
from portkey_router.sandbox.relay import failure
from portkey_router.sandbox.replies import json_reply
from portkey_router.sandbox.server import parsed, send, serving
from portkey_router.sandbox.switchboard import Call, Switchboard
from portkey_router.sandbox.vault import Denial, Stored, Vault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aiohttp import web

    from portkey_router.sandbox.desk import Received
    from portkey_router.sandbox.faults import Fault
    from portkey_router.sandbox.replies import Reply

__all__ = ["PortkeyDouble", "portkey"]

API_KEY: Final = "pk-sandbox-key"
# The name under which the log holds what arrived at Portkey itself.
PORTKEY: Final = "portkey"
ADMIN: Final = "admin"
ANSWERED: Final = frozenset({"/chat/completions", "/embeddings"})


class PortkeyDouble:
    """An account at Portkey, and the providers behind it; made by `portkey()`. Safe across threads.

    `url` is the base URL (`http://127.0.0.1:PORT/v1`), `api_key` the one key that it accepts, in `x-portkey-api-key`
    or as the bearer. The virtual key "vk-openai" is there from the start.
    """

    def __init__(self, root: str, desk: Desk, control: Control, api_key: str) -> None:
        self.url = f"{root}/v1"
        self.api_key = api_key
        self._desk = desk
        self._vault = control.vault
        self._control = control

    # ---- its administration --------------------------------------------------------------------------------------

    def administer(self, *, catalog: bool = True, shapes: Literal["wrapped", "bare"] = "wrapped") -> None:
        """What the admin API is like: with the Model Catalog or from before it, and which documented reply shape.

        Faults of the admin API are scripted under the name "admin". One that breaks the connection loses the reply to
        what was done; one with a status keeps it from being done.
        """
        self._control.catalog, self._control.shapes = catalog, shapes

    @property
    def admin_requests(self) -> tuple[Received, ...]:
        """What arrived at the admin API, in order; `path` begins with the method: `POST /v1/virtual-keys`."""
        return self._desk.log(ADMIN)

    # ---- the account ---------------------------------------------------------------------------------------------

    def add_virtual_key(self, slug: str, *, provider: str, reachable: bool = True) -> None:
        """Store a provider's key under a slug; with `reachable=False`, connections to the provider are refused.

        `provider` is Portkey's name for it ("openai", "anthropic", "mistral-ai" ...). The slug serves as virtual key
        and in the Model Catalog (`@slug/model`, or `@slug` as the provider).
        """
        self._vault.stored[slug] = Stored(slug.removeprefix("@"), provider, reachable)

    def add_provider(self, slug: str, *, provider: str, reachable: bool = True) -> None:
        """Add an AI provider to the Model Catalog; the successor of `add_virtual_key`, in the same namespace."""
        self.add_virtual_key(slug.removeprefix("@"), provider=provider, reachable=reachable)

    def add_config(self, slug: str, config: Mapping[str, Any]) -> None:
        """Save a config under a slug that begins with "pc-".

        Raises:
            ValueError: the slug does not, or Portkey would refuse the config; the message says why.
        """
        if not slug.startswith("pc-"):
            raise ValueError(f"The slug of a config begins with 'pc-': {slug!r}")
        if faults := faults_of(config):
            raise ValueError(f"Not a config of Portkey: {'; '.join(faults)}")
        self._vault.configs[slug] = config

    def exhaust(self, slug: str) -> None:
        """Spend a key's budget: from now on, 412. `restore` undoes it. KeyError for a slug that is not stored."""
        self._vault.exhaust(slug, exhausted=True)

    def restore(self, slug: str) -> None:
        """Give a key its budget back."""
        self._vault.exhaust(slug, exhausted=False)

    def deny(self, text: str = "", *, slug: str | None = None, check: str = "default.contains") -> None:
        """Let a guardrail deny (446) every request whose last user message contains `text`; `slug`: only those to it.

        `check` is the id that `hook_results` names.
        """
        self._vault.denials.append(Denial(text, slug, check))

    # ---- the providers behind it ---------------------------------------------------------------------------------

    def script(self, slug: str, *faults: Fault) -> None:
        """Queue faults for the provider behind a slug: one for each attempt, then its ordinary answers again."""
        self._desk.script(slug, *faults)

    def always(self, slug: str, fault: Fault) -> None:
        """The answer of the provider behind a slug whenever its queue is empty."""
        self._desk.always(slug, fault)

    def clear(self, slug: str) -> None:
        """No faults any more for a provider, queued or standing; its log stays."""
        self._desk.clear(slug)

    def log(self, slug: str) -> tuple[Received, ...]:
        """The attempts that reached the provider behind a slug, in order, with the body that it was sent."""
        return self._desk.log(slug)

    @property
    def requests(self) -> tuple[Received, ...]:
        """What arrived at Portkey, in order, refused requests and cache hits included."""
        return self._desk.log(PORTKEY)


@contextlib.contextmanager
def portkey(*, api_key: str = API_KEY, pace: float = 0.02) -> Iterator[PortkeyDouble]:
    """A double of hosted Portkey on 127.0.0.1; it ends with the block.

    `POST /v1/chat/completions` (streamed or not), `POST /v1/embeddings`, `GET /v1/models`. `pace` stretches the pauses
    between the retries of a config: Portkey waits 1, 2, 4 ... seconds, the double by default a fiftieth of that.
    """
    desk, vault = Desk(), Vault({"vk-openai": Stored("vk-openai", "openai")})
    board, control = Switchboard(desk, vault, api_key, pace), Control(vault)

    async def handle(request: web.Request) -> web.StreamResponse:
        path = request.path.removeprefix("/v1")
        if (reply := await _administered(request, desk, control, api_key)) is not None:
            return await send(request, reply)
        call = Call(path, {key.lower(): value for key, value in request.headers.items()}, await parsed(request))
        entry = desk.receive(PORTKEY, request.path, call.headers, call.body)
        return await _answer(request, call, board, entry)

    with serving(handle) as root:
        yield PortkeyDouble(root, desk, control, api_key)


async def _administered(request: web.Request, desk: Desk, control: Control, api_key: str) -> Reply | None:
    """The admin API's reply; None where the request is none of its."""
    route = request.path.removeprefix("/v1")
    if not is_admin(route):
        return None
    body = await parsed(request)
    headers = {key.lower(): value for key, value in request.headers.items()}
    entry = desk.receive(ADMIN, f"{request.method} {request.path_qs}", headers, body)
    if headers.get("x-portkey-api-key") != api_key:
        reply = json_reply({"success": False, "data": {"message": "Unauthorised Request", "errorCode": "AB05"}}, 401)
    else:
        reply = control.answer(request.method, route, request.query, body, desk.next_fault(ADMIN))
    desk.note(entry, status=reply.status)
    return reply


async def _answer(request: web.Request, call: Call, board: Switchboard, entry: int) -> web.StreamResponse:
    source: int | None = None
    try:
        if request.method == "POST" and call.path in ANSWERED:
            reply, source = await board.answer(call)
        elif (request.method, call.path) == ("GET", "/models"):
            reply = json_reply(board.desk.models())
        else:
            reply = failure(f"Unknown request URL: {request.method} {request.path}", 404)
        board.desk.note(entry, status=reply.status)
        return await send(request, reply)
    except (ConnectionResetError, asyncio.CancelledError):
        for line in (entry, source):
            if line is not None:
                board.desk.note(line, closed_early=True)
        raise
