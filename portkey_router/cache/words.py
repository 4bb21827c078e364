"""Word lists of the guards, by hand and short. English first; the commonest negations of its neighbours beside it."""

from __future__ import annotations

import re

__all__ = ["NEGATIONS", "time_word"]

# A question with one of these has another answer at another time.
_TIME = re.compile(
    r"\b(?:today(?:'s)?|tonight(?:'s)?|yesterday(?:'s)?|tomorrow(?:'s)?|now|nowadays|current(?:ly)?|latest|newest"
    r"|most recent(?:ly)?|at (?:the|this) moment|so far|up[- ]to[- ]date|breaking news|as of|these days|what time is it"
    r"|(?:this|last|next) (?:minute|hour|morning|afternoon|evening|night|week|weekend|month|quarter|season|year"
    r"|monday|tuesday|wednesday|thursday|friday|saturday|sunday)"
    r"|heute|gestern|jetzt|aktuell\w*|aujourd'hui|demain|maintenant|actuellement|hoy|ayer|ahora|actualmente)\b",
    re.IGNORECASE,
)

NEGATIONS = frozenset(
    {"not", "no", "never", "without", "neither", "nor", "none", "nobody", "nothing", "nowhere", "cannot"}
)


def time_word(text: str) -> str | None:
    """The first word that ties the question to the moment it is asked, lower case; None where there is none."""
    found = _TIME.search(text)
    return found[0].lower() if found else None
