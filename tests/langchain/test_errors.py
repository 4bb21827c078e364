from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRetryMiddleware
from langchain_core import exceptions as langchain
from langchain_core.messages import HumanMessage

from langchain_portkey_router import ChatPortkey
from langchain_portkey_router.errors import with_langchain_class
from portkey_router import (
    AllTargetsFailedError,
    AuthenticationError,
    ConfigurationError,
    ConnectFailedError,
    ContentFilterError,
    ContextLengthError,
    DeadlineExceededError,
    Fallback,
    GuardrailError,
    InvalidRequestError,
    PortkeyError,
    RateLimitExceededError,
    StreamInterruptedError,
    UpstreamError,
    UpstreamRateLimitError,
    UpstreamUnavailableError,
    sandbox,
)
from tests.langchain.verbs import VERBS, ask

if TYPE_CHECKING:
    from portkey_router.sandbox import PortkeyDouble


def upstream(cls: type[UpstreamError], status: int, *, retryable: bool = False) -> UpstreamError:
    """An error of the gateway's or the provider's."""
    return cls(
        "said no", status=status, code="c", body={"a": 1}, request_id="r", retryable=retryable, provider="openai"
    )


PAIRS: list[tuple[PortkeyError, type[langchain.ModelError], bool]] = [
    (upstream(AuthenticationError, 401), langchain.ModelAuthenticationError, False),
    (upstream(AuthenticationError, 403), langchain.ModelPermissionDeniedError, False),
    (upstream(InvalidRequestError, 400), langchain.ModelInvalidRequestError, False),
    (upstream(InvalidRequestError, 404), langchain.ModelNotFoundError, False),
    (upstream(ContextLengthError, 400), langchain.ContextOverflowError, False),
    (upstream(ContentFilterError, 400), langchain.ModelInvalidRequestError, False),
    (upstream(GuardrailError, 446), langchain.ModelInvalidRequestError, False),
    (upstream(UpstreamRateLimitError, 429, retryable=True), langchain.ModelRateLimitError, True),
    (upstream(UpstreamUnavailableError, 503, retryable=True), langchain.ModelAPIError, True),
    (upstream(UpstreamUnavailableError, 412), langchain.ModelAPIError, False),
    (RateLimitExceededError("slow down", retry_after=2), langchain.ModelRateLimitError, True),
    (ConnectFailedError("no route"), langchain.ModelConnectionError, True),
    (StreamInterruptedError("cut"), langchain.ModelConnectionError, True),
    (DeadlineExceededError("late", phase="total", seconds=1), langchain.ModelTimeoutError, True),
]


def both_of(error: PortkeyError) -> Any:
    """The error as it leaves ChatPortkey, which is LangChain's too; typed loosely, as its class is made."""
    return with_langchain_class(error)


@pytest.mark.parametrize(("error", "matching", "retryable"), PAIRS, ids=lambda value: getattr(value, "__name__", None))
def test_an_error_is_both(error: PortkeyError, matching: type[langchain.ModelError], retryable: bool) -> None:
    """Ours with every attribute, and LangChain's, whose `is_retryable` says what the router knows."""
    both = both_of(error)
    assert isinstance(both, type(error))
    assert isinstance(both, matching)
    assert both.is_retryable is retryable
    assert {**vars(error), "is_retryable": retryable}.items() >= vars(both).items() >= vars(error).items()
    assert (str(both), type(both).__name__) == (str(error), type(error).__name__)
    assert with_langchain_class(both) is both


@pytest.mark.parametrize(("error", "matching", "retryable"), PAIRS, ids=lambda value: getattr(value, "__name__", None))
def test_an_error_of_both_pickles(error: PortkeyError, matching: type[langchain.ModelError], retryable: bool) -> None:
    """A worker process hands back the same class with the same attributes."""
    both = both_of(error)
    restored = pickle.loads(pickle.dumps(both))  # noqa: S301  (our own)
    assert type(restored) is type(both)
    assert (str(restored), vars(restored)) == (str(both), vars(both))


@pytest.mark.parametrize(
    ("errors", "matching", "retryable"),
    [
        ([upstream(ContextLengthError, 400)] * 2, langchain.ContextOverflowError, False),
        ([upstream(UpstreamRateLimitError, 429, retryable=True)] * 2, langchain.ModelRateLimitError, True),
        ([upstream(AuthenticationError, 401), upstream(InvalidRequestError, 400)], langchain.ModelAPIError, False),
        ([upstream(AuthenticationError, 401), ConnectFailedError("no")], langchain.ModelAPIError, True),
        ([], langchain.ModelAPIError, True),
    ],
)
def test_what_all_targets_failed_of(errors: Any, matching: type[langchain.ModelError], retryable: bool) -> None:
    """What the targets' errors have in common, so that an overflow everywhere is one; a retry, where one may help."""
    both = both_of(AllTargetsFailedError("all failed", attempts=(), errors=errors))
    assert isinstance(both, AllTargetsFailedError)
    assert isinstance(both, matching)
    assert both.is_retryable is retryable
    assert list(both.errors) == errors


def test_our_own_mistakes_stay_our_own() -> None:
    """No model was asked: a ConfigurationError is a ValueError, and not a ModelError."""
    error = ConfigurationError("set PORTKEY_API_KEY")
    assert with_langchain_class(error) is error


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("status", "ours", "theirs"),
    [
        (401, AuthenticationError, langchain.ModelAuthenticationError),
        (404, InvalidRequestError, langchain.ModelNotFoundError),
        (429, UpstreamRateLimitError, langchain.ModelRateLimitError),
        (503, UpstreamUnavailableError, langchain.ModelAPIError),
    ],
)
def test_every_verb_raises_both(
    portkey: PortkeyDouble, verb: str, status: int, ours: type[UpstreamError], theirs: type[Exception]
) -> None:
    """The same class by all four verbs, caught by either name."""
    portkey.always("vk-openai", sandbox.Fault.status(status))
    llm = ChatPortkey(model="gpt-4o", max_retries=0)
    with pytest.raises(ours) as caught:
        ask(llm, verb, "Hello")
    assert isinstance(caught.value, theirs)
    assert caught.value.status == status
    assert [attempt.status for attempt in caught.value.attempts] == [status]


@pytest.mark.parametrize("verb", ["stream", "astream"])
def test_a_broken_stream_is_a_connection_error(portkey: PortkeyDouble, verb: str) -> None:
    """The part that was shown is on the error."""
    portkey.always("vk-openai", sandbox.Fault.cut(after=3))
    with pytest.raises(langchain.ModelConnectionError) as caught:
        ask(ChatPortkey(model="gpt-4o", max_retries=0), verb, "What is a gateway?")
    assert isinstance(caught.value, StreamInterruptedError)
    assert caught.value.partial is not None


def test_all_targets_failing_is_both(portkey: PortkeyDouble) -> None:
    """The attempts are on it, and its cause is the first target's error."""
    portkey.always("vk-openai", sandbox.Fault.status(503))
    portkey.always("vk-anthropic", sandbox.Fault.status(500))
    with pytest.raises(langchain.ModelAPIError) as caught:
        ChatPortkey(strategy=Fallback("gpt-4o", "claude-sonnet-4-5"), max_retries=0).invoke("Hello")
    assert isinstance(caught.value, AllTargetsFailedError)
    assert [attempt.status for attempt in caught.value.attempts] == [503, 500]
    assert isinstance(caught.value.__cause__, UpstreamUnavailableError)


def test_middleware_decides_by_the_class(portkey: PortkeyDouble) -> None:
    """LangChain's retry middleware asks again after a 503 and not after a 401."""
    retry = ModelRetryMiddleware(max_retries=1, initial_delay=0, jitter=False, on_failure="error")
    agent = create_agent(ChatPortkey(model="gpt-4o", max_retries=0), middleware=[retry])
    portkey.script("vk-openai", sandbox.Fault.status(503))
    assert agent.invoke({"messages": [HumanMessage("Hello")]})["messages"][-1].text
    assert len(portkey.requests) == 2
    portkey.always("vk-openai", sandbox.Fault.status(401))
    with pytest.raises(langchain.ModelAuthenticationError):
        agent.invoke({"messages": [HumanMessage("Hello")]})
    assert len(portkey.requests) == 3
