"""What a call may be expected to cost at each target, and in which order to ask them. It is handed all it needs."""

from portkey_router.costing.appraisal import Appraisal, Appraiser
from portkey_router.costing.experience import Experience, Learned
from portkey_router.costing.needs import Needs, needs_of
from portkey_router.costing.prospect import Prospect, cheapest_order, expected_cost

__all__ = [
    "Appraisal",
    "Appraiser",
    "Experience",
    "Learned",
    "Needs",
    "Prospect",
    "cheapest_order",
    "expected_cost",
    "needs_of",
]
