"""What calls used and cost, summed by model, target, user or any tag: of a block, or of what the sinks wrote.

```
with usage_report() as report:            # the calls of a block; every one is kept
    ...

summary = UsageSummary(by="tag:team")     # of any number of calls; none is kept
for call, at in calls_in(lines_of(["calls.jsonl"])):
    summary.add(call, at)
print(summary.total.totals.cost_usd, summary.rows)
```
"""

from portkey_router.report.files import files_named, lines_of
from portkey_router.report.quantiles import Quantiles
from portkey_router.report.reading import PassedOver, call_of, calls_in
from portkey_router.report.report import UsageReport, usage_report
from portkey_router.report.reporting import Reporting
from portkey_router.report.summary import OTHERS, Durations, SummaryRow, UsageSummary
from portkey_router.report.table import UsageTable
from portkey_router.report.totals import RunningTotals, UsageTotals, totals_of

__all__ = [
    "OTHERS",
    "Durations",
    "PassedOver",
    "Quantiles",
    "Reporting",
    "RunningTotals",
    "SummaryRow",
    "UsageReport",
    "UsageSummary",
    "UsageTable",
    "UsageTotals",
    "call_of",
    "calls_in",
    "files_named",
    "lines_of",
    "totals_of",
    "usage_report",
]
