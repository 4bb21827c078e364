from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from portkey_router.sandbox import PortkeyDouble
    from tests.cli.conftest import Shell

PLANTED = "sk-planted-0123456789"
PROVIDERS = """[
  {"virtual_key": "vk-openai", "models": ["gpt-4", "gpt-3.5-turbo"], "weight": 2},
  {"virtual_key": "vk-b", "models": ["claude-3-opus"], "weight": 1}
]"""


def test_a_config_is_created_shown_changed_and_used(shell: Shell) -> None:
    """The slug that create-config tells serves `chat`; show-config says what is in it, and what was."""
    made = shell.run(
        "create-config", "--name", "Fallback Config", "--strategy", "fallback", "--providers", PROVIDERS, "--json"
    ).json
    slug = made["slug"]
    assert slug.startswith("pc-fallback-config")
    shown = shell.run("show-config", "--id", slug, "--json").json["config"]
    assert shown["strategy"]["mode"] == "fallback"
    assert [target["override_params"]["model"] for target in shown["targets"]] == [
        "gpt-4",
        "gpt-3.5-turbo",
        "claude-3-opus",
    ]
    assert shown["targets"][0]["virtual_key"] == "vk-openai"
    answered = shell.run("chat", "Hello", "--json", PORTKEY_CONFIG_ID=slug).json
    assert "gpt-4 answers to: Hello" in answered["text"]
    assert slug in shell.run("list-configs").out
    (shell.folder / "more.json").write_text('{"virtual_key": "vk-openai"}')
    assert shell.run("update-config", "--id", slug, "--config", "more.json").code == 0
    assert shell.run("show-config", "--id", slug).out == '{\n  "virtual_key": "vk-openai"\n}\n'
    versions = shell.run("show-config", "--id", slug, "--versions", "--json").json
    assert [version["config"].get("virtual_key") for version in versions] == [None, "vk-openai"]
    assert shell.run("delete-config", "--id", slug, "--yes").code == 0
    assert shell.run("list-configs", "--json").json == []


def test_what_show_config_prints_can_be_saved_again(server: PortkeyDouble, shell: Shell) -> None:
    """Weights are the numbers they were, broken ones too: through a file and update-config nothing changes."""
    providers = PROVIDERS.replace('"weight": 1', '"weight": 0.25')
    made = shell.run(
        "create-config", "--name", "A", "--strategy", "loadbalance", "--providers", providers, "--json"
    ).json
    shown = shell.run("show-config", "--id", made["slug"]).out
    assert [target["weight"] for target in json.loads(shown)["targets"]] == [2, 0.25]
    (shell.folder / "shown.json").write_text(shown)
    assert shell.run("update-config", "--id", made["slug"], "--config", "shown.json").code == 0
    assert server.admin_requests[-1].body["config"] == json.loads(shown)


def test_each_strategy_is_compiled(server: PortkeyDouble, shell: Shell) -> None:
    """Loadbalance with weights, cost_aware cheapest first, conditional by its conditions; from a file, too."""
    (shell.folder / "providers.json").write_text(PROVIDERS)
    at = ["create-config", "--name", "A", "--json", "--providers"]
    assert shell.run(*at, "providers.json", "--strategy", "loadbalance").code == 0
    balanced = server.admin_requests[-2].body["config"]
    assert [target["weight"] for target in balanced["targets"]] == [2, 1]
    assert shell.run(*at, PROVIDERS, "--strategy", "cost_aware", "--max-retries", "0").code == 0
    ordered = server.admin_requests[-2].body["config"]["targets"]
    assert [target["override_params"]["model"] for target in ordered] == ["gpt-3.5-turbo", "claude-3-opus", "gpt-4"]
    assert ordered[0]["retry"]["attempts"] == 0
    listed = json.loads(PROVIDERS)
    listed[0]["when"] = {"metadata.plan": {"$eq": "paid"}}
    assert shell.run(*at, json.dumps(listed), "--strategy", "conditional").code == 0
    assert server.admin_requests[-2].body["config"]["strategy"]["conditions"][0]["query"] == listed[0]["when"]


def test_a_key_inside_a_config_is_not_shown(server: PortkeyDouble, shell: Shell) -> None:
    """show-config strikes out keys, in every version, as a table and as JSON."""
    config = json.dumps({"targets": [{"provider": "openai", "api_key": PLANTED}], "strategy": {"mode": "single"}})
    slug = shell.run("create-config", "--name", "A", "--config", config, "--json").json["slug"]
    for more in ([], ["--json"], ["--versions"], ["--versions", "--json"]):
        ended = shell.run("show-config", "--id", slug, *more)
        assert PLANTED not in ended.out + ended.err
        assert "***" in ended.out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--strategy", "fallback"], 2, "--strategy and --providers go together"),
        ([], 2, "what it says is missing"),
        (["--strategy", "fastest", "--providers", PROVIDERS], 2, "--strategy is one of"),
        (["--strategy", "fallback", "--providers", "nowhere.json"], 3, "neither JSON nor a file"),
        (["--strategy", "fallback", "--providers", f'[{{"virtual_key": "{PLANTED}"'], 3, "not valid JSON"),
        (["--config", "{"], 3, "--config is not valid JSON"),
        (["--config", "[1]"], 3, "--config is an object"),
        (["--config", "{}", "--strategy", "fallback"], 2, "--config stands alone"),
    ],
)
def test_a_config_that_is_none_is_one_line(shell: Shell, arguments: list[str], code: int, words: str) -> None:
    """What is wrong, without a word of what may be a key."""
    error = shell.fails("create-config", "--name", "A", *arguments, code=code)
    assert words in error
    assert PLANTED not in error


def test_against_portkeys_own_description(shell: Shell, prism_url: str) -> None:
    """Each config command is taken by Prism."""
    at = {"PORTKEY_ADMIN_URL": prism_url}
    arguments = ["--strategy", "loadbalance", "--providers", PROVIDERS]
    ended = shell.run("create-config", "--name", "A", *arguments, **at)
    assert "list-configs shows its slug" in ended.out  # the description's examples do not fit one another
    assert "pc-pplx-c-ca7a87" in shell.run("list-configs", **at).out
    assert shell.run("show-config", "--id", "pc-a", "--json", **at).json["config"]["retry"]["attempts"] == 5
    assert shell.run("show-config", "--id", "pc-a", "--versions", **at).code == 0
    assert shell.run("update-config", "--id", "pc-a", "--name", "B", **at).code == 0
    assert shell.run("delete-config", "--id", "pc-a", "--yes", **at).code == 0
