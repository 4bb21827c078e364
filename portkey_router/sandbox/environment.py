"""Examples and notebooks that run for everybody: against Portkey with its keys, against the double without."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from portkey_router.providers import PROVIDERS, variable_of
from portkey_router.sandbox.hosted import portkey
from portkey_router.settings import read_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portkey_router.sandbox.hosted import PortkeyDouble

__all__ = ["unless_configured"]

_CHOICES = ("portkey_api_key", "portkey_gateway_url", "portkey_base_url")


@contextmanager
def unless_configured(env_file: str | None = ".env") -> Iterator[PortkeyDouble | None]:
    """Run the block against a double of Portkey, unless the environment or `.env` names a Portkey to use.

    While it runs, `PORTKEY_API_KEY`, `PORTKEY_GATEWAY_URL` and a virtual key for each provider of the table point to
    the double; afterwards the environment is as it was. Gives the double, or None where there is none.
    """
    environment = read_environment(env_file)
    if any(name in environment for name in _CHOICES):
        yield None
        return
    before = dict(os.environ)
    with portkey() as server:
        os.environ["PORTKEY_API_KEY"] = server.api_key
        os.environ["PORTKEY_GATEWAY_URL"] = server.url
        for provider in PROVIDERS:
            slug = f"vk-{provider.name}"
            server.add_virtual_key(slug, provider=provider.portkey)
            os.environ[variable_of(provider.name)] = slug
        sys.stderr.write(f"(no PORTKEY_API_KEY is set: this runs against a double of Portkey at {server.url})\n")
        try:
            yield server
        finally:
            os.environ.clear()
            os.environ.update(before)
