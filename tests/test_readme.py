from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.readme import PROVIDERS, ROOT, SANDBOX_PROGRAM, Block, ReadmeError, blocks, check_command, commands

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

README = blocks((ROOT / "README.md").read_text(encoding="utf-8"))
COMMANDS = [
    pytest.param(words, id=f"line {block.line}: {' '.join(words)}")
    for block in README
    if block.language == "bash" and not block.skipped
    for words in commands(block.code)
]


def run_in_sandbox(sources: Sequence[Block], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run python blocks one after the other against the double of hosted Portkey; a warning is an error."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", SANDBOX_PROGRAM, ",".join(PROVIDERS)],
        input=json.dumps([(block.line, block.code) for block in sources]),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


@pytest.mark.parametrize("words", COMMANDS)
def test_each_command_of_the_readme_works(words: list[str]) -> None:
    """A reader who types a command of the README gets what it says."""
    check_command(words)


def test_each_python_block_of_the_readme_runs(tmp_path: Path) -> None:
    """The README's Python runs from top to bottom, without a key, as it stands."""
    sources = [block for block in README if block.language == "python" and not block.skipped]
    assert [block.line for block in sources if block.mark != "sandbox"] == [], "lines without <!-- test: sandbox -->"
    done = run_in_sandbox(sources, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_readme_shows_the_three_commands() -> None:
    """The README names `make demo`, `make test` and `make check`, so the runner has something to run."""
    shown = [words for block in README if block.language == "bash" for words in commands(block.code)]
    assert {target for words in shown if words[0] == "make" for target in words[1:]} >= {"demo", "test", "check"}


def test_each_link_within_the_readme_leads_to_a_heading() -> None:
    """The table of contents, and every other link to a section, by the names that GitHub gives to headings."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    names = {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }
    links = set(re.findall(r"\]\(#([^)]+)\)", text))
    assert len(links) > 15
    assert links - names == set()


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md"])
def test_no_line_of_prose_is_longer_than_120(name: str) -> None:
    """Tables, code and test markers aside: they cannot be wrapped."""
    text = (ROOT / name).read_text(encoding="utf-8")
    text = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert [line for line in text.splitlines() if len(line) > 120 and not line.startswith(("|", "<!--"))] == []


def test_names_pass_from_block_to_block_and_await_works(tmp_path: Path) -> None:
    """A block may use a name of the one before it, await at its top level, and call the double by its settings."""
    first = Block(3, "python", "import asyncio, os\nkey = os.environ['PORTKEY_VIRTUAL_KEY_OPENAI']\n")
    second = Block(9, "python", "await asyncio.sleep(0)\nprint(key, bool(os.environ['PORTKEY_API_KEY']))\n")
    done = run_in_sandbox([first, second], tmp_path)
    assert (done.stdout, done.stderr) == ("vk-openai True\n", "")


def test_a_block_that_fails_is_named_by_its_line(tmp_path: Path) -> None:
    """An exception in a block fails the run, with the README's own line number."""
    done = run_in_sandbox([Block(40, "python", "x = 1\nraise RuntimeError(x)\n")], tmp_path)
    assert done.returncode != 0
    assert 'File "README.md", line 42' in done.stderr


def test_blocks_are_found_with_their_markers() -> None:
    """Language, code and marker of each block are read, indented blocks and blank lines before the fence included."""
    text = "# T\n\n<!-- test: sandbox -->\n\n```python\nx = 1\n```\n- item\n  ```bash\n  make test\n  ```\n"
    assert blocks(text) == [Block(5, "python", "x = 1\n", "sandbox"), Block(9, "bash", "make test\n")]


@pytest.mark.parametrize(
    "text",
    [
        "```\nmake test\n```\n",
        "```sh\nmake test\n```\n",
        "<!-- test: sandbox -->\nwords\n```python\nx\n```\n",
    ],
    ids=["no language", "another shell", "a marker astray"],
)
def test_a_block_that_would_escape_the_tests_is_refused(text: str) -> None:
    """No block goes unchecked by a slip of the pen."""
    with pytest.raises(ReadmeError):
        blocks(text)


def test_a_skip_needs_a_reason() -> None:
    """`skip because ...` leaves a block out; a bare `skip` is an error."""
    assert Block(1, "bash", "", "skip because it needs a key").skipped
    assert not Block(1, "bash", "").skipped
    with pytest.raises(ReadmeError, match="reason"):
        _ = Block(1, "bash", "", "skip").skipped


def test_commands_are_read_as_a_shell_reads_them() -> None:
    """Continued lines are joined, comments dropped, quotes honoured, and `&&` divides."""
    code = "# first\nmake demo  # then\npip install \\\n  'portkey-router[sdk]' && make test\n"
    assert list(commands(code)) == [["make", "demo"], ["pip", "install", "portkey-router[sdk]"], ["make", "test"]]


@pytest.mark.parametrize(
    "line",
    [
        "docker compose up --wait redis",
        "export PORTKEY_API_KEY=abc PORTKEY_VIRTUAL_KEY_OPENAI=vk-1",
        "make check",
        "pip install -U 'portkey-router[langchain,redis]' portkey-ai",
        "python -m pip install -e '.[all]'",
    ],
)
def test_a_true_command_passes(line: str) -> None:
    """What works is let pass."""
    for words in commands(line):
        check_command(words)


@pytest.mark.parametrize(
    "line",
    [
        "curl http://127.0.0.1:8787",
        "docker compose up postgres",
        "export PORTKEY_APIKEY=abc",
        "make coffee",
        "pip install 'portkey-router[langchian]'",
        "pip install leftpad",
        "pip install git+https://example.invalid/x",
        "pip install -r requirements.txt",
        "python examples/not_there.py",
        "python setup.py",
    ],
)
def test_a_false_or_unknown_command_fails(line: str) -> None:
    """A command that would not work, or that nobody checks, fails."""
    (words,) = commands(line)
    with pytest.raises(ReadmeError):
        check_command(words)
