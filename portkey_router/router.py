"""PortkeyRouter: chat and embeddings through the Portkey gateway, without any framework."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from datetime import UTC, datetime
from os import urandom
from typing import TYPE_CHECKING, Any, Unpack, cast

from portkey_router.call_arguments import body_of, check_limits, check_route, options_over, route_options
from portkey_router.completion_streams import AsyncCompletionStream, CompletionStream
from portkey_router.costing import Experience, needs_of
from portkey_router.drive import adrive, drive
from portkey_router.embedding import EmbeddingCall, aembed_all, embed_all, embedding_call
from portkey_router.errors import ConfigurationError
from portkey_router.events import EventHub
from portkey_router.flow.cache_use import caching_of
from portkey_router.flow.journey import Deadlines, Surroundings, journey
from portkey_router.flow.policy import POLICY_OPTIONS, Policy
from portkey_router.health import Health
from portkey_router.locks import ForkLock
from portkey_router.messages import CallOptions, Chunk, Completion, Request
from portkey_router.planner import Plan, RunOn, is_saved, plan_config, plan_headers, plan_strategy
from portkey_router.ranking import Ranker
from portkey_router.spaces import check_one_space
from portkey_router.targets import Fallback, Target, as_strategy
from portkey_router.wire.body import check_messages
from portkey_router.wire.embeddings import check_dimensions, check_texts
from portkey_router.wire.headers import base_headers, call_headers

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence

    from portkey_router.cache.cache import SemanticCache
    from portkey_router.costing import Needs
    from portkey_router.drive import AsyncPort, SyncPort
    from portkey_router.events import Event
    from portkey_router.flow.spending import Spending
    from portkey_router.flow.steps import Step
    from portkey_router.health import TargetHealth
    from portkey_router.messages import Embeddings, Operation
    from portkey_router.money import Amount
    from portkey_router.options import RouterOptions
    from portkey_router.pricing import PriceBook
    from portkey_router.settings import Settings
    from portkey_router.targets import TargetLike

__all__ = ["PortkeyRouter"]


class PortkeyRouter:
    """Routes chat and embedding calls through a Portkey gateway, by a strategy or a saved config.

    Build one with `PortkeyRouter.from_env()`, which takes `build_router`'s arguments; one router serves any
    number of threads, loops and models. `router.complete(messages, model="gpt-4o", temperature=0)`: keyword arguments
    that are not named here are fields of the request's body. All verbs (`complete`, `acomplete`, `stream`, `astream`,
    `embed`, `aembed`) raise the errors of `portkey_router.errors`.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        ports: tuple[SyncPort, AsyncPort],
        model: str | None = None,
        strategy: TargetLike | None = None,
        config: str | Mapping[str, Any] | None = None,
        target: Target | None = None,
        run_on: RunOn = "client",
        max_retries: int = 2,
        deadlines: Deadlines | None = None,
        options: CallOptions | None = None,
        prices: PriceBook | None = None,
        policy: Policy | None = None,
        health: Health | None = None,
        hub: EventHub | None = None,
        experience: Experience | None = None,
        count_tokens: Callable[[str], int] | None = None,
        cache: SemanticCache | None = None,
        spending: Spending | None = None,
    ) -> None:
        check_route(strategy, config, run_on)
        check_limits(max_retries, deadlines.total if deadlines else None)
        settings.check_access()
        self.settings = settings
        self.model = model
        self.strategy = None if strategy is None else as_strategy(strategy)
        self.config = config
        self.target = target or Target()
        self.run_on: RunOn = run_on
        self.max_retries = max_retries
        self.deadlines = deadlines or Deadlines()
        self.options = options or CallOptions()
        self.prices = prices
        self.policy = policy or Policy()
        self.health = health or Health(ForkLock())
        self.hub = hub or EventHub()
        self.experience = experience or Experience()
        self.cache = cache
        self._count_tokens = count_tokens
        self.ledger = None if spending is None else spending.ledger
        self._spending = spending
        self._ranker = Ranker(prices, self.experience, self.health)
        self._sync_port, self._async_port = ports
        self._base_headers = base_headers(settings)
        self._plans: dict[tuple[str | None, int | None], Plan] = {}

    def __repr__(self) -> str:
        inline = self.config is not None and not is_saved(self.config)  # may hold keys
        chosen = "inline config" if inline else repr(self.config or self.strategy or self.model)
        return f"PortkeyRouter({self.settings.base_url}, {chosen}, run_on={self.run_on!r})"

    def __copy__(self) -> PortkeyRouter:
        return self  # a router does not change: the copy of a model shares it

    def __deepcopy__(self, memo: dict[int, Any]) -> PortkeyRouter:
        return self

    @classmethod
    def from_env(cls, **options: Unpack[RouterOptions]) -> PortkeyRouter:
        """A router from arguments, environment and `.env`, in that order; see `portkey_router.RouterOptions`."""
        from portkey_router.bootstrap import build_router  # noqa: PLC0415  (the composition root stands above)

        return build_router(from_env=True, **options)

    @classmethod
    def from_portkey(cls, client: Any, **options: Any) -> PortkeyRouter:
        """A router with the URL, keys, config and headers of a `portkey_ai.Portkey` or `AsyncPortkey` client."""
        from portkey_router.bootstrap import build_router_from_client  # noqa: PLC0415  (as above)

        return build_router_from_client(client, **options)

    def complete(self, messages: Sequence[Mapping[str, Any]], **options: Any) -> Completion:
        """The whole answer: `text`, `usage`, `cost`, `route` with every attempt. Blocks the calling thread.

        `messages` are dicts of the OpenAI chat shape, one at least; for options and their errors see `request`.
        """
        last: object = None
        for item in drive(self._journey(messages, options, stream=False), self._sync_port):
            last = item
        return _whole(last)

    async def acomplete(self, messages: Sequence[Mapping[str, Any]], **options: Any) -> Completion:
        """The whole answer, in the running loop: as `complete`."""
        last: object = None
        async for item in adrive(self._journey(messages, options, stream=False), self._async_port):
            last = item
        return _whole(last)

    def stream(self, messages: Sequence[Mapping[str, Any]], **options: Any) -> CompletionStream:
        """The answer's chunks as they come; then the stream's `completion` is what `complete` gives.

        Nothing is sent before the first chunk is asked for. For options and their errors see `request`.
        """
        return CompletionStream(self.run_stream(messages, **options))

    def astream(self, messages: Sequence[Mapping[str, Any]], **options: Any) -> AsyncCompletionStream:
        """The answer's chunks as they come, as `stream`: `async for`, no `await` before it."""
        return AsyncCompletionStream(self.arun_stream(messages, **options))

    def run_stream(
        self, messages: Sequence[Mapping[str, Any]], **options: Any
    ) -> Generator[Chunk | Completion, None, None]:
        """What `stream` is made of: the chunks as they come, and last of all the whole `Completion`."""
        return cast(
            "Generator[Chunk | Completion, None, None]",
            drive(self._journey(messages, options, stream=True), self._sync_port),
        )

    def arun_stream(
        self, messages: Sequence[Mapping[str, Any]], **options: Any
    ) -> AsyncGenerator[Chunk | Completion, None]:
        """What `astream` is made of: the chunks as they come, and last of all the whole `Completion`."""
        return cast(
            "AsyncGenerator[Chunk | Completion, None]",
            adrive(self._journey(messages, options, stream=True), self._async_port),
        )

    def embed(self, texts: Sequence[str], **options: Any) -> Embeddings:
        """The vectors of texts, in their order. Blocks the calling thread.

        Many texts go out in batches, one after the other, of what the provider takes in one request
        (`EMBEDDING_LIMITS`; most take 2048 texts and 300,000 tokens). No texts: an empty `Embeddings`, and no call.

        - `model`, `strategy`, `config`, `virtual_key`, `run_on`: the route. All targets of a strategy must share one
          vector space: one model and the same dimensions, at whichever provider. The targets of a saved config are the
          gateway's and cannot be checked; `PORTKEY_CONFIG_ID`, `PORTKEY_STRATEGY` and `PORTKEY_FALLBACKS` are for chat.
        - `dimensions`: the length of each vector, for models that let one choose. A reply with another is refused.
        - `encoding_format`: how vectors travel, `"base64"` (default, where the provider has it) or `"float"`. Either
          way they arrive as floats.
        - `batch_size`, `batch_tokens`: at most so many texts, and so many tokens (estimated: a token for two bytes), in
          a request, in place of the provider's limits.
        - `timeout`: seconds for all batches together. The others are `request`'s; what it does not know is a field of
          the body (`input_type="search_query"`).

        Raises `ConfigurationError` for texts that are none, empty ones included, and for mixed vector spaces; errors of
        a batch as other calls do, with what the batches before it gave in `.embedded`.
        """
        call = self._embedding(texts, **options)
        return embed_all(call, lambda journey: list(drive(journey, self._sync_port)))

    async def aembed(self, texts: Sequence[str], *, max_concurrency: int = 8, **options: Any) -> Embeddings:
        """The vectors of texts, in the running loop: as `embed`, with `max_concurrency` batches at once.

        After an error no batch is begun; those on their way are waited for, and are in `.embedded`, too.
        """
        if max_concurrency < 1:
            msg = f"max_concurrency is how many batches are under way at once, from 1 up, not {max_concurrency}."
            raise ConfigurationError(msg)
        call = self._embedding(texts, **options)

        async def perform(journey: Generator[Step, Any, None]) -> Sequence[object]:
            return [item async for item in adrive(journey, self._async_port)]

        return await aembed_all(call, perform, at_once=max_concurrency)

    async def aclose(self) -> None:
        """Close this loop's connections now. Not needed: they close with their loop, and at exit."""
        close = getattr(self._async_port, "aclose", None)
        if close is not None:
            await close()

    def plan(self, messages: Sequence[Mapping[str, Any]] = (), **options: Any) -> Plan:
        """A dry run: the attempts this call would make, their order, and why. No network.

        Targets that the call's budgets would refuse are told apart, by what this process last saw to be left of them;
        what other processes have spent since, only the call itself finds out.
        """
        plan = self._dry_run(messages, options)
        if self._spending is None:
            return plan
        request = self.request(messages or _NOTHING, **options)
        return self._spending.affordable(plan, request, self._surroundings(request.options, options, ""))

    def _dry_run(self, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> Plan:
        check_limits(options.get("max_retries"), options.get("timeout"))
        plan = self.plan_for(options.get("model"), max_retries=options.get("max_retries"), **route_options(options))
        if messages:
            check_messages(messages)
        if plan.choice is None:
            return plan
        return self._ranked(plan, self.request(messages or _NOTHING, **options), explain=True)[0]

    def target_health(self, **options: Any) -> dict[str, TargetHealth]:
        """How the targets of a call with these options do, by their labels, as far as this process knows."""
        now = time.monotonic()
        return {attempt.target: self.health.look(attempt.key, now) for attempt in self._dry_run((), options).attempts}

    def request(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        model: str | None = None,
        stream: bool = False,
        operation: Operation = "chat",
        metadata: Mapping[str, str] | None = None,
        trace_id: str | None = None,
        span_id: str | None = None,
        parent_span_id: str | None = None,
        span_name: str | None = None,
        cache_namespace: str | None = None,
        cache_force_refresh: bool | None = None,
        extra_headers: Mapping[str, str] | None = None,
        extra_body: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        max_retries: int | None = None,
        tags: Mapping[str, Any] | None = None,
        on_event: Callable[[Event], object] | None = None,
        max_cost: Amount | None = None,
        **body: Any,
    ) -> Request:
        """A request from a call's arguments, over the router's own options. Raises `ConfigurationError`.

        `timeout` (seconds) bounds the whole call with all its attempts; `max_retries` counts further tries for each
        target. `tags` are the call's dimensions for events and budgets, and are not sent; `on_event` is told each of
        the call's events. `max_cost` (USD) is what an attempt costs at most on your word: a hard budget holds that, in
        the place of what it works out itself. `no_cache`, `refresh`, `cache_ttl`, `cache_tags`, `tenant`, `namespace`
        are of the router's own cache (see `cache_use_of`), `cache_namespace` and `cache_force_refresh` of the
        gateway's.

        `strategy`, `config`, `run_on` and `virtual_key` choose the route of this one call,
        `wire_stream`, `on_stream_break`, `on_content_filter` and `retry_after_max` how it fails over (see
        `build_router`); anything else is a field of the body (`temperature=0`), `extra_body` for names that are
        arguments here. Embeddings have no messages, and the `input` as a field of the body.
        """
        if operation == "chat":
            check_messages(messages)
        given = {
            "metadata": metadata,
            "trace_id": trace_id,
            "span_id": span_id,
            "parent_span_id": parent_span_id,
            "span_name": span_name,
            "cache_namespace": cache_namespace,
            "cache_force_refresh": cache_force_refresh,
            "extra_headers": extra_headers,
            "timeout": timeout,
            "max_retries": max_retries,
            "tags": tags,
            "on_event": on_event,
            "max_cost": max_cost,
        }
        options = options_over(self.options, given, body)
        fields = body_of(body, extra_body, operation)
        return Request(messages, model or self.model, body=fields, stream=stream, options=options, operation=operation)

    def plan_for(
        self,
        model: str | None = None,
        *,
        strategy: TargetLike | None = None,
        config: str | Mapping[str, Any] | None = None,
        run_on: RunOn | None = None,
        virtual_key: str | None = None,
        max_retries: int | None = None,
        operation: Operation = "chat",
        dimensions: int | None = None,
    ) -> Plan:
        """The plan for a call; what the call says wins over the router, and that over the environment.

        A call's own `model` takes the place of the router's strategy, and goes to a config as the body's model. For
        embeddings (of so many `dimensions`) the strategy must be over one vector space.
        """
        check_route(strategy, config, run_on)
        if virtual_key is not None and (strategy is not None or config is not None):
            msg = "virtual_key= belongs to model=; in a strategy give it to each Target(...)."
            raise ConfigurationError(msg)
        settings = self.settings
        retries = self.max_retries if max_retries is None else max_retries
        other_model = model is not None and model != self.model
        model = model or self.model
        if virtual_key is not None:
            strategy = replace(self.target, model=model, virtual_key=virtual_key)
        if strategy is None and config is None:
            strategy = None if other_model else self.strategy
            config = self.config
        if strategy is None and config is None and self.target == Target():
            if settings.route:
                return plan_headers(settings, model, max_retries=retries)
            # A slug names its route; anything else is the environment's to route. Its strategy and config are for chat:
            # an embedding that falls back to one of their models would be in another vector space.
            if operation == "chat" and not (model or "").startswith("@"):
                config = settings.config
                strategy = None if config else settings.default_strategy(model)
        if strategy is None and config is not None:
            return plan_config(config, model)
        if strategy is None and other_model and (model or "").startswith("@"):
            strategy = Target(model)  # a call's slug brings its own key
        settled = as_strategy(strategy or replace(self.target, model=model))
        if operation == "embeddings":
            check_one_space(settled, model=model, dimensions=dimensions)
        return plan_strategy(settled, settings, run_on=run_on or self.run_on, max_retries=retries, draw=_draw)

    def _plan(self, model: str | None, max_retries: int | None, route: dict[str, Any]) -> Plan:
        """`plan_for`, remembered where it is the same each time: the call chooses no route, and nothing is drawn."""
        key = model, max_retries
        plan = None if route else self._plans.get(key)
        if plan is None:
            plan = self.plan_for(model, max_retries=max_retries, **route)
            drawn = plan.strategy == "loadbalance" and plan.run_on == "client"
            if not (route or drawn) and len(self._plans) < _PLANS_KEPT:
                self._plans[key] = plan
        return plan

    def _journey(
        self, messages: Sequence[Mapping[str, Any]], arguments: Mapping[str, Any], *, stream: bool
    ) -> Generator[Step, Any, None]:
        request = self.request(messages, stream=stream, **arguments)
        options = request.options
        check_limits(options.max_retries, options.timeout)
        plan = self._plan(request.model, options.max_retries, route_options(arguments))
        around = self._surroundings(options, arguments, "/chat/completions")
        if self.cache is not None or options.cache_use is not None:
            caching = caching_of(self.cache, request, plan, self.settings)
            if caching is not None:
                around = replace(around, caching=caching)
        if plan.choice is not None:
            plan, needs = self._ranked(plan, request, explain=around.hub is not None and around.hub.listening)
            around = replace(around, experience=self.experience, estimated=needs.tokens, kind=needs.kind)
        return journey(request, plan, around)

    def _ranked(self, plan: Plan, request: Request, *, explain: bool) -> tuple[Plan, Needs]:
        """A cost-aware plan in the order of this call, and what the call is thought to need."""
        needs = needs_of(request, self._count_tokens)
        ranked = self._ranker.rank(plan, needs, now=time.monotonic(), at=datetime.now(UTC), explain=explain)
        if plan.run_on == "client" or plan.choice is None:
            return ranked, needs
        # The gateway has no such strategy: it is sent the order of the moment.
        fallback = Fallback(*ranked.targets, on_status_codes=plan.choice.on_status_codes)
        retries = plan.attempts[0].tries - 1
        sent = plan_strategy(fallback, self.settings, run_on="gateway", max_retries=retries, draw=_draw)
        return replace(sent, strategy="cost_aware", excluded=ranked.excluded), needs

    def _surroundings(self, options: CallOptions, arguments: Mapping[str, Any], path: str) -> Surroundings:
        headers = {**self._base_headers, **call_headers(options)}
        headers.setdefault("x-portkey-trace-id", urandom(16).hex())
        deadlines = self.deadlines
        if options.timeout is not None:
            deadlines = replace(deadlines, total=options.timeout)
        url, *more_urls = (url + path for url in (self.settings.base_url, *self.settings.more_urls))
        chosen = {name: arguments[name] for name in POLICY_OPTIONS if arguments.get(name) is not None}
        hub = self.hub.for_call(options.on_event)
        return Surroundings(
            url,
            headers,
            deadlines,
            clock=time.monotonic,
            chance=random.random,
            prices=self.prices,
            more_urls=tuple(more_urls),
            policy=replace(self.policy, **chosen) if chosen else self.policy,
            health=self.health,
            hub=hub,
            call_id=urandom(16).hex() if hub.listening else "",
            spending=self._spending,
        )

    def _embedding(
        self,
        texts: Sequence[str],
        *,
        encoding_format: str | None = None,
        batch_size: int | None = None,
        batch_tokens: int | None = None,
        **arguments: Any,
    ) -> EmbeddingCall:
        check_dimensions(arguments.get("dimensions"))
        request = self.request((), operation="embeddings", **arguments)
        options, route = request.options, route_options(arguments)
        check_limits(options.max_retries, options.timeout)
        return embedding_call(
            check_texts(texts),
            request,
            plan=lambda: self.plan_for(
                request.model,
                max_retries=options.max_retries,
                operation="embeddings",
                dimensions=request.body.get("dimensions"),
                **route,
            ),
            around=self._surroundings(options, arguments, "/embeddings"),
            encoding_format=encoding_format,
            batch_size=batch_size,
            batch_tokens=batch_tokens,
        )


_NOTHING = ({"role": "user", "content": ""},)
_PLANS_KEPT = 64  # for each model that calls have named


def _draw(weights: Sequence[float]) -> int:
    return random.choices(range(len(weights)), weights)[0]  # noqa: S311  (spreads load; guards nothing)


def _whole(item: object) -> Completion:
    if not isinstance(item, Completion):
        msg = "a journey ended without an answer and without an error"
        raise TypeError(msg)
    return item
