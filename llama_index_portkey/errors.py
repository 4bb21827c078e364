"""Errors of this adapter alone; those of calls are `portkey_router.errors`'."""

from __future__ import annotations

from portkey_router.errors import PortkeyError

__all__ = ["OutputRefusedError", "StructuredOutputError"]


class StructuredOutputError(PortkeyError, ValueError):
    """The answer is whole, but is not what was asked for: no tool call, arguments that are no JSON, a wrong shape."""


class OutputRefusedError(StructuredOutputError):
    """The model declined to give the structured output it was asked for; the message is its own."""
