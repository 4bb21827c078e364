"""Server-sent events, decoded as their bytes arrive (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

__all__ = ["SseDecoder"]

_BOM = b"\xef\xbb\xbf"


class SseDecoder:
    """Feed it bytes, split anywhere; it gives the `data` of each finished event.

    Comments (`: ping`), `event`, `id` and `retry` fields are dropped: no chat stream carries meaning in them.
    """

    __slots__ = ("_data", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of the events that `piece` finishes, in order."""
        text = self._rest + piece if self._rest else piece
        kept = b""
        if b"\r" in text:
            # CRLF and a lone CR end a line too; a CR at the very end may be half of a CRLF, and waits.
            if text.endswith(b"\r"):
                text, kept = text[:-1], b"\r"
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = text.split(b"\n")
        self._rest = lines.pop() + kept
        return [event for line in lines if (event := self._line(line)) is not None]

    def flush(self) -> list[bytes]:
        """What the end of the stream finishes: an event whose last blank line never came."""
        rest, self._rest = self._rest.rstrip(b"\r"), b""
        # Where the last line was finished, `rest` is empty, and as a blank line ends the event itself.
        return [event for line in (rest, b"") if (event := self._line(line)) is not None]

    def _line(self, line: bytes) -> bytes | None:
        """An event's data, once a blank line ends it."""
        if line:
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif line.startswith(_BOM):  # the standard lets a stream begin with one
                return self._line(line[3:])
            return None
        if not self._data:
            return None
        data, self._data = self._data, []
        return data[0] if len(data) == 1 else b"\n".join(data)
