"""Every error this project raises, in one tree with one root.

```
PortkeyError
├── ConfigurationError (ValueError)        what to set, by name; raised before any network call
│   ├── MissingCredentialError
│   ├── UnknownModelError
│   └── NotEnabledError (RuntimeError)
├── AdmissionError                         refused by us before any network call
│   ├── BudgetExceededError                .budget, .key, .needed_usd, .left_usd, .resets_at
│   └── RateLimitExceededError             .retry_after
├── TransportError                         the network, or the clock
│   ├── ConnectFailedError                 no connection, or one that broke before an answer
│   ├── CreateUnconfirmedError             .name, .found: the reply to an admin creation was lost
│   ├── DeadlineExceededError              .phase, .seconds
│   └── StreamInterruptedError             .partial, .usage
├── UpstreamError                          the gateway or the provider answered with an error
│   ├── AuthenticationError
│   ├── InvalidRequestError
│   │   ├── ContextLengthError
│   │   └── ContentFilterError
│   ├── UpstreamRateLimitError
│   ├── UpstreamUnavailableError
│   └── GuardrailError
├── AllTargetsFailedError                  .attempts, in the order they were made
├── StoreError                             .code; never reaches the caller of a completion
└── AdminError                             .status, .code, .body
```

All of them pickle, and none of them carries a key: what goes into a message or a `body` has passed `redact`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from decimal import Decimal

    from portkey_router.messages import AttemptRecord, Completion, PartialEmbeddings, Usage

__all__ = [
    "AdminError",
    "AdmissionError",
    "AllTargetsFailedError",
    "AuthenticationError",
    "BudgetExceededError",
    "ConfigurationError",
    "ConnectFailedError",
    "ContentFilterError",
    "ContextLengthError",
    "CreateUnconfirmedError",
    "DeadlineExceededError",
    "GuardrailError",
    "InvalidRequestError",
    "MissingCredentialError",
    "NotEnabledError",
    "PortkeyError",
    "RateLimitExceededError",
    "StoreError",
    "StreamInterruptedError",
    "TransportError",
    "UnknownModelError",
    "UpstreamError",
    "UpstreamRateLimitError",
    "UpstreamUnavailableError",
]

Phase = Literal["connect", "first_token", "silence", "attempt", "total"]


def _rebuild(cls: type[PortkeyError], message: str, state: dict[str, Any]) -> PortkeyError:
    """Unpickle without calling `__init__`, whose keyword arguments differ from class to class."""
    error = cls.__new__(cls, message)
    error.args = (message,)
    error.__dict__.update(state)
    return error


class PortkeyError(Exception):
    """The root: `except PortkeyError` catches everything this project raises on purpose.

    `attempts` lists what was tried before the error (`AttemptRecord`s, in order); it is empty for errors raised
    before any network call. `embedded` is what other batches of the same `embed` call had finished by then.
    """

    attempts: Sequence[AttemptRecord] = ()
    embedded: PartialEmbeddings | None = None

    def __init__(self, message: str) -> None:
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), str(self.args[0]), dict(self.__dict__))


class ConfigurationError(PortkeyError, ValueError):
    """Something is set wrongly; the message names it and says what to set instead."""


class MissingCredentialError(ConfigurationError):
    """A key that this call cannot do without is not set; the message names the argument and the variable."""


class UnknownModelError(ConfigurationError):
    """No configured key fits the model; the message names the variable to set."""


class NotEnabledError(ConfigurationError, RuntimeError):
    """The environment chose another provider than Portkey (`PREFERRED_LLM_PROVIDER`)."""


class AdmissionError(PortkeyError):
    """Refused by us, before any network call."""


class BudgetExceededError(AdmissionError):
    """A budget does not allow the call.

    `budget` names it, `key` is the value it is counted by (`by="user"` -> the user; empty where it has one counter).
    `needed_usd` is what the attempt may cost at most (of a soft budget: what it will probably cost), None where that
    has no bound; `left_usd` what is left. `resets_at`: when its window ends (UTC); None where it does not, or slides.
    """

    def __init__(
        self,
        message: str,
        *,
        budget: str | None = None,
        key: str = "",
        needed_usd: Decimal | None = None,
        left_usd: Decimal | None = None,
        resets_at: datetime | None = None,
    ) -> None:
        super().__init__(message)
        self.budget = budget
        self.key = key
        self.needed_usd = needed_usd
        self.left_usd = left_usd
        self.resets_at = resets_at


class RateLimitExceededError(AdmissionError):
    """One of our own rate limits does not allow the call now; `retry_after` is in seconds."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TransportError(PortkeyError):
    """The network failed, or a deadline passed, before an answer was complete."""


class ConnectFailedError(TransportError):
    """No connection could be made, or it broke before the reply was complete.

    `sent` says whether the request may have been read: False where there never was a connection.
    """

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class CreateUnconfirmedError(TransportError):
    """Something was to be created in Portkey, and no reply says whether it was. It was not sent twice.

    `name` is what it was to be called, `found` what there is of that name now (records of `portkey_router.admin`).
    """

    def __init__(self, message: str, *, name: str, found: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.name = name
        self.found = tuple(found)


class DeadlineExceededError(TransportError):
    """A deadline passed.

    `phase` is `connect`, `first_token`, `silence`, `attempt` or `total`; `seconds` is the deadline's length.
    """

    def __init__(self, message: str, *, phase: Phase, seconds: float) -> None:
        super().__init__(message)
        self.phase: Phase = phase
        self.seconds = seconds


class StreamInterruptedError(TransportError):
    """A stream ended before its answer did, after part of it had been shown to the caller.

    `partial` is what had arrived (never a complete answer), `usage` its token counts where known.
    """

    def __init__(self, message: str, *, partial: Completion | None = None, usage: Usage | None = None) -> None:
        super().__init__(message)
        self.partial = partial
        self.usage = usage


class UpstreamError(PortkeyError):
    """The gateway or the provider answered with an error.

    `status` is the HTTP status, `code` the provider's own code, `body` the parsed error body (keys removed),
    `request_id` the provider's or gateway's id of the request, `retry_after` seconds (None: not stated),
    `retryable` whether the same request may succeed if sent again, `provider` who said it, where known.
    `by_gateway`: the gateway (or a proxy before it) failed itself, no target did.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str | None = None,
        body: Mapping[str, Any] | str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        retryable: bool = False,
        provider: str | None = None,
        by_gateway: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.body = body
        self.request_id = request_id
        self.retry_after = retry_after
        self.retryable = retryable
        self.provider = provider
        self.by_gateway = by_gateway


class AuthenticationError(UpstreamError):
    """401 or 403: the key, the virtual key or the provider slug was refused."""


class InvalidRequestError(UpstreamError):
    """The request itself was refused (400, 404, 413, 415, 422 ...): sending it again will not help."""


class ContextLengthError(InvalidRequestError):
    """The prompt (plus `max_tokens`) does not fit the model's context window.

    `limit` is the window and `needed` what the request takes, in tokens, as far as the provider stated them.
    """

    limit: int | None = None
    needed: int | None = None


class ContentFilterError(InvalidRequestError):
    """The provider refused the prompt or the answer on content grounds."""


class UpstreamRateLimitError(UpstreamError):
    """429: the provider or Portkey limits the rate; `retry_after` is in seconds where stated."""


class UpstreamUnavailableError(UpstreamError):
    """The gateway or provider cannot answer now (408, 409, 412 budget exhausted, 5xx, 529)."""


class GuardrailError(UpstreamError):
    """446: a Portkey guardrail denied the request or the answer; `body["hook_results"]` says which check."""


class AllTargetsFailedError(PortkeyError):
    """Every target of the plan failed.

    `attempts` holds an `AttemptRecord` for each attempt, in order, with its error, target and duration;
    `errors` the last error of each target, in order. `__cause__` is the first target's.
    """

    def __init__(self, message: str, *, attempts: Sequence[AttemptRecord], errors: Sequence[PortkeyError] = ()) -> None:
        super().__init__(message)
        self.attempts = tuple(attempts)
        self.errors = tuple(errors)


class StoreError(PortkeyError):
    """A cache or ledger store failed; a completion's caller never sees it (a failed cache is a miss).

    `code` is the first word of what the server answered (`OOM`, `READONLY`, `NOSCRIPT`, `ERR` ...), None where it gave
    no answer.
    """

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


class AdminError(PortkeyError):
    """The admin API answered with an error, or with what is no answer.

    `status`, `code` (Portkey's own, `AB01` ... `AB09`) and `body` are the reply's, keys removed; `retry_after` is in
    seconds where stated.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str | None = None,
        body: Mapping[str, Any] | str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.body = body
        self.retry_after = retry_after
