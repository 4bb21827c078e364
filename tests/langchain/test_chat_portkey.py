from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from pydantic import BaseModel

from langchain_portkey_router import ChatPortkey
from portkey_router import (
    AllTargetsFailedError,
    ConfigurationError,
    Fallback,
    GuardrailError,
    LoadBalance,
    StreamInterruptedError,
    Target,
    UpstreamUnavailableError,
    sandbox,
)
from tests.langchain.verbs import VERBS, ask, total

if TYPE_CHECKING:
    from portkey_router.sandbox import PortkeyDouble


@tool
def magic_function(number: int) -> int:
    """Apply a magic function to a number."""
    return number + 2


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def attempts(message: AIMessage) -> list[tuple[str, str]]:
    """Target and outcome of every attempt that an answer took."""
    return [(attempt["target"], attempt["outcome"]) for attempt in message.response_metadata["portkey"]["attempts"]]


def test_the_model_name_alone_is_enough(portkey: PortkeyDouble) -> None:
    """Key, virtual key and gateway come from the environment; the answer says who gave it, and what it took."""
    answer = ChatPortkey(model="gpt-4o").invoke("Hello there")
    assert answer.text
    assert answer.response_metadata["model_name"] == "gpt-4o"
    assert answer.response_metadata["portkey"]["provider"] == "openai"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["input_tokens"] > 0
    assert portkey.requests[-1].headers["x-portkey-virtual-key"] == "vk-openai"


def test_a_slug_needs_no_virtual_key(portkey: PortkeyDouble) -> None:
    """`@slug/model` goes out as it is, with Portkey's key and nothing else."""
    answer = ChatPortkey(model="@openai-prod/gpt-4o", api_key=portkey.api_key).invoke("Hello")
    assert answer.text
    sent = portkey.requests[-1]
    assert "x-portkey-virtual-key" not in sent.headers
    assert sent.headers["x-portkey-api-key"] == portkey.api_key


def test_a_saved_config_is_run_by_the_gateway(portkey: PortkeyDouble) -> None:
    """`config="pc-..."`: the gateway falls back by itself, and the client knows to which provider."""
    targets = [
        {"virtual_key": "vk-openai", "override_params": {"model": "gpt-4o"}},
        {"virtual_key": "vk-anthropic", "override_params": {"model": "claude-sonnet-4-5"}},
    ]
    portkey.add_config("pc-my-config", {"strategy": {"mode": "fallback"}, "targets": targets})
    portkey.always("vk-openai", sandbox.Fault.status(503))
    answer = ChatPortkey(config="pc-my-config").invoke("Hello")
    assert answer.response_metadata["model_name"] == "claude-sonnet-4-5"
    assert answer.response_metadata["portkey"]["run_on"] == "gateway"
    assert answer.response_metadata["portkey"]["provider"] == "anthropic"


def test_the_documented_form_works_with_the_class_name_swapped(portkey: PortkeyDouble) -> None:
    """What people write for ChatOpenAI today (`base_url`, `api_key="X"`, `createHeaders`) works as it stands."""
    from portkey_ai import createHeaders

    headers = createHeaders(api_key=portkey.api_key, virtual_key="vk-openai", metadata={"_user": "u1"})
    llm = ChatPortkey(model="gpt-4o", base_url=portkey.url, api_key="X", default_headers=headers)
    assert llm.invoke("Hello").text
    sent = portkey.requests[-1].headers
    assert sent["x-portkey-virtual-key"] == "vk-openai"
    assert sent["authorization"] == "Bearer X"
    assert sent["x-portkey-metadata"] == '{"_user": "u1"}'


@pytest.mark.parametrize("verb", VERBS)
def test_a_fallback_fires_in_every_verb(portkey: PortkeyDouble, verb: str) -> None:
    """The first target fails, the second answers: the same attempts, whichever verb asked."""
    portkey.always("vk-openai", sandbox.Fault.status(503))
    llm = ChatPortkey(strategy=Fallback("gpt-4o", "claude-sonnet-4-5"), max_retries=1)
    answer = ask(llm, verb, "Hello")
    expected = [("gpt-4o", "UpstreamUnavailableError")] * 2 + [("claude-sonnet-4-5", "ok")]
    assert attempts(answer) == expected
    assert answer.text
    assert answer.response_metadata["model_name"] == "claude-sonnet-4-5"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] > 0


@pytest.mark.parametrize("verb", VERBS)
def test_all_verbs_give_one_answer(portkey: PortkeyDouble, verb: str) -> None:
    """Sync and async, streamed or not: the same text, usage and model."""
    llm = ChatPortkey(model="gpt-4o", temperature=0)
    reference = llm.invoke("What is a gateway?")
    answer = ask(llm, verb, "What is a gateway?")
    assert answer.text == reference.text
    assert answer.usage_metadata == reference.usage_metadata
    assert answer.response_metadata["model_name"] == "gpt-4o"
    assert answer.response_metadata["finish_reason"] == "stop"


def test_load_balancing_spreads_and_hands_over(portkey: PortkeyDouble) -> None:
    """Both targets get calls; when one is down, the other answers every call."""
    llm = ChatPortkey(strategy=LoadBalance("gpt-4o", Target("claude-sonnet-4-5", weight=2)), max_retries=0)
    served = {llm.invoke(f"question {number}").response_metadata["model_name"] for number in range(40)}
    assert served == {"gpt-4o", "claude-sonnet-4-5"}
    portkey.always("vk-anthropic", sandbox.Fault.status(500))
    assert {llm.invoke("again").response_metadata["model_name"] for _ in range(10)} == {"gpt-4o"}


def test_tools_there_and_back(portkey: PortkeyDouble) -> None:
    """A bound tool is called with parsed arguments, and its result comes back into the conversation."""
    llm = ChatPortkey(model="gpt-4o").bind_tools([magic_function], tool_choice="any")
    call = llm.invoke("What is magic_function(3)?")
    assert [(c["name"], c["args"]) for c in call.tool_calls] == [("magic_function", {"number": 3})]
    question = HumanMessage("What is magic_function(3)?")
    result = ToolMessage("5", tool_call_id=str(call.tool_calls[0]["id"]))
    answer = ChatPortkey(model="gpt-4o").bind_tools([magic_function]).invoke([question, call, result])
    assert "5" in answer.text
    assert not answer.tool_calls


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("any", "required"),
        (True, "required"),
        ("auto", "auto"),
        ("none", "none"),
        ("magic_function", {"type": "function", "function": {"name": "magic_function"}}),
    ],
)
def test_every_spelling_of_tool_choice(portkey: PortkeyDouble, choice: str | bool, sent: Any) -> None:
    """LangChain's spellings become OpenAI's."""
    ChatPortkey(model="gpt-4o").bind_tools([magic_function], tool_choice=choice).invoke("magic_function(1)")
    assert portkey.requests[-1].body["tool_choice"] == sent


def test_a_tool_choice_that_names_no_tool_is_refused() -> None:
    """A misspelt tool is told at once, with the names there are."""
    with pytest.raises(ValueError, match="magic_function"):
        ChatPortkey(model="@x/y", api_key="k").bind_tools([magic_function], tool_choice="magic")


def test_streamed_tool_calls_are_whole(portkey: PortkeyDouble) -> None:
    """Argument deltas add up to parsed calls, parallel ones too."""
    llm = ChatPortkey(model="gpt-4o").bind_tools([magic_function, Person])
    whole = total(list(llm.stream('Use magic_function with 7 and Person with "Ada"')))
    assert {call["name"] for call in whole.tool_calls} == {"magic_function", "Person"}
    assert not whole.invalid_tool_calls


def test_structured_output_through_tools(portkey: PortkeyDouble) -> None:
    """`with_structured_output` gives the object."""
    person = ChatPortkey(model="gpt-4o").with_structured_output(Person).invoke('"Ada" is 36')
    assert person == Person(name="Ada", age=36)


def test_a_chain_with_system_and_several_turns(portkey: PortkeyDouble) -> None:
    """Prompts with a system message and history arrive in order."""
    messages = [SystemMessage("be brief"), HumanMessage("a"), AIMessage("b"), HumanMessage("c")]
    chain = ChatPromptTemplate.from_messages(messages) | ChatPortkey(model="gpt-4o")
    assert chain.invoke({}).text
    roles = [message["role"] for message in portkey.requests[-1].body["messages"]]
    assert roles == ["system", "user", "assistant", "user"]


def test_everything_a_call_can_set_reaches_the_gateway(portkey: PortkeyDouble) -> None:
    """Body fields and Portkey's headers, of the model and of the call, the call's winning."""
    llm = ChatPortkey(model="gpt-4o", temperature=0.2, portkey_metadata={"team": "a"}, trace_id="t1", stop=["END"])
    llm.invoke(
        "Hello",
        temperature=0.5,
        portkey_metadata={"_user": "u"},
        trace_id="t2",
        span_id="s2",
        cache_namespace="ns",
        cache_force_refresh=True,
        extra_headers={"x-custom": "1"},
        extra_body={"top_k": 3},
    )
    sent = portkey.requests[-1]
    assert (sent.body["temperature"], sent.body["top_k"], sent.body["stop"]) == (0.5, 3, ["END"])
    assert sent.headers["x-portkey-metadata"] == '{"team": "a", "_user": "u"}'
    assert (sent.headers["x-portkey-trace-id"], sent.headers["x-portkey-span-id"]) == ("t2", "s2")
    assert sent.headers["x-portkey-cache-namespace"] == "ns"
    assert sent.headers["x-portkey-cache-force-refresh"] == "true"
    assert sent.headers["x-custom"] == "1"


def test_every_call_has_a_trace_id(portkey: PortkeyDouble) -> None:
    """One is made where none is given, another for each call, and the answer states it."""
    llm = ChatPortkey(model="gpt-4o")
    first, second = llm.invoke("a"), llm.invoke("b")
    ids = [message.response_metadata["portkey"]["trace_id"] for message in (first, second)]
    assert ids == [request.headers["x-portkey-trace-id"] for request in portkey.requests[-2:]]
    assert len(set(ids)) == 2


def test_a_per_call_model_takes_its_own_key(portkey: PortkeyDouble) -> None:
    """`model=` on a call finds that model's virtual key."""
    answer = ChatPortkey(model="gpt-4o").invoke("Hello", model="claude-sonnet-4-5")
    assert answer.response_metadata["model_name"] == "claude-sonnet-4-5"
    assert portkey.requests[-1].headers["x-portkey-virtual-key"] == "vk-anthropic"


def test_a_cut_stream_is_never_a_success(portkey: PortkeyDouble) -> None:
    """A stream that ends early: the next target, where nothing was shown yet; an error with the part, where it was."""
    portkey.always("vk-openai", sandbox.Fault.cut(after=3))
    llm = ChatPortkey(model="gpt-4o", max_retries=0)
    with pytest.raises(StreamInterruptedError) as caught:
        list(llm.stream("What is a gateway?"))
    assert caught.value.partial is not None
    assert caught.value.partial.text
    portkey.always("vk-openai", sandbox.Fault.cut(after=1))  # only the role has been sent
    answer = ask(ChatPortkey(strategy=Fallback("gpt-4o", "claude-sonnet-4-5"), max_retries=0), "stream", "Hello")
    assert attempts(answer) == [("gpt-4o", "StreamInterruptedError"), ("claude-sonnet-4-5", "ok")]


def test_errors_say_what_happened(portkey: PortkeyDouble) -> None:
    """One target: its own error. Several: all of them. A guardrail: at once, and not around it."""
    portkey.always("vk-openai", sandbox.Fault.status(503))
    portkey.always("vk-anthropic", sandbox.Fault.status(500))
    with pytest.raises(UpstreamUnavailableError):
        ChatPortkey(model="gpt-4o", max_retries=0).invoke("Hello")
    with pytest.raises(AllTargetsFailedError) as caught:
        ChatPortkey(strategy=Fallback("gpt-4o", "claude-sonnet-4-5"), max_retries=0).invoke("Hello")
    assert [attempt.status for attempt in caught.value.attempts] == [503, 500]
    portkey.deny("forbidden")
    with pytest.raises(GuardrailError):
        ChatPortkey(strategy=Fallback("gpt-4o", "claude-sonnet-4-5")).invoke("a forbidden word")


def test_callback_handlers_see_tokens(portkey: PortkeyDouble) -> None:
    """`streaming=True` makes `invoke` stream underneath; handlers get every token."""
    from langchain_core.callbacks import BaseCallbackHandler

    class Tokens(BaseCallbackHandler):
        def __init__(self) -> None:
            self.seen: list[str] = []

        def on_llm_new_token(self, token: Any, **_: Any) -> None:
            self.seen.append(token)

    tokens = Tokens()
    answer = ChatPortkey(model="gpt-4o", streaming=True).invoke("Hello", config={"callbacks": [tokens]})
    assert "".join(tokens.seen) == answer.text
    assert len([token for token in tokens.seen if token]) > 1
    assert answer.usage_metadata is not None


def test_n_answers(portkey: PortkeyDouble) -> None:
    """`n=2` gives two generations and counts the usage once."""
    result = ChatPortkey(model="gpt-4o", n=2).generate([[HumanMessage("Hello")]])
    assert len(result.generations[0]) == 2


def test_images_reach_the_provider(portkey: PortkeyDouble) -> None:
    """An image block arrives as an `image_url` part, and is answered."""
    block = {"type": "image", "base64": "QUJD", "mime_type": "image/png"}
    answer = ChatPortkey(model="gpt-4o").invoke([HumanMessage([{"type": "text", "text": "what is this?"}, block])])
    assert "image" in answer.text
    part = portkey.requests[-1].body["messages"][0]["content"][1]
    assert part["image_url"]["url"] == "data:image/png;base64,QUJD"


def test_mistakes_are_told_at_construction(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, no model, two routes, a wrong strategy: one clear error, before any call."""
    with pytest.raises(ConfigurationError, match="PORTKEY_API_KEY"):
        ChatPortkey(model="gpt-4o")
    monkeypatch.setenv("PORTKEY_API_KEY", "pk-test")
    with pytest.raises(ConfigurationError, match="PORTKEY_VIRTUAL_KEY_OPENAI"):
        ChatPortkey(model="gpt-4o")
    with pytest.raises(ConfigurationError, match="not both"):
        ChatPortkey(strategy=Fallback("@a/b"), config="pc-1")
    with pytest.raises(ConfigurationError, match="Fallback"):
        ChatPortkey(strategy=["gpt-4o"])
    with pytest.raises(ConfigurationError, match="No model"):
        ChatPortkey().invoke("Hello")
