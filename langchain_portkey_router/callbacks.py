"""UsageCallbackHandler: what LangChain runs used and cost, on `ChatPortkey` and on any other chat model."""

from __future__ import annotations

import asyncio
import contextlib
import time
from contextvars import ContextVar, Token
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tracers.context import register_configure_hook

from langchain_portkey_router._convert import MODEL_PROVIDER
from langchain_portkey_router._usage import (
    answers_in,
    estimated_usage,
    from_langchain_cache,
    provider_named,
    usage_of_answers,
)
from langchain_portkey_router.runs import note_run, tags_of_run
from portkey_router.events import CallFinished
from portkey_router.messages import Cost
from portkey_router.pricing import PriceBook
from portkey_router.report import Reporting, UsageReport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from langchain_core.messages import AIMessage, BaseMessage
    from langchain_core.outputs import LLMResult

    from portkey_router.events import Event
    from portkey_router.messages import Usage
    from portkey_router.pricing import Price

__all__ = ["UsageCallbackHandler"]

_LEFT = (GeneratorExit, asyncio.CancelledError, KeyboardInterrupt)
_PARENTS_KEPT = 10_000

_active: ContextVar[_Block | None] = ContextVar("portkey_usage_callbacks", default=None)
register_configure_hook(_active, inheritable=True)


@dataclass(eq=False, slots=True)
class _Run:
    """A chat model's run, while it lasts.

    `above` are the runs of chat models that it is part of, `around` those that go on in the context it started in.
    """

    handler: UsageCallbackHandler
    run_id: UUID
    tags: Mapping[str, Any]
    asked: str | None
    provider: str | None
    prompt: Sequence[BaseMessage]
    above: Sequence[_Run]
    around: Sequence[_Run]
    started: float = field(default_factory=time.monotonic)
    first_token: float | None = None
    ended: bool = False
    told: bool = False
    counted_below: bool = False
    inner: set[tuple[str, Usage]] = field(default_factory=set)

    def hear(self, event: Event) -> None:
        """For a run of `ChatPortkey`: take the end of its call, which knows better than its messages."""
        if isinstance(event, CallFinished):
            self.told = True
            call = replace(event, call_id=str(self.run_id), tags={**event.tags, **self.tags})
            self.handler._record(self, call, None)  # noqa: SLF001  (they are one)


_runs_here: ContextVar[tuple[_Run, ...]] = ContextVar("portkey_runs_here", default=())


class UsageCallbackHandler(Reporting, BaseCallbackHandler):
    """Sums up what runs used and cost: `with UsageCallbackHandler() as usage: ...`, or among `callbacks`.

    ```python
    with UsageCallbackHandler() as usage:
        agent.invoke(question, config={"metadata": {"user": "u1", "session": "s1"}, "tags": ["search"]})
    print(usage.cost_usd, usage.by("model"), usage.by("user"), usage.by("tag"), usage.by("run"))
    ```

    Calls of `ChatPortkey` have the cost that the router worked out, for the target that answered. Those of any other
    chat model are priced by `prices` (a `PriceBook`, or your own prices by model) from their `usage_metadata`. `run`
    is the outermost run that the handler heard of, `run_id` the model's own; `user`, `session` and any other name are
    taken from the run's metadata (`thread_id` and the like also name a session).

    Streams, batches, agents and retries are counted once for each call of a model, the `n` choices of a call once, a
    model that calls another one as the other. What a cache answered is a call and a hit, and no spend. An answer
    left early counts with what it had used until then, estimated where nobody stated it.

    Any thread and loop may use one handler at once. `report` is the `UsageReport` behind it, which keeps every call.
    """

    run_inline = True  # in an async run, too: it only adds numbers

    def __init__(self, *, prices: PriceBook | Mapping[str, Price] | None = None) -> None:
        super().__init__()
        self.report = UsageReport()
        self._prices = prices if isinstance(prices, PriceBook) else PriceBook(prices)
        self._runs: dict[UUID, _Run] = {}
        self._parents: dict[UUID, UUID] = {}
        self._tokens: list[Token[_Block | None]] = []

    def __repr__(self) -> str:
        return f"UsageCallbackHandler({self.report!r})"

    # --- as a block: it hears every run of its context ------------------------------------------------------------

    def __enter__(self) -> Self:
        around = _active.get()
        self._tokens.append(_active.set(_Block((*(around.handlers if around else ()), self))))
        return self

    def __exit__(self, *_: object) -> None:
        # A generator that was closed from another context is left there, where there is nothing to take back.
        with contextlib.suppress(ValueError):
            _active.reset(self._tokens.pop())

    # --- what LangChain tells ---------------------------------------------------------------------------------------

    def on_chain_start(
        self,
        serialized: dict[str, Any],  # noqa: ARG002  (the hook's signature)
        inputs: dict[str, Any],  # noqa: ARG002  (the hook's signature)
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **_: Any,
    ) -> None:
        """Remember whose part it is."""
        self._remember(run_id, parent_run_id)

    def on_tool_start(
        self,
        serialized: dict[str, Any],  # noqa: ARG002  (the hook's signature)
        input_str: str,  # noqa: ARG002  (the hook's signature; tools are told their `inputs` too)
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **_: Any,
    ) -> None:
        """Likewise of a tool, which may ask a model."""
        self._remember(run_id, parent_run_id)

    def on_retriever_start(
        self,
        serialized: dict[str, Any],  # noqa: ARG002  (the hook's signature)
        query: str,  # noqa: ARG002  (the hook's signature)
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **_: Any,
    ) -> None:
        """Likewise of a retriever."""
        self._remember(run_id, parent_run_id)

    def _remember(self, run_id: UUID, parent_run_id: UUID | None) -> None:
        if parent_run_id is not None:
            while len(self._parents) >= _PARENTS_KEPT:  # of runs whose end nobody told
                self._parents.pop(next(iter(self._parents)), None)
            self._parents[run_id] = parent_run_id

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **_: Any) -> None:  # noqa: ARG002  (the hook's signature)
        """Forget it."""
        self._parents.pop(run_id, None)

    on_tool_end = on_retriever_end = on_chain_end  # type: ignore[assignment]
    on_chain_error = on_tool_error = on_retriever_error = on_chain_end  # type: ignore[assignment]

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],  # noqa: ARG002  (the hook's signature)
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """A chat model was asked."""
        lineage = self._lineage(run_id, parent_run_id)
        above = [self._runs[each] for each in lineage[1:] if each in self._runs]
        if parent_run_id is not None:
            self._parents[run_id] = parent_run_id
        around = tuple(run for run in _runs_here.get() if run.handler is self and not run.ended)
        known, own = metadata or {}, tags_of_run(metadata, tags, run_id)
        run = self._runs[run_id] = _Run(
            handler=self,
            run_id=run_id,
            tags={**own, "run": str(lineage[-1])},
            asked=known.get("ls_model_name"),
            provider=known.get("ls_provider"),
            prompt=messages[0] if messages else (),
            above=above,
            around=around,
        )
        _runs_here.set((*(each for each in _runs_here.get() if not each.ended), run))
        note_run(run_id, own, run.hear)

    def _lineage(self, run_id: UUID, parent: UUID | None) -> list[UUID]:
        """The run and those it is part of, as far as they are known, the outermost last."""
        lineage = [run_id]
        while parent is not None and parent not in lineage:
            lineage.append(parent)
            parent = self._parents.get(parent)
        return lineage

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **_: Any) -> None:  # noqa: ARG002  (the hook's signature)
        """Note when the first one came."""
        run = self._runs.get(run_id)
        if run is not None and run.first_token is None:
            run.first_token = time.monotonic() - run.started

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **_: Any) -> None:
        """A chat model has answered."""
        run = self._end(run_id)
        answers = answers_in(response)
        if run is None or run.told or not answers:
            return
        if from_langchain_cache(answers):
            self._record(run, self._call(run, "ok", answers, None, cache="langchain"), None)
        elif not run.counted_below:
            usage = usage_of_answers(answers, response.llm_output)
            self._record(run, self._call(run, "ok", answers, usage), answers[0].response_metadata.get("id"))

    def on_llm_error(self, error: BaseException, *, run_id: UUID, response: LLMResult | None = None, **_: Any) -> None:
        """A chat model has failed, or was left before its answer was whole."""
        run = self._end(run_id)
        if run is None or run.told or run.counted_below:
            return
        answers = answers_in(response)
        usage = usage_of_answers(answers)
        estimated = usage is None and any(answer.text or answer.tool_calls for answer in answers)
        if estimated:
            usage = estimated_usage(run.prompt, answers)
        outcome = "left" if isinstance(error, _LEFT) else type(error).__name__
        call = self._call(run, outcome, answers, usage)
        self._record(run, replace(call, estimated=estimated, error=str(error) or None), None)

    def _end(self, run_id: UUID) -> _Run | None:
        self._parents.pop(run_id, None)
        run = self._runs.pop(run_id, None)
        if run is not None:
            run.ended = True
        return run

    # --- what is made of it -------------------------------------------------------------------------------------------

    def portkey_listeners(self, run_id: UUID) -> list[Callable[[Event], None]]:
        """For `ChatPortkey`: who wants the events of the call that this run makes."""
        run = self._runs.get(run_id)
        return [] if run is None else [run.hear]

    def _record(self, run: _Run, call: CallFinished, answer_id: str | None) -> None:
        """Keep it, under the run's id: what is told twice, or better later, is one call."""
        if call.usage is not None or call.hit:
            for above in run.above:
                above.counted_below = True
        if answer_id is not None and call.usage is not None:
            if (answer_id, call.usage) in run.inner:
                return  # a model around another one repeats its answer
            for around in run.around:
                around.inner.add((answer_id, call.usage))
        self.report.add(call)

    def _call(
        self, run: _Run, outcome: str, answers: Sequence[AIMessage], usage: Usage | None, cache: str | None = None
    ) -> CallFinished:
        metadata: Mapping[str, Any] = next((each.response_metadata for each in answers if each.response_metadata), {})
        model = metadata.get("model_name") or metadata.get("model") or run.asked
        ours: Mapping[str, Any] = metadata.get("portkey") or {}
        provider = ours.get("provider") or provider_named(metadata.get("model_provider") or run.provider)
        cost: Cost | None = None
        if ours:
            cost = Cost.from_dict(ours["cost"]) if ours.get("cost") and cache is None else None
        elif usage is not None and cache is None:
            named = None if provider == MODEL_PROVIDER else provider
            cost = self._prices.cost(usage, model=model or "", provider=named, at=datetime.now(UTC))
        return CallFinished(
            call_id=str(run.run_id),
            trace_id=ours.get("trace_id") or "",
            outcome=outcome,
            requested_model=run.asked,
            model=model,
            provider=provider,
            target=ours.get("target"),
            usage=usage,
            cost=cost,
            streamed=run.first_token is not None,
            seconds=time.monotonic() - run.started,
            first_token=run.first_token,
            attempts=len(ours.get("attempts") or ()) or 1,
            cache=cache,
            cache_status=ours.get("cache_status"),
            tags=run.tags,
        )


class _Block(BaseCallbackHandler):
    """The handlers of all blocks that a context is in: LangChain's hook for contexts holds one handler only."""

    run_inline = True

    def __init__(self, handlers: Sequence[UsageCallbackHandler]) -> None:
        self.handlers = tuple(dict.fromkeys(handlers))

    def portkey_listeners(self, run_id: UUID) -> list[Callable[[Event], None]]:
        """As each of them."""
        return [listener for handler in self.handlers for listener in handler.portkey_listeners(run_id)]


def _to_each(hook: str) -> Callable[..., None]:
    def tell(block: _Block, *args: Any, **kwargs: Any) -> None:
        for handler in block.handlers:
            getattr(handler, hook)(*args, **kwargs)

    return tell


for _hook in [name for name in vars(UsageCallbackHandler) if name.startswith("on_")]:
    setattr(_Block, _hook, _to_each(_hook))
