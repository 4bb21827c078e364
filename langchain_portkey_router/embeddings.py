"""PortkeyEmbeddings: LangChain embeddings whose calls the Portkey router carries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from langchain_core.embeddings import Embeddings
from pydantic import Field, field_validator

from langchain_portkey_router.errors import as_langchain_errors
from langchain_portkey_router.fields import OF_OPENAI, LangChainFields
from portkey_router.fields import EmbeddingFields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portkey_router.messages import Embeddings as Embedded

__all__ = ["PortkeyEmbeddings"]

# Arguments of OpenAIEmbeddings for its own tokenizer and client.
_OF_OPENAI_EMBEDDINGS = frozenset(
    {
        "allowed_special",
        "deployment",
        "disallowed_special",
        "embedding_ctx_length",
        "openai_api_type",
        "openai_api_version",
        "retry_max_seconds",
        "retry_min_seconds",
        "show_progress_bar",
        "skip_empty",
        "tiktoken_enabled",
    }
)


class PortkeyEmbeddings(LangChainFields, EmbeddingFields, Embeddings):
    """Embeddings on the Portkey AI gateway.

    ```python
    PortkeyEmbeddings(model="text-embedding-3-small")          # PORTKEY_API_KEY, PORTKEY_VIRTUAL_KEY_OPENAI
    PortkeyEmbeddings(model="@openai-prod/text-embedding-3-small", dimensions=512)
    PortkeyEmbeddings(strategy=Fallback("text-embedding-3-small", "azure/text-embedding-3-small"))
    ```

    What is not given comes from the environment and `.env` (see `portkey_router.load_settings`). `OpenAIEmbeddings`'
    arguments mean what they mean there. Texts are sent whole, in as many requests as the provider's limits ask for
    (`chunk_size`: at most so many texts in one); a text too long for the model is a `ContextLengthError`.

    `embed` and `aembed` give the vectors with their usage, cost and route (`portkey_router.Embeddings`). Keys are never
    serialised: `dumpd`, `repr` and pickle leave them out; `copy.deepcopy` keeps them.

    Raises `ConfigurationError` at construction where no key fits, and where the targets of a strategy do not share one
    vector space (one model, the same dimensions). Errors of calls are `portkey_router`'s and
    `langchain_core.exceptions`' at once.
    """

    _of_openai: ClassVar[frozenset[str]] = OF_OPENAI | _OF_OPENAI_EMBEDDINGS

    chunk_size: int | None = Field(default=None, ge=1)
    """At most so many texts in one request; by default what the provider takes."""
    check_embedding_ctx_length: bool = False
    """Whether long texts are cut up and their vectors averaged: only False, which sends them whole, is possible."""

    @field_validator("check_embedding_ctx_length")
    @classmethod
    def _send_whole(cls, value: bool) -> bool:  # noqa: FBT001  (a validator's signature)
        if value:
            raise ValueError("texts are sent whole: split long ones (langchain_text_splitters), or leave it out.")
        return value

    if not TYPE_CHECKING:  # type checkers read the signature off the fields

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            # Not in a validator: pydantic would wrap our error in its own, with the arguments, keys included, in it.
            self._check_route(self.model_name)

    def embed(self, texts: list[str], **options: Any) -> Embedded:
        """The vectors of texts, with usage, cost and route. `options` are `PortkeyRouter.embed`'s."""
        with as_langchain_errors:
            return self._the_router().embed(texts, **self._options(options))

    async def aembed(self, texts: list[str], **options: Any) -> Embedded:
        """As `embed`, in the running loop; `max_concurrency` requests at once."""
        with as_langchain_errors:
            limit = options.pop("max_concurrency", self.max_concurrency)
            return await self._the_router().aembed(texts, max_concurrency=limit, **self._options(options))

    def embed_documents(self, texts: list[str], chunk_size: int | None = None, **options: Any) -> list[list[float]]:
        """A vector for each text, in order. No texts, no call."""
        return list(self.embed(texts, **self._of_documents(chunk_size, options)).vectors)

    def embed_query(self, text: str, **options: Any) -> list[float]:
        """The vector of one text."""
        return self.embed([text], **{**(self.query_body or {}), **options}).vectors[0]

    async def aembed_documents(
        self, texts: list[str], chunk_size: int | None = None, **options: Any
    ) -> list[list[float]]:
        """A vector for each text, in order. No texts, no call."""
        return list((await self.aembed(texts, **self._of_documents(chunk_size, options))).vectors)

    async def aembed_query(self, text: str, **options: Any) -> list[float]:
        """The vector of one text."""
        return (await self.aembed([text], **{**(self.query_body or {}), **options})).vectors[0]

    def _of_documents(self, chunk_size: int | None, options: Mapping[str, Any]) -> dict[str, Any]:
        size = {} if chunk_size is None else {"batch_size": chunk_size}
        return {**(self.document_body or {}), **size, **options}

    def _options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return self._embedding_options(self.model_name, {"batch_size": self.chunk_size}, options)
