"""A chat model that is not ours: answers scripted in order, with the usage that they state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import CallbackManager
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_core.callbacks import CallbackManagerForLLMRun
    from langchain_core.language_models.base import LangSmithParams
    from langchain_core.messages import BaseMessage

PIECES = ("One, ", "two, ", "three.")


def counted(sent: int = 1000, made: int = 100, **details: Any) -> Any:
    """LangChain's usage metadata."""
    return {"input_tokens": sent, "output_tokens": made, "total_tokens": sent + made, **details}


def said(text: str = "Hi", usage: Any = None, model: str | None = "gpt-4o", **metadata: Any) -> AIMessage:
    """An answer as langchain-openai gives it."""
    named = {"model_name": model, "model_provider": "openai"} if model else {}
    stated = counted() if usage is None else usage or None  # {}: none
    return AIMessage(text, usage_metadata=stated, response_metadata={**named, **metadata})


class Scripted(BaseChatModel):
    """Gives its answers in turn, the last one again and again; a list of messages is one answer of several choices."""

    answers: list[Any] = []  # noqa: RUF012  (a field of pydantic's)
    provider: str = "openai"
    inner: Any = None
    as_child: bool = True
    together: Any = None
    llm_output: dict[str, Any] | None = None

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        return {**params, "ls_provider": self.provider, "ls_model_name": "asked-for"}

    def _next(self) -> list[AIMessage]:
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer if isinstance(answer, list) else [answer]

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if self.inner is not None and run_manager is not None:
            parent = run_manager.run_id if self.as_child else run_manager.parent_run_id
            handlers = run_manager.inheritable_handlers
            manager = CallbackManager(handlers, inheritable_handlers=handlers, parent_run_id=parent)
            self.inner.invoke(messages, config={"callbacks": manager})
        if self.together is not None:
            self.together.wait(30)
        generations = [ChatGeneration(message=message) for message in self._next()]
        return ChatResult(generations=generations, llm_output=self.llm_output)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        [answer] = self._next()
        for text in PIECES:
            yield ChatGenerationChunk(message=AIMessageChunk(content=text))
        last = AIMessageChunk(
            content="",
            usage_metadata=answer.usage_metadata,
            response_metadata=answer.response_metadata,
            chunk_position="last",
        )
        yield ChatGenerationChunk(message=last)
