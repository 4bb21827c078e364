"""A streaming endpoint: one model for the whole app, one route, and nothing left open when a reader goes away.

    pip install fastapi uvicorn
    uvicorn --app-dir examples fastapi_app:app
    curl -N "http://127.0.0.1:8000/chat?question=Hello"

With `PORTKEY_API_KEY` and a `PORTKEY_VIRTUAL_KEY_OPENAI` set it runs against Portkey; without, against the sandbox's
double of it.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse

from langchain_portkey_router import ChatPortkey
from portkey_router import ConfigurationError, PortkeyError, sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MODEL = os.environ.get("PORTKEY_MODEL", "gpt-4o-mini")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Make the one model. Its connections close with the server's loop: there is nothing to close by hand."""
    with sandbox.unless_configured():
        app.state.llm = ChatPortkey(model=MODEL)
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/chat")
async def chat(request: Request, question: str) -> StreamingResponse:
    """The answer's text, as it comes. A reader who leaves closes the stream, and with it the call to the model."""
    llm: ChatPortkey = request.app.state.llm
    stream = llm.astream(question)
    first = await anext(stream)  # an error before the first word is still an HTTP error, not a broken body

    async def text() -> AsyncIterator[str]:
        yield first.text
        async for chunk in stream:
            yield chunk.text

    return StreamingResponse(text(), media_type="text/plain; charset=utf-8")


@app.exception_handler(PortkeyError)
async def unavailable(_: Request, error: PortkeyError) -> JSONResponse:
    """Errors as JSON; their messages hold no keys."""
    status = 500 if isinstance(error, ConfigurationError) else 502
    return JSONResponse({"error": type(error).__name__, "detail": str(error)}, status_code=status)
