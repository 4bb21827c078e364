"""How long a call and its attempts may take."""

from __future__ import annotations

from dataclasses import dataclass, fields

from portkey_router.errors import ConfigurationError

__all__ = ["DONE_WAIT", "USAGE_WAIT", "Deadlines"]

USAGE_WAIT = 5.0
"""Seconds: after the last finish reason the answer is whole, and its usage is waited for no longer than this."""
DONE_WAIT = 0.5
"""Seconds: once the usage is there too, `[DONE]` or the end is waited for, since it lets the connection live on."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long things may take, in seconds; never infinite.

    `connect`: getting a connection. `first_token`: of a stream, from sending until something of the answer can be
    seen. `silence`: between the events of a stream after that. `attempt`: an unstreamed attempt as a whole. `total`:
    the call, with all its attempts and waits.

    While another target remains that could answer, patience is shorter: `hurried_first_token` (but not for a reasoning
    model, which thinks before it speaks) and, as long as the caller has been shown nothing, `hurried_silence`. Of these
    and their unhurried namesakes the shorter counts.
    """

    connect: float = 5.0
    first_token: float = 60.0
    silence: float = 60.0
    attempt: float = 120.0
    total: float = 600.0
    hurried_first_token: float = 12.0
    hurried_silence: float = 20.0

    def __post_init__(self) -> None:
        for deadline in fields(self):
            seconds = getattr(self, deadline.name)
            if not isinstance(seconds, int | float) or not 0 < seconds < float("inf"):
                name = "timeout" if deadline.name == "total" else f"Deadlines({deadline.name}=...)"
                raise ConfigurationError(f"{name} is a number of seconds above 0, and not infinite.")

    def first_token_within(self, left: float, *, hurried: bool) -> float:
        """Seconds for the first token of an attempt, where the call has so many `left`.

        Hurried, an attempt does not use up the call's whole time: the other target gets half of it.
        """
        if not hurried:
            return self.first_token
        seconds = min(self.first_token, self.hurried_first_token)
        return left / 2 if 0 < left <= seconds else seconds

    def silence_within(self, *, hurried: bool) -> float:
        """Seconds of silence within a stream."""
        return min(self.silence, self.hurried_silence) if hurried else self.silence
