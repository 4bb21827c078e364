from __future__ import annotations

import copy
import pickle
from decimal import Decimal
from typing import Any

import pytest

from portkey_router.errors import ConfigurationError
from portkey_router.targets import (
    FALLBACK_STATUS_CODES,
    RETRY_STATUS_CODES,
    Conditional,
    CostAware,
    Fallback,
    LoadBalance,
    Single,
    Sticky,
    Target,
    When,
    as_strategy,
    leaf_at,
    leaves,
    replace_targets,
    target_weight,
)

KEY = "vk-planted-0123456789"
SECRETIVE = Target("gpt-4o", provider="openai", api_key=KEY, options={"aws_secret_access_key": KEY, "aws_region": "x"})


def test_no_key_is_in_a_repr() -> None:
    """Neither a target nor a strategy shows its keys."""
    for shown in (SECRETIVE, Fallback(SECRETIVE, "claude"), Conditional(When({}, SECRETIVE), default=SECRETIVE)):
        assert KEY not in repr(shown)
        assert KEY not in str(shown)


def test_pickle_drops_keys_and_copies_keep_them() -> None:
    """A pickled target goes to disk without keys; a copy stays in this process and keeps them."""
    dumped = pickle.dumps(Fallback(SECRETIVE, "claude-3"))
    assert KEY.encode() not in dumped
    restored = pickle.loads(dumped)  # noqa: S301
    assert restored.targets[0] == Target("gpt-4o", provider="openai", options={"aws_region": "x"})
    for again in (copy.copy(SECRETIVE), copy.deepcopy(SECRETIVE)):
        assert again.api_key == SECRETIVE.api_key
        assert again.api_key is not None


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (lambda: Target("m", weight=-1), "weight"),
        (lambda: Target("m", weight=float("nan")), "weight"),
        (lambda: Target("m", weight=float("inf")), "weight"),
        (lambda: Target("m", custom_host="localhost:8000"), "custom_host"),
        (lambda: Target("m", custom_host="http://[::1"), "custom_host"),
        (lambda: Target("m", request_timeout=0), "request_timeout"),
        (lambda: Target("m", request_timeout=float("nan")), "request_timeout"),
        (lambda: Target("m", cache={"max_age": 5}), "cache"),
        (Fallback, "at least one target"),
        (LoadBalance, "at least one target"),
        (lambda: LoadBalance(Target("m", weight=0), Target("n", weight=0)), "every weight is 0"),
        (lambda: Fallback("m", weight=-2), "weight"),
        (lambda: Conditional(default="m"), "When"),
        (CostAware, "at least one target"),
        (lambda: CostAware("m", max_price=-1), "max_price"),
        (lambda: CostAware("m", max_price=Decimal("NaN")), "max_price"),
        (lambda: CostAware("m", max_latency=float("nan")), "max_latency"),
        (lambda: CostAware("m", unknown_price="first"), "last, exclude, error"),  # type: ignore[arg-type]
        (lambda: CostAware(Fallback("m", "n")), "takes targets"),  # type: ignore[arg-type]
        (Sticky, "metadata.user_id"),
        (lambda: Single(5), "int"),  # type: ignore[arg-type]
        (lambda: Fallback(None), "NoneType"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_work_is_refused_at_once(wrong: Any, named: str) -> None:
    """A strategy that makes no sense never comes to be; the message names what is wrong."""
    with pytest.raises(ConfigurationError, match=named):
        wrong()


def test_a_price_may_be_a_decimal() -> None:
    """As budgets take them and reports tell them."""
    assert CostAware("m", max_price=Decimal("0.01"), latency_price=Decimal("0.5")) == CostAware(
        "m", max_price=0.01, latency_price=0.5
    )


@pytest.mark.parametrize(
    ("target", "label", "slug"),
    [
        (Target("gpt-4o"), "gpt-4o", None),
        (Target("gpt-4o", name="cheap"), "cheap", None),
        (Target(provider="openai"), "openai", None),
        (Target(virtual_key=KEY), "target", None),
        (Target("@openai-prod/gpt-4o"), "@openai-prod/gpt-4o", "@openai-prod"),
        (Target("gpt-4o", provider="@openai-prod"), "gpt-4o", "@openai-prod"),
    ],
)
def test_labels_and_slugs(target: Target, label: str, slug: str | None) -> None:
    """A label is never a key; a slug is found in the model or in the provider."""
    assert (target.label, target.slug) == (label, slug)


def test_names_become_targets() -> None:
    """A model's name stands for a target everywhere; Single inside a strategy is its target."""
    assert Fallback("a", Single("b")).targets == (Target("a"), Target("b"))
    assert as_strategy("a") == Single("a") == Single(Target("a"))
    nested = Fallback(LoadBalance("a", "b"), "c")
    assert as_strategy(nested) is nested
    assert [leaf.model for leaf in leaves(nested)] == ["a", "b", "c"]
    assert leaves(Target("a")) == (Target("a"),)


def test_a_path_of_the_gateway_finds_its_target() -> None:
    """`x-portkey-last-used-option-index` leads through nested strategies; a path that does not fit gives None."""
    nested = Fallback(LoadBalance("a", "b"), "c")
    assert leaf_at(nested, "config.targets[0].targets[1]") == Target("b")
    assert leaf_at(nested, "config.targets[1]") == Target("c")
    for path in ("config", "config.targets[0]", "config.targets[7]", "config.targets[1].targets[0]", ""):
        assert leaf_at(nested, path) is None


def test_conditionals_list_each_target_once() -> None:
    """One target behind two conditions is compiled once."""
    paid, free = Target("paid"), Target("free")
    conditional = Conditional(When({"a": 1}, paid), When({"b": 1}, paid), default=free)
    assert conditional.targets == (paid, free)


def test_the_rest_of_a_fallback_keeps_its_settings() -> None:
    """Going on with the targets left keeps status codes, weight and name."""
    whole = Fallback("a", "b", on_status_codes=[500], weight=3, name="n")
    assert replace_targets(whole, whole.targets[1:]) == Fallback("b", on_status_codes=[500], weight=3, name="n")
    assert target_weight(whole) == 3
    assert target_weight(Target("a", weight=0.5)) == 0.5


def test_which_statuses_move_on() -> None:
    """A wrong request (400, 422) and a guardrail's no (446) never reach another target; passing faults do."""
    assert not {400, 422, 446} & {*FALLBACK_STATUS_CODES, *RETRY_STATUS_CODES}
    assert set(RETRY_STATUS_CODES) <= set(FALLBACK_STATUS_CODES)
    assert {401, 402, 403, 404, 412} == set(FALLBACK_STATUS_CODES) - set(RETRY_STATUS_CODES)
    assert Fallback("a").on_status_codes == LoadBalance("a").on_status_codes == FALLBACK_STATUS_CODES
