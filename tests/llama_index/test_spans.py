from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("package", ["openinference", "otel"])
def test_one_span_for_a_call(package: str) -> None:
    """With one of LlamaIndex's instrumentors beside, our sink makes no second span, and tells theirs the cost.

    Those of streams end before the first token, so that nothing can be told of them any more.
    """
    command = [sys.executable, "-m", "tests.llama_index.spans", package]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert {verb: told["ours"] for verb, told in found.items()} == {verb: [] for verb in found}
    for verb, told in found.items():
        [(name, cost)] = told["theirs"].items()
        assert name == f"PortkeyLLM.{verb}"
        assert (cost is None) == ("stream" in verb)
