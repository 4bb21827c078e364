from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import requires, version
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from portkey_router._version import __version__

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PINS = {
    requirement.name.lower().replace("_", "-"): requirement
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
    for requirement in [Requirement(line)]
}
LISTED = [
    requirement
    for group in [
        PROJECT["project"]["dependencies"],
        *PROJECT["project"]["optional-dependencies"].values(),
        *PROJECT["dependency-groups"].values(),
    ]
    for requirement in map(Requirement, group)
    if requirement.name != "portkey-router"
]


@pytest.mark.parametrize("requirement", LISTED, ids=str)
def test_each_dependency_is_pinned_within_its_range(requirement: Requirement) -> None:
    """`constraints.txt` pins every dependency, to a version that pyproject.toml allows."""
    (pin,) = PINS[requirement.name.lower()].specifier
    assert pin.operator == "=="
    assert requirement.specifier.contains(pin.version)


def test_the_extra_named_all_holds_every_other() -> None:
    """`portkey-router[all]` forgets no extra."""
    extras = PROJECT["project"]["optional-dependencies"]
    (everything,) = map(Requirement, extras["all"])
    assert everything.extras == set(extras) - {"all"}


def test_the_installed_package_is_this_one() -> None:
    """What pip installed has the version written in `_version.py`, and the base dependencies of pyproject.toml."""
    base = {Requirement(line).name for line in requires("portkey-router") or () if "extra ==" not in line}
    assert version("portkey-router") == __version__
    assert base == {Requirement(line).name for line in PROJECT["project"]["dependencies"]}


def test_the_compose_file_binds_to_this_machine_only() -> None:
    """Both services of compose.yaml have a pinned image and a health check, and listen on loopback alone."""
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert {name: service["image"] for name, service in services.items()} == {
        "gateway": "portkeyai/gateway:1.15.2",
        "redis": "redis:8",
    }
    assert {name: service["ports"] for name, service in services.items()} == {
        "gateway": ["127.0.0.1:8787:8787"],
        "redis": ["127.0.0.1:6379:6379"],
    }
    assert all(service["healthcheck"]["test"] for service in services.values())


def test_the_changelog_opens_with_what_is_unreleased() -> None:
    """The newest section is `[Unreleased]`, and every other names a version and its day."""
    first, *others = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert first == "[Unreleased]"
    assert [title for title in others if not re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", title)] == []


def test_a_missing_extra_says_the_pip_line() -> None:
    """Without langchain-core, importing the adapter says what to install."""
    program = "import sys; sys.modules['langchain_core'] = None; import langchain_portkey_router"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'pip install "portkey-router[langchain]"' in done.stderr
