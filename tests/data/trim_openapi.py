"""Cuts Portkey's OpenAPI description down to the admin endpoints that we call.

    python tests/data/trim_openapi.py path/to/openapi.yaml

writes `portkey-admin-openapi.yaml` beside this file. What is kept is kept as it is, but for what Prism could not work
with: paths get the `/v1` that is part of the API's base URL; a value named twice in an `enum` is named once (a body
with it would not be validated at all); `configurations`, one of several kinds that overlap, is any of them (no body
would be valid); an example that is not what its own schema says is left out (each reply with it would be refused).
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml

KEPT = (
    "/analytics/",
    "/api-keys",
    "/configs",
    "/feedback",
    "/integrations",
    "/policies/",
    "/providers",
    "/virtual-keys",
)
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
SHOWN_ONLY = frozenset({"x-code-samples", "x-codeSamples", "x-mint", "description"})
OUT = Path(__file__).parent / "portkey-admin-openapi.yaml"


class Dumper(yaml.SafeDumper):
    """Without anchors: what is said twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:
        """Never an alias."""
        return True


def main(source: Path) -> None:
    """Read, cut, write."""
    whole = yaml.safe_load(source.read_text(encoding="utf-8"))
    paths = {f"/v1{path}": _plain(item) for path, item in whole["paths"].items() if path.startswith(KEPT)}
    cut: dict[str, Any] = {
        "openapi": whole["openapi"],
        "info": _plain(whole["info"]),
        "servers": [{"url": "https://api.portkey.ai"}],
        "security": whole.get("security", []),
        "paths": paths,
        "components": {"securitySchemes": whole["components"]["securitySchemes"]},
    }
    for item in paths.values():
        item.pop("servers", None)
    pending = list(_references(cut))
    while pending:
        section, name = pending.pop().split("/")[2:]
        place = cut["components"].setdefault(section, {})
        if name not in place:
            place[name] = _plain(whole["components"][section][name])
            pending += _references(place[name])
    text = yaml.dump(cut, Dumper=Dumper, sort_keys=False, width=120, allow_unicode=True)
    OUT.write_text(
        f"# Cut from Portkey's OpenAPI description (MIT) by trim_openapi.py; see README.md.\n{text}", "utf-8"
    )


def _plain(node: Any, parent: str = "") -> Any:
    """The same without samples and prose, and every `enum` without doubles."""
    if isinstance(node, dict):
        named = parent == "properties"  # there, `description` is a field's name
        kept = {key: _plain(value, key) for key, value in node.items() if named or key not in SHOWN_ONLY}
        if isinstance(node.get("enum"), list):
            kept["enum"] = list(dict.fromkeys(node["enum"]))
        if parent == "configurations" and "oneOf" in kept:
            kept["anyOf"] = kept.pop("oneOf")
        if str(node.get("format")).lower() == "uuid" and not UUID.fullmatch(str(node.get("example", ""))):
            kept.pop("example", None)
        return kept
    return [_plain(part) for part in node] if isinstance(node, list) else node


def _references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [found for part in node for found in _references(part)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
    return own + [found for part in node.values() for found in _references(part)]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
