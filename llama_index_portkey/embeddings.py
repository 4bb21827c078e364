"""PortkeyEmbedding: a LlamaIndex embedding model whose calls the Portkey router carries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from pydantic import AliasChoices, Field

from llama_index_portkey.callbacks import told_here
from llama_index_portkey.fields import LlamaIndexFields
from portkey_router.fields import EmbeddingFields
from portkey_router.spaces import bare_model

if TYPE_CHECKING:
    from portkey_router.messages import Embeddings

__all__ = ["PortkeyEmbedding"]


class PortkeyEmbedding(LlamaIndexFields, EmbeddingFields, BaseEmbedding):
    """An embedding model on the Portkey AI gateway.

    Args:
        model: The model: `text-embedding-3-small`, `@slug/model`, `provider/model`; `model_name` is the same.
        strategy: `Fallback`, `LoadBalance`, ... over targets that share one vector space, in place of a model.
        dimensions: The length of the vectors, for models that let one choose.
        embed_batch_size: At most so many texts in one request, 100 by default.
        num_workers: How many requests of an async call are under way at once, 8 by default.

    What is not given comes from the environment and `.env` (see `portkey_router.load_settings`); the arguments of
    `OpenAILikeEmbedding` (`api_base`, `default_headers`, `additional_kwargs`, `timeout`) mean what they mean there.
    `embed` and `aembed` give the vectors with their usage, cost and route. Nothing serialised holds a
    key; a model restored from it takes them from the environment.

    Raises `ConfigurationError` at construction where no key fits, and for targets of mixed vector spaces. Errors of
    calls are `portkey_router.errors`'.

    Examples:
        `pip install "portkey-router[llama-index]"`

        ```python
        from llama_index.core import Settings
        from llama_index_portkey import PortkeyEmbedding

        Settings.embed_model = PortkeyEmbedding(model="text-embedding-3-small")
        ```
    """

    model_name: str = Field(default="", alias="model", validation_alias=AliasChoices("model", "model_name"))
    """The model; of a strategy, the one its targets share."""
    embed_batch_size: int = Field(default=100, gt=0, le=2048)
    num_workers: int | None = Field(default=8, ge=1)

    if not TYPE_CHECKING:  # type checkers read the signature off the fields

        def __init__(self, **kwargs: Any) -> None:
            kwargs.pop("class_name", None)  # as `to_dict` wrote it
            super().__init__(**kwargs)
            if not self.model_name:
                shared = self._models(None)[0]
                self.model_name = bare_model(shared) if shared else ""
            # Not in a validator: pydantic would wrap our error in its own, with the arguments, keys included, in it.
            self._check_route(self.model_name or None)

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex writes it down."""
        return "portkey_embedding"

    def embed(self, texts: list[str], **options: Any) -> Embeddings:
        """The vectors of texts, with usage, cost and route. `options` are `PortkeyRouter.embed`'s."""
        return self._the_router().embed(texts, **self._options(options))

    async def aembed(self, texts: list[str], **options: Any) -> Embeddings:
        """As `embed`, in the running loop."""
        limit = options.pop("max_concurrency", self.max_concurrency)
        return await self._the_router().aembed(texts, max_concurrency=limit, **self._options(options))

    def _get_query_embedding(self, query: str) -> list[float]:
        return self.embed([query], **(self.query_body or {})).vectors[0]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return (await self.aembed([query], **(self.query_body or {}))).vectors[0]

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return (await self._aget_text_embeddings([text]))[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return list(self.embed(texts, **(self.document_body or {})).vectors)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return list((await self.aembed(texts, **(self.document_body or {}))).vectors)

    def _options(self, options: dict[str, Any]) -> dict[str, Any]:
        return self._embedding_options(self.model_name or None, told_here(options, self.callback_manager))

    def _router_arguments(self) -> dict[str, Any]:
        return {**super()._router_arguments(), "model": self.model_name or None}
