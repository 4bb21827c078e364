from __future__ import annotations

import pytest

from portkey_router.errors import ConfigurationError
from portkey_router.spaces import bare_model, check_one_space
from portkey_router.targets import Conditional, Fallback, LoadBalance, Single, Strategy, Target, When

SMALL, LARGE = "text-embedding-3-small", "text-embedding-3-large"


@pytest.mark.parametrize(
    ("model", "bare"),
    [
        (SMALL, SMALL),
        (f"@openai-prod/{SMALL}", SMALL),
        (f"openai/{SMALL}", SMALL),
        (f"azure/{SMALL}", SMALL),
        (f"openrouter/openai/{SMALL}", SMALL),
        (f"@openrouter-prod/openai/{SMALL}", SMALL),
        ("BAAI/bge-small-en-v1.5", "BAAI/bge-small-en-v1.5"),
        ("hf/BAAI/bge-small-en-v1.5", "BAAI/bge-small-en-v1.5"),
        ("amazon.titan-embed-text-v2:0", "amazon.titan-embed-text-v2:0"),
        ("arn:aws:bedrock:us-east-1::foundation-model/x", "arn:aws:bedrock:us-east-1::foundation-model/x"),
        ("", ""),
    ],
)
def test_a_models_own_name(model: str, bare: str) -> None:
    """Slugs and known providers are not part of it; anything else is."""
    assert bare_model(model) == bare


@pytest.mark.parametrize(
    "strategy",
    [
        Single(SMALL),
        Fallback(SMALL, f"azure/{SMALL}", f"@prod/{SMALL}", Target(SMALL, virtual_key="another")),
        LoadBalance(SMALL, Fallback(f"@a/{SMALL}", f"@b/{SMALL.upper()}")),
        Fallback(Target("x", override_params={"model": SMALL}), SMALL),
        Fallback(*(Target(name, override_params={"dimensions": 256}) for name in (SMALL, f"@b/{SMALL}"))),
        Fallback(Target(SMALL, override_params={"dimensions": 512}), f"@b/{SMALL}"),
        Fallback(Target(provider="@a"), Target(provider="@b")),
    ],
)
def test_one_space(strategy: Strategy) -> None:
    """The same model and dimensions, wherever they are had, may stand in for one another."""
    check_one_space(strategy, model=SMALL, dimensions=512)


@pytest.mark.parametrize(
    "strategy",
    [
        Fallback(SMALL, LARGE),
        LoadBalance(SMALL, Fallback(SMALL, f"@prod/{LARGE}")),
        Conditional(When({"metadata.a": {"$eq": "b"}}, SMALL), default=LARGE),
        Fallback(SMALL, Target(SMALL, override_params={"dimensions": 256})),
        Fallback(SMALL, Target(SMALL, override_params={"model": LARGE})),
        Fallback(Target(provider="@a"), Target(LARGE, provider="@b")),
    ],
)
def test_mixed_spaces(strategy: Strategy) -> None:
    """Another model, or another length, anywhere in the strategy: an error that names both and says why."""
    with pytest.raises(ConfigurationError, match="mixed vector spaces") as caught:
        check_one_space(strategy, model=SMALL)
    assert SMALL in str(caught.value)
    assert "cannot be compared" in str(caught.value)
    assert LARGE in str(caught.value) or "256 dimensions" in str(caught.value)
