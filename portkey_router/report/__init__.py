"""What calls used and cost, summed by model, target, user or any tag, for as long as a block runs."""

from portkey_router.report.report import UsageReport, usage_report
from portkey_router.report.reporting import Reporting
from portkey_router.report.table import UsageTable
from portkey_router.report.totals import UsageTotals, totals_of

__all__ = ["Reporting", "UsageReport", "UsageTable", "UsageTotals", "totals_of", "usage_report"]
