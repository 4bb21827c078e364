"""Names of providers as `create-key --provider` takes them."""

from __future__ import annotations

import difflib
import re

import typer

from portkey_router.cli.output import warn
from portkey_router.providers import PROVIDERS, portkey_provider
from portkey_router.secrets import redact

__all__ = ["check_provider", "providers_named"]

# What the gateway 1.15.2 knows, and two more of our table (cody, continue). It may learn others: they are warned of.
_KNOWN = frozenset(
    (  # noqa: SIM905  (seventy quoted names read worse)
        "302ai ai21 aibadgr anthropic anyscale azure-ai azure-openai bedrock bytez cerebras cody cohere cometapi "
        "continue cortex dashscope deepbricks deepinfra deepseek featherless-ai fireworks-ai github google groq "
        "huggingface hyperbolic inference-net iointelligence jina kluster-ai krutrim lambda lemonfox-ai lepton lingyi "
        "matterai meshy milvus mistral-ai modal monsterapi moonshot ncompass nebius nextbit nomic novita-ai nscale "
        "ollama openai openrouter oracle ovhcloud palm perplexity-ai predibase qdrant recraft-ai reka-ai replicate "
        "sagemaker sambanova segmind siliconflow stability-ai together-ai tripo3d triton upstage vertex-ai voyage "
        "workers-ai x-ai z-ai zhipu"
    ).split()
)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}", re.IGNORECASE)


def providers_named(incomplete: str) -> list[str]:
    """Names of providers that begin so, for the shell's completion: first those that have a variable here."""
    own = [provider.portkey for provider in PROVIDERS]
    return [name for name in dict.fromkeys([*own, *sorted(_KNOWN)]) if name.startswith(incomplete)]


def check_provider(name: str) -> str:
    """The name that goes to Portkey. One that nobody is known to have is warned of, and a likely slip named.

    Raises `BadParameter` for what is no name, without quoting it: it may be a key that was put there.
    """
    if not _NAME.fullmatch(name) or redact(name) != name:
        raise typer.BadParameter("--provider is a provider's name, such as openai or anthropic")
    found = portkey_provider(name)
    if found in _KNOWN:
        return found
    near = difflib.get_close_matches(name.lower(), {*_KNOWN, *(provider.name for provider in PROVIDERS)}, 1, 0.8)
    warn(
        f"the gateway knows no provider {name!r}: where Portkey does not either, calls with this key fail"
        + (f"; did you mean {near[0]}?" if near else "")
    )
    return found
