from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING

from portkey_router import sandbox
from tests.cli.conftest import PLAIN, ROOT

if TYPE_CHECKING:
    from portkey_router.sandbox import PortkeyDouble
    from tests.cli.conftest import Shell


def test_chat_streams_an_answer_and_says_what_it_cost(server: PortkeyDouble, shell: Shell) -> None:
    """The answer on stdout; model, tokens, cost and time on stderr."""
    ended = shell.run("chat", "What is a gateway?", "-m", "gpt-4o", "--system", "Be brief.")
    assert ended.out == "gpt-4o answers to: What is a gateway?\n"
    assert "tokens, $0.000" in ended.err
    assert "(genai-prices)" in ended.err
    body = server.requests[-1].body
    assert body["stream"] is True
    assert [message["role"] for message in body["messages"]] == ["system", "user"]


def test_chat_reads_its_question_from_a_pipe_and_answers_in_json(server: PortkeyDouble, shell: Shell) -> None:
    """`-` is standard input; --json tells the answer with its attempts, cost and trace id."""
    server.add_virtual_key("vk-b", provider="anthropic")
    server.always("vk-openai", sandbox.Fault.status(503))
    models = ["-m", "gpt-4o", "-m", "claude-sonnet-4-5"]
    told = shell.run(
        "chat", "-", *models, "--max-retries", "0", "--json", stdin="Hi", PORTKEY_VIRTUAL_KEY_ANTHROPIC="vk-b"
    ).json
    assert [attempt["outcome"] for attempt in told["attempts"]] == ["UpstreamUnavailableError", "ok"]
    assert told["model"] == "claude-sonnet-4-5"
    assert told["cost"]["source"] == "genai-prices"


def test_plan_shows_what_would_happen_and_sends_nothing(server: PortkeyDouble, shell: Shell) -> None:
    """A table, or JSON, of the targets in order; weights are read; no request arrives, and no key is shown."""
    at = {"PORTKEY_VIRTUAL_KEY_ANTHROPIC": "vk-planted-0123456789"}
    ended = shell.run("plan", "-m", "gpt-4o", "-m", "claude-sonnet-4-5", **at)
    assert ended.out.startswith("fallback, run on the client\n")
    assert "if gpt-4o fails" in ended.out
    told = shell.run("plan", "-m", "gpt-4o=3", "-m", "claude-sonnet-4-5", "--strategy", "loadbalance", "--json", **at)
    assert {attempt["target"] for attempt in told.json["attempts"]} == {"gpt-4o", "claude-sonnet-4-5"}
    assert "of 4" in told.out
    cheapest = shell.run("plan", "-m", "gpt-4o", "-m", "gpt-4o-mini", "--strategy", "cost_aware", "--json").json
    assert [attempt["target"] for attempt in cheapest["attempts"]] == ["gpt-4o-mini", "gpt-4o"]
    assert "planted" not in ended.out + told.out
    assert server.requests == ()


def test_calls_that_cannot_be_made_are_one_line(server: PortkeyDouble, shell: Shell, bare: Shell) -> None:
    """Each with its code: no key, no model, an unknown one, nonsense, a dead gateway, a refused key."""
    assert "set PORTKEY_API_KEY" in bare.fails("chat", "Hi", "-m", "gpt-4o", code=3)
    assert "set PORTKEY_VIRTUAL_KEY_ANTHROPIC" in shell.fails("plan", "-m", "claude-sonnet-4-5", code=3)
    assert "--model gpt-4o" in shell.fails("plan", code=3)
    assert "a weight is a number" in shell.fails("plan", "-m", "gpt-4o=heavy", "-m", "gpt-4o-mini", code=2)
    assert "--strategy is fallback, loadbalance or cost_aware" in shell.fails(
        "plan", "-m", "a", "-m", "b", "--strategy", "x", code=2
    )
    assert "the question is empty" in shell.fails("chat", "-", "-m", "gpt-4o", code=2)
    dead = {"PORTKEY_GATEWAY_URL": "http://127.0.0.1:9/v1"}
    assert "PORTKEY_GATEWAY_URL" in shell.fails("chat", "Hi", "-m", "gpt-4o", "--max-retries", "0", code=6, **dead)
    assert "401" in shell.fails("chat", "Hi", "-m", "gpt-4o", code=4, PORTKEY_API_KEY="pk-wrong")


def test_status_says_what_is_set_and_reached_and_no_secret(server: PortkeyDouble, shell: Shell) -> None:
    """Where each setting is from, both services, and which key serves which models."""
    (shell.folder / ".env").write_text("PORTKEY_VIRTUAL_KEY_MISTRAL=vk-planted-0123456789\nPORTKEY_STRATEGY=fallback\n")
    told = shell.run("status", "--json").json
    origins = {entry["name"]: entry.get("from") for entry in told["settings"]}
    assert (origins["PORTKEY_API_KEY"], origins["PORTKEY_STRATEGY"], origins["PORTKEY_CONFIG_ID"]) == (
        "environment",
        ".env",
        None,
    )
    assert (told["gateway"]["state"], told["admin"]["state"]) == ("reachable", "reachable")
    served = {key["provider"]: key["models"] for key in told["keys"]}
    assert "gpt-*" in served["openai"]
    assert {"mistral*", "codestral*"} <= set(served["mistral"])
    table = shell.run("status")
    assert "PORTKEY_VIRTUAL_KEY_MISTRAL" in table.out
    secrets = ("vk-planted", server.api_key)
    assert not any(secret in table.out + table.err + json.dumps(told) for secret in secrets)


def test_status_ends_with_a_code_that_says_what_is_wrong(shell: Shell, bare: Shell) -> None:
    """Not reachable is 6, refused 4; nothing set up is no failure, and --offline asks nobody."""
    dead = {"PORTKEY_GATEWAY_URL": "http://127.0.0.1:9/v1"}
    assert shell.run("status", "--timeout", "3", **dead).code == 6
    refused = shell.run("status", "--json", MASTER_PORTKEY_ADMIN_KEY="pk-wrong")
    assert (refused.code, refused.json["admin"]["state"]) == (4, "refused")
    ended = bare.run("status")
    assert (ended.code, ended.out.count("not set up")) == (0, 2)
    assert "not asked" in shell.run("status", "--offline", **dead).out


def test_a_program_that_stops_reading_is_no_error(shell: Shell) -> None:
    """`portkey-router ... | head -0`: no traceback, no message."""
    environment = {**os.environ, **PLAIN, **shell.environment, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "portkey_router", "chat", "Hi", "-m", "gpt-4o"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=shell.folder
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        told = child.stderr.read()
    assert b"Traceback" not in told
    assert b"Broken" not in told


def test_the_demo_shows_each_fallback(bare: Shell) -> None:
    """Without any setting: every case is answered by the second target, and said by --json, too."""
    told = bare.run("demo", "--json").json
    assert [row["outcome"] for row in told if row["target"] == "gpt-4o-mini"] == ["ok"] * 4
    assert "StreamInterruptedError" in {row["outcome"] for row in told}


def test_the_gateway_runs_until_it_is_interrupted(bare: Shell, portkey_gateway: object) -> None:
    """`gateway` starts the real one, says how to use it, and ends with Ctrl-C: code 130, nothing left behind."""
    environment = {**os.environ, **PLAIN, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "portkey_router", "gateway", "--port", "0", "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=bare.folder, text=True
    ) as child:
        assert child.stdout is not None
        url = json.loads("".join(iter(child.stdout.readline, "}\n")) + "}")["url"]
        with urllib.request.urlopen(url.removesuffix("/v1"), timeout=30) as reply:  # noqa: S310  (our own gateway)
            assert reply.status == 200
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "Traceback" not in err
