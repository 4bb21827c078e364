from __future__ import annotations

import copy
import pickle
import re
from inspect import getmembers, isclass
from typing import Any

import pytest

import portkey_router
from portkey_router import errors
from portkey_router.errors import (
    AdminError,
    AllTargetsFailedError,
    BudgetExceededError,
    ConfigurationError,
    ConnectFailedError,
    CreateUnconfirmedError,
    DeadlineExceededError,
    NotEnabledError,
    PortkeyError,
    RateLimitExceededError,
    StreamInterruptedError,
    UpstreamError,
)
from portkey_router.messages import AttemptRecord, Choice, Completion, Route, Usage

CLASSES = [cls for _, cls in getmembers(errors, isclass) if issubclass(cls, PortkeyError)]
RECORD = AttemptRecord("gpt-4o", "gpt-4o", "UpstreamUnavailableError", 0.5, status=503, error="down")
PARTIAL = Completion((Choice({"role": "assistant", "content": "Hel"}),), "gpt-4o", Route("t-1", "gpt-4o"))

ATTRIBUTES: dict[type[PortkeyError], dict[str, Any]] = {
    RateLimitExceededError: {"retry_after": 2.5},
    ConnectFailedError: {"sent": False},
    CreateUnconfirmedError: {"name": "OpenAI-Prod", "found": ("openai-prod",)},
    DeadlineExceededError: {"phase": "first_token", "seconds": 60.0},
    StreamInterruptedError: {"partial": PARTIAL, "usage": Usage(5, 2, 7)},
    UpstreamError: {
        "status": 503,
        "code": "overloaded",
        "body": {"error": {"message": "down"}},
        "request_id": "r-1",
        "retry_after": 3.0,
        "retryable": True,
        "provider": "openai",
    },
    AllTargetsFailedError: {"attempts": (RECORD,), "errors": (ConfigurationError("first"), ConfigurationError("last"))},
    AdminError: {"status": 404, "code": "AB08", "body": {"success": False}, "retry_after": 2.0},
}


def attributes_of(cls: type[PortkeyError]) -> dict[str, Any]:
    """Constructor arguments that set every attribute the class documents."""
    return next((given for base, given in ATTRIBUTES.items() if issubclass(cls, base)), {})


def make(cls: type[PortkeyError]) -> PortkeyError:
    """An error with all its attributes set, and a record of one attempt."""
    error = cls("what went wrong", **attributes_of(cls))
    error.attempts = (RECORD,)
    return error


def comparable(error: PortkeyError) -> dict[str, Any]:
    """Its attributes, errors among them as text: exceptions compare by identity."""
    return {name: repr(value) if name == "errors" else value for name, value in vars(error).items()}


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("through", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])  # noqa: S301
def test_every_error_survives_pickle_and_copy(cls: type[PortkeyError], through: Any) -> None:
    """A worker process hands every error back whole: class, message and all attributes."""
    error = make(cls)
    again = through(error)
    assert type(again) is cls
    assert str(again) == "what went wrong"
    assert comparable(again) == comparable(error)
    assert {*attributes_of(cls), "attempts"} <= set(vars(again))


def test_a_pickled_error_leaves_its_cause_behind() -> None:
    """Causes may be foreign and unpicklable; the error itself says enough."""
    try:
        raise make(UpstreamError) from OSError(lambda: "unpicklable")
    except UpstreamError as error:
        again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert again.__cause__ is None
    assert again.__context__ is None


def test_the_tree_is_as_drawn() -> None:
    """The module's drawing names every class, under its real parents."""
    drawn: dict[str, tuple[str, ...]] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"([│ ]*[├└]── )?(\w+Error)(?: \((\w+)\))?", line)
        if found:
            indent, name, beside = found.groups()
            depth = len(indent or "") // 4
            path[depth:] = [name]
            drawn[name] = tuple(filter(None, [path[depth - 1] if depth else "Exception", beside]))
    assert drawn == {cls.__name__: tuple(base.__name__ for base in cls.__bases__) for cls in CLASSES}


def test_every_error_is_public() -> None:
    """Every class can be imported from the package, budget errors included."""
    names = {cls.__name__ for cls in CLASSES}
    assert {"BudgetExceededError", "RateLimitExceededError", "StoreError", "AdminError"} <= names
    assert names == set(errors.__all__)
    assert names <= set(portkey_router.__all__)


def test_the_public_names_are_sorted_and_there() -> None:
    """`__all__` lists each name once, and every one can be imported."""
    assert len(set(portkey_router.__all__)) == len(portkey_router.__all__)
    assert all(hasattr(portkey_router, name) for name in portkey_router.__all__)


def test_configuration_errors_are_value_errors_too() -> None:
    """Code that knows nothing of us catches a wrong setting as ValueError, a disabled router as RuntimeError."""
    assert issubclass(ConfigurationError, ValueError)
    assert issubclass(NotEnabledError, RuntimeError)
    assert not issubclass(BudgetExceededError, ValueError)


def test_attempts_start_empty_and_are_not_shared() -> None:
    """An error from before any network call has no attempts, and one error's attempts are not another's."""
    error, other = ConfigurationError("a"), ConfigurationError("b")
    error.attempts = (RECORD,)
    assert list(other.attempts) == []
