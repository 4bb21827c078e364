"""The integration guide's tour: `python -m unittest tests/test_portkey_integration.py`.

It runs against a double of Portkey on this machine, whatever the environment says: no keys, and nothing is billed. The
cache's part runs on a Redis that is started for it, or, where none can be had, in memory, and says why.
"""

from __future__ import annotations

import os
import sys
import unittest
from typing import Any
from unittest import mock

from portkey_router import AdminClient, SemanticCache, sandbox
from portkey_router.bootstrap import build_cache_store
from portkey_router.guide import PortkeyClient, PortkeyError, RedisClient

HELLO = [{"role": "user", "content": "Hello"}]
FALLBACKS = [
    {"provider": "openai", "model": "gpt-4-turbo", "api_key": "your-openai-api-key"},
    {"provider": "anthropic", "model": "claude-3-opus", "api_key": "your-anthropic-api-key"},
]
CAPITAL = "What is the capital of France?"


def own_redis(case: unittest.TestCase) -> dict[str, Any]:
    """Where the cache is kept, as arguments of `RedisClient`: a Redis of this test's own, else memory."""
    try:
        from tests.services.redis import redis_server
        from tests.services.redis_install import RedisUnavailableError
    except ImportError as error:
        sys.stderr.write(f"The cache is kept in memory, and not in Redis: {error}.\n")
        return {"cache": "memory://"}
    try:
        server = case.enterContext(redis_server())
    except RedisUnavailableError as error:
        sys.stderr.write(f"The cache is kept in memory, and not in Redis: {error}\n")
        return {"cache": "memory://"}
    return {"host": "127.0.0.1", "port": server.port}


class GuideTour(unittest.IsolatedAsyncioTestCase):
    """The guide from its first page on."""

    def setUp(self) -> None:
        """A double of Portkey, and an environment that names it and nothing else of Portkey's."""
        self.server = self.enterContext(sandbox.portkey())
        others = {
            name: value
            for name, value in os.environ.items()
            if "PORTKEY" not in name.upper() and name.upper() != "PREFERRED_LLM_PROVIDER"
        }
        self.enterContext(mock.patch.dict(os.environ, others, clear=True))
        os.environ |= {
            "PORTKEY_API_KEY": self.server.api_key,
            "PORTKEY_GATEWAY_URL": self.server.url,
            "PORTKEY_ADMIN_URL": self.server.url,
        }

    async def test_a_virtual_key_is_made_used_and_rotated(self) -> None:
        """Its slug serves calls, before and after the provider's key was rotated."""
        admin = AdminClient(env_file=None)
        key = admin.keys.create(name="OpenAI-Prod", provider="openai", key="sk-...")
        os.environ["PORTKEY_VIRTUAL_KEY_OPENAI"] = key.slug
        client = PortkeyClient(env_file=None)
        first = await client.generate_response(model="gpt-4", messages=HELLO)
        admin.keys.rotate(key.slug, key="sk-...")
        second = await client.generate_response(model="gpt-4", messages=HELLO)
        self.assertEqual(first.text, second.text)
        self.assertEqual(self.server.requests[-1].headers["x-portkey-virtual-key"], key.slug)

    async def test_a_fallback_answers(self) -> None:
        """The first provider is down; the second answers, and the answer says so."""
        redis_client = RedisClient(use_portkey=True, env_file=None)
        self.assertTrue(await redis_client.is_portkey_enabled())
        await redis_client.setup_portkey_config(strategy="fallback", fallbacks=FALLBACKS)
        self.server.always("openai", sandbox.Fault.status(401))
        answer = await redis_client.portkey.generate_response(messages=HELLO)
        self.assertEqual(answer.model, "claude-3-opus")
        self.assertEqual(len(answer.route.attempts), 2)

    async def test_a_gateway_config_is_saved_and_applied(self) -> None:
        """PORTKEY_CONFIG_ID names it, for every request."""
        saved = AdminClient(env_file=None).configs.create(name="Fallback Config", config={"virtual_key": "vk-openai"})
        os.environ["PORTKEY_CONFIG_ID"] = str(saved.slug)
        await PortkeyClient(env_file=None).generate_response(model="gpt-4", messages=HELLO)
        self.assertEqual(self.server.requests[-1].headers["x-portkey-config"], saved.slug)

    async def test_responses_are_kept_found_and_cleared(self) -> None:
        """A miss, a hit, one for the same politely, a key and a ttl of one's own, and an empty cache."""
        for door in (SemanticCache.__init__, build_cache_store):  # on a busy machine, too
            patience = {"timeout": 20.0, "connect_timeout": 20.0}
            self.enterContext(mock.patch.dict(door.__kwdefaults__ or {}, patience))
        redis_client = RedisClient(**own_redis(self), use_portkey=True, portkey_cache_ttl=3600, env_file=None)
        await redis_client.setup_portkey_config(strategy="fallback", fallbacks=FALLBACKS, cache_enabled=True)
        self.assertIsNone(await redis_client.portkey_semantic_cache(query=CAPITAL))
        response = (await redis_client.portkey.generate_response(messages=HELLO)).text
        await redis_client.portkey_store_semantic_cache(query=CAPITAL, response=response)
        self.assertEqual(await redis_client.portkey_semantic_cache(query=CAPITAL), response)
        politely = "Hello, what is the capital of  france? Thank you!"
        self.assertEqual(await redis_client.portkey_semantic_cache(query=politely), response)
        await redis_client.portkey_store_semantic_cache(
            query=CAPITAL, response=response, cache_key="geography:france:capital", ttl=86400
        )
        named = await redis_client.portkey_semantic_cache(query=CAPITAL, cache_key="geography:france:capital")
        self.assertEqual(named, response)
        self.assertEqual(await redis_client.clear_portkey_cache(), 2)
        self.assertIsNone(await redis_client.portkey_semantic_cache(query=CAPITAL))

    async def test_not_enabled_is_a_runtime_error(self) -> None:
        """What the guide's error handling expects."""
        with self.assertRaises(RuntimeError) as caught:
            await RedisClient(env_file=None).setup_portkey_config(strategy="fallback")
        self.assertIsInstance(caught.exception, PortkeyError)


if __name__ == "__main__":
    unittest.main()
