"""`python -m portkey_router.sandbox.gateway --install`."""

from __future__ import annotations

import argparse
import sys

from portkey_router.sandbox.gateway.install import GATEWAY_VERSION, GatewayUnavailableError, find_node, install_gateway


def main() -> int:
    """Install the gateway, or say where it is; 1 when it cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m portkey_router.sandbox.gateway", description=__doc__)
    parser.add_argument("--install", action="store_true", required=True, help="install the gateway if it is missing")
    parser.parse_args()
    try:
        find_node()
        home = install_gateway(announce=lambda text: print(text, flush=True))  # noqa: T201 - a command's output
    except GatewayUnavailableError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command's output
        return 1
    print(f"Portkey gateway {GATEWAY_VERSION}: {home}")  # noqa: T201 - a command's output
    return 0


if __name__ == "__main__":
    sys.exit(main())
