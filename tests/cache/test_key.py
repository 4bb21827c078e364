from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI

from langchain_portkey_router import ChatPortkey
from langchain_portkey_router._convert import to_messages
from portkey_router import Fallback, Target
from portkey_router.cache.key import CacheKey, key_of_langchain, key_of_messages
from portkey_router.errors import ConfigurationError

GATEWAY = "https://api.portkey.ai/v1"
LLM = "[('model', 'gpt-4o'), ('stop', None)]"
QUESTION = "How do I reset my router?"


def ask(text: Any = QUESTION, *before: dict[str, Any]) -> list[dict[str, Any]]:
    """A conversation that ends with a question."""
    return [*before, {"role": "user", "content": text}]


def key(messages: Any = None, **options: Any) -> CacheKey:
    """The key of a request in OpenAI's shape."""
    return key_of_messages(ask() if messages is None else messages, **{"model": "gpt-4o", **options})


def chain(*messages: BaseMessage, llm: str = LLM, **options: Any) -> CacheKey:
    """The key of messages as LangChain hands them over."""
    return key_of_langchain(dumps([each.model_copy(update={"id": None}) for each in messages]), llm, **options)


SYSTEM = {"role": "system", "content": "Be brief."}
EARLIER = ({"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi, how can I help?"})
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {}}}
OTHER_SCOPES: dict[str, CacheKey] = {
    "tenant": key(tenant="a"),
    "namespace": key(namespace="a"),
    "tenant and namespace are two": key(tenant="a", namespace="b"),
    "namespace and tenant are two": key(tenant="b", namespace="a"),
    "tenants are not joined": key(tenant="ab"),
    "model": key(model="gpt-4o-mini"),
    "no model": key(model=None),
    "temperature": key(params={"temperature": 0}),
    "temperature, another": key(params={"temperature": 0.5}),
    "tools": key(params={"tools": [TOOL]}),
    "response format": key(params={"response_format": {"type": "json_object"}}),
    "user": key(params={"user": "ann"}),
    "strategy": key(params={"strategy": Fallback("@a/x", "@b/y")}),
    "strategy, turned around": key(params={"strategy": Fallback("@b/y", "@a/x")}),
    "system prompt": key(ask(QUESTION, SYSTEM)),
    "another role": key(ask(QUESTION, {**SYSTEM, "role": "developer"})),
    "earlier turns": key(ask(QUESTION, *EARLIER)),
    "earlier turns, one changed": key(ask(QUESTION, EARLIER[0], {"role": "assistant", "content": "Hi."})),
    "an image": key(ask([{"type": "text", "text": QUESTION}, IMAGE])),
    "another image": key(ask([{"type": "text", "text": QUESTION}, {**IMAGE, "image_url": {"url": "x:"}}])),
    "an image before": key(ask([IMAGE, {"type": "text", "text": QUESTION}])),
    "a name": key([{"role": "user", "name": "ann", "content": QUESTION}]),
}


def test_whatever_decides_the_answer_is_in_the_scope() -> None:
    """Each of them makes a scope, an exact and a normalised digest of its own; the question stays the same."""
    keys = [key(), *OTHER_SCOPES.values()]
    for name in ("scope", "exact", "normalised"):
        assert len({getattr(each, name) for each in keys}) == len(keys), name
    assert {each.text for each in keys} == {QUESTION}


def test_digests_are_fit_for_a_tag() -> None:
    """64 hex digits, all three different; `repr` shows no text of the user's."""
    made = key()
    digests = [made.exact, made.normalised, made.scope]
    assert all(len(each) == 64 and set(each) <= set("0123456789abcdef") for each in digests)
    assert len(set(digests)) == 3
    assert "router" not in repr(made)


def test_another_question_has_the_same_scope() -> None:
    """The text takes no part in the scope: else nothing would ever be compared by meaning."""
    one, other = key(), key(ask("What is my balance?"))
    assert one.scope == other.scope
    assert one.exact != other.exact


VOLATILE = {
    "trace_id": "t-1",
    "extra_headers": {"x-portkey-api-key": "PLANTED-key"},
    "metadata": {"user": "ann"},
    "portkey_metadata": {"user": "ann"},
    "virtual_key": "PLANTED-key",
    "timeout": 3.0,
    "stream_options": {"include_usage": True},
    "stop": None,
}


def test_keys_and_traces_take_no_part() -> None:
    """A call's headers, keys, trace ids, metadata and patience, and what is None, leave the key as it is."""
    assert key(params=VOLATILE) == key()
    assert key(params={"temperature": 0.0}) == key(params={"temperature": 0})
    assert key(params={"strategy": Target(model="a", virtual_key="PLANTED-1")}) == key(
        params={"strategy": Target(model="a", virtual_key="PLANTED-2")}
    )


@pytest.mark.parametrize(
    "other",
    [
        "how do i reset my router",
        "How do I reset my  router ?!",
        "Please, how do I reset my router?",
        "Hello, how do I reset my router? Thank you!",
        [{"type": "text", "text": QUESTION, "cache_control": {"type": "ephemeral"}}],
        [QUESTION],
    ],
)
def test_the_same_question_in_other_dress_is_normalised_alike(other: Any) -> None:
    """Case, spacing, stops, courtesies, and text as a part of the content."""
    assert key(ask(other)).normalised == key().normalised
    assert key(ask(other)).scope == key().scope


def test_exact_is_the_whole_text() -> None:
    """The exact digest tells apart what the normalised one takes for equal."""
    assert key(ask(QUESTION + " ")).exact != key().exact
    assert key(ask([QUESTION])).exact == key().exact
    two = [{"type": "text", "text": "a\nb"}, {"type": "text", "text": "c"}]
    moved = [{"type": "text", "text": "a"}, {"type": "text", "text": "b\nc"}]
    assert key(ask(two)).exact != key(ask(moved)).exact


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        (ask("What is the weather today?"), "time word: today"),
        (ask("Who is the PM now?"), "time word: now"),
        (ask("the LATEST iPhone?"), "time word: latest"),
        (ask("word " * 400), "longer than the encoder reads"),
        (ask(""), "no user text"),
        (ask("  "), "no user text"),
        ([SYSTEM], "no user text"),
        ([], "no user text"),
        ([*ask(), {"role": "assistant", "content": "Turn it off."}], "no user text"),
        (ask([{"type": "text", "text": QUESTION}, IMAGE]), "media"),
    ],
)
def test_what_is_not_compared_by_meaning_says_why(messages: Any, why: str) -> None:
    """Such a request has the exact layers alone."""
    made = key(messages)
    assert (made.semantic, made.why_not) == (False, why)
    assert key().semantic
    assert key().why_not is None


def test_the_two_switches_of_meaning() -> None:
    """The window is the encoder's, and time words can be let through."""
    assert key(ask("word " * 400), window_tokens=None).semantic
    assert key(ask("word " * 400), window_tokens=8191).semantic
    assert not key(window_tokens=4).semantic
    assert key(ask("Who is the PM now?"), time_words=False).semantic


# --- RAG --------------------------------------------------------------------------------------------------------------

PROMPT = "Context: {context}\n\nQuestion: {question}\n"


def rag(context: str, question: str, **options: Any) -> CacheKey:
    """The key of a RAG prompt whose question is picked out."""
    return key(ask(PROMPT.format(context=context, question=question)), key_text=pick, **options)


def pick(text: str) -> str:
    """The question of such a prompt."""
    return text.rpartition("Question: ")[2].strip()


def test_a_rag_prompts_context_belongs_to_its_scope() -> None:
    """Only the question is embedded; another context is another scope."""
    one, same, other = rag("A", "Why?"), rag("A", "How come?"), rag("B", "Why?")
    assert one.text == "Why?"
    assert one.scope == same.scope
    assert one.scope != other.scope


def test_a_context_may_be_said_to_vary() -> None:
    """Then one question has one scope and one normalised digest whatever was retrieved, and still two exact ones."""
    one, other = rag("A", "Why?", context_varies=True), rag("B", "Why?", context_varies=True)
    assert (one.scope, one.normalised) == (other.scope, other.normalised)
    assert one.exact != other.exact


def test_a_question_that_is_not_in_the_prompt_keeps_the_whole_prompt_in_scope() -> None:
    """A `key_text` that rewrites cannot say what the rest is."""
    shouted = key(ask("Context: A\nWhy?"), key_text=str.upper)
    assert shouted.scope != key(ask("Context: B\nWhy?"), key_text=str.upper).scope


# --- LangChain --------------------------------------------------------------------------------------------------------

HISTORY = (
    SystemMessage("Be brief."),
    HumanMessage("What is 1 + 1?", id="h-1"),
    AIMessage(
        "Let me see.",
        tool_calls=[{"name": "add", "args": {"a": 1, "b": 1}, "id": "call-1", "type": "tool_call"}],
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        response_metadata={"id": "r-1", "model_name": "gpt-4o-2024"},
        additional_kwargs={"tool_calls": [{"id": "call-1"}]},
    ),
    ToolMessage("2", tool_call_id="call-1", id="t-1"),
    HumanMessage(QUESTION, id="h-2"),
)


def test_the_same_conversation_had_again_has_the_same_key() -> None:
    """Message ids, usage, response metadata and the ids of tool calls, different each time, do not matter."""
    again = (
        *HISTORY[:2],
        AIMessage("Let me see.", tool_calls=[{"name": "add", "args": {"b": 1, "a": 1}, "id": "call-9"}]),
        ToolMessage("2", tool_call_id="call-9"),
        HumanMessage(QUESTION),
    )
    assert chain(*HISTORY) == chain(*again)


def test_results_of_tools_belong_to_their_calls() -> None:
    """Two calls whose results are exchanged are another conversation."""
    calls = [{"name": "look_up", "args": {"word": word}, "id": word} for word in ("a", "b")]
    asked = AIMessage("", tool_calls=calls)
    results = [ToolMessage("1", tool_call_id="a"), ToolMessage("2", tool_call_id="b")]
    crossed = [ToolMessage("1", tool_call_id="b"), ToolMessage("2", tool_call_id="a")]
    assert chain(asked, *results, HumanMessage("x")).scope != chain(asked, *crossed, HumanMessage("x")).scope


@pytest.mark.parametrize("call", [{}, {"stop": ["END"]}, {"tools": [TOOL], "tool_choice": "auto"}, {"temperature": 1}])
def test_langchains_cache_and_our_own_models_make_the_same_key(call: dict[str, Any]) -> None:
    """One question, asked through LangChain's global cache and straight: one entry."""
    llm = ChatPortkey(model="gpt-4o", api_key="PLANTED", virtual_key="PLANTED", temperature=0, base_url=GATEWAY)
    through = chain(*HISTORY, llm=llm._get_llm_string(**call))
    straight = key(to_messages(HISTORY), params={"temperature": 0, "gateway": GATEWAY, **call})
    assert through == straight


def test_content_as_blocks_is_content_as_text() -> None:
    """One text block is the text; thoughts of an earlier turn, and calls that stand beside the content, are no text."""
    blocks = AIMessage([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hi.", "index": 0}])
    one = chain(AIMessage("Hi."), HumanMessage([{"type": "text", "text": QUESTION}]))
    assert chain(blocks, HumanMessage(QUESTION)) == one
    calls = [{"name": "add", "args": {}, "id": "c-1"}]
    used = AIMessage([{"type": "tool_use", "id": "c-1", "name": "add", "input": {}}], tool_calls=calls)
    assert chain(used, HumanMessage("x")) == chain(AIMessage("", tool_calls=calls), HumanMessage("x"))


def test_an_image_is_part_of_the_scope() -> None:
    """Two pictures with one question never meet."""
    keys = {
        chain(HumanMessage([{"type": "text", "text": "What is it?"}, {"type": "image", "url": url}])).scope
        for url in ("https://a/1.png", "https://a/2.png")
    }
    assert len(keys) == 2


@pytest.mark.parametrize(
    "named",
    [
        {"type": "image", "source_type": "id", "id": "file-"},
        {"type": "file", "source_type": "id", "id": "file-"},
        {"type": "image", "file_id": "file-"},
        {"type": "image", "id": "file-"},
    ],
    ids=str,
)
def test_what_is_named_by_an_id_is_part_of_the_scope(named: dict[str, Any]) -> None:
    """Two uploaded files with one question never meet; the id that LangChain gives to a block says nothing."""

    def about(block: dict[str, Any]) -> str:
        return chain(HumanMessage([{"type": "text", "text": "What is it?", "id": "lc_1"}, block])).scope

    one, other = ({name: value.replace("-", which) for name, value in named.items()} for which in "12")
    assert about(one) != about(other)
    picture = {"type": "image", "url": "https://a/1.png"}
    assert about({**picture, "id": "lc_1"}) == about({**picture, "id": "lc_2"}) == about(picture)


def test_results_inside_a_message_belong_to_their_calls() -> None:
    """Anthropic's blocks: the same conversation had again is equal, with the results exchanged it is another."""

    def talk(first: str, second: str, *, crossed: bool = False) -> CacheKey:
        calls = [{"name": "look_up", "args": {"word": word}, "id": id_} for word, id_ in (("a", first), ("b", second))]
        ids = (second, first) if crossed else (first, second)
        results: list[Any] = [
            {"type": "tool_result", "tool_use_id": id_, "content": said} for id_, said in zip(ids, "12", strict=True)
        ]
        return chain(AIMessage("", tool_calls=calls), HumanMessage(results), HumanMessage("x"))

    assert talk("c-1", "c-2") == talk("c-8", "c-9")
    assert talk("c-1", "c-2").scope != talk("c-1", "c-2", crossed=True).scope


@pytest.mark.parametrize(
    "prompt",
    ["Sample prompt for testing.", "[{", "[{}]", '[{"lc": 1}]', '[{"lc": 2, "kwargs": {"content": ""}}]', "[" * 99_999],
)
def test_anything_else_is_a_plain_prompt(prompt: str) -> None:
    """Text for a completion model, and what only looks like a dump, is taken as it is."""
    made = key_of_langchain(prompt, LLM, window_tokens=None)
    assert made.text == prompt
    assert made.semantic


def test_langchains_escaped_content_is_read() -> None:
    """Content that looks like one of LangChain's constructors is wrapped in the dump, and still is content."""
    wrapped = chain(HumanMessage([{"type": "text", "text": QUESTION, "lc": 1}]))
    assert "__lc_escaped__" in dumps([HumanMessage([{"type": "text", "text": QUESTION, "lc": 1}])])
    assert wrapped.text == QUESTION


# --- llm_string -------------------------------------------------------------------------------------------------------


def foreign(call: dict[str, Any] | None = None, **options: Any) -> CacheKey:
    """The key under another vendor's model, as LangChain writes it."""
    llm = ChatOpenAI(**{"model": "gpt-4o", "api_key": "PLANTED-key", "temperature": 0, **options})
    return chain(HumanMessage(QUESTION), llm=llm._get_llm_string(**(call or {})))


PORTKEY_HEADERS = {"x-portkey-api-key": "PLANTED-key", "x-portkey-trace-id": "t-1", "x-portkey-metadata": "{}"}
CONFIG = {"x-portkey-config": "pc-a"}


def test_a_foreign_models_keys_and_traces_take_no_part() -> None:
    """ChatOpenAI with Portkey's headers: keys, trace ids and metadata, the model's or the call's, change nothing."""
    assert foreign(default_headers=PORTKEY_HEADERS) == foreign()
    assert foreign({"extra_headers": PORTKEY_HEADERS}) == foreign()
    assert foreign(api_key="PLANTED-other") == foreign()
    assert foreign({"stop": None}, timeout=3, max_retries=9) == foreign()


def test_a_foreign_models_settings_decide() -> None:
    """Model, parameters, tools, the route in the headers, the class: each has a scope of its own."""
    keys = [
        foreign(),
        foreign(model="gpt-4o-mini"),
        foreign(temperature=1),
        foreign({"tools": [TOOL]}),
        foreign({"stop": ["END"]}),
        foreign(base_url="http://127.0.0.1:1/v1"),
        foreign(default_headers=CONFIG),
        foreign(default_headers={**CONFIG, "x-portkey-metadata": '{"plan": "paid"}'}),
        foreign(default_headers={"x-portkey-provider": "anthropic"}),
        chain(HumanMessage(QUESTION)),
        chain(HumanMessage(QUESTION), llm="{}---[('stop', <object at 0x7f>)]"),
        chain(HumanMessage(QUESTION), llm="anything at all"),
        chain(HumanMessage(QUESTION), llm=""),
    ]
    assert len({each.scope for each in keys}) == len(keys)


# --- whatever comes ---------------------------------------------------------------------------------------------------

TEXTS = st.text() | st.text(alphabet="ab .?!'\n\ud800\u0130") | st.sampled_from(["now", "hi, a b", "thanks", "[{}]"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(text=TEXTS, tenant=st.text(), namespace=st.text(), params=st.dictionaries(st.text(), JSON, max_size=3))
def test_every_text_has_a_key(text: str, tenant: str, namespace: str, params: dict[str, Any]) -> None:
    """Nothing a user may type makes the key fail; it is the same each time; and it can say what is missing."""
    made = key(ask(text), tenant=tenant, namespace=namespace, params=params)
    assert made == key(ask(text), tenant=tenant, namespace=namespace, params=dict(reversed(params.items())))
    assert made.semantic is (made.why_not is None)
    assert not (made.semantic and not made.text.strip())


@given(one=st.tuples(st.text(), st.text(), st.text()), other=st.tuples(st.text(), st.text(), st.text()))
def test_scopes_are_equal_only_where_everything_in_them_is(one: Any, other: Any) -> None:
    """No tenant, namespace and system prompt run together into another's."""
    scopes = [
        key(ask("x", {"role": "system", "content": system}), tenant=tenant, namespace=namespace).scope
        for tenant, namespace, system in (one, other)
    ]
    assert (scopes[0] == scopes[1]) is (one == other)


@given(prompt=st.text(), llm_string=st.text())
def test_any_prompt_and_any_llm_string_have_a_key(prompt: str, llm_string: str) -> None:
    """Models are free in what they write."""
    assert key_of_langchain(prompt, llm_string).scope
    assert key_of_langchain(json.dumps([{"lc": 1, "kwargs": {"content": prompt}}]), "{" + llm_string).scope


def test_a_request_that_cannot_be_written_is_refused_by_name() -> None:
    """Parameters that hold themselves are a ConfigurationError that says what to do."""
    loop: dict[str, Any] = {}
    loop["loop"] = loop
    with pytest.raises(ConfigurationError, match="no_cache=True"):
        key(params={"extra": loop})


def test_a_key_is_a_frozen_record() -> None:
    """Six fields, as the stores expect them."""
    assert [field.name for field in fields(CacheKey)] == ["exact", "normalised", "scope", "text", "semantic", "why_not"]
