from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from portkey_router import sandbox
from portkey_router.cli import main
from portkey_router.cli.provider_names import providers_named
from tests.cli.conftest import PLAIN, ROOT

if TYPE_CHECKING:
    from portkey_router.sandbox import PortkeyDouble
    from tests.cli.conftest import Ended, Shell

PLANTED = "sk-planted-0123456789"


def last_key(server: PortkeyDouble) -> str:
    """The provider's key that arrived last."""
    return next(
        str(r.body["key"]) for r in reversed(server.admin_requests) if isinstance(r.body, dict) and "key" in r.body
    )


def quiet(ended: Ended) -> Ended:
    """The same; it printed no key."""
    assert PLANTED not in ended.out + ended.err
    return ended


def test_a_key_is_created_listed_rotated_limited_and_deleted(server: PortkeyDouble, shell: Shell) -> None:
    """The guide's commands, one after another, as JSON; the slug of the first serves the others."""
    create = ["create-key", "--name", "OpenAI-Prod", "--provider", "openai"]
    made = quiet(shell.run(*create, "--key-stdin", "--json", stdin=f"{PLANTED}\n")).json
    assert made["kind"] == "provider"
    assert made["environment"] == f'PORTKEY_VIRTUAL_KEY_OPENAI="{made["slug"]}"'
    assert last_key(server) == PLANTED
    begun, listed = shell.run("list-keys", "--json").json
    assert begun["slug"] == "vk-openai"
    assert (listed["slug"], listed["name"]) == (made["slug"], "OpenAI-Prod")
    assert quiet(shell.run("rotate-key", "--id", made["slug"], "--key-env", "NEXT", NEXT="sk-the-next")).code == 0
    assert last_key(server) == "sk-the-next"
    limits = ["--budget", "25", "--alert", "20", "--reset", "monthly", "--rate-limit", "60rpm"]
    assert shell.run("set-limits", "--id", made["slug"], *limits).code == 0
    assert "$25 monthly, 60 requests rpm" in shell.run("list-keys").out
    assert shell.run("delete-key", "--id", made["slug"], "--with-integration", "--yes").code == 0
    assert shell.run("list-keys", "--json").json == [begun]


def test_a_workspace_without_a_catalog_gets_a_virtual_key(server: PortkeyDouble, shell: Shell) -> None:
    """The same command where there is no Model Catalog; Portkey's name for the provider is sent."""
    server.administer(catalog=False)
    ended = shell.run("create-key", "--name", "M", "--provider", "mistral", "--key-env", "K", K=PLANTED)
    assert "virtual key m-000001" in ended.out
    assert 'export PORTKEY_VIRTUAL_KEY_MISTRAL="m-000001"' in ended.out
    assert server.admin_requests[-1].body["provider"] == "mistral-ai"


@pytest.mark.parametrize(
    ("provider", "warned"),
    [
        ("opnai", "did you mean openai?"),
        ("nope", "knows no provider 'nope'"),
        ("groq", ""),
        ("OpenAI", ""),
        ("aws", ""),
    ],
)
def test_a_provider_that_nobody_knows_is_warned_of(
    server: PortkeyDouble,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    provider: str,
    warned: str,
) -> None:
    """With the name that may be meant; one that the gateway knows passes without a word."""
    monkeypatch.setenv("PORTKEY_API_KEY", server.api_key)
    monkeypatch.setenv("PORTKEY_ADMIN_URL", server.url)
    monkeypatch.setenv("K", PLANTED)
    assert main(["create-key", "--name", "A", "--provider", provider, "--key-env", "K"]) == 0
    told = capsys.readouterr().err
    assert warned in told
    assert bool(warned) is ("warning: " in told)


@pytest.mark.parametrize(
    "misplaced",
    [
        ["--provider", "openai", PLANTED],
        ["--provider", "openai", "--key-env", PLANTED],
        ["--provider", "openai", "--key-env", PLANTED.replace("-", "_")],
        ["--provider", PLANTED, "--key-env", "K"],
        ["--provider", "openai", "--kind", PLANTED, "--key-env", "K"],
        ["--provider", "openai", "--key-env", "K", "--reset", PLANTED, "--budget", "5"],
    ],
    ids=["argument", "variable", "another variable", "provider", "kind", "reset"],
)
def test_a_key_in_the_wrong_place_is_not_said_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], misplaced: list[str]
) -> None:
    """Refused before anything is sent, in a line that does not quote it."""
    monkeypatch.setenv("PORTKEY_API_KEY", "pk")
    monkeypatch.setenv("PORTKEY_ADMIN_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("K", PLANTED)
    assert main(["create-key", "--name", "A", *misplaced]) in {2, 3}
    told = capsys.readouterr()
    assert told.err.startswith("error: ")
    assert "planted" not in told.out + told.err


def test_a_key_in_argv_works_and_is_warned_of(server: PortkeyDouble, shell: Shell) -> None:
    """The guide's own spelling: it works, says why not, and does not print the key."""
    ended = quiet(shell.run("create-key", "--name", "A", "--provider", "openai", "--key", PLANTED))
    assert ended.code == 0
    assert ended.err.startswith("warning: a key after --key stays in the shell's history")
    ended = quiet(shell.run("rotate-key", "--id", "a-000002", "--new-key", PLANTED))
    assert ended.code == 0
    assert "--new-key stays in the shell's history" in ended.err
    assert last_key(server) == PLANTED


def test_at_a_terminal_the_key_is_asked_for_unseen(server: PortkeyDouble, shell: Shell) -> None:
    """Without an option the key is typed, and not echoed."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, **PLAIN, **shell.environment, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "portkey_router", "create-key", "--name", "A", "--provider", "openai", "--json"]
    with subprocess.Popen(
        command, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, env=environment, cwd=shell.folder
    ) as child:
        os.close(theirs)
        shown = _until(ours, b"The key of openai")
        _until_unseen(ours)
        os.write(ours, f"{PLANTED}\n".encode())
        out, _ = child.communicate(timeout=60)
        shown += _rest(ours)
        os.close(ours)
    assert child.returncode == 0
    assert last_key(server) == PLANTED
    assert PLANTED.encode() not in shown + out


def _until(terminal: int, text: bytes) -> bytes:
    shown, end = b"", time.monotonic() + 60
    while text not in shown and time.monotonic() < end:
        shown += os.read(terminal, 4096)
    return shown


def _until_unseen(terminal: int) -> None:
    """Until what is typed is not echoed: a person is slower than that."""
    end = time.monotonic() + 60
    while termios.tcgetattr(terminal)[3] & termios.ECHO and time.monotonic() < end:
        time.sleep(0.01)


def _rest(terminal: int) -> bytes:
    os.set_blocking(terminal, False)
    try:
        return os.read(terminal, 65536)
    except OSError:  # nothing more, or the other side has closed
        return b""


def test_no_child_process_is_given_a_key(server: PortkeyDouble, shell: Shell) -> None:
    """While it waits for the API, the key is in no command line of this machine but where the user put it."""
    unlike = f"sk-planted-{uuid4().hex}"  # other tests, at the same time, put theirs into argv
    server.script("admin", sandbox.ok(), sandbox.Fault.slow(first_token=3))
    command = [
        sys.executable,
        "-m",
        "portkey_router",
        "create-key",
        "--name",
        "A",
        "--provider",
        "openai",
        "--key-stdin",
    ]
    environment = {**os.environ, **PLAIN, **shell.environment, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        cwd=shell.folder,
    ) as child:
        assert child.stdin is not None
        child.stdin.write(f"{unlike}\n".encode())
        child.stdin.close()
        child.stdin = None
        end = time.monotonic() + 60
        while len(server.admin_requests) < 2 and time.monotonic() < end:
            time.sleep(0.02)
        commands = [_command(folder) for folder in Path("/proc").glob("[0-9]*")]
        out, err = child.communicate(timeout=60)
    assert any(b"create-key" in command for command in commands)
    assert not any(unlike.encode() in command for command in commands)
    assert child.returncode == 0
    assert unlike.encode() not in out + err


def _command(folder: Path) -> bytes:
    try:
        return (folder / "cmdline").read_bytes()
    except OSError:  # it has ended meanwhile
        return b""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--key", "a", "--key-stdin"], "give the key one way"),
        ([], "the key is missing: --key-stdin, --key-env VARIABLE, or --key"),
        (["--key", "a", "--kind", "other"], "--kind is auto, virtual-key or provider"),
        (["--key", "a", "--budget", "5", "--reset", "never"], "--reset is monthly, weekly or a number of days"),
        (["--key", "a", "--alert", "5"], "belong to a --budget"),
        (["--key", "a", "--rate-limit", "60"], "such as 60rpm"),
        (["--key", "a", "--rate-limit", "0rpm"], "a number above 0"),
        (["--key", "a", "--provider", ""], "such as openai or anthropic"),
        (["--key", "a", "--name", " "], "--name is empty"),
        (["--key", "a", "--rate-limit", "6rpm", "--rate-type", "x"], "requests or tokens"),
        (["--key", "a", "--budget", "ten"], "valid integer"),
        (["--nonsense"], "No such option: --nonsense"),
    ],
)
def test_a_wrong_command_line_is_one_line(shell: Shell, arguments: list[str], words: str) -> None:
    """What is wrong, and where its help is; code 2, and nothing is sent."""
    ended = shell.run("create-key", "--name", "A", "--provider", "openai", *arguments)
    assert ended.code == 2
    error = ended.err.splitlines()[-1]
    assert words in error
    assert error.endswith("See: portkey-router create-key --help")


def test_a_missing_option_is_named(shell: Shell) -> None:
    """`create-key` alone says which option is missing."""
    assert "Missing option '--name'" in shell.fails("create-key", code=2)


def test_a_variable_that_is_not_set_is_named(shell: Shell, bare: Shell) -> None:
    """--key-env of nothing, and no admin key: code 3, by name."""
    arguments = ["create-key", "--name", "A", "--provider", "openai", "--key-env", "NOT_THERE"]
    assert "NOT_THERE" in shell.fails(*arguments, code=3)
    assert "Neither MASTER_PORTKEY_ADMIN_KEY nor PORTKEY_API_KEY is set" in bare.fails("list-keys", code=3)


def test_a_refused_key_an_unknown_slug_and_a_dead_host_have_codes_of_their_own(shell: Shell) -> None:
    """4 refused, 5 not found, 6 not reachable; each one line that says what to do."""
    assert "check MASTER_PORTKEY_ADMIN_KEY" in shell.fails("list-keys", code=4, MASTER_PORTKEY_ADMIN_KEY="pk-wrong")
    assert "there is no 'nobody'" in shell.fails("rotate-key", "--id", "nobody", "--key-env", "K", code=5, K="k")
    assert "PORTKEY_ADMIN_URL" in shell.fails("list-keys", code=6, PORTKEY_ADMIN_URL="http://127.0.0.1:9/v1")
    assert "PORTKEY_ADMIN_URL is not a URL" in shell.fails("list-keys", code=3, PORTKEY_ADMIN_URL="nonsense")


def test_a_lost_creation_is_reported_and_not_repeated(server: PortkeyDouble, shell: Shell) -> None:
    """Code 7, with the slug that there is now; one POST."""
    server.script("admin", sandbox.Fault.reset())
    arguments = ["create-key", "--name", "A", "--provider", "openai", "--kind", "virtual-key", "--key-env", "K"]
    assert "Of that name there is now: a-000001" in shell.fails(*arguments, code=7, K=PLANTED)
    assert sum(request.path.startswith("POST") for request in server.admin_requests) == 1


def test_errors_are_json_where_results_are(shell: Shell) -> None:
    """With --json, the error is one JSON object on stderr."""
    import json

    ended = shell.run("list-keys", "--json", MASTER_PORTKEY_ADMIN_KEY="pk-wrong")
    told = json.loads(ended.err)
    assert (told["error"], told["status"], told["code"], told["exit_code"]) == ("AdminError", 401, "AB05", 4)
    assert (ended.out, ended.code) == ("", 4)


def test_deleting_asks_first(server: PortkeyDouble, shell: Shell) -> None:
    """Without --yes it is asked, and No leaves everything as it is: code 130."""
    shell.run("create-key", "--name", "A", "--provider", "openai", "--key-env", "K", K=PLANTED)
    assert shell.run("delete-key", "--id", "a-000002", stdin="n\n").code == 130
    assert "a-000002" in shell.run("list-keys").out
    ended = shell.run("delete-key", "--id", "a-000002", stdin="y\n")
    assert "The integration a-000001 still holds the key." in ended.out
    assert [request.path for request in server.admin_requests if request.path.startswith("DELETE")] == [
        "DELETE /v1/providers/a-000002"
    ]


def test_the_guides_script_is_a_door_to_the_same(shell: Shell) -> None:
    """`python scripts/manage_portkey_keys.py` knows the same commands."""
    script = (str(ROOT / "scripts" / "manage_portkey_keys.py"),)
    made = shell.run(
        "create-key", "--name", "A", "--provider", "openai", "--key-env", "K", "--json", program=script, K=PLANTED
    )
    assert made.json["slug"] == shell.run("list-keys", "--json", program=script).json[-1]["slug"]


def test_against_portkeys_own_description(shell: Shell, prism_url: str) -> None:
    """Each key command is taken by Prism, which validates what is sent."""
    at = {"PORTKEY_ADMIN_URL": prism_url, "K": PLANTED}
    limits = ["--budget", "25", "--alert", "20", "--reset", "30", "--rate-limit", "60rpm"]
    assert (
        quiet(shell.run("create-key", "--name", "A", "--provider", "openai", "--key-env", "K", *limits, **at)).code == 0
    )
    old = ["--kind", "virtual-key", *limits]
    assert shell.run("create-key", "--name", "A", "--provider", "openai", "--key-env", "K", *old, **at).code == 0
    assert "Open AI Workspace" in shell.run("list-keys", **at).out
    assert shell.run("rotate-key", "--id", "a", "--key-env", "K", **at).code == 0
    assert shell.run("set-limits", "--id", "a", *limits, **at).code == 0
    assert shell.run("delete-key", "--id", "a", "--yes", **at).code == 0


def test_completion_offers_providers_that_have_a_variable_first() -> None:
    """The table's own before the gateway's others, each once."""
    assert providers_named("m")[0] == "mistral-ai"
    assert "groq" in providers_named("g")
    assert len(providers_named("")) == len(set(providers_named("")))
