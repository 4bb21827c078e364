"""LangChain on Portkey in one page: a chain, a stream, a tool, a fallback.

With `PORTKEY_API_KEY` and a `PORTKEY_VIRTUAL_KEY_OPENAI` set it runs against Portkey; without, against the sandbox's
double of it. `PORTKEY_MODEL` and `PORTKEY_FALLBACK_MODEL` choose the models.
"""

from __future__ import annotations

import os

from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool

from langchain_portkey_router import ChatPortkey
from portkey_router import Fallback, sandbox

MODEL = os.environ.get("PORTKEY_MODEL", "gpt-4o-mini")
FALLBACK_MODEL = os.environ.get("PORTKEY_FALLBACK_MODEL", "gpt-4o")


@tool
def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


def main() -> None:
    """Run the tour."""
    llm = ChatPortkey(model=MODEL, temperature=0)

    chain = ChatPromptTemplate.from_template("Explain {topic} in one sentence.") | llm
    answer = chain.invoke({"topic": "an AI gateway"})
    print("chain:   ", answer.text)
    print("usage:   ", answer.usage_metadata)
    print("served:  ", answer.response_metadata["model_name"], "by", answer.response_metadata["portkey"]["target"])

    print("stream:   ", end="")
    for chunk in llm.stream("Count to three."):
        print(chunk.text, end="", flush=True)
    print()

    call = llm.bind_tools([multiply]).invoke("Use multiply to work out 6 times 7.").tool_calls[0]
    print("tool:    ", call["name"], call["args"], "=", multiply.invoke(call["args"]))

    safe = ChatPortkey(strategy=Fallback(MODEL, FALLBACK_MODEL))
    answer = safe.invoke("Who answered this?")
    for attempt in answer.response_metadata["portkey"]["attempts"]:
        print("attempt: ", attempt["target"], attempt["outcome"], attempt["status"])


if __name__ == "__main__":
    with sandbox.unless_configured():
        main()
