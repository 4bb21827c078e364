"""What fills a report on a framework's side, and speaks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from decimal import Decimal

    from portkey_router.report.report import UsageReport
    from portkey_router.report.table import UsageTable
    from portkey_router.report.totals import UsageTotals

__all__ = ["Reporting"]


class Reporting:
    """A handler with a `report`, which keeps every call: what is asked of the one is answered by the other."""

    report: UsageReport

    @property
    def totals(self) -> UsageTotals:
        """All calls together."""
        return self.report.totals

    @property
    def cost_usd(self) -> Decimal:
        """What they cost, in USD, exactly; `totals.unpriced` counts calls of unknown price, which are not in it."""
        return self.report.cost_usd

    def by(self, *names: str) -> UsageTable:
        """The totals by `model`, `provider`, `user`, `session`, `tag` ... or any other tag: see `UsageReport.by`."""
        return self.report.by(*names)

    def __str__(self) -> str:
        return str(self.report)

    def __rich__(self) -> Any:
        return self.report.__rich__()

    def _repr_html_(self) -> str:
        return self.report._repr_html_()
