"""LangChain's own integration suite for chat models, twice: over the double, and over the real gateway.

Both are on loopback. The suite downloads its picture, its PDF and its sound; here it is handed files made on the spot.
"""

from __future__ import annotations

import io
import struct
import wave
import zlib
from typing import TYPE_CHECKING, Any, ClassVar

import httpx
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests

from langchain_portkey_router import ChatPortkey
from portkey_router import sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from portkey_router.sandbox import Gateway

LONG_SYSTEM_PROMPT = "Answer in one sentence, and never guess. " * 40  # long enough for the sandbox's prompt cache


def picture() -> bytes:
    """A PNG of one grey pixel."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", zlib.compress(b"\0\x80")) + part(b"IEND", b"")


def document() -> bytes:
    """A PDF of one empty page."""
    return (
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
    )


def sound() -> bytes:
    """A WAV of ten milliseconds of silence."""
    held = io.BytesIO()
    with wave.open(held, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(8000)
        written.writeframes(bytes(160))
    return held.getvalue()


FILES = {"png": picture, "pdf": document, "wav": sound}


class _Standard(ChatModelIntegrationTests):
    """What both runs have in common; `connection` is set by their fixtures."""

    connection: ClassVar[dict[str, Any]] = {}

    @pytest.fixture(autouse=True)
    def _local_files(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The suite's downloads are answered here, and nothing else is."""

        def get(url: str, **_: Any) -> httpx.Response:
            return httpx.Response(200, content=FILES[url.rsplit(".", 1)[-1]]())

        monkeypatch.setattr(httpx, "get", get)
        monkeypatch.setenv("LANGCHAIN_TESTS_USER_AGENT", "nothing is downloaded")

    # The one test that times a recording: it is made on the spot, of the loopback server, and played back.
    enable_vcr_tests = True

    @pytest.fixture
    def record_mode(self) -> str:
        """Recordings are made where there are none."""
        return "once"

    @pytest.fixture
    def vcr_config(self) -> dict[str, Any]:
        """A recording is played as often as it is asked for."""
        return {"allow_playback_repeats": True}

    @pytest.fixture
    def vcr_cassette_dir(self, tmp_path: Path) -> str:
        """Recordings are not kept."""
        return str(tmp_path)

    @pytest.fixture(autouse=True)
    def _recorded(self, request: pytest.FixtureRequest) -> Iterator[None]:
        """What is played back has been recorded, and nothing is asked of the server after that."""
        if request.node.name != "test_stream_time":
            yield
            return
        cassette = request.getfixturevalue("vcr")
        whole = "".join(
            chunk.text for chunk in ChatPortkey(**self.chat_model_params).stream("Write a story about a cat.")
        )
        cassette.rewound = True  # as if it had been read from its file
        yield
        assert len(cassette.responses) == 1
        assert cassette.play_count >= 1
        assert "story" in whole

    @property
    def chat_model_class(self) -> type[ChatPortkey]:
        """The class under test."""
        return ChatPortkey

    @property
    def chat_model_params(self) -> dict[str, Any]:
        """One model, and the way to it."""
        return {"model": "gpt-4o", **self.connection}

    @property
    def model_override_value(self) -> str:
        """A model for one call."""
        return "gpt-4o-mini"

    @property
    def supports_json_mode(self) -> bool:
        """With the JSON that a question asks for."""
        return True

    supports_image_inputs = True
    supports_image_urls = True
    supports_pdf_inputs = True
    supports_audio_inputs = True
    supports_image_tool_message = True
    supports_pdf_tool_message = True
    supports_anthropic_inputs = True

    @property
    def supported_usage_metadata_details(self) -> Any:
        """What OpenAI's shape states of the tokens."""
        details = ["reasoning_output", "cache_read_input"]
        return {"invoke": details, "stream": details}

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        """An answer that was thought about."""
        return self._ask([HumanMessage("Why?")], stream=stream, reasoning_effort="high")

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        """An answer to a prompt the provider has seen before."""
        prompt = [SystemMessage(LONG_SYSTEM_PROMPT), HumanMessage("Why?")]
        self._ask(prompt, stream=stream)
        answer = self._ask(prompt, stream=stream)
        assert answer.usage_metadata is not None
        assert answer.usage_metadata["input_token_details"]["cache_read"] > 0
        return answer

    def _ask(self, prompt: list[Any], *, stream: bool, **options: Any) -> AIMessage:
        model = ChatPortkey(**self.chat_model_params)
        if not stream:
            return model.invoke(prompt, **options)
        whole: AIMessageChunk | None = None
        for chunk in model.stream(prompt, **options):
            assert isinstance(chunk, AIMessageChunk)
            whole = chunk if whole is None else whole + chunk
        assert whole is not None
        return whole


class TestOverTheDouble(_Standard):
    """The suite against the double of hosted Portkey."""

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _double(cls) -> Iterator[None]:
        with sandbox.portkey() as running:
            cls.connection = {"base_url": running.url, "api_key": running.api_key, "virtual_key": "vk-openai"}
            yield


class TestOverTheRealGateway(_Standard):
    """The suite against the open-source gateway, with the sandbox's providers behind it."""

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _gateway(cls, portkey_gateway: Gateway) -> Iterator[None]:
        with sandbox.providers() as running:
            headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": running.url}
            cls.connection = {"base_url": portkey_gateway.url, "api_key": "sk-test", "default_headers": headers}
            yield
