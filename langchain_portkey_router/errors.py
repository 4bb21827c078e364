"""The router's errors, which leave `ChatPortkey` as LangChain's too.

Every error of a call is raised as a class that is both: `portkey_router`'s own, attributes included, and the matching
one of `langchain_core.exceptions`, by which middleware decides (retry, fall back, summarise).

| `portkey_router` | `langchain_core.exceptions` |
|---|---|
| `AuthenticationError` | `ModelAuthenticationError`; where the status is 403, `ModelPermissionDeniedError` |
| `ContextLengthError` | `ContextOverflowError` |
| `InvalidRequestError`, `ContentFilterError`, `GuardrailError` | `ModelInvalidRequestError` |
| any of these with status 404 | `ModelNotFoundError` |
| `UpstreamRateLimitError`, `RateLimitExceededError` | `ModelRateLimitError` |
| `UpstreamUnavailableError` | `ModelAPIError` |
| `ConnectFailedError`, `StreamInterruptedError` | `ModelConnectionError` |
| `DeadlineExceededError` | `ModelTimeoutError` |
| `AllTargetsFailedError` | what its errors have in common, else `ModelAPIError` |

`ConfigurationError` and `BudgetExceededError` stay what they are: no model was asked. `is_retryable` is the router's
own judgement, where it has one.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from langchain_core import exceptions as langchain
from langchain_core.exceptions import ModelError

from portkey_router.errors import (
    AllTargetsFailedError,
    AuthenticationError,
    ConnectFailedError,
    ContextLengthError,
    DeadlineExceededError,
    PortkeyError,
    RateLimitExceededError,
    StreamInterruptedError,
    UpstreamError,
    UpstreamRateLimitError,
    UpstreamUnavailableError,
)

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["OutputRefusedError", "as_langchain_errors", "with_langchain_class"]

_MATCHES: tuple[tuple[type[PortkeyError], type[ModelError]], ...] = (
    (ContextLengthError, langchain.ContextOverflowError),
    (AuthenticationError, langchain.ModelAuthenticationError),
    (UpstreamRateLimitError, langchain.ModelRateLimitError),
    (UpstreamUnavailableError, langchain.ModelAPIError),
    (UpstreamError, langchain.ModelInvalidRequestError),
    (RateLimitExceededError, langchain.ModelRateLimitError),
    (DeadlineExceededError, langchain.ModelTimeoutError),
    (ConnectFailedError, langchain.ModelConnectionError),
    (StreamInterruptedError, langchain.ModelConnectionError),
)
_BY_STATUS = {403: langchain.ModelPermissionDeniedError, 404: langchain.ModelNotFoundError}
# From langchain-core 1.7.5 there is a class for a model that declines.
_Refusal: type[ModelError] = getattr(langchain, "ModelRefusalError", ModelError)


class OutputRefusedError(PortkeyError, _Refusal):  # type: ignore[misc, valid-type]  # a base that depends on the version
    """The model declined to give the structured output it was asked for; the message is its own.

    From langchain-core 1.7.5 it is a `ModelRefusalError` too, whose `raw_message` is the whole answer.
    """

    def __init__(self, message: str, *, raw_message: Any = None) -> None:
        PortkeyError.__init__(self, message)
        self.raw_message = raw_message


class _AsLangChainErrors:
    """A block out of which the router's errors come as LangChain's too."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        if isinstance(error, PortkeyError):
            both = with_langchain_class(error)
            if both is not error:
                raise both.with_traceback(where) from error.__cause__


as_langchain_errors = _AsLangChainErrors()
"""`with as_langchain_errors:` around a call of the router."""


def with_langchain_class(error: PortkeyError) -> PortkeyError:
    """The same error as an instance of LangChain's class as well; itself, where there is none or it is one already."""
    matching = None if isinstance(error, ModelError) else _matching(error)
    if matching is None:
        return error
    both = _restore(type(error), matching, str(error), error.__dict__)
    retryable = _retryable(error)
    if retryable is not None:
        both.is_retryable = retryable  # type: ignore[attr-defined]  # ModelError's
    return both


def _matching(error: PortkeyError) -> type[ModelError] | None:
    if isinstance(error, AllTargetsFailedError):
        common = {_matching(each) for each in error.errors}
        return (common.pop() if len(common) == 1 else None) or langchain.ModelAPIError
    if isinstance(error, UpstreamError) and error.status in _BY_STATUS:
        return _BY_STATUS[error.status]
    return next((matching for ours, matching in _MATCHES if isinstance(error, ours)), None)


def _retryable(error: PortkeyError) -> bool | None:
    """Whether to ask again may help, where the router knows better than the class."""
    if isinstance(error, AllTargetsFailedError):
        known = [_retryable(each) for each in error.errors]
        return any(answer is not False for answer in known) if known else None
    return error.retryable if isinstance(error, UpstreamError) else None


@cache  # one class for each pair, however often it is raised
def _class_of_both(ours: type[PortkeyError], matching: type[ModelError]) -> type[PortkeyError]:
    body = {"__module__": __name__, "__doc__": ours.__doc__, "__reduce__": _reduce, "_parts": (ours, matching)}
    return type(ours.__name__, (ours, matching), body)


def _reduce(self: Any) -> tuple[Any, ...]:
    return _restore, (*self._parts, str(self), dict(self.__dict__))


def _restore(ours: type[PortkeyError], matching: type[ModelError], message: str, state: dict[str, Any]) -> PortkeyError:
    cls = _class_of_both(ours, matching)  # type: ignore[arg-type]  # typeshed asks for hashable instances
    error = cls.__new__(cls, message)
    error.args = (message,)
    error.__dict__.update(state)
    return error
