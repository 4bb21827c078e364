"""What is stored at a Portkey account: keys, providers, saved configs, guardrails; and how a request names them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from portkey_router.sandbox.engine import last_user_text
from portkey_router.sandbox.relay import failure
from portkey_router.sandbox.replies import json_reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portkey_router.sandbox.replies import Reply

__all__ = ["Denial", "Destination", "RefusedError", "Stored", "Vault"]


class RefusedError(Exception):
    """Portkey answers instead of a provider; `reply` is what it says, `provider` whose turn it was, where known."""

    def __init__(self, reply: Reply, provider: str = "") -> None:
        super().__init__(reply.status)
        self.reply = reply
        self.provider = provider


@dataclass(frozen=True, slots=True)
class Stored:
    """A virtual key, or an AI provider of the Model Catalog: the slug, and the provider whose key it hides."""

    slug: str
    provider: str
    reachable: bool = True
    exhausted: bool = False


@dataclass(frozen=True, slots=True)
class Denial:
    """A guardrail: it denies what the user says when that contains `text` (and the request goes to `slug`)."""

    text: str
    slug: str | None
    check: str

    def applies(self, slug: str, body: Mapping[str, Any]) -> bool:
        """Whether it denies that request."""
        messages = body.get("messages")
        said = last_user_text(messages) if isinstance(messages, list) and messages else str(body.get("input", ""))
        return self.slug in {None, slug} and self.text in said

    def reply(self) -> Reply:
        """446, with the check and its verdict in `hook_results`."""
        message = (
            "The guardrail checks defined in the config failed. "
            "You can find more information in the `hook_results` object."
        )
        data = {"operator": "none", "words": [self.text], "explanation": f"The text contains {self.text!r}."}
        check = {"id": self.check, "verdict": False, "data": data, "error": None, "execution_time": 0}
        hook = {"id": "sandbox-guardrail", "type": "guardrail", "verdict": False, "deny": True, "checks": [check]}
        results = {"before_request_hooks": [hook], "after_request_hooks": []}
        error = {"message": message, "type": "hooks_failed", "param": None, "code": None}
        return json_reply({"error": error, "hook_results": results}, 446)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where one attempt goes: `name` is the slug (or the provider itself), `body` what the provider is sent."""

    name: str
    provider: str
    body: Mapping[str, Any]
    reachable: bool = True


@dataclass(slots=True)
class Vault:
    """The account. Slugs of virtual keys and of the Model Catalog are one namespace, as they are at Portkey."""

    stored: dict[str, Stored] = field(default_factory=dict)
    configs: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    denials: list[Denial] = field(default_factory=list)

    def exhaust(self, slug: str, *, exhausted: bool) -> None:
        """Mark a key's budget as spent, or not; KeyError for a slug that is not stored."""
        self.stored[slug] = replace(self.stored[slug], exhausted=exhausted)

    def destination(self, target: Mapping[str, Any], body: Mapping[str, Any]) -> Destination:
        """Where the target of a config sends the body.

        Raises:
            RefusedError: nothing names a provider, the slug is not stored, its budget is spent, or a guardrail denies.
        """
        model, slug = body.get("model"), target.get("virtual_key")
        named = str(target.get("provider") or "")
        if isinstance(model, str) and model.startswith("@"):
            slug, _, model = model[1:].partition("/")
            body = {**body, "model": model}
        elif not slug and named.startswith("@"):
            slug = named[1:]
        if not slug and not named:
            message = "Either x-portkey-config or x-portkey-provider header is required"
            raise RefusedError(failure(message))
        found = self.stored.get(str(slug)) if slug else Stored(named, named)
        if found is None:
            raise RefusedError(failure(f"Portkey Error: there is no provider or virtual key with the slug {slug!r}."))
        self._admit(found, body)
        return Destination(found.slug, found.provider, body, found.reachable)

    def _admit(self, found: Stored, body: Mapping[str, Any]) -> None:
        if found.exhausted:
            message = f"Portkey Error: the budget of {found.slug!r} is exhausted."
            error = {"message": message, "type": "budget_exhausted", "param": None, "code": None}
            raise RefusedError(json_reply({"error": error, "provider": found.provider}, 412), found.provider)
        for denial in self.denials:
            if denial.applies(found.slug, body):
                raise RefusedError(denial.reply(), found.provider)
