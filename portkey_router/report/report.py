"""The report: the calls of a block, and what they cost."""

from __future__ import annotations

import contextlib
import itertools
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from portkey_router.events import CallFinished, listening
from portkey_router.report.dimensions import OF_A_CALL, values_of
from portkey_router.report.table import UsageTable, frame_of
from portkey_router.report.totals import UsageTotals, totals_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from decimal import Decimal

    from portkey_router.events import Event

__all__ = ["UsageReport", "usage_report"]


class UsageReport:
    """The calls that finished, and what they used and cost: `print(report)`, `report.cost_usd`, `report.by("user")`.

    It keeps every call, so it is meant for a block, a request or a run, not for a process's lifetime: that is what
    `portkey_router.sinks` are for. Any thread may add, and read.
    """

    def __init__(self, calls: Iterable[CallFinished] = ()) -> None:
        self._calls: dict[str, CallFinished] = {call.call_id: call for call in calls}

    def add(self, event: Event) -> None:
        """Take a call that finished, in the place of one with the same `call_id`; other events are let pass."""
        if isinstance(event, CallFinished):
            self._calls[event.call_id] = event

    def clear(self) -> None:
        """Forget all calls."""
        self._calls = {}

    @property
    def calls(self) -> tuple[CallFinished, ...]:
        """Every call, in the order they finished."""
        return tuple(self._calls.copy().values())  # one step, whoever adds meanwhile

    @property
    def totals(self) -> UsageTotals:
        """All calls together."""
        return totals_of(self.calls)

    @property
    def cost_usd(self) -> Decimal:
        """What they cost, in USD, exactly; without calls of unknown price (`totals.unpriced` counts those)."""
        return self.totals.cost_usd

    def by(self, *names: str) -> UsageTable:
        """The totals by `model`, `provider`, `target`, `requested_model`, `operation`, `outcome`, `cache`, or any tag.

        `model` is the one that answered. `user` and `session` also go by the names they have elsewhere (`user_id`;
        `session_id`, `thread_id`, `conversation_id`). `tag` takes a call's `tags` one by one; `tag:NAME` is the tag of
        that name, also where a call itself has one such. Of several names, each combination has a row.
        """
        calls, groups = self.calls, defaultdict[Any, list[CallFinished]](list)
        for call in calls:
            for key in itertools.product(*(values_of(call, name) for name in names or ("model",))):
                groups[key if len(names) > 1 else key[0]].append(call)
        rows = {key: totals_of(members) for key, members in groups.items()}
        return UsageTable(names or ("model",), rows, totals_of(calls))

    def to_frame(self) -> Any:
        """A pandas frame, one row for each call; `cost_usd` holds `Decimal`s, or None where no price is known.

        Raises `ConfigurationError` where pandas is not installed.
        """
        return frame_of(_row(call) for call in self.calls)

    def __repr__(self) -> str:
        totals = self.totals
        return f"UsageReport({totals.calls} calls, {totals.total_tokens} tokens, ${totals.cost_usd:f})"

    def __str__(self) -> str:
        return str(self.by("model", "target"))

    def __rich__(self) -> Any:
        return self.by("model", "target").__rich__()

    def _repr_html_(self) -> str:
        return self.by("model", "target")._repr_html_()


def _row(call: CallFinished) -> dict[str, Any]:
    usage, totals = call.usage, totals_of([call])
    return {
        **{name: of(call) for name, of in OF_A_CALL.items()},
        "seconds": call.seconds,
        "first_token": call.first_token,
        "attempts": call.attempts,
        "input_tokens": totals.input_tokens if usage else None,
        "output_tokens": totals.output_tokens if usage else None,
        "cost_usd": None if call.cost is None else totals.cost_usd,
        "cost_source": call.cost.source if call.cost else None,
        "estimated": call.estimated,
        **{name: value for name, value in call.tags.items() if name not in OF_A_CALL},
    }


@contextlib.contextmanager
def usage_report() -> Iterator[UsageReport]:
    """Sum up the calls that are made while the block runs; gives an `UsageReport`, which fills as they finish.

    Only those made in this context, as `portkey_router.events.listening` says: in the block itself, in tasks it
    starts, in `asyncio.to_thread`, in LangChain's `batch`. They are counted when they finish, also where that is
    after the block: a stream read on, a task that goes on. Blocks may be nested; each counts its own. Calls of
    models that are not ours are not heard here: see `langchain_portkey_router.UsageCallbackHandler`.
    """
    report = UsageReport()
    with listening(report.add):
        yield report
