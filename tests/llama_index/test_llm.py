from __future__ import annotations

import asyncio
import gc
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from pydantic import ValidationError

from llama_index_portkey import PortkeyLLM
from portkey_router import (
    AllTargetsFailedError,
    AuthenticationError,
    Fallback,
    LoadBalance,
    StreamInterruptedError,
    Target,
    UnknownModelError,
    UpstreamUnavailableError,
    sandbox,
)
from tests.llama_index.verbs import CHAT, COMPLETION, ask, attempts, text_of

if TYPE_CHECKING:
    from portkey_router.sandbox import PortkeyDouble

HELLO = [ChatMessage("Hello")]


@pytest.mark.parametrize("verb", CHAT + COMPLETION)
def test_all_eight_verbs_give_one_answer(portkey: PortkeyDouble, verb: str) -> None:
    """Chat and completion, sync and async, streamed or not: the same text, usage, cost and model."""
    llm = PortkeyLLM(model="gpt-4o", temperature=0)
    reference = llm.chat([ChatMessage("What is a gateway?")])
    answer = ask(llm, verb, "What is a gateway?")
    assert text_of(answer) == reference.message.content
    said, expected = answer.additional_kwargs, reference.additional_kwargs
    for name in ("prompt_tokens", "completion_tokens", "total_tokens", "model_name", "finish_reason"):
        assert said[name] == expected[name], name
    assert said["portkey"]["cost"] == expected["portkey"]["cost"]
    assert said["portkey"]["provider"] == "openai"
    assert len(said["portkey"]["trace_id"]) == 32
    assert answer.raw["usage"]["total_tokens"] == expected["total_tokens"]
    assert json.loads(json.dumps(answer.raw)) == answer.raw


@pytest.mark.parametrize("verb", CHAT + COMPLETION)
def test_a_fallback_fires_in_every_verb(portkey: PortkeyDouble, verb: str) -> None:
    """The first target fails, the second answers: the same attempts, whichever verb asked."""
    portkey.always("vk-openai", sandbox.Fault.status(503))
    answer = ask(PortkeyLLM(strategy=Fallback("gpt-4o", "claude-sonnet-4-5"), max_retries=1), verb, "Hello")
    assert attempts(answer) == [("gpt-4o", "UpstreamUnavailableError")] * 2 + [("claude-sonnet-4-5", "ok")]
    assert answer.additional_kwargs["model_name"] == "claude-sonnet-4-5"
    assert len(portkey.requests) == 3, "one retry authority: nobody else asks again"


@pytest.mark.parametrize("verb", CHAT + COMPLETION)
def test_an_error_is_the_routers_own(portkey: PortkeyDouble, verb: str) -> None:
    """It is asked as often as `max_retries` says and not once more, and raised as it is."""
    portkey.always("vk-openai", sandbox.Fault.status(401))
    with pytest.raises(AuthenticationError) as caught:
        ask(PortkeyLLM(model="gpt-4o", max_retries=2), verb, "Hello")
    assert len(caught.value.attempts) == len(portkey.requests) == 1
    portkey.always("vk-openai", sandbox.Fault.status(503))
    with pytest.raises(UpstreamUnavailableError):
        ask(PortkeyLLM(model="gpt-4o", max_retries=1), verb, "Hello")
    assert len(portkey.requests) == 3


def test_two_loops_one_after_the_other(portkey: PortkeyDouble) -> None:
    """One model in two `asyncio.run`s, without retries that would hide a dead connection."""
    llm = PortkeyLLM(model="gpt-4o", max_retries=0)
    assert {asyncio.run(llm.achat(HELLO)).message.content for _ in range(2)} == {"gpt-4o answers to: Hello"}


def test_options_of_a_call_win(portkey: PortkeyDouble) -> None:
    """Body fields and Portkey's headers, of the model and of the call, the call's winning; a model finds its key."""
    llm = PortkeyLLM(
        model="gpt-4o",
        temperature=0.2,
        portkey_metadata={"team": "a"},
        trace_id="t1",
        stop=["END"],
        additional_kwargs={"top_k": 3, "stream_options": {"include_usage": True}},
    )
    llm.chat(
        HELLO,
        model="claude-sonnet-4-5",
        temperature=0.5,
        portkey_metadata={"_user": "u"},
        trace_id="t2",
        cache_namespace="ns",
        extra_headers={"x-custom": "1"},
        extra_body={"min_p": 1},
    )
    sent = portkey.requests[-1]
    assert {name: sent.body.get(name) for name in ("model", "temperature", "top_k", "min_p", "stop")} == {
        "model": "claude-sonnet-4-5",
        "temperature": 0.5,
        "top_k": 3,
        "min_p": 1,
        "stop": ["END"],
    }
    assert "stream_options" not in sent.body, "OpenAI refuses it where nothing streams"
    assert sent.headers["x-portkey-metadata"] == '{"team": "a", "_user": "u"}'
    assert sent.headers["x-portkey-virtual-key"] == "vk-anthropic"
    assert (sent.headers["x-portkey-trace-id"], sent.headers["x-custom"]) == ("t2", "1")
    assert sent.headers["x-portkey-cache-namespace"] == "ns"


def test_nothing_is_sent_that_nobody_set(portkey: PortkeyDouble) -> None:
    """No temperature, no limits, no metadata: the provider's defaults are the defaults."""
    PortkeyLLM(model="gpt-4o").chat(HELLO)
    assert set(portkey.requests[-1].body) == {"model", "messages"}


def test_every_strategy_of_chatportkey(portkey: PortkeyDouble) -> None:
    """Slugs, load balancing, targets with their own keys, a saved config, and a strategy that the gateway runs."""
    kind: Any = PortkeyLLM  # OpenAI's class takes its model by position, too
    assert text_of(kind("@openai-prod/gpt-4o").chat(HELLO))
    balanced = PortkeyLLM(strategy=LoadBalance("gpt-4o", Target("claude-sonnet-4-5", weight=2)))
    served = {balanced.chat([ChatMessage(str(n))]).additional_kwargs["model_name"] for n in range(40)}
    assert served == {"gpt-4o", "claude-sonnet-4-5"}
    targets = [{"virtual_key": "vk-openai", "override_params": {"model": "gpt-4o-mini"}}]
    portkey.add_config("pc-mine", {"strategy": {"mode": "fallback"}, "targets": targets})
    assert PortkeyLLM(config="pc-mine").chat(HELLO).additional_kwargs["model_name"] == "gpt-4o-mini"
    portkey.always("vk-openai", sandbox.Fault.status(503))
    whole = PortkeyLLM(strategy=Fallback("gpt-4o", "claude-sonnet-4-5"), run_on="gateway", max_retries=0).chat(HELLO)
    assert whole.additional_kwargs["portkey"]["run_on"] == "gateway"
    assert whole.additional_kwargs["portkey"]["target"] == "claude-sonnet-4-5"


def test_a_model_without_a_key_is_told_at_once() -> None:
    """At construction, with the variable to set; a misspelt argument likewise, its value unsaid."""
    with pytest.raises(UnknownModelError, match="PORTKEY_VIRTUAL_KEY_OPENAI"):
        PortkeyLLM(model="gpt-4o", api_key="k")
    misspelt: dict[str, Any] = {"virtualkey": "vk-PLANTED"}
    with pytest.raises(ValidationError, match="virtual_key") as caught:
        PortkeyLLM(model="@a/b", api_key="k", **misspelt)
    assert "PLANTED" not in str(caught.value)


def test_openai_like_is_swapped_by_its_class_name_alone(portkey: PortkeyDouble) -> None:
    """What is written for `OpenAILike` today works as it stands, in all its arguments, and asks the same."""
    from llama_index.llms.openai_like import OpenAILike  # type: ignore[import-untyped]  # it has no py.typed
    from portkey_ai import createHeaders

    headers = createHeaders(api_key=portkey.api_key, virtual_key="vk-openai", metadata={"_user": "u1"})
    arguments: dict[str, Any] = {
        "model": "my-model",
        "api_base": portkey.url,
        "api_key": "X",
        "default_headers": headers,
        "is_chat_model": True,
        "is_function_calling_model": True,
        "context_window": 64_000,
        "max_tokens": 50,
        "temperature": 0.3,
        "additional_kwargs": {"seed": 7},
        "max_retries": 1,
        "timeout": 30.0,
        "reuse_client": False,
        "should_use_structured_outputs": True,
        "strict": False,
        "system_prompt": "Be brief.",
    }
    seen = []
    for kind in (OpenAILike, PortkeyLLM):
        llm: Any = kind(**arguments)
        answer = llm.chat(HELLO)
        sent = portkey.requests[-1]
        assert sent.headers["authorization"] == "Bearer X"
        named = {name: sent.headers[name] for name in ("x-portkey-virtual-key", "x-portkey-metadata")}
        seen.append(
            (str(answer), sent.body, named, llm.metadata, answer.raw["usage"]["total_tokens"])
            if kind is PortkeyLLM
            else (str(answer), sent.body, named, llm.metadata, answer.raw.usage.total_tokens)
        )
    like, ours = seen
    assert {**like[1], "stream": None} == {**ours[1], "stream": None}
    assert (like[0], *like[2:]) == (ours[0], *ours[2:])


def test_a_model_that_is_no_chat_model_gets_one_text(portkey: PortkeyDouble) -> None:
    """`is_chat_model=False`: messages become one prompt; a prompt is as the user's `completion_to_prompt` makes it."""
    llm = PortkeyLLM(model="gpt-4o", is_chat_model=False, completion_to_prompt=lambda prompt: f"<s>{prompt}</s>")
    assert llm.metadata.is_chat_model is False
    llm.chat([ChatMessage("be brief", role="system"), ChatMessage("Hello")])
    assert portkey.requests[-1].body["messages"] == [
        {"role": "user", "content": "system: be brief\nuser: Hello\nassistant: "}
    ]
    llm.complete("Hello")
    assert portkey.requests[-1].body["messages"] == [{"role": "user", "content": "<s>Hello</s>"}]
    llm.complete("Hello", formatted=True)
    assert portkey.requests[-1].body["messages"] == [{"role": "user", "content": "Hello"}]


def test_reasoning_streams(portkey: PortkeyDouble) -> None:
    """Thoughts are a block of their own, whole so far on each piece, and `thinking_delta` says what is new."""
    llm = PortkeyLLM(model="gpt-5", reasoning_effort="low")
    pieces = list(llm.stream_chat(HELLO))
    thoughts = [piece.message.blocks[0] for piece in pieces if piece.message.blocks[0].block_type == "thinking"]
    assert len(thoughts) == len(pieces), "they stand first, on every piece"
    deltas = [piece.additional_kwargs.get("thinking_delta", "") for piece in pieces]
    assert "".join(deltas) == getattr(thoughts[-1], "content", None)
    assert thoughts[-1] == llm.chat(HELLO).message.blocks[0]
    assert thoughts[-1] in pieces[-1].message.blocks
    assert "thinking_delta" not in pieces[-1].additional_kwargs


def test_a_cut_stream_is_never_a_success(portkey: PortkeyDouble) -> None:
    """A stream that ends early: an error with the part, or the next target where nothing was shown yet."""
    portkey.always("vk-openai", sandbox.Fault.cut(after=3))
    with pytest.raises(StreamInterruptedError) as caught:
        list(PortkeyLLM(model="gpt-4o", max_retries=0).stream_chat(HELLO))
    assert caught.value.partial is not None
    portkey.always("vk-openai", sandbox.Fault.cut(after=1))
    llm = PortkeyLLM(strategy=Fallback("gpt-4o", "claude-sonnet-4-5"), max_retries=0)
    assert attempts(ask(llm, "astream_chat", "Hello")) == [
        ("gpt-4o", "StreamInterruptedError"),
        ("claude-sonnet-4-5", "ok"),
    ]
    portkey.always("vk-openai", sandbox.Fault.status(500))
    portkey.always("vk-anthropic", sandbox.Fault.status(500))
    with pytest.raises(AllTargetsFailedError):
        ask(llm, "achat", "Hello")


def closed_early(portkey: PortkeyDouble) -> bool:
    """Whether the provider saw its reader go; waits for it, with a bound."""
    limit = time.monotonic() + 20
    while not portkey.requests[-1].closed_early and time.monotonic() < limit:
        time.sleep(0.02)
    return portkey.requests[-1].closed_early


def test_a_stream_left_early_is_closed_upstream(portkey: PortkeyDouble) -> None:
    """`close` and a `break`: the provider sees its reader go, while the stream still had far to run."""
    portkey.always("vk-openai", sandbox.Fault.slow(between=0.2))
    llm = PortkeyLLM(model="gpt-4o")
    stream = llm.stream_chat([ChatMessage("a question of many words, so that there is much to say")])
    next(stream)
    stream.close()
    assert closed_early(portkey)
    for _ in llm.stream_complete("a question of many words, so that there is much to say"):
        break
    gc.collect()
    assert closed_early(portkey)


@pytest.mark.parametrize("how", ["aclose", "cancel", "break"])
async def test_an_async_stream_left_early_is_closed_upstream(portkey: PortkeyDouble, how: str) -> None:
    """`aclose`, a cancelled task, and a `break` without more: closed within a moment, the loop still running."""
    portkey.always("vk-openai", sandbox.Fault.slow(between=0.2))
    llm = PortkeyLLM(model="gpt-4o")
    question = [ChatMessage("a question of many words, so that there is much to say")]
    began = asyncio.Event()

    async def read() -> None:
        stream = await llm.astream_chat(question)
        async for _ in stream:
            began.set()
            if how == "break":
                break
            if how == "aclose":
                await stream.aclose()
                break

    task = asyncio.create_task(read())
    await asyncio.wait_for(began.wait(), 20)
    if how == "cancel":
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await asyncio.to_thread(closed_early, portkey)


def test_tokens_are_counted_exactly(portkey: PortkeyDouble) -> None:
    """LlamaIndex's own counter reads what the provider counted, of calls and streams, and estimates nothing."""

    def nobody_counts(_: str) -> list[int]:
        raise AssertionError("estimated")

    counter = TokenCountingHandler(tokenizer=nobody_counts)
    llm = PortkeyLLM(model="gpt-4o", callback_manager=CallbackManager([counter]))
    for verb in CHAT:
        counter.reset_counts()
        answer: ChatResponse = ask(llm, verb, "Hello")
        assert counter.total_llm_token_count == answer.additional_kwargs["total_tokens"] > 0


def test_logprobs(portkey: PortkeyDouble) -> None:
    """A token's candidates, or itself; the same streamed."""
    llm = PortkeyLLM(model="gpt-4o", logprobs=True, top_logprobs=2)
    whole = llm.chat(HELLO).logprobs
    assert whole is not None
    assert {len(candidates) for candidates in whole} == {2}
    assert list(llm.stream_chat(HELLO))[-1].logprobs == whole
    alone = PortkeyLLM(model="gpt-4o", logprobs=True).chat(HELLO).logprobs
    assert alone is not None
    assert {len(candidates) for candidates in alone} == {1}


def test_n_answers(portkey: PortkeyDouble) -> None:
    """The first is the answer; all of them are in `raw`, streamed too, and none runs into another."""
    llm = PortkeyLLM(model="gpt-4o", n=2)
    for verb in ("chat", "stream_chat"):
        answer = ask(llm, verb, "Hello")
        assert text_of(answer) == "gpt-4o answers to: Hello"
        assert len(answer.raw["choices"]) == 2


def test_a_systems_role_is_its_own(portkey: PortkeyDouble) -> None:
    """Each of LlamaIndex's roles arrives as the chat request has it."""
    roles = ["system", "developer", "user", "assistant", "chatbot", "model", "user"]
    PortkeyLLM(model="gpt-4o").chat([ChatMessage(role, role=MessageRole(role)) for role in roles])
    sent = [message["role"] for message in portkey.requests[-1].body["messages"]]
    assert sent == ["system", "developer", "user", "assistant", "assistant", "assistant", "user"]
