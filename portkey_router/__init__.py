"""Portkey Router: chat and embeddings through the Portkey AI gateway, dependable, cheap and observable."""

from typing import TYPE_CHECKING

from portkey_router._version import __version__
from portkey_router.abilities import Abilities
from portkey_router.batches import EMBEDDING_LIMITS, BatchLimits
from portkey_router.bootstrap import build_ledger, build_router
from portkey_router.completion_streams import AsyncCompletionStream, CompletionStream
from portkey_router.errors import (
    AdminError,
    AdmissionError,
    AllTargetsFailedError,
    AuthenticationError,
    BudgetExceededError,
    ConfigurationError,
    ConnectFailedError,
    ContentFilterError,
    ContextLengthError,
    CreateUnconfirmedError,
    DeadlineExceededError,
    GuardrailError,
    InvalidRequestError,
    MissingCredentialError,
    NotEnabledError,
    PortkeyError,
    RateLimitExceededError,
    StoreError,
    StreamInterruptedError,
    TransportError,
    UnknownModelError,
    UpstreamError,
    UpstreamRateLimitError,
    UpstreamUnavailableError,
)
from portkey_router.events import (
    AttemptFinished,
    BudgetAlert,
    BudgetExceeded,
    CacheLookup,
    CallFinished,
    Event,
    RouteDecided,
    Sink,
    TargetCooledDown,
    capture_events,
    listening,
)
from portkey_router.flow.journey import Deadlines
from portkey_router.flow.policy import Policy
from portkey_router.health import CircuitRules, Health, TargetHealth
from portkey_router.lazy import lazily as _lazily
from portkey_router.messages import (
    AttemptRecord,
    CallOptions,
    ChatMessage,
    Choice,
    Chunk,
    Completion,
    Cost,
    Embeddings,
    FunctionCall,
    PartialEmbeddings,
    Request,
    Route,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from portkey_router.options import RouterOptions
from portkey_router.planner import Attempt, Plan
from portkey_router.price_files import load_portkey_prices
from portkey_router.pricing import Price, PriceBook
from portkey_router.providers import MODEL_RULES, PROVIDERS, ModelRule, Provider
from portkey_router.router import PortkeyRouter
from portkey_router.settings import HOSTED_GATEWAY_URL, Settings, load_settings
from portkey_router.targets import (
    FALLBACK_STATUS_CODES,
    RETRY_STATUS_CODES,
    Conditional,
    CostAware,
    Fallback,
    LoadBalance,
    Single,
    Sticky,
    Strategy,
    Target,
    When,
)

if TYPE_CHECKING:
    from portkey_router.admin import AdminClient, AsyncAdminClient
    from portkey_router.bound import Bound, PartBounds, bound_of
    from portkey_router.budget import Budget, BudgetState, LedgerReport, LimitState, RateLimit, Reservation
    from portkey_router.cache.cache import SemanticCache
    from portkey_router.cache.calibrate import Calibration, calibrate
    from portkey_router.cache.guards import Guards
    from portkey_router.cache.local_embeddings import LocalEmbeddings
    from portkey_router.cache.results import CacheStats, Hit, Miss, StoredEntry
    from portkey_router.cache.store import IndexState
    from portkey_router.cache.survey import CacheSurvey
    from portkey_router.ledger.keeper import BudgetLedger
    from portkey_router.report import UsageReport, UsageTable, UsageTotals, usage_report

__all__ = [
    "EMBEDDING_LIMITS",
    "FALLBACK_STATUS_CODES",
    "HOSTED_GATEWAY_URL",
    "MODEL_RULES",
    "PROVIDERS",
    "RETRY_STATUS_CODES",
    "Abilities",
    "AdminClient",
    "AdminError",
    "AdmissionError",
    "AllTargetsFailedError",
    "AsyncAdminClient",
    "AsyncCompletionStream",
    "Attempt",
    "AttemptFinished",
    "AttemptRecord",
    "AuthenticationError",
    "BatchLimits",
    "Bound",
    "Budget",
    "BudgetAlert",
    "BudgetExceeded",
    "BudgetExceededError",
    "BudgetLedger",
    "BudgetState",
    "CacheLookup",
    "CacheStats",
    "CacheSurvey",
    "Calibration",
    "CallFinished",
    "CallOptions",
    "ChatMessage",
    "Choice",
    "Chunk",
    "CircuitRules",
    "Completion",
    "CompletionStream",
    "Conditional",
    "ConfigurationError",
    "ConnectFailedError",
    "ContentFilterError",
    "ContextLengthError",
    "Cost",
    "CostAware",
    "CreateUnconfirmedError",
    "DeadlineExceededError",
    "Deadlines",
    "Embeddings",
    "Event",
    "Fallback",
    "FunctionCall",
    "GuardrailError",
    "Guards",
    "Health",
    "Hit",
    "IndexState",
    "InvalidRequestError",
    "LedgerReport",
    "LimitState",
    "LoadBalance",
    "LocalEmbeddings",
    "Miss",
    "MissingCredentialError",
    "ModelRule",
    "NotEnabledError",
    "PartBounds",
    "PartialEmbeddings",
    "Plan",
    "Policy",
    "PortkeyError",
    "PortkeyRouter",
    "Price",
    "PriceBook",
    "Provider",
    "RateLimit",
    "RateLimitExceededError",
    "Request",
    "Reservation",
    "Route",
    "RouteDecided",
    "RouterOptions",
    "SemanticCache",
    "Settings",
    "Single",
    "Sink",
    "Sticky",
    "StoreError",
    "StoredEntry",
    "Strategy",
    "StreamInterruptedError",
    "Target",
    "TargetCooledDown",
    "TargetHealth",
    "ToolCall",
    "ToolCallDelta",
    "TransportError",
    "UnknownModelError",
    "UpstreamError",
    "UpstreamRateLimitError",
    "UpstreamUnavailableError",
    "Usage",
    "UsageReport",
    "UsageTable",
    "UsageTotals",
    "When",
    "__version__",
    "bound_of",
    "build_ledger",
    "build_router",
    "calibrate",
    "capture_events",
    "listening",
    "load_portkey_prices",
    "load_settings",
    "usage_report",
]

_LAZY = {
    "AdminClient": "portkey_router.admin",
    "AsyncAdminClient": "portkey_router.admin",
    "Bound": "portkey_router.bound",
    "PartBounds": "portkey_router.bound",
    "bound_of": "portkey_router.bound",
    "Budget": "portkey_router.budget",
    "BudgetState": "portkey_router.budget",
    "LedgerReport": "portkey_router.budget",
    "LimitState": "portkey_router.budget",
    "RateLimit": "portkey_router.budget",
    "Reservation": "portkey_router.budget",
    "SemanticCache": "portkey_router.cache.cache",
    "Calibration": "portkey_router.cache.calibrate",
    "calibrate": "portkey_router.cache.calibrate",
    "Guards": "portkey_router.cache.guards",
    "LocalEmbeddings": "portkey_router.cache.local_embeddings",
    "CacheStats": "portkey_router.cache.results",
    "Hit": "portkey_router.cache.results",
    "Miss": "portkey_router.cache.results",
    "StoredEntry": "portkey_router.cache.results",
    "IndexState": "portkey_router.cache.store",
    "CacheSurvey": "portkey_router.cache.survey",
    "BudgetLedger": "portkey_router.ledger.keeper",
    "UsageReport": "portkey_router.report",
    "UsageTable": "portkey_router.report",
    "UsageTotals": "portkey_router.report",
    "usage_report": "portkey_router.report",
}

if not TYPE_CHECKING:  # to type checkers the names are imported above, and a misspelt one is an error
    __getattr__ = _lazily(_LAZY, globals())
