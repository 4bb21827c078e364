"""A gateway and providers on this machine, without keys: for tests, demonstrations and examples.

- `providers()`: model providers that answer from the request, and fail as scripted (`Fault`).
- `gateway()`: the real open-source Portkey gateway, on loopback; put the providers behind it.
- `portkey()`: a double of hosted Portkey, with providers behind it: no Node, no installation.
- `unless_configured()`: a block that runs against Portkey where there is a key, and against the double elsewhere.

Each is a context manager, and nothing outlives its block. Fixtures for pytest are in `sandbox.fixtures`.
"""

from portkey_router.sandbox.desk import Received
from portkey_router.sandbox.environment import unless_configured
from portkey_router.sandbox.faults import Fault, ok
from portkey_router.sandbox.gateway import Gateway, GatewayUnavailableError, gateway
from portkey_router.sandbox.hosted import PortkeyDouble, portkey
from portkey_router.sandbox.providers import Providers, providers

__all__ = [
    "Fault",
    "Gateway",
    "GatewayUnavailableError",
    "PortkeyDouble",
    "Providers",
    "Received",
    "gateway",
    "ok",
    "portkey",
    "providers",
    "unless_configured",
]
