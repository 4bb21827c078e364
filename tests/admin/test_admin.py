from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr, ValidationError

from portkey_router import Fallback, LoadBalance, PortkeyRouter, Target, sandbox
from portkey_router.admin import AdminClient, RateLimits, UsageLimits, models
from portkey_router.admin.provider_list import providers_from_json, strategy_of
from portkey_router.errors import AdminError, ConfigurationError
from portkey_router.pricing import Price, PriceBook
from portkey_router.targets import leaves
from portkey_router.wire.http import HttpReply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portkey_router.sandbox import PortkeyDouble
    from portkey_router.wire.http import HttpCall

PLANTED = "sk-planted-0123456789"
MONDAY, TUESDAY = datetime(2026, 11, 2, tzinfo=UTC), datetime(2026, 11, 3, tzinfo=UTC)
HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def server() -> Iterator[PortkeyDouble]:
    """A double of hosted Portkey."""
    with sandbox.portkey() as running:
        yield running


@pytest.fixture
def admin(server: PortkeyDouble) -> AdminClient:
    """Its client."""
    return AdminClient(base_url=server.url, api_key=server.api_key)


class Canned:
    """A port that answers with one body."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.calls: list[HttpCall] = []

    def send(self, call: HttpCall) -> HttpReply:
        """The body, with 200."""
        self.calls.append(call)
        return HttpReply(200, {}, self.body)

    def open(self, call: HttpCall) -> Any:
        """No admin verb streams."""
        raise NotImplementedError


def canned(body: bytes) -> AdminClient:
    """A client whose API always says this."""
    return AdminClient(api_key="pk-any-key", port=Canned(body))


@pytest.mark.parametrize(("catalog", "kind"), [(True, "provider"), (False, "virtual-key")])
def test_a_key_is_made_as_whatever_the_workspace_has(
    server: PortkeyDouble, admin: AdminClient, catalog: bool, kind: str
) -> None:
    """Both worlds: what is made serves a call at once, is listed once, takes another key, and can be deleted."""
    server.administer(catalog=catalog)
    made = admin.keys.create(name="OpenAI-Prod", provider="openai", key=PLANTED)
    assert made.kind == kind
    router = PortkeyRouter.from_env(base_url=server.url, api_key=server.api_key)
    assert router.complete(HELLO, model="gpt-4o", virtual_key=made.slug).text
    assert {key.slug: key.kind for key in admin.keys.list()} == {"vk-openai": "virtual-key", made.slug: kind}
    rotated = admin.keys.rotate(made.slug, key="sk-the-next-one")
    put = next(request for request in reversed(server.admin_requests) if request.path.startswith("PUT"))
    assert put.body == {"key": "sk-the-next-one"}
    assert put.path.endswith(f"/{rotated.integration or made.slug}")
    admin.keys.delete(f"@{made.slug}", with_integration=True)
    assert [key.slug for key in admin.keys.list()] == ["vk-openai"]
    assert not catalog or list(admin.integrations.list()) == []


def test_the_kind_can_be_chosen(server: PortkeyDouble, admin: AdminClient) -> None:
    """`kind=` decides, and nobody is asked what the workspace has."""
    assert admin.keys.create(name="A", provider="openai", key=PLANTED, kind="virtual-key").kind == "virtual-key"
    assert [request.path for request in server.admin_requests] == ["POST /v1/virtual-keys"]


def test_half_a_pair_is_said(server: PortkeyDouble, admin: AdminClient) -> None:
    """Where the integration is made and its provider refused, a note names the integration that holds the key."""
    refusal = sandbox.Fault.status(403, {"error": {"code": "AB03", "message": "no"}})
    server.script("admin", sandbox.ok(), sandbox.ok(), refusal)
    with pytest.raises(AdminError) as caught:
        admin.keys.create(name="A", provider="openai", key=PLANTED)
    (integration,) = admin.integrations.list()
    assert any(integration.slug in note for note in caught.value.__notes__)


def test_limits_reach_what_has_them(server: PortkeyDouble, admin: AdminClient) -> None:
    """A budget and a rate limit, on a provider and on a virtual key; an integration has none, resets are providers'."""
    budget = UsageLimits(credit_limit=25, type="cost", alert_threshold=20, periodic_reset="monthly")
    provider = admin.keys.create(name="P", provider="openai", key=PLANTED, usage_limits=budget)
    virtual = admin.keys.create(name="V", provider="openai", key=PLANTED, kind="virtual-key")
    admin.keys.set_limits(
        virtual.slug, usage_limits=budget, rate_limits=RateLimits(type="requests", unit="rpm", value=6)
    )
    admin.keys.set_limits(provider.slug, reset_usage=True)
    (limit,) = admin.providers.get(provider.slug).usage_limits
    assert limit.credit_limit == 25
    assert admin.virtual_keys.get(virtual.slug).rate_limits[0].value == 6
    for slug, options in [(virtual.slug, {"reset_usage": True}), (provider.integration, {"usage_limits": budget})]:
        with pytest.raises(ConfigurationError, match="a matter of its providers"):
            admin.keys.set_limits(str(slug), **options)  # type: ignore[arg-type]  # a parametrised mapping


@pytest.mark.parametrize(
    "limits",
    [
        {"credit_limit": 0, "type": "cost"},
        {"credit_limit": Decimal("1.5"), "type": "cost"},
        {"credit_limit": 99, "type": "tokens"},
        {"credit_limit": 5, "type": "cost", "periodic_reset": "weekly", "periodic_reset_days": 3},
        {"credit_limit": 5, "type": "cost", "periodic_reset_days": 366},
        {"credit_limit": 5, "type": "cost", "periodic_reset_days": 0},
        {"credit_limit": 5, "type": "cost", "alert_threshold": 6},
        {"credit_limit": 5, "type": "cost", "alert_threshold": 0},
        {"credit_limit": 5, "type": "cost", "alert_threshold": Decimal("2.5")},
    ],
)
def test_a_budget_that_portkey_refuses_is_refused_here(
    server: PortkeyDouble, admin: AdminClient, limits: dict[str, Any]
) -> None:
    """Less than a dollar or 100 tokens, broken dollars, resets and alerts that never come: before the network."""
    with pytest.raises(ConfigurationError):
        admin.virtual_keys.create(name="A", provider="openai", key=PLANTED, usage_limits=UsageLimits(**limits))
    with pytest.raises(ConfigurationError):
        admin.keys.create(name="A", provider="openai", key=PLANTED, usage_limits=UsageLimits(**limits))
    assert server.admin_requests == ()


def test_a_rate_limit_of_nothing_is_refused_here(server: PortkeyDouble, admin: AdminClient) -> None:
    """0 requests a minute would end all use: by itself and in a list, before the network."""
    nothing = RateLimits(type="requests", unit="rpm", value=0)
    for rates in (nothing, [nothing]):
        with pytest.raises(ConfigurationError, match="at least 1 rpm"):
            admin.keys.create(name="A", provider="openai", key=PLANTED, rate_limits=rates)
    assert server.admin_requests == ()


def test_one_rate_limit_is_an_object_and_several_are_a_list(server: PortkeyDouble, admin: AdminClient) -> None:
    """Portkey's description says object, its guides send lists: each as it is handed in; both are read."""
    rate = RateLimits(type="requests", unit="rpm", value=1)
    pairs: list[tuple[RateLimits | list[RateLimits], Any]] = [(rate, rate.model_dump())]
    for given, body in [*pairs, ([rate, rate], [rate.model_dump()] * 2)]:
        made = admin.virtual_keys.create(name="A", provider="openai", key=PLANTED, rate_limits=given)
        assert server.admin_requests[-1].body["rate_limits"] == body
        assert admin.virtual_keys.get(made.slug).rate_limits[0] == rate


def test_a_config_is_saved_changed_and_remembered(server: PortkeyDouble, admin: AdminClient) -> None:
    """A strategy becomes Portkey's JSON; its slug is looked up; versions hold what it said before, parsed."""
    saved = admin.configs.create(name="C", config=Fallback(Target("gpt-4o", virtual_key="vk-openai"), "@a/b"))
    assert saved.slug is not None
    assert saved.slug.startswith("pc-")
    router = PortkeyRouter.from_env(base_url=server.url, api_key=server.api_key, config=saved.slug)
    assert router.complete(HELLO).text
    changed = admin.configs.update(saved.slug, config={"virtual_key": "vk-openai"})
    first, second = admin.configs.versions(saved.slug)
    assert first.config is not None
    assert first.config["strategy"]["mode"] == "fallback"
    assert (second.version_id, second.config) == (changed.version_id, {"virtual_key": "vk-openai"})


def test_a_config_update_is_not_sent_twice(server: PortkeyDouble, admin: AdminClient) -> None:
    """Each update makes a version: a lost reply is an error, not a second one."""
    saved = admin.configs.create(name="C", config={"virtual_key": "vk-openai"})
    server.script("admin", sandbox.Fault.status(503))
    with pytest.raises(AdminError):
        admin.configs.update(str(saved.slug), name="D")
    assert sum(request.path.startswith("PUT") for request in server.admin_requests) == 1


def test_a_new_api_key_is_shown_once_and_never_printed(server: PortkeyDouble, admin: AdminClient) -> None:
    """The key is a secret; rotation tells another."""
    made = admin.api_keys.create(name="A", scopes=["completions.write"])
    key = made.key.get_secret_value()
    assert key.startswith("pk-")
    assert key not in repr(made) + str(made) + made.model_dump_json()
    assert admin.api_keys.rotate(made.id).key.get_secret_value() != key


def test_cents_become_dollars_exactly() -> None:
    """The API counts in cents; no float comes between."""
    body = b'{"object": "analytics-graph", "summary": {"total": 1234.56, "avg": 0.1}, "data_points": ['
    body += b'{"timestamp": "2026-11-01T00:00:00Z", "total": 0.1, "avg": 0.030000000000000001}]}'
    span: dict[str, Any] = {"since": datetime(2026, 11, 1, tzinfo=UTC), "until": datetime(2026, 11, 2, tzinfo=UTC)}
    graph = canned(body).analytics.cost(workspace="main", **span)
    (point,) = graph.points
    assert isinstance(point, models.CostPoint)
    assert (point.total, point.average) == (Decimal("0.001"), Decimal("0.00030000000000000001"))
    assert graph.summary["total"] == Decimal("12.3456")
    groups = b'{"object": "list", "total": 2, "data": [{"user": "u", "requests": "12", "cost": "250"}, {"user": "v"}]}'
    first, second = canned(groups).analytics.by_user(workspace="main", **span)
    assert (first.name, first.requests, first.cost) == ("u", 12, Decimal("2.5"))
    assert (second.requests, second.cost) == (None, None)


@pytest.mark.parametrize(
    "call",
    [
        lambda c: c.analytics.cost(since=MONDAY.replace(tzinfo=None), until=TUESDAY, workspace="w"),
        lambda c: c.analytics.graph("cost", since=TUESDAY, until=MONDAY, workspace="w"),
        lambda c: list(c.analytics.by_user(since=MONDAY, until=TUESDAY, workspace="")),
        lambda c: c.feedback.create(trace_id="t", value=11),
        lambda c: c.feedback.create(trace_id="t", value=1, weight=2),
        lambda c: c.api_keys.rotate("a", transition=60),
        lambda c: c.usage_limits.create(conditions={}, group_by=["api_key"], credit_limit=1),
        lambda c: c.rate_limits.create(conditions={"workspace_id": "w"}, group_by="api_key", value=1),
        lambda c: c.keys.create(name="A", provider="openai", key=""),
        lambda c: c.keys.rotate("a", key=" "),
        lambda c: c.virtual_keys.update("a", key=SecretStr("")),
        lambda c: c.configs.get(5),
        lambda c: AdminClient(base_url=c.url, api_key="pk", timeout=float("nan")),
    ],
    ids=["naive", "reversed", "no workspace", "value", "weight", "short transition", "no condition", "text for a list",
         "no key", "no new key", "no secret key", "no slug", "no time"],
)  # fmt: skip
def test_wrong_input_is_refused_before_the_network(call: Any) -> None:
    """What Portkey would refuse, or store though it is none, is a ConfigurationError, and nothing is sent."""
    port = Canned(b"{}")
    client = AdminClient(api_key="pk-any-key", port=port)
    with pytest.raises(ConfigurationError):
        call(client)
    assert port.calls == []


def test_records_are_frozen_and_keep_what_they_do_not_know() -> None:
    """A field of a later API is an attribute; nothing can be changed; secrets among them are masked."""
    key = canned(b'{"slug": "a", "brand_new": [1], "client_secret": "planted-secret", "model_config": {"x": 1}}')
    record: Any = key.virtual_keys.get("a")
    assert record.brand_new == [1]
    assert "planted-secret" not in repr(record)
    with pytest.raises(ValidationError):
        record.slug = "b"
    assert copy.deepcopy(record) == record == pickle.loads(pickle.dumps(record))  # noqa: S301  (our own)


def test_the_client_does_not_print_its_key() -> None:
    """Neither the client nor its resources show the key."""
    client = AdminClient(api_key="pk-planted-key")
    assert "pk-planted" not in repr(client) + repr(client.keys) + repr(vars(client))


# ---- lists of providers ----------------------------------------------------------------------------------------------

LISTED = '[{"virtual_key": "a", "models": ["gpt-4o", "gpt-4o-mini"], "weight": 2}, {"provider": "@b", "models": ["m"]}]'
PRICES = PriceBook({"gpt-4o": Price(5, 15), "gpt-4o-mini": Price(1, 2), "m": Price(3, 6)}, genai=False)


def test_a_list_of_providers_becomes_a_strategy() -> None:
    """Fallback takes every model in order, loadbalance draws a provider, cost_aware begins with the cheapest."""
    providers = providers_from_json(LISTED)
    fallback = strategy_of("fallback", providers, prices=PRICES)
    assert [target.label for target in leaves(fallback)] == ["gpt-4o", "gpt-4o-mini", "m"]
    balanced = strategy_of("loadbalance", providers, prices=PRICES)
    assert isinstance(balanced, LoadBalance)
    first, second = balanced.targets
    assert isinstance(first, Fallback)
    assert (first.weight, second.weight) == (2, 1)  # type: ignore[union-attr]  # neither is a Single
    cheapest = strategy_of("cost_aware", providers, prices=PRICES)
    assert [target.label for target in leaves(cheapest)] == ["gpt-4o-mini", "m", "gpt-4o"]
    with pytest.raises(ConfigurationError, match="no price of 'm'"):
        strategy_of("cost_aware", providers, prices=PriceBook({"gpt-4o": Price(5, 15)}, genai=True))


def test_a_condition_stands_with_its_provider() -> None:
    """conditional: the provider without a condition is the default; exactly one has none."""
    first = '{"provider": "@a", "models": ["m"], "when": {"metadata.plan": {"$eq": "paid"}}}'
    text = f'[{first}, {{"provider": "@b", "models": ["n"]}}]'
    strategy = strategy_of("conditional", providers_from_json(text), prices=PRICES)
    assert [target.label for target in leaves(strategy)] == ["m", "n"]
    with pytest.raises(ConfigurationError, match="the one without is the default"):
        strategy_of("conditional", providers_from_json(LISTED), prices=PRICES)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[", "not valid JSON"),
        ("[]", "empty"),
        ('[{"models": ["m"]}]', "neither virtual_key nor provider"),
        ('[{"virtual_key": "a", "models": []}]', "in entry 0, models"),
        (f'[{{"virtual_key": "a", "models": ["m"], "{PLANTED}": 1}}]', "in entry 0"),
    ],
)
def test_a_list_that_is_none_says_where(text: str, words: str) -> None:
    """The place and the reason, an example, and nothing of what was written."""
    with pytest.raises(ConfigurationError, match=words) as caught:
        providers_from_json(text)
    assert PLANTED not in str(caught.value)
    assert caught.value.__context__ is None
