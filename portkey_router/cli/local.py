"""Commands that need no account: the open-source gateway on this machine, and a demonstration."""

from __future__ import annotations

import sys
import threading
from typing import Annotated, Any

import typer

from portkey_router.bootstrap import build_router
from portkey_router.cli.options import Json  # noqa: TC001  (typer reads annotations)
from portkey_router.cli.output import note, progress, show, show_rows
from portkey_router.errors import ConnectFailedError
from portkey_router.health import Health
from portkey_router.targets import Fallback, Target

__all__ = ["register"]

LOOK_SECONDS = 2.0


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("gateway", rich_help_panel="On this machine")(gateway)
    app.command("demo", rich_help_panel="On this machine")(demo)


def gateway(
    *,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="The port on 127.0.0.1; 0: any free one.")
    ] = 8787,
    install: Annotated[bool, typer.Option("--install", help="Only install it.")] = False,
    as_json: Json = False,
) -> None:
    """Run the open-source Portkey gateway on this machine, until Ctrl-C. The first time it is installed, from npm."""
    from portkey_router import sandbox  # noqa: PLC0415  (its server costs every other command 0.3 s)
    from portkey_router.sandbox.gateway import answers, install_gateway  # noqa: PLC0415  (as above)

    home = install_gateway(announce=note)
    if install:
        show({"home": str(home)}, f"The gateway is in {home}.", as_json=as_json)
        return
    with sandbox.gateway(port=port) as running:
        text = f"The gateway runs at {running.url} until Ctrl-C. Use it:\n  export PORTKEY_GATEWAY_URL={running.url}"
        show({"url": running.url}, text, as_json=as_json)
        sys.stdout.flush()
        pause = threading.Event()
        while answers(running.url.removesuffix("/v1")):
            pause.wait(LOOK_SECONDS)
        raise ConnectFailedError(f"The gateway at {running.url} answers no more.")


QUESTION = "What does a gateway do when its first provider is down?"


def demo(*, as_json: Json = False) -> None:
    """Show fallbacks at work, on this machine and without keys: who answered, and after what."""
    from portkey_router import sandbox  # noqa: PLC0415  (its server costs every other command 0.3 s)

    cases: dict[str, sandbox.Fault | None] = {
        "both healthy": None,
        "the first is down": sandbox.Fault.status(503),
        "the first's key is refused": sandbox.Fault.status(401),
        "the first limits the rate": sandbox.Fault.status(429, retry_after=60),
        "the first's stream is cut short": sandbox.Fault.cut(after=1),
    }
    found: list[dict[str, Any]] = []
    with progress("Breaking providers"), sandbox.portkey() as server:
        for name in ("first", "second"):
            server.add_virtual_key(name, provider="openai")
        strategy = Fallback(Target("gpt-4o", virtual_key="first"), Target("gpt-4o-mini", virtual_key="second"))
        for case, fault in cases.items():
            if fault is not None:
                server.always("first", fault)
            # A router of its own for each: what one learns of the first's health would keep the next from asking it.
            router = build_router(
                base_url=server.url,
                api_key=server.api_key,
                strategy=strategy,
                max_retries=0,
                health=Health(threading.Lock()),
                env_file=None,
            )
            with router.stream([{"role": "user", "content": QUESTION}]) as stream:
                text = "".join(chunk.content for chunk in stream)
            found += _attempts(case, text, stream.completion)
    rows = [list(row.values()) for row in found]
    show_rows(["what happened", "asked", "outcome", "status"], rows, found, as_json=as_json, none="")
    if not as_json:
        show(None, f"Each was answered: {text}", as_json=False)


def _attempts(case: str, text: str, completion: Any) -> list[dict[str, Any]]:
    if not text or completion is None:
        raise ConnectFailedError(f"{case}: no answer came.")
    return [
        {"case": case, "target": attempt.target, "outcome": attempt.outcome, "status": attempt.status}
        for attempt in completion.route.attempts
    ]
