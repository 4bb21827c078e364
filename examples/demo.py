"""`make demo`: LangChain and LlamaIndex through the real open-source Portkey gateway, on this machine, without keys.

Behind the gateway stand two providers of the sandbox. The first is told to fail; a chain is answered all the same,
and a table says by whom and after what. Questions asked again are answered by a cache. Last, both frameworks ask the
same question.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from demo_cache import HEADER, cached
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from llama_index.core.llms import ChatMessage

from langchain_portkey_router import ChatPortkey
from llama_index_portkey import PortkeyLLM
from portkey_router import Fallback, LoadBalance, PortkeyRouter, Target, sandbox

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

QUESTION = "What does a gateway do when its first provider is down?"


def main() -> None:
    """Run the demo."""
    with sandbox.providers() as providers, sandbox.gateway() as gateway:
        first = target("gpt-4o", providers.host("first"))
        second = target("gpt-4o-mini", providers.host("second"))
        llm = ChatPortkey(base_url=gateway.url, strategy=Fallback(first, second), max_retries=1)
        print(f"The open-source Portkey gateway runs at {gateway.url}.\n")
        print("What a call would do, before any network:\n")
        print(
            PortkeyRouter.from_env(base_url=gateway.url, strategy=Fallback(first, second), max_retries=1).plan(), "\n"
        )

        rows: list[list[str]] = []
        prompt = ChatPromptTemplate.from_messages([("system", "Answer in one sentence."), ("human", "{question}")])
        answers = prompt | llm

        rows += report("both healthy", answers.invoke({"question": QUESTION}))
        providers.always("first", sandbox.Fault.status(503))
        rows += report("first down (503)", answers.invoke({"question": QUESTION}))
        recovered(providers, answers)
        providers.always("first", sandbox.Fault.status(401))
        rows += report("first's key refused (401)", answers.invoke({"question": QUESTION}))
        recovered(providers, answers)
        providers.always("first", sandbox.Fault.status(429, retry_after=60))
        rows += report("first limits the rate (429)", streamed(prompt | llm))
        refused = target("gpt-4o", f"http://127.0.0.1:{closed_port()}/v1")
        down = ChatPortkey(base_url=gateway.url, strategy=Fallback(refused, second), max_retries=0)
        rows += report("first refuses connections", (prompt | down).invoke({"question": QUESTION}))
        providers.clear("first")
        balanced = ChatPortkey(base_url=gateway.url, strategy=LoadBalance(first, second))
        chain = prompt | balanced | StrOutputParser()
        print("Four questions, load-balanced, in one batch:")
        for answer in chain.batch([{"question": f"{QUESTION} ({number})"} for number in range(1, 5)]):
            print(f"  {answer}")
        print()
        print(table(["what happened", "attempt", "target", "outcome", "status", "ms"], rows))
        print("\nWhat was asked before, a cache answers:\n")
        print(table(HEADER, cached(base_url=gateway.url, strategy=Fallback(second, first))))
        print("\nThe same question through both frameworks:\n")
        print(both(base_url=gateway.url, strategy=Fallback(second, first)))


def both(**settings: Any) -> str:
    """The question, asked by each framework with the same settings: what came, from whom, and what it took."""
    langchain = ChatPortkey(**settings).invoke(QUESTION)
    llama_index = PortkeyLLM(**settings).chat([ChatMessage(QUESTION)])
    used, said = langchain.usage_metadata, llama_index.additional_kwargs
    tokens = [used["total_tokens"] if used else 0, said["total_tokens"]]
    routes = [langchain.response_metadata["portkey"], said["portkey"]]
    names = ["LangChain, ChatPortkey", "LlamaIndex, PortkeyLLM"]
    texts = [langchain.text, llama_index.message.content or ""]
    rows = [
        [name, text, route["target"], str(count), route["cost"]["amount"] if route["cost"] else "unknown"]
        for name, text, route, count in zip(names, texts, routes, tokens, strict=True)
    ]
    return table(["asked by", "answer", "target", "tokens", "USD"], rows)


def recovered(providers: sandbox.Providers, chain: Any) -> None:
    """Have the first provider answer again, and be seen to: after failures in a row it would not be asked any more."""
    providers.clear("first")
    chain.invoke({"question": QUESTION})


def closed_port() -> int:
    """A port of this machine on which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def target(model: str, host: str) -> Target:
    """A provider of the sandbox, behind the gateway. The gateway needs some key to pass on; here it is anything."""
    return Target(model, provider="openai", api_key="no-key-needed", custom_host=host)


def streamed(chain: Any) -> BaseMessage:
    """The answer, printed as it comes, and summed up."""
    print("Streaming: ", end="")
    whole = None
    for chunk in chain.stream({"question": QUESTION}):
        print(chunk.text, end="", flush=True)
        whole = chunk if whole is None else whole + chunk
    print("\n")
    if whole is None:
        raise RuntimeError("the stream was empty")
    return whole  # type: ignore[no-any-return]


def report(case: str, answer: BaseMessage) -> list[list[str]]:
    """One row for each attempt that an answer took."""
    attempts = answer.response_metadata["portkey"]["attempts"]
    return [
        [
            case if number == 1 else "",
            str(number),
            attempt["target"],
            attempt["outcome"],
            str(attempt["status"] or "-"),
            f"{attempt['seconds'] * 1000:.0f}",
        ]
        for number, attempt in enumerate(attempts, 1)
    ]


def table(header: list[str], rows: list[list[str]]) -> str:
    """Rows under a header, in columns."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [header, *rows]]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


if __name__ == "__main__":
    main()
