"""A part of `make demo`: a chain, an agent and a query engine ask twice, and the second time a cache answers.

The cache is in this process, and the model that compares questions on this machine; in a service they would be
`redis://...` and the embeddings you have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain.agents import create_agent
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from llama_index.core import Document, SummaryIndex

from langchain_portkey_router import ChatPortkey, RedisSemanticCache
from llama_index_portkey import PortkeyLLM
from portkey_router import LocalEmbeddings, SemanticCache, usage_report

if TYPE_CHECKING:
    from collections.abc import Callable

HEADER = ["asked by", "question", "answered by", "USD", "USD saved"]


def cached(**settings: Any) -> list[list[str]]:
    """Each of them asks, and asks again: one row for each question, under `HEADER`."""
    cache = SemanticCache("memory://", LocalEmbeddings(), distance_threshold=0.13)
    # In a program of LangChain alone: set_llm_cache(RedisSemanticCache(...)), once, at its start.
    llm = ChatPortkey(**settings, cache=RedisSemanticCache(cache=cache))
    prompt = ChatPromptTemplate.from_messages([("system", "Answer in one sentence."), ("human", "{question}")])
    chain = prompt | llm | StrOutputParser()
    agent: Any = create_agent(llm, [], system_prompt="You are a clerk.")
    documents = [Document(text="Parcels to Norway take five days.")]
    engine = SummaryIndex.from_documents(documents).as_query_engine(llm=PortkeyLLM(**settings, cache=cache))
    asking: list[tuple[str, Callable[[str], object], tuple[str, str]]] = [
        (
            "chain, streamed",
            lambda question: "".join(chain.stream({"question": question})),
            ("How do I reset my password?", "Hello, how do I reset the password, please?"),
        ),
        (
            "agent",
            lambda question: agent.invoke({"messages": [("human", question)]}),
            ("Where is parcel 4411?", "where is parcel  4411"),
        ),
        (
            "query engine",
            engine.query,
            ("How long do parcels take?", "How long do parcels take?"),
        ),
    ]
    return [row for name, ask, questions in asking for row in _rows(cache, name, ask, questions)]


def _rows(cache: SemanticCache, name: str, ask: Callable[[str], object], questions: tuple[str, str]) -> list[list[str]]:
    rows = []
    for number, question in enumerate(questions):
        before = cache.stats().saved_cost
        with usage_report() as report:
            ask(question)
        [call] = report.calls
        by = f"the cache ({call.cache})" if call.cache else f"{call.model}"
        saved = cache.stats().saved_cost - before
        rows.append(["" if number else name, question, by, f"{report.cost_usd:f}", f"{saved:f}" if saved else ""])
    return rows
