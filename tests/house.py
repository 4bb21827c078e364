"""The plan of the house: its floors, its doors, what is pure, how large a room is. `architecture.py` has the rules."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("portkey_router", "langchain_portkey_router", "llama_index_portkey")

# Floors, from the ground up. A module may import what stands on a lower floor, and its own subpackage. The longest
# matching name counts, so `portkey_router` alone is the package's `__init__`.
FLOORS: tuple[tuple[str, ...], ...] = (
    (
        "portkey_router._version",
        "portkey_router.deadline",
        "portkey_router.errors",
        "portkey_router.lazy",
        "portkey_router.locks",
        "portkey_router.loop_end",
        "portkey_router.messages",
        "portkey_router.sansio",
    ),
    (
        "portkey_router.abilities",
        "portkey_router.money",
        "portkey_router.providers",
        "portkey_router.secrets",
        "portkey_router.spelling",
        "portkey_router.windows",
        "portkey_router.wire.http",
    ),
    (
        "portkey_router.health",
        "portkey_router.reasoning",
        "portkey_router.targets",
        "portkey_router.tokens",
    ),
    (
        "portkey_router.compile",
        "portkey_router.describe",
        "portkey_router.price_files",
        "portkey_router.pricing",
        "portkey_router.settings",
        "portkey_router.spaces",
    ),
    ("portkey_router.costing", "portkey_router.tokenizer"),
    # The wire writes targets and settings as headers, so it stands above them.
    ("portkey_router.bound", "portkey_router.events", "portkey_router.wire"),
    ("portkey_router.budget", "portkey_router.cache", "portkey_router.planner", "portkey_router.report"),
    ("portkey_router.ledger",),
    ("portkey_router.batches", "portkey_router.flow", "portkey_router.ranking"),
    ("portkey_router.transport.sockets",),
    ("portkey_router.stores", "portkey_router.transport"),
    ("portkey_router.sinks",),
    (
        "portkey_router.call_arguments",
        "portkey_router.completion_streams",
        "portkey_router.drive",
        "portkey_router.embedding",
        "portkey_router.options",
        "portkey_router.portal",
    ),
    ("portkey_router.admin", "portkey_router.router"),
    ("portkey_router.bootstrap",),
    ("portkey_router.fields",),
    ("portkey_router",),
    ("portkey_router.guide", "portkey_router.sandbox"),
    ("langchain_portkey_router", "llama_index_portkey", "portkey_router.cli"),
    ("portkey_router.__main__",),
)

# Exceptions annotate with what travels, and what travels names the exceptions: types only, never at run time.
TYPE_ONLY_PAIRS = {
    ("portkey_router.errors", "portkey_router.messages"),
    ("portkey_router.messages", "portkey_router.errors"),
}
# The one door back up: the short constructors build a router by the composition root.
UPWARD_DOORS = {
    ("portkey_router.router", "portkey_router.bootstrap"): {"PortkeyRouter.from_env", "PortkeyRouter.from_portkey"},
    ("portkey_router.cache", "portkey_router.bootstrap"): {"open_store", "encoder_by_name"},
}

# The one sink that reaches its server through a client of the stores.
STORE_DOORS = {
    ("portkey_router.sinks.redis_stream", "portkey_router.stores.commands"),
    ("portkey_router.sinks.redis_stream", "portkey_router.stores.redis_client"),
}

PURE = (
    "langchain_portkey_router._convert",
    "llama_index_portkey._convert",
    "portkey_router.abilities",
    "portkey_router.batches",
    "portkey_router.cache.calibrate",
    "portkey_router.cache.canonical",
    "portkey_router.cache.contrasts",
    "portkey_router.cache.conversation",
    "portkey_router.cache.courtesy",
    "portkey_router.cache.features",
    "portkey_router.cache.guards",
    "portkey_router.cache.key",
    "portkey_router.cache.llm_string",
    "portkey_router.cache.normalise",
    "portkey_router.cache.policy",
    "portkey_router.cache.quantities",
    "portkey_router.cache.windows",
    "portkey_router.cache.words",
    "portkey_router.costing",
    "portkey_router.health",
    "portkey_router.ledger.books",
    "portkey_router.ledger.claims",
    "portkey_router.ledger.commands",
    "portkey_router.ledger.provider_limits",
    "portkey_router.money",
    "portkey_router.planner",
    "portkey_router.pricing",
    "portkey_router.ranking",
    "portkey_router.sansio",
    "portkey_router.stores.commands",
    "portkey_router.spaces",
    "portkey_router.tokens",
    "portkey_router.windows",
    "portkey_router.wire",
)
# fmt: off
IMPURE_LIBRARIES = frozenset({
    "aiohttp", "asyncio", "concurrent", "ftplib", "http", "httpx", "multiprocessing", "os", "pathlib", "random",
    "redis", "requests", "secrets", "select", "selectors", "shutil", "signal", "smtplib", "socket", "ssl",
    "subprocess", "tempfile", "threading", "time", "urllib.request", "uuid",
})
# fmt: on
IMPURE_CALLS = frozenset({"date.today", "datetime.now", "datetime.today", "datetime.utcnow", "input", "open", "print"})
PURE_EXEMPTIONS = {
    ("portkey_router.wire.http", "time"): "the default of Expiry.remaining(now=None); the flow passes `now`",
}

FRAMEWORKS = ("langchain", "langgraph", "llama_index")
NAMELESS = frozenset({"common", "helper", "helpers", "misc", "util", "utils"})
MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 70
