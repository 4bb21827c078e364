from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

from tests import architecture
from tests.architecture import RULES, product_sources
from tests.house import PACKAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LONG_FUNCTION = "def long() -> None:\n" + "    pass\n" * 70
FRAMEWORK = architecture.core_imports_no_framework
AIOHTTP = architecture.only_transport_imports_aiohttp
REDIS = architecture.only_redis_client_imports_redis
CONCRETE = architecture.only_bootstrap_knows_concrete_stores_and_sinks
SDK = architecture.portkey_ai_is_never_imported_with_us
PURITY = architecture.pure_modules_do_no_io
DOWN = architecture.imports_point_down
CIRCLES = architecture.no_circles
ADDRESS = architecture.every_module_has_an_address
SMALL = architecture.rooms_are_small
LISTED = architecture.public_names_are_listed

TYPE_CHECKING_IMPORT = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    "

BREACHES = [
    (FRAMEWORK, {"portkey_router/router.py": "import langchain_core.messages"}),
    (FRAMEWORK, {"portkey_router/router.py": "def f():\n    from langgraph.graph import Graph"}),
    (FRAMEWORK, {"portkey_router/router.py": TYPE_CHECKING_IMPORT + "from llama_index.core import LLM"}),
    (FRAMEWORK, {"langchain_portkey_router/_convert.py": "from llama_index.core.llms import ChatMessage"}),
    (FRAMEWORK, {"llama_index_portkey/_convert.py": "from langchain_core.messages import AIMessage"}),
    (AIOHTTP, {"portkey_router/admin.py": "import aiohttp"}),
    (AIOHTTP, {"portkey_router/admin.py": "from aiohttp import web"}),
    (AIOHTTP, {"portkey_router/admin.py": "import importlib\nimportlib.import_module('aiohttp')"}),
    (AIOHTTP, {"portkey_router/sandbox/portkey.py": "import aiohttp"}),
    (AIOHTTP, {"portkey_router/sandbox/portkey.py": "from aiohttp import ClientSession, web"}),
    (AIOHTTP, {"langchain_portkey_router/chat_models.py": "from aiohttp.client import ClientSession"}),
    (REDIS, {"portkey_router/stores/redis.py": "import redis"}),
    (REDIS, {"portkey_router/bootstrap.py": "from redis.asyncio import Redis"}),
    (CONCRETE, {"portkey_router/router.py": "from portkey_router.stores.memory import MemoryStore"}),
    (CONCRETE, {"portkey_router/router.py": "from portkey_router import stores"}),
    (CONCRETE, {"portkey_router/cli.py": "from portkey_router.sinks import log"}),
    (SDK, {"portkey_router/bootstrap.py": "from portkey_ai import Portkey"}),
    (SDK, {"langchain_portkey_router/chat_models.py": "try:\n    import portkey_ai\nexcept ImportError:\n    pass"}),
    (PURITY, {"portkey_router/planner.py": "import time"}),
    (PURITY, {"portkey_router/health.py": "from random import random"}),
    (PURITY, {"portkey_router/wire/sse.py": "import asyncio"}),
    (PURITY, {"portkey_router/wire/errors.py": "import time"}),
    (PURITY, {"portkey_router/pricing.py": "def f():\n    import os"}),
    (PURITY, {"portkey_router/pricing.py": "from datetime import datetime, UTC\nnow = datetime.now(UTC)"}),
    (PURITY, {"portkey_router/pricing.py": "import datetime\nnow = datetime.datetime.now()"}),
    (PURITY, {"portkey_router/cache/key.py": "import uuid"}),
    (PURITY, {"portkey_router/tokens.py": "table = open('ratios.json').read()"}),
    (PURITY, {"langchain_portkey_router/_convert.py": "import urllib.request"}),
    (DOWN, {"portkey_router/messages.py": "from portkey_router.planner import Plan"}),
    (DOWN, {"portkey_router/planner.py": TYPE_CHECKING_IMPORT + "from portkey_router.flow.steps import Step"}),
    (DOWN, {"portkey_router/planner.py": "from portkey_router import PortkeyRouter"}),
    (DOWN, {"portkey_router/targets.py": "from portkey_router.tokens import estimate"}),
    (DOWN, {"portkey_router/wire/http.py": "from portkey_router.wire.sse import Event"}),
    (DOWN, {"portkey_router/errors.py": "from portkey_router.messages import Usage"}),
    (DOWN, {"portkey_router/router.py": "from portkey_router.bootstrap import build"}),
    (DOWN, {"portkey_router/router.py": "class PortkeyRouter:\n def plan():\n  from portkey_router import bootstrap"}),
    (DOWN, {"portkey_router/flow/journey.py": "from .. import router"}),
    (DOWN, {"langchain_portkey_router/embeddings.py": "import llama_index_portkey"}),
    (DOWN, {"portkey_router/sandbox/portkey.py": "import langchain_portkey_router.chat_models"}),
    (DOWN, {"portkey_router/newcomer.py": ""}),
    (
        CIRCLES,
        {
            "portkey_router/wire/a.py": "from portkey_router.wire.b import B",
            "portkey_router/wire/b.py": "from portkey_router.wire import c",
            "portkey_router/wire/c.py": TYPE_CHECKING_IMPORT + "from portkey_router.wire.a import A",
        },
    ),
    (ADDRESS, {"portkey_router/flow/utils.py": ""}),
    (ADDRESS, {"portkey_router/_common.py": ""}),
    (ADDRESS, {"langchain_portkey_router/helpers/__init__.py": ""}),
    (SMALL, {"portkey_router/router.py": "x = 1\n" * 501}),
    (SMALL, {"portkey_router/router.py": LONG_FUNCTION}),
    (SMALL, {"portkey_router/router.py": "class A:\n    async def f(self):\n" + "        pass\n" * 70}),
    (LISTED, {"portkey_router/__init__.py": "from portkey_router.errors import PortkeyError"}),
    (LISTED, {"portkey_router/__init__.py": "from portkey_router.errors import A, B\n__all__ = ['A']"}),
    (LISTED, {"portkey_router/__init__.py": "from portkey_router.errors import A, B\n__all__ = ['B', 'A']"}),
    (LISTED, {"portkey_router/__init__.py": "from portkey_router.errors import A\n__all__ = ['A', 'A']"}),
    (LISTED, {"langchain_portkey_router/__init__.py": "__all__ = ['ChatPortkey']"}),
]

KEPT = [
    (FRAMEWORK, {"langchain_portkey_router/_convert.py": "from langchain_core.messages import AIMessage"}),
    (FRAMEWORK, {"langchain_portkey_router/chat.py": "from langchain_portkey_router._convert import to_request"}),
    (FRAMEWORK, {"llama_index_portkey/llm.py": "from llama_index.core.llms import ChatMessage"}),
    (AIOHTTP, {"portkey_router/transport.py": "import aiohttp\nfrom aiohttp import ClientSession"}),
    (AIOHTTP, {"portkey_router/sandbox/portkey.py": "from aiohttp import web\nfrom aiohttp.web import Response"}),
    (REDIS, {"portkey_router/stores/redis_client.py": "import redis\nfrom redis.asyncio import Redis"}),
    (REDIS, {"portkey_router/bootstrap.py": "from portkey_router.stores.redis import commands"}),
    (CONCRETE, {"portkey_router/bootstrap.py": "from portkey_router.stores.memory import MemoryStore"}),
    (CONCRETE, {"portkey_router/stores/redis_client.py": "from portkey_router.stores.redis import commands"}),
    (SDK, {"portkey_router/bootstrap.py": "def from_portkey():\n    import portkey_ai"}),
    (SDK, {"portkey_router/bootstrap.py": TYPE_CHECKING_IMPORT + "from portkey_ai import Portkey"}),
    (PURITY, {"portkey_router/wire/http.py": "import time"}),
    (PURITY, {"portkey_router/pricing.py": "from datetime import datetime\nfrom urllib.parse import quote"}),
    (PURITY, {"portkey_router/portal.py": "import asyncio, os, time"}),
    (DOWN, {"portkey_router/errors.py": TYPE_CHECKING_IMPORT + "from portkey_router.messages import Usage"}),
    (DOWN, {"portkey_router/wire/sse.py": "from portkey_router.wire.http import HttpCall"}),
    (DOWN, {"langchain_portkey_router/chat.py": "from portkey_router import Router\nimport portkey_router.router"}),
    (
        DOWN,
        {
            "portkey_router/router.py": "class PortkeyRouter:\n    def from_env(cls):\n"
            "        from portkey_router.bootstrap import build"
        },
    ),
    (CIRCLES, {"portkey_router/a.py": "import portkey_router.b", "portkey_router/b.py": "import json"}),
    (SMALL, {"portkey_router/router.py": LONG_FUNCTION.removesuffix("    pass\n")}),
    (LISTED, {"portkey_router/__init__.py": "from portkey_router.errors import A, b\n__all__ = ['A', 'b']"}),
    (LISTED, {"portkey_router/__init__.py": '"""Nothing public yet."""'}),
]


def _name(value: object) -> str:
    return ", ".join(value) if isinstance(value, dict) else str(getattr(value, "__name__", value))


@pytest.mark.parametrize("rule", RULES, ids=_name)
def test_the_product_keeps_the_rule(rule: Callable[[Mapping[str, str]], list[str]]) -> None:
    """The code as it stands keeps every rule of the house."""
    breaches = rule(product_sources())
    assert not breaches, "\n" + "\n".join(breaches)


@pytest.mark.parametrize(("rule", "sources"), BREACHES, ids=_name)
def test_a_planted_breach_is_found(rule: Callable[[Mapping[str, str]], list[str]], sources: Mapping[str, str]) -> None:
    """Each rule finds a breach planted for it, and names the file."""
    breaches = rule(sources)
    assert breaches
    assert all(breach.split(":")[0] in sources for breach in breaches)


@pytest.mark.parametrize(("rule", "sources"), KEPT, ids=_name)
def test_what_is_allowed_is_not_a_breach(
    rule: Callable[[Mapping[str, str]], list[str]], sources: Mapping[str, str]
) -> None:
    """Each rule lets pass what it means to allow."""
    assert rule(sources) == []


def test_every_rule_has_a_planted_breach() -> None:
    """No rule is trusted that has not been seen to fail."""
    assert {rule for rule, _ in BREACHES} == set(RULES)


def test_the_product_is_read() -> None:
    """The rules see the real modules: an empty mapping would keep every rule."""
    assert "portkey_router/errors.py" in product_sources()


@pytest.mark.parametrize("package", [name for name in PACKAGES if f"{name}/__init__.py" in product_sources()])
def test_every_public_name_can_be_had(package: str) -> None:
    """Each name in `__all__` is an attribute of the package, lazily imported ones too."""
    module = import_module(package)
    assert [name for name in getattr(module, "__all__", ()) if not hasattr(module, name)] == []


def test_importing_the_core_is_cheap() -> None:
    """`import portkey_router` loads neither the HTTP client, the price table, a framework nor the SDK."""
    program = "import json, sys, portkey_router; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True).stdout)
    costly = {"aiohttp", "genai_prices", "langchain", "langchain_core", "llama_index", "portkey_ai", "redis"}
    assert costly.isdisjoint(loaded)
    # Parts that not every program uses are imported when they are first asked for.
    parts = [f"portkey_router.{part}" for part in ("admin", "budget", "cache", "ledger", "report", "stores")]
    assert [name for name in loaded if name.startswith(tuple(parts))] == []
