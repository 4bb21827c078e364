"""What travels through the core: requests, chunks, completions, embeddings, usage.

Messages keep the OpenAI chat shape (`{"role": "user", "content": "Hello"}`), the field's common tongue and the
gateway's own. Adapters convert once, at the door; the core reads a message only where it must.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Context, Decimal, localcontext
from typing import Any, Literal, Required, TypedDict

__all__ = [
    "AttemptRecord",
    "CacheUse",
    "CallOptions",
    "ChatMessage",
    "Choice",
    "Chunk",
    "Completion",
    "Cost",
    "Embeddings",
    "FunctionCall",
    "Operation",
    "PartialEmbeddings",
    "Request",
    "Route",
    "ToolCall",
    "ToolCallDelta",
    "Usage",
    "total_cost",
]

Operation = Literal["chat", "embeddings"]


class FunctionCall(TypedDict):
    """The function a tool call names, and its arguments as a JSON string."""

    name: str
    arguments: str


class ToolCall(TypedDict, total=False):
    """A finished tool call, in the OpenAI chat shape."""

    id: Required[str]
    type: Literal["function"]
    function: Required[FunctionCall]


class ChatMessage(TypedDict, total=False):
    """One message in the OpenAI chat shape; `content` is text or a list of content parts."""

    role: Required[str]
    content: str | Sequence[Mapping[str, Any]] | None
    name: str
    tool_calls: Sequence[ToolCall]
    tool_call_id: str


@dataclass(frozen=True, slots=True)
class CacheUse:
    """What one call does with a cache of answers (`portkey_router.SemanticCache`).

    - `cache`: asked in the place of the router's own; None: the router's, if it has one.
    - `off`: none is asked, nothing is kept, and nobody's answer is shared. `refresh`: nothing is looked up, and no call
      in flight joined; the answer is kept in the place of the old one.
    - `ttl`: seconds that the answer is kept, `tags`: what it can be cleared by. `tenant` and `namespace` keep answers
      apart. None (and no tags): as the cache is set.
    - `missed`: somebody above has already looked it up in this cache (a `Miss`): it is not looked up again, and its key
      is what calls in flight are joined by; `since` says when that began (`time.monotonic`), and what has landed after
      it is this call's answer, too. `stores_itself`: that somebody will keep the answer, so it is not kept here. An
      answer that says `Completion.cache` is one from a cache, or of another call: it is not to be kept again.
    """

    cache: Any = None
    off: bool = False
    refresh: bool = False
    ttl: float | None = None
    tags: Sequence[str] = ()
    tenant: str | None = None
    namespace: str | None = None
    missed: Any = field(default=None, repr=False)
    since: float | None = None
    stores_itself: bool = False


@dataclass(frozen=True, slots=True)
class CallOptions:
    """What one call asks of the gateway and of us, beside the body.

    Times are seconds. None means: as the router is set. `timeout` bounds the whole call, all attempts and waits
    together; `max_retries` counts the further tries per target. `tags` are the call's own dimensions (user, team,
    session): events carry them and budgets select by them; they are not sent. `on_event` is told each event of the
    call (`portkey_router.events`), in the call's own thread or loop. `cache_use`: what it does with the cache.
    `max_cost` is in USD: what each attempt costs at most, on the caller's word, where a hard budget is to rely on that.
    """

    metadata: Mapping[str, str] = field(default_factory=dict)
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    span_name: str | None = None
    cache_namespace: str | None = None
    cache_force_refresh: bool | None = None
    extra_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float | None = None
    max_retries: int | None = None
    tags: Mapping[str, Any] = field(default_factory=dict)
    on_event: Callable[[Any], object] | None = field(default=None, repr=False, compare=False)
    cache_use: CacheUse | None = None
    max_cost: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One chat completion to be made: `messages` and every other OpenAI body field in `body`.

    `body` holds neither `model`, `messages` nor `stream`; fields the core does not know pass through unread. Where the
    `operation` is `embeddings` there are no messages, and `body` has the `input`.
    """

    messages: Sequence[Mapping[str, Any]]
    model: str | None = None
    body: Mapping[str, Any] = field(default_factory=dict)
    stream: bool = False
    options: CallOptions = field(default_factory=CallOptions)
    operation: Operation = "chat"


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one answer, whoever gave it.

    `input_tokens` includes the cached ones (read and written), `output_tokens` the reasoning. `reported_cost` is what
    the provider says the call cost, in USD; `service_tier` the tier it says it billed. `impossible` says why the
    counts cannot be right, where they contradict one another.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    audio_input_tokens: int | None = None
    audio_output_tokens: int | None = None
    reported_cost: Decimal | None = None
    service_tier: str | None = None
    impossible: str | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """What one answer cost, and how that is known. `amount` is in USD, exact; an unknown cost is None, never 0.

    - `source`: whose figure it is: the `user`'s price, `reported` by the provider, a `portkey` price file,
      `genai-prices`, or `cache`: an answer from a cache, the gateway's or ours, for which nobody bills.
    - `provider` (Portkey's name) and `model`: whose price it is; `guessed` where only the model's name told the
      provider.
    - `rates`: those used, in USD per million tokens (`input`, `output`, `cache_read`, `cache_write`, `audio_input`,
      `audio_output`, `reasoning`), and `request` in USD for each call. Empty for `reported` and `cache`.
    - `service_tier`: the tier whose rates these are; None for the standard ones, which also stand in for a tier whose
      rates are not known.
    """

    amount: Decimal
    source: Literal["user", "reported", "portkey", "genai-prices", "cache"]
    provider: str | None
    model: str
    guessed: bool = False
    rates: Mapping[str, Decimal] = field(default_factory=dict)
    service_tier: str | None = None
    currency: Literal["USD"] = "USD"

    def as_dict(self) -> dict[str, Any]:
        """As JSON: amounts as strings, since a float would round them."""
        return {
            "amount": f"{self.amount:f}",
            "currency": self.currency,
            "source": self.source,
            "guessed": self.guessed,
            "provider": self.provider,
            "model": self.model,
            "rates": {name: f"{rate:f}" for name, rate in self.rates.items()},
            "service_tier": self.service_tier,
        }

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> Cost:
        """What `as_dict` wrote, exactly."""
        rates = {name: Decimal(rate) for name, rate in written["rates"].items()}
        return cls(**{**written, "amount": Decimal(written["amount"]), "rates": rates})


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a tool call in a stream: `id` and `name` come once, `arguments` in pieces, joined by `index`."""

    index: int
    id: str | None
    name: str | None
    arguments: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of a streamed answer, for choice `index`.

    `content` and `reasoning` are text to append; `extra` holds fields of the delta the core does not know.

    `reset` is the marker of `on_stream_break="restart"`: the stream broke, all that was shown of the answer is void,
    and a whole new answer begins with the next chunk. Such a chunk holds nothing else.
    """

    content: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    index: int = 0
    role: str | None = None
    refusal: str | None = None
    logprobs: Mapping[str, Any] | None = None
    model: str | None = None
    id: str | None = None
    extra: Mapping[str, Any] | None = None
    reset: bool = False

    @property
    def visible(self) -> bool:
        """Whether a caller who is given this piece has been shown part of the answer."""
        said = self.content or self.reasoning or self.tool_calls or self.refusal
        return bool(said or (self.extra and says_something(self.extra)))


def says_something(extra: Mapping[str, Any]) -> bool:
    """Whether fields of a delta that the core does not know hold part of the answer: Claude's thinking, audio, images.

    Empty ones are how providers fill a delta; a block's type, index and id announce it.
    """
    return any(_is_said(name, value) for name, value in extra.items())


def _is_said(name: str, value: Any) -> bool:
    if isinstance(value, Mapping):
        return says_something(value)
    if isinstance(value, list):
        return any(_is_said("", part) for part in value)
    return bool(value) and name not in {"type", "index", "id"} and value is not True


@dataclass(frozen=True, slots=True)
class AttemptRecord:
    """What became of one attempt. `target` is the target's label (never a key), `seconds` its duration.

    `outcome` is `ok`, or the name of the error's class; `status` the HTTP status where there was one; `error` the
    error's message, keys removed. `billed`: whether the provider may have charged for it (`no` where the request never
    reached it, or it answered with an error status; `maybe` where it broke off, the gateway waited no longer (408, 504,
    524), or nothing is known); `usage` are the tokens where it stated them. `gateway` is the `host:port` that was
    asked, where there are several gateways.
    """

    target: str
    model: str | None
    outcome: str
    seconds: float
    status: int | None = None
    error: str | None = None
    billed: Literal["no", "maybe", "yes"] = "no"
    usage: Usage | None = None
    gateway: str | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """How an answer came about: who answered, on which attempt, and what the gateway said of it.

    `target` is the label of the target that answered, `provider` and `model` those that really served, `index` the
    gateway's JSON path of the target (`x-portkey-last-used-option-index`), `cache_status` the gateway's (`HIT`,
    `MISS`, `DISABLED` ...), `retries` those the gateway made itself.
    """

    trace_id: str
    target: str
    attempts: tuple[AttemptRecord, ...] = ()
    provider: str | None = None
    cache_status: str | None = None
    index: str | None = None
    retries: int = 0
    request_id: str | None = None
    run_on: Literal["client", "gateway"] = "client"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the `n` alternatives of an answer: the assistant's message as received, and why it ended."""

    message: Mapping[str, Any]
    finish_reason: str | None = None
    index: int = 0
    logprobs: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer. `raw` is the body as received (or as assembled from a stream), `route` how it came about.

    `cost` is priced by the target that answered; None where no price is known.

    `cache` says that our cache answered: the `layer` (`exact`, `normalised`, `semantic`, or `shared`: by an equal call
    in flight), `similarity`, `age_seconds`, and what it had cost: `saved_input_tokens`, `saved_output_tokens`,
    `saved_cost` (US dollars, as text). Then usage and cost are 0, and the id is a fresh one.
    """

    choices: tuple[Choice, ...]
    model: str
    route: Route
    usage: Usage | None = None
    id: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)
    cost: Cost | None = None
    cache: Mapping[str, Any] | None = None

    @property
    def message(self) -> Mapping[str, Any]:
        """The first choice's message."""
        return self.choices[0].message

    @property
    def text(self) -> str:
        """The first choice's text; empty where it is a tool call."""
        content = self.message.get("content")
        if isinstance(content, str):
            return content
        return "".join(str(part.get("text", "")) for part in content or () if isinstance(part, Mapping))

    @property
    def tool_calls(self) -> Sequence[ToolCall]:
        """The first choice's tool calls, in the OpenAI shape."""
        return tuple(self.message.get("tool_calls") or ())

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended: `stop`, `length`, `tool_calls`, `content_filter` ..."""
        return self.choices[0].finish_reason

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Embeddings:
    """The vectors of texts, in the order of the texts: one list of floats each, all of one length.

    The texts may have gone out in several batches: `usage` is what these used together, None where one of them did not
    state it; `routes` and `costs` have an entry for each batch, in the order of the texts. No texts, no batches.
    """

    vectors: tuple[list[float], ...] = field(repr=False)
    model: str
    routes: tuple[Route, ...] = ()
    usage: Usage | None = None
    costs: tuple[Cost | None, ...] = ()

    @property
    def dimensions(self) -> int:
        """The length of each vector; 0 where there are none."""
        return len(self.vectors[0]) if self.vectors else 0

    @property
    def attempts(self) -> tuple[AttemptRecord, ...]:
        """Every attempt of every batch."""
        return tuple(attempt for route in self.routes for attempt in route.attempts)

    @property
    def cost(self) -> Cost | None:
        """What all batches cost together; None where the cost of one is not known.

        Its source, provider, model and rates are those of the batch that cost most; each batch's own are in `costs`.
        """
        return total_cost(self.costs)


@dataclass(frozen=True, slots=True)
class PartialEmbeddings:
    """What the finished batches gave where another one failed, so that nothing paid for is lost.

    `vectors` by the position of their text; `usage`, `routes` and `costs` as in `Embeddings`.
    """

    vectors: Mapping[int, list[float]] = field(repr=False)
    routes: tuple[Route, ...] = ()
    usage: Usage | None = None
    costs: tuple[Cost | None, ...] = ()

    @property
    def cost(self) -> Cost | None:
        """What the finished batches cost together; None where the cost of one is not known."""
        return total_cost(self.costs)


def total_cost(costs: Sequence[Cost | None]) -> Cost | None:
    """The sum of costs, as a cost like the largest of them; None where one is None, or there are none."""
    known = [cost for cost in costs if cost is not None]
    if not known or len(known) < len(costs):
        return None
    most = max(known, key=lambda cost: cost.amount)
    guessed = any(cost.guessed for cost in known)
    with localcontext(Context(prec=60)):  # the caller's own context may round
        amount = sum((cost.amount for cost in known), Decimal(0))
    return replace(most, amount=amount, guessed=guessed)
