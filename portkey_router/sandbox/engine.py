"""A request -> its answer, in the OpenAI shape: pure, and always derived from the request.

There is no table of expected answers. A text answer is a sentence about the last user message; a tool call takes its
arguments from that message and the tool's schema; a structured answer likewise.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from portkey_router.sandbox.schema_fill import fill
from portkey_router.sandbox.tool_choice import chosen_tools
from portkey_router.sandbox.words import tokens

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["BadRequestError", "Moment", "complete", "last_user_text", "system_prompt"]

Body = dict[str, Any]

CACHED_FROM = 1024
IMAGE_TOKENS = 85
MESSAGE_TOKENS = 3
QUOTED_NAME = re.compile(r"['\"`]([A-Za-z_]\w*)['\"`]")
# Content parts by what they hold; a part of another type is counted under its own name.
PARTS = {
    "image_url": "image",
    "image": "image",
    "input_audio": "audio clip",
    "audio": "audio clip",
    "file": "file",
    "video_url": "video",
}


class BadRequestError(Exception):
    """The request is not one that OpenAI would take; `args[0]` says why."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What an answer depends on besides its request.

    `number` counts the requests of a server, `created` is Unix time in seconds, `prompt_seen` whether the same
    system prompt came before (then it counts as cached).
    """

    number: int = 0
    created: int = 0
    prompt_seen: bool = False


def complete(body: Mapping[str, Any], moment: Moment) -> Body:
    """The whole completion (`object: chat.completion`) for a chat request.

    Raises:
        BadRequestError: no model, no messages, or fields of the wrong type.
    """
    _check(body)
    choices = [_choice(body, moment, index) for index in range(int(body.get("n") or 1))]
    seed = body.get("seed")
    return {
        "id": f"chatcmpl-{_digest(body)[:20]}{moment.number}",
        "object": "chat.completion",
        "created": moment.created,
        "model": body["model"],
        "system_fingerprint": "fp_sandbox" if seed is None else f"fp_seed_{seed}",
        "service_tier": "default",
        "choices": choices,
        "usage": _usage(body, choices, moment),
    }


def last_user_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """The text of the last user message, its parts joined by spaces; the last message of all where there is none."""
    users = [message for message in messages if message.get("role") == "user"]
    return _text((users or list(messages))[-1])


def system_prompt(body: Mapping[str, Any]) -> str:
    """The system (or developer) messages, joined; what a provider's prompt cache would hold."""
    messages = body.get("messages") or []
    return "\n".join(_text(message) for message in messages if message.get("role") in {"system", "developer"})


def _check(body: Mapping[str, Any]) -> None:
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise BadRequestError("you must provide a model parameter")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequestError("'messages' must be a list of at least one message")
    if not all(isinstance(message, dict) and isinstance(message.get("role"), str) for message in messages):
        raise BadRequestError("every message must be an object with a 'role'")


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        parts = (part.get("text", "") for part in content if isinstance(part, dict))
        return " ".join(part for part in parts if isinstance(part, str) and part)
    return content if isinstance(content, str) else ""


# ---- one choice ------------------------------------------------------------------------------------------------------


def _choice(body: Mapping[str, Any], moment: Moment, index: int) -> Body:
    if calls := chosen_tools(body, last_user_text(body["messages"])):
        message: Body = {"role": "assistant", "content": None, "refusal": None}
        message["tool_calls"] = [
            {
                "id": f"call_{_digest([body, place, index])[:16]}{moment.number}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)},
            }
            for place, (name, arguments) in enumerate(calls)
        ]
        return _reasoned({"index": index, "message": message, "logprobs": None, "finish_reason": "tool_calls"}, body)
    text, reason = _limited(_content(body, index), body)
    message = {"role": "assistant", "content": text, "refusal": None}
    logprobs = _logprobs(text, int(body.get("top_logprobs") or 0)) if body.get("logprobs") else None
    return _reasoned({"index": index, "message": message, "logprobs": logprobs, "finish_reason": reason}, body)


def _reasoned(choice: Body, body: Mapping[str, Any]) -> Body:
    """With `reasoning_effort`, the thoughts beside the answer, as DeepSeek and others name them."""
    effort = body.get("reasoning_effort")
    if effort and effort != "none":
        asked = last_user_text(body["messages"])
        choice["message"]["reasoning_content"] = f"With {effort} effort, let me think about this: {asked}"
    return choice


def _content(body: Mapping[str, Any], index: int) -> str:
    asked = last_user_text(body["messages"])
    shape = body.get("response_format") or {}
    if shape.get("type") == "json_schema":
        return json.dumps(fill(shape["json_schema"].get("schema", {}), asked), ensure_ascii=False)
    answer = _sentence(body, asked)
    if shape.get("type") == "json_object" and (names := _keys_asked_for(asked)):
        wanted = {"type": "object", "properties": {name: {"type": "string"} for name in names}, "required": names}
        return json.dumps(fill(wanted, asked), ensure_ascii=False)
    if shape.get("type") == "json_object":
        return json.dumps({"model": body["model"], "answer": answer}, ensure_ascii=False)
    return answer if index == 0 else f"{answer} (choice {index + 1})"


def _keys_asked_for(asked: str) -> list[str]:
    """The keys that a question wants in its JSON: "a JSON with 'setup' and 'punchline' keys"."""
    return QUOTED_NAME.findall(asked) if "JSON" in asked and re.search(r"\bkeys?\b", asked) else []


def _sentence(body: Mapping[str, Any], asked: str) -> str:
    """What the model says in plain text: what it was told by tools, or asked, and what was attached."""
    results = [_text(message) for message in _trailing_results(body["messages"])]
    if results:
        return f"{body['model']} was told by its tools: {'; '.join(results)}"
    attached = _attached(body["messages"])
    return f"{body['model']} answers to: {asked}" + (f" With {attached}." if attached else "")


def _trailing_results(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The tool results at the end of the conversation, in order."""
    found: list[Mapping[str, Any]] = []
    for message in reversed(messages):
        if message.get("role") not in {"tool", "function"}:
            break
        found.insert(0, message)
    return found


def _attached(messages: Sequence[Mapping[str, Any]]) -> str:
    """`2 images, 1 file`: the parts of all user messages that are not text."""
    counts: dict[str, int] = {}
    for message in messages:
        content = message.get("content")
        for part in content if isinstance(content, list) else []:
            kind = part.get("type", "part") if isinstance(part, dict) else "part"
            if message.get("role") == "user" and kind not in {"text", "refusal"}:
                counts[PARTS.get(kind, kind)] = counts.get(PARTS.get(kind, kind), 0) + 1
    return ", ".join(f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in counts.items())


def _limited(text: str, body: Mapping[str, Any]) -> tuple[str, str]:
    """The text up to a stop sequence or the token limit, and the `finish_reason` that goes with it."""
    stop = body.get("stop") or []
    ends = [text.find(mark) for mark in ([stop] if isinstance(stop, str) else stop) if mark and mark in text]
    text = text[: min(ends)] if ends else text
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    pieces = tokens(text)
    if limit is not None and len(pieces) > int(limit):
        return "".join(pieces[: int(limit)]), "length"
    return text, "stop"


def _logprobs(text: str, top: int) -> Body:
    """A log probability for each token, the alternatives made up: `{"content": [{"token", "logprob", ...}]}`."""
    listed: list[Body] = []
    for piece in tokens(text):
        entry: Body = {"token": piece, "logprob": -len(piece) / 100, "bytes": list(piece.encode())}
        others = [piece, *(f"{piece}{mark}" for mark in range(1, top))][:top]
        entry["top_logprobs"] = [
            {"token": other, "logprob": entry["logprob"] - rank, "bytes": list(other.encode())}
            for rank, other in enumerate(others)
        ]
        listed.append(entry)
    return {"content": listed, "refusal": None}


# ---- usage -----------------------------------------------------------------------------------------------------------


def _usage(body: Mapping[str, Any], choices: Sequence[Body], moment: Moment) -> Body:
    """Token counts from the lengths of the texts; see `tokens`."""
    asked = sum(_prompt_tokens(message) for message in body["messages"])
    if body.get("tools"):
        asked += len(tokens(json.dumps(body["tools"])))
    thought = said = 0
    for choice in choices:
        message = choice["message"]
        thought += len(tokens(message.get("reasoning_content", "")))
        said += len(tokens(message["content"] or ""))
        said += sum(len(tokens(json.dumps(call["function"]))) for call in message.get("tool_calls", []))
    system = system_prompt(body)
    cached = len(tokens(system)) if moment.prompt_seen and len(system) >= CACHED_FROM else 0
    return {
        "prompt_tokens": asked,
        "completion_tokens": said + thought,
        "total_tokens": asked + said + thought,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": thought,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _prompt_tokens(message: Mapping[str, Any]) -> int:
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    others = sum(IMAGE_TOKENS for part in parts if isinstance(part, dict) and part.get("type") != "text")
    calls = json.dumps(message["tool_calls"]) if message.get("tool_calls") else ""
    return MESSAGE_TOKENS + len(tokens(_text(message))) + len(tokens(calls)) + others
