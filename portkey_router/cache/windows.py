"""Whether a text fits into what an encoder reads, without its tokenizer: an estimate that errs on the long side."""

from __future__ import annotations

import re

__all__ = ["exceeds", "upper_estimate"]

_PIECES = re.compile(r"[a-zA-Z]+|\d+|[^\sa-zA-Z\d]")
_LETTERS_A_TOKEN = 4  # of English in WordPiece and BPE a word is about 1.3 tokens of 4 letters; rare words are shorter
_SPECIAL = 2  # the marks at both ends


def exceeds(text: str, tokens: int) -> bool:
    """Whether the text may be longer than so many tokens."""
    # A token is at least one character, but for the rare one that a byte-level encoder splits.
    return len(text.encode("utf-8", "surrogatepass")) + _SPECIAL > tokens and upper_estimate(text) > tokens


def upper_estimate(text: str) -> int:
    """Tokens of a text, at most, but for texts made to be hard: letters by fours, digits by twos, others one each."""
    total = _SPECIAL
    for piece in _PIECES.findall(text):
        if piece.isascii() and piece.isalpha():
            total += -(-len(piece) // _LETTERS_A_TOKEN)
        elif piece.isascii() and piece.isdigit():
            total += -(-len(piece) // 2)
        else:
            total += 1
    return total
