"""Planted keys are searched for wherever text leaves us; none may be found."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
import zlib
from itertools import chain
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import redis
from langchain_core.load import dumpd, dumps
from langchain_core.tracers.base import BaseTracer
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.callbacks import CallbackManager
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]  # not listed there
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from pydantic import BaseModel, SecretStr

from langchain_portkey_router import ChatPortkey, PortkeyEmbeddings
from llama_index_portkey import PortkeyEmbedding, PortkeyLLM
from portkey_router import (
    Conditional,
    ConfigurationError,
    Fallback,
    LoadBalance,
    PortkeyError,
    PortkeyRouter,
    SemanticCache,
    Target,
    When,
    load_settings,
    sandbox,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_core.tracers.schemas import Run

    from portkey_router.planner import RunOn
    from portkey_router.sandbox import PortkeyDouble

API_KEY = "pcak-PLANTED-api-0123456789"
VIRTUAL_KEY = "PLANTED-virtual-0123456789"
PROVIDER_KEY = "sk-PLANTED-provider-0123456789"
HEADER_KEY = "PLANTED-header-0123456789"
OPTION_KEY = "PLANTED-option-0123456789"
CONFIG_KEY = "PLANTED-config-0123456789"
PLANTED = "PLANTED-"

Model = ChatPortkey | PortkeyLLM


def models(kind: type[Model] = ChatPortkey) -> Iterator[Model]:
    """Models that hold planted keys in every place that takes one."""
    target = Target(
        "gpt-4o", provider="openai", api_key=PROVIDER_KEY, options={"aws_secret_access_key": OPTION_KEY}, name="a"
    )
    keyed = Target("claude-sonnet-4-5", virtual_key=VIRTUAL_KEY, name="b")
    for strategy in (
        Fallback(target, keyed),
        LoadBalance(keyed, Fallback(target, keyed)),
        Conditional(When({"metadata.a": {"$eq": "b"}}, target), default=keyed),
        keyed,
    ):
        run_on: RunOn = "client" if isinstance(strategy, Fallback | Target) else "gateway"
        yield kind(strategy=strategy, api_key=API_KEY, run_on=run_on)
    headers = {"x-portkey-api-key": HEADER_KEY, "x-portkey-virtual-key": VIRTUAL_KEY, "Authorization": PROVIDER_KEY}
    yield kind(model="gpt-4o", api_key=API_KEY, default_headers=headers)
    yield kind(model="gpt-4o", api_key=API_KEY, virtual_key=VIRTUAL_KEY, virtual_keys={"openai": HEADER_KEY})
    config = {"provider": "openai", "api_key": CONFIG_KEY}
    yield kind(model="gpt-4o", api_key=API_KEY, config=config)
    yield kind(model="gpt-4o", api_key=API_KEY, config=json.dumps(config))


def texts_of_langchain(llm: ChatPortkey) -> Iterator[str]:
    """Every text that LangChain makes of a model."""
    yield dumps(llm)
    yield json.dumps(dumpd(llm), default=repr)
    yield repr(llm.to_json())
    yield llm._get_llm_string()
    yield repr(llm._identifying_params)
    yield repr(llm._get_invocation_params())
    yield repr(llm.asdict())


def texts_of_llama_index(llm: PortkeyLLM) -> Iterator[str]:
    """Every text that LlamaIndex makes of a model."""
    yield json.dumps(llm.to_dict())
    yield llm.to_json()
    yield repr(llm.to_payload())
    yield repr(llm.metadata)
    yield repr(llm.as_structured_llm(_Answer))
    yield json.dumps(llm.as_structured_llm(_Answer).to_dict())


class _Answer(BaseModel):
    text: str


def texts_of(llm: Model) -> Iterator[str]:
    """Every text that a model turns into without being called."""
    router = llm._the_router()
    yield repr(llm)
    yield str(llm)
    yield from texts_of_langchain(llm) if isinstance(llm, ChatPortkey) else texts_of_llama_index(llm)
    yield llm.model_dump_json()
    yield pickle.dumps(llm).decode("latin-1")
    yield repr(router)
    yield repr(router.settings)
    model = llm.model_name if isinstance(llm, ChatPortkey) else llm.model
    plan = router.plan([{"role": "user", "content": "hi"}], model=model)
    yield repr(plan)
    yield str(plan)
    yield repr(llm.strategy)
    yield pickle.dumps(llm.strategy).decode("latin-1")


@pytest.mark.parametrize("kind", [ChatPortkey, PortkeyLLM])
def test_no_text_of_a_model_holds_a_key(kind: type[Model]) -> None:
    """repr, str, dumps, to_json, to_dict, payload, cache key, JSON, pickle, plan: of every kind of model."""
    for llm in models(kind):
        for text in texts_of(llm):
            assert PLANTED not in text, text


SPACE = "text-embedding-3-small"


def embedding_models() -> Iterator[PortkeyEmbeddings | PortkeyEmbedding]:
    """Embedding models of both frameworks that hold planted keys in every place that takes one."""
    target = Target(SPACE, provider="openai", api_key=PROVIDER_KEY, options={"aws_secret_access_key": OPTION_KEY})
    strategy = Fallback(target, Target(SPACE, virtual_key=VIRTUAL_KEY))
    headers = {"x-portkey-api-key": HEADER_KEY, "x-portkey-virtual-key": VIRTUAL_KEY, "Authorization": PROVIDER_KEY}
    given: tuple[dict[str, Any], ...] = (
        {"strategy": strategy},
        {"strategy": strategy, "run_on": "gateway"},
        {"model": SPACE, "default_headers": headers},
        {"model": SPACE, "virtual_key": VIRTUAL_KEY, "virtual_keys": {"openai": HEADER_KEY}},
        {"model": SPACE, "config": {"provider": "openai", "api_key": CONFIG_KEY}},
        {"model": SPACE, "config": json.dumps({"provider": "openai", "api_key": CONFIG_KEY})},
    )
    for arguments in given:
        yield PortkeyEmbeddings(api_key=API_KEY, **arguments)
        yield PortkeyEmbedding(api_key=API_KEY, **arguments)


def texts_of_embeddings(model: PortkeyEmbeddings | PortkeyEmbedding) -> Iterator[str]:
    """Every text that an embedding model turns into without being called."""
    yield from (repr(model), str(model), model.model_dump_json(), repr(model.model_dump()))
    yield pickle.dumps(model).decode("latin-1")
    plan = model._the_router().plan_for(model.model_name, operation="embeddings")
    yield from (repr(plan), str(plan))
    if isinstance(model, PortkeyEmbeddings):
        yield from (dumps(model), json.dumps(dumpd(model), default=repr), repr(model.to_json()))
    else:
        yield from (model.to_json(), repr(model.to_dict()), repr(model.to_payload()))


def test_no_text_of_an_embedding_model_holds_a_key() -> None:
    """repr, dumps, dict, JSON, payload, pickle, plan: of both frameworks' embeddings; their copies keep the keys."""
    for model in embedding_models():
        for text in texts_of_embeddings(model):
            assert PLANTED not in text, text
        copied = copy.deepcopy(model)
        key = copied.portkey_api_key if isinstance(copied, PortkeyEmbeddings) else copied.api_key
        assert isinstance(key, SecretStr)
        assert key.get_secret_value() == API_KEY


@pytest.mark.parametrize("fault", ["none", "echo", "later"])
def test_embedding_calls_leak_nothing(
    portkey_sandbox: PortkeyDouble, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    """Logs at DEBUG, results and errors hold no key, even one quoted back, at once or in a later batch."""
    caplog.set_level(logging.DEBUG)
    server = portkey_sandbox
    server.add_virtual_key(VIRTUAL_KEY, provider="openai")
    said = {"error": {"message": f"bad keys {VIRTUAL_KEY} and {server.api_key}", "type": "x", "code": VIRTUAL_KEY}}
    refused = sandbox.Fault.status(401, body=said)
    given: dict[str, Any] = {"model": SPACE, "virtual_key": VIRTUAL_KEY, "api_key": server.api_key}
    given |= {"base_url": server.url, "max_retries": 0, "dimensions": 4}
    texts: list[str] = []
    for model in (PortkeyEmbeddings(**given), PortkeyEmbedding(**given)):
        if fault != "none":
            server.script(VIRTUAL_KEY, *([sandbox.Fault.ok()] if fault == "later" else []), refused)
        try:
            texts.append(repr(model.embed(["a", "b"], batch_size=1)))
        except PortkeyError as error:
            texts += evidence(error)
    assert len(texts) > 2 or fault == "none"
    for text in (*texts, caplog.text):
        assert PLANTED not in text
        assert server.api_key not in text


def test_settings_show_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings read from the environment print without their keys."""
    monkeypatch.setenv("PORTKEY_API_KEY", API_KEY)
    monkeypatch.setenv("PORTKEY_VIRTUAL_KEY_OPENAI", VIRTUAL_KEY)
    monkeypatch.setenv("PORTKEY_FALLBACKS", json.dumps([{"model": "x", "provider": "openai", "api_key": PROVIDER_KEY}]))
    settings = load_settings()
    assert settings.fallbacks
    assert PLANTED not in repr(settings)
    assert PLANTED not in repr(PortkeyRouter.from_env())


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORTKEY_FALLBACKS", f'[{{"model": "x", "api_key": "{PROVIDER_KEY}"'),
        ("PORTKEY_FALLBACKS", f'[{{"{PROVIDER_KEY}": "x"}}]'),
        ("PORTKEY_FALLBACKS", f'[{{"model": 1, "api_key": "{PROVIDER_KEY}"}}]'),
        ("PORTKEY_STRATEGY", PROVIDER_KEY),
        ("PORTKEY_GATEWAY_URL", PROVIDER_KEY),
        ("PORTKEY_BASE_URL", f"ftp://{PROVIDER_KEY}"),
    ],
)
def test_a_malformed_variable_is_named_and_not_echoed(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """A key pasted into the wrong variable is not in the error, nor in what caused it."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=variable) as caught:
        load_settings()
    assert PLANTED not in "".join(traceback.format_exception(caught.value))


def test_a_copy_keeps_its_keys_and_a_pickle_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deep copy works as the original; a restored pickle takes its keys from the environment."""
    llm = ChatPortkey(strategy=Fallback(Target("gpt-4o", virtual_key=VIRTUAL_KEY)), api_key=API_KEY)
    copied = copy.deepcopy(llm)
    assert isinstance(copied.portkey_api_key, SecretStr)
    assert copied.portkey_api_key.get_secret_value() == API_KEY
    assert copied._the_router().plan_for().attempts[0].headers["x-portkey-virtual-key"] == VIRTUAL_KEY
    restored = pickle.loads(pickle.dumps(llm))  # noqa: S301  (our own)
    assert restored.portkey_api_key is None
    monkeypatch.setenv("PORTKEY_API_KEY", "pk-environment")
    monkeypatch.setenv("PORTKEY_VIRTUAL_KEY_OPENAI", "vk-environment")
    assert restored._the_router().plan_for().attempts[0].headers["x-portkey-virtual-key"] == "vk-environment"


class Runs(BaseTracer):
    """Keeps every run as a tracer would send it."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def _persist_run(self, run: Run) -> None:
        self.texts.append(repr(run.model_dump() if hasattr(run, "model_dump") else vars(run)))


@pytest.mark.parametrize("fault", ["none", "echo"])
def test_calls_leak_nothing(portkey_sandbox: PortkeyDouble, caplog: pytest.LogCaptureFixture, fault: str) -> None:
    """Logs at DEBUG, traces, answers and errors of calls hold no key, even if the provider quotes it back."""
    caplog.set_level(logging.DEBUG)
    server = portkey_sandbox
    server.add_virtual_key(VIRTUAL_KEY, provider="openai")
    if fault == "echo":
        said = {"error": {"message": f"bad keys {VIRTUAL_KEY} and {server.api_key}", "type": "x", "code": VIRTUAL_KEY}}
        server.always(VIRTUAL_KEY, sandbox.Fault.status(401, body=said))
    llm = ChatPortkey(
        model="gpt-4o", virtual_key=VIRTUAL_KEY, api_key=server.api_key, base_url=server.url, max_retries=0
    )
    runs = Runs()
    texts: list[str] = []
    for call in (llm.invoke, lambda *args, **kwargs: list(llm.stream(*args, **kwargs))):
        try:
            texts.append(repr(call("hi", config={"callbacks": [runs]})))
        except PortkeyError as error:
            texts += evidence(error)
    texts += [*runs.texts, caplog.text]
    assert len(runs.texts) == 2
    for text in texts:
        assert PLANTED not in text
        assert server.api_key not in text


class Events(BaseEventHandler):
    """Keeps what LlamaIndex's dispatcher tells."""

    texts: list[str] = []  # noqa: RUF012  (a pydantic field, copied for each instance)

    def handle(self, event: Any, **_: Any) -> None:
        """Keep it."""
        self.texts += [repr(event), repr(event.model_dump())]


class Payloads(BaseCallbackHandler):
    """Keeps what LlamaIndex's callback manager tells."""

    def __init__(self) -> None:
        super().__init__(event_starts_to_ignore=[], event_ends_to_ignore=[])
        self.texts: list[str] = []

    def on_event_start(
        self, event_type: Any, payload: Any = None, event_id: str = "", parent_id: str = "", **_: Any
    ) -> str:
        """Keep it."""
        self.texts.append(repr(payload))
        return event_id

    def on_event_end(self, event_type: Any, payload: Any = None, event_id: str = "", **_: Any) -> None:
        """Keep it."""
        self.texts.append(repr(payload))

    def start_trace(self, trace_id: str | None = None) -> None:
        """Nothing to keep."""

    def end_trace(self, trace_id: str | None = None, trace_map: Any = None) -> None:
        """Nothing to keep."""


@pytest.mark.parametrize("fault", ["none", "echo"])
def test_calls_of_llama_index_leak_nothing(
    portkey_sandbox: PortkeyDouble, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    """Logs at DEBUG, events, payloads, answers and errors of calls hold no key, even if the provider quotes it back."""
    caplog.set_level(logging.DEBUG)
    server = portkey_sandbox
    server.add_virtual_key(VIRTUAL_KEY, provider="openai")
    if fault == "echo":
        said = {"error": {"message": f"bad keys {VIRTUAL_KEY} and {server.api_key}", "type": "x", "code": VIRTUAL_KEY}}
        server.always(VIRTUAL_KEY, sandbox.Fault.status(401, body=said))
    events, payloads = Events(), Payloads()
    llm = PortkeyLLM(
        model="gpt-4o",
        virtual_key=VIRTUAL_KEY,
        api_key=server.api_key,
        base_url=server.url,
        max_retries=0,
        callback_manager=CallbackManager([payloads]),
        additional_kwargs={"extra_headers": {"x-secret-header": HEADER_KEY}},
    )
    root = get_dispatcher()
    texts: list[str] = []
    root.add_event_handler(events)
    try:
        for verb in (llm.chat, lambda messages: list(llm.stream_chat(messages))):
            try:
                texts.append(repr(verb([ChatMessage("hi")])))
            except PortkeyError as error:
                texts += evidence(error)
    finally:
        root.event_handlers.remove(events)
    assert len(events.texts) > 4
    assert len(payloads.texts) >= 4
    for text in [*texts, *events.texts, *payloads.texts, caplog.text, *texts_of(llm)]:
        assert PLANTED not in text
        assert server.api_key not in text


def test_what_a_cache_writes_holds_no_key(portkey_sandbox: PortkeyDouble, redis_url: str) -> None:
    """Names, values and vectors in Redis, of models that hold keys wherever one can be held, and of calls that do."""
    server = portkey_sandbox
    server.add_virtual_key(VIRTUAL_KEY, provider="openai")
    cache = SemanticCache(redis_url, lambda _: [1.0, 2.0], name=f"leaks:{uuid4().hex}", timeout=20, connect_timeout=20)
    keyed = Target("gpt-4o", virtual_key=VIRTUAL_KEY, options={"aws_secret_access_key": OPTION_KEY})
    header = {"x-secret-header": HEADER_KEY, "Authorization": f"Bearer {PROVIDER_KEY}"}
    given: tuple[dict[str, Any], ...] = (
        {"strategy": Fallback(keyed, Target("gpt-4o", provider="openai", api_key=PROVIDER_KEY))},
        {"strategy": Fallback(keyed, keyed), "run_on": "gateway"},
        {"model": "gpt-4o", "virtual_key": VIRTUAL_KEY, "virtual_keys": {"anthropic": HEADER_KEY}},
        {"model": "gpt-4o", "default_headers": {**header, "x-portkey-virtual-key": VIRTUAL_KEY}},
        {"model": "gpt-4o", "config": {"virtual_key": VIRTUAL_KEY, "custom_key": CONFIG_KEY}},
        {"model": "gpt-4o", "virtual_key": VIRTUAL_KEY, "additional_kwargs": {"extra_headers": header}},
    )
    try:
        for number, options in enumerate(given):
            llm = PortkeyLLM(api_key=server.api_key, base_url=server.url, max_retries=0, cache=cache, **options)
            text = f"hi {number}"
            if options.get("default_headers"):
                llm.default_headers = {**options["default_headers"], "x-portkey-api-key": server.api_key}
            llm.complete(text, trace_id=f"{PLANTED}trace", portkey_metadata={"_user": f"{PLANTED}user"})
        assert cache.count() == len(given)
        with redis.Redis.from_url(redis_url) as client:
            rows = [key for key in client.scan_iter(f"*{cache.name}*") if client.type(key) == b"hash"]
            held = [part for key in rows for part in (key, *chain(*client.hgetall(key).items()))]
        assert len(rows) == len(given)
        for part in [*held, *map(unpacked, held), repr(cache.inspect()).encode(), repr(cache).encode()]:
            assert PLANTED.encode() not in part
            assert server.api_key.encode() not in part
    finally:
        cache.clear()


def unpacked(part: bytes) -> bytes:
    """A compressed entry as it was; anything else as nothing."""
    return zlib.decompress(part[1:]) if part.startswith(b"1x") else b""


def evidence(error: PortkeyError) -> list[str]:
    """Everything an error shows: its message, attributes, traceback, and its pickle."""
    state: dict[str, Any] = vars(error)
    return [str(error), repr(error), repr(state), *traceback.format_exception(error), repr(pickle.dumps(error))]
