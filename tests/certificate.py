"""A certificate for 127.0.0.1 that nobody trusts unless told to."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["self_signed"]

_MAKE = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"


def self_signed(folder: Path) -> tuple[Path, Path]:
    """The files of its key and of itself. A machine without openssl skips the test, by name."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    key, certificate = folder / "key.pem", folder / "cert.pem"
    subprocess.run([*_MAKE.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return key, certificate
