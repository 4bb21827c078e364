"""The integration guide's tour: `python -m unittest tests/test_portkey_integration.py`.

It runs against a double of Portkey on this machine, whatever the environment says: no keys, and nothing is billed.
"""

from __future__ import annotations

import os
import unittest
from unittest import mock

from portkey_router import AdminClient, sandbox
from portkey_router.guide import PortkeyClient, PortkeyError, RedisClient

HELLO = [{"role": "user", "content": "Hello"}]
FALLBACKS = [
    {"provider": "openai", "model": "gpt-4-turbo", "api_key": "your-openai-api-key"},
    {"provider": "anthropic", "model": "claude-3-opus", "api_key": "your-anthropic-api-key"},
]


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

    async def test_not_enabled_is_a_runtime_error(self) -> None:
        """What the guide's error handling expects."""
        with self.assertRaises(RuntimeError) as caught:
            await RedisClient(env_file=None).setup_portkey_config(strategy="fallback")
        self.assertIsInstance(caught.exception, PortkeyError)


if __name__ == "__main__":
    unittest.main()
