"""The rules of the house, as functions from (path -> source) to breaches; `test_architecture.py` runs them.

`python -m tests.architecture` prints the shape of the code: sizes of files and functions.
"""

from __future__ import annotations

import ast
import re
import statistics
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from tests.house import (
    FLOORS,
    FRAMEWORKS,
    IMPURE_CALLS,
    IMPURE_LIBRARIES,
    MAX_FILE_LINES,
    MAX_FUNCTION_LINES,
    NAMELESS,
    PACKAGES,
    PURE,
    PURE_EXEMPTIONS,
    ROOT,
    STORE_DOORS,
    TYPE_ONLY_PAIRS,
    UPWARD_DOORS,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module or name, with where it stands. `inside` is the enclosing function's qualified name."""

    path: str
    line: int
    module: str
    target: str
    type_only: bool
    inside: str | None

    def breach(self, why: str) -> str:
        """The breach in a form an editor can jump to."""
        return f"{self.path}:{self.line}: {self.target}: {why}"


@dataclass(frozen=True, slots=True)
class Function:
    """A function and its length in lines, from `def` to its last line."""

    path: str
    line: int
    name: str
    lines: int


def product_sources() -> dict[str, str]:
    """Every module of the product: path relative to the repository -> source."""
    files = (file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py")))
    return {file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in files}


def module_name(path: str) -> str:
    """`portkey_router/wire/__init__.py` -> `portkey_router.wire`."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


@cache
def _parse(source: str) -> ast.Module:
    return ast.parse(source)


def _within(name: str, *parents: str) -> bool:
    """Whether `name` is one of `parents` or a member of one."""
    return any(name == parent or name.startswith(parent + ".") for parent in parents)


# ---- imports ---------------------------------------------------------------------------------------------------------


def imports(sources: Mapping[str, str]) -> list[Import]:
    """Every import of every module; `from package import submodule` counts as the submodule."""
    known = {module_name(path) for path in sources} | {name for floor in FLOORS for name in floor}
    found: list[Import] = []
    for path, source in sources.items():
        found += _walk(_parse(source), path, known)
    return found


def _walk(tree: ast.Module, path: str, known: set[str]) -> Iterator[Import]:
    module = module_name(path)
    pending: list[tuple[ast.AST, bool, tuple[str, ...], bool]] = [(tree, False, (), False)]
    while pending:
        node, type_only, names, in_function = pending.pop()
        for target in _targets(node, path, known):
            inside = ".".join(names) if in_function else None
            yield Import(path, getattr(node, "lineno", 0), module, target, type_only, inside)
        function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names = (*names, node.name)
        guarded = node.body if isinstance(node, ast.If) and _is_type_checking(node.test) else []
        pending += [
            (child, type_only or child in guarded, names, in_function or function)
            for child in ast.iter_child_nodes(node)
        ]


def _is_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}


def _targets(node: ast.AST, path: str, known: set[str]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = _absolute(node, path)
        # aiohttp and the root package are judged by the name taken from them; other modules as a whole.
        spelled = [f"{base}.{alias.name}" for alias in node.names]
        return [name if name in known or base == "aiohttp" else base for name in spelled]
    dynamic = isinstance(node, ast.Call) and ast.unparse(node.func) in {"importlib.import_module", "__import__"}
    if dynamic and isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        return [str(node.args[0].value)]
    return []


def _absolute(node: ast.ImportFrom, path: str) -> str:
    if not node.level:
        return node.module or ""
    package = path.split("/")[: -node.level]
    return ".".join([*package, *([node.module] if node.module else [])])


def core_imports_no_framework(sources: Mapping[str, str]) -> list[str]:
    """Neither framework in the core, and in each adapter only its own."""
    foreign = {"portkey_router": FRAMEWORKS, "langchain_portkey_router": ("llama_index",)}
    return [
        found.breach("a framework; only its own adapter may import it")
        for found in imports(sources)
        if found.target.split(".")[0] not in PACKAGES
        and found.target.startswith(foreign.get(found.module.split(".")[0], ("langchain", "langgraph")))
    ]


def only_transport_imports_aiohttp(sources: Mapping[str, str]) -> list[str]:
    """The HTTP client has one home; the sandbox may use aiohttp's server."""
    return [
        found.breach("only portkey_router/transport may import aiohttp (the sandbox: aiohttp.web)")
        for found in imports(sources)
        if _within(found.target, "aiohttp")
        and not _within(found.module, "portkey_router.transport")
        and not (_within(found.module, "portkey_router.sandbox") and _within(found.target, "aiohttp.web"))
    ]


def only_redis_client_imports_redis(sources: Mapping[str, str]) -> list[str]:
    """redis-py has one home."""
    return [
        found.breach("only portkey_router/stores/redis_client.py may import redis")
        for found in imports(sources)
        if _within(found.target, "redis", "redisvl") and found.module != "portkey_router.stores.redis_client"
    ]


def only_bootstrap_knows_concrete_stores_and_sinks(sources: Mapping[str, str]) -> list[str]:
    """Everybody else is handed a store or a sink, and knows its protocol."""
    return [
        found.breach("only portkey_router/bootstrap.py may import a concrete store or sink")
        for found in imports(sources)
        for home in ("portkey_router.stores", "portkey_router.sinks")
        if _within(found.target, home)
        and not _within(found.module, home)
        and found.module != "portkey_router.bootstrap"
        and (found.module, found.target) not in STORE_DOORS
    ]


def portkey_ai_is_never_imported_with_us(sources: Mapping[str, str]) -> list[str]:
    """Importing the SDK costs more than a second: only inside a function, or for types."""
    return [
        found.breach("portkey_ai may be imported only inside a function, or for types")
        for found in imports(sources)
        if _within(found.target, "portkey_ai") and not found.type_only and found.inside is None
    ]


def pure_modules_do_no_io(sources: Mapping[str, str]) -> list[str]:
    """Modules marked PURE read no clock, environment, random source, file or socket: they are handed them."""
    breaches = [
        found.breach("this module is PURE: it is handed the clock, the environment, randomness and I/O")
        for found in imports(sources)
        if _within(found.module, *PURE)
        and _within(found.target, *IMPURE_LIBRARIES)
        and (found.module, found.target) not in PURE_EXEMPTIONS
    ]
    for path, source in sources.items():
        if _within(module_name(path), *PURE):
            calls = (node for node in ast.walk(_parse(source)) if isinstance(node, ast.Call))
            breaches += [
                f"{path}:{call.lineno}: {name}(): this module is PURE: it is handed the clock and does no I/O"
                for call in calls
                if (name := ast.unparse(call.func).removeprefix("datetime.datetime.").removeprefix("dt."))
                in IMPURE_CALLS
                or ast.unparse(call.func).removeprefix("datetime.") in IMPURE_CALLS
            ]
    return breaches


# ---- floors and circles ----------------------------------------------------------------------------------------------


def _home(module: str) -> tuple[int, str] | None:
    """The floor a module stands on, and the entry of the table that says so."""
    matches = [
        (len(name), floor, name)
        for floor, names in enumerate(FLOORS)
        for name in names
        # Only the package itself stands on the floor of `portkey_router`; its modules have floors of their own.
        if (module == name if name == "portkey_router" else _within(module, name))
    ]
    if not matches:
        return None
    _, floor, name = max(matches)
    return floor, name


def imports_point_down(sources: Mapping[str, str]) -> list[str]:
    """Each import goes to a lower floor or stays in its own subpackage; imports for types count as well."""
    breaches = [
        f"{path}:1: {module_name(path)} stands on no floor: add it to FLOORS in tests/architecture.py"
        for path in sources
        if _home(module_name(path)) is None
    ]
    for found in imports(sources):
        source, target = _home(found.module), _home(found.target)
        if source is None or target is None or source[1] == target[1] or target[0] < source[0]:
            continue
        pair = (source[1], target[1])
        if (found.type_only and pair in TYPE_ONLY_PAIRS) or found.inside in UPWARD_DOORS.get(pair, ()):
            continue
        breaches.append(found.breach(f"imports point down: floor {source[0]} may not import floor {target[0]}"))
    return breaches


def no_circles(sources: Mapping[str, str]) -> list[str]:
    """No two modules import each other, directly or through others, at module level."""
    modules = {module_name(path): path for path in sources}
    graph: dict[str, set[str]] = {module: set() for module in modules}
    for found in imports(sources):
        pair = (found.module, found.target)
        if found.inside is None and found.target in modules and not (found.type_only and pair in TYPE_ONLY_PAIRS):
            graph[found.module].add(found.target)
    return [
        f"{modules[module]}:1: {module}: imports itself, through {', '.join(sorted(graph[module]))}"
        for module in graph
        if module in _reachable(graph, module)
    ]


def _reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    pending = list(graph[start])
    while pending:
        module = pending.pop()
        if module not in seen:
            seen.add(module)
            pending += graph[module]
    return seen


# ---- names and sizes -------------------------------------------------------------------------------------------------


def every_module_has_an_address(sources: Mapping[str, str]) -> list[str]:
    """A function without an address is a missing concept: no utils, helpers, common or misc."""
    return [
        f"{path}:1: {part}: name the concept instead"
        for path in sources
        for part in re.split(r"/", path.removesuffix(".py"))
        if part.strip("_") in NAMELESS
    ]


def rooms_are_small(sources: Mapping[str, str]) -> list[str]:
    """No file over 500 lines, no function over 70."""
    files = [
        f"{path}:1: {lines} lines; {MAX_FILE_LINES} is the limit"
        for path, source in sources.items()
        if (lines := len(source.splitlines())) > MAX_FILE_LINES
    ]
    return files + [
        f"{found.path}:{found.line}: {found.name} has {found.lines} lines; {MAX_FUNCTION_LINES} is the limit"
        for found in functions(sources)
        if found.lines > MAX_FUNCTION_LINES
    ]


def functions(sources: Mapping[str, str]) -> list[Function]:
    """Every function and method, nested ones too."""
    return [
        Function(path, node.lineno, node.name, (node.end_lineno or node.lineno) - node.lineno + 1)
        for path, source in sources.items()
        for node in ast.walk(_parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def public_names_are_listed(sources: Mapping[str, str]) -> list[str]:
    """`__all__` of each package with public names is sorted, complete, and lists nothing that is not there."""
    breaches = []
    for path in (f"{package}/__init__.py" for package in PACKAGES):
        if path not in sources:
            continue
        tree = _parse(sources[path])
        listed, bound = _listed(tree), _public_names(tree)
        if listed is None:
            if bound:
                breaches.append(f"{path}:1: no __all__, and {', '.join(sorted(bound))} bound")
            continue
        breaches += [f"{path}:1: {name}: public, and missing from __all__" for name in sorted(bound - set(listed))]
        breaches += [f"{path}:1: {name}: in __all__, and bound nowhere" for name in listed if name not in bound]
        if list(listed) != sorted(set(listed), key=_export_order):
            breaches.append(f"{path}:1: __all__ is not sorted, or names something twice")
    return breaches


def _export_order(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest: the order ruff keeps (RUF022)."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def _listed(tree: ast.Module) -> Sequence[str] | None:
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and target.id == "__all__" and isinstance(node, ast.Assign | ast.AnnAssign):
            return list(ast.literal_eval(node.value)) if node.value else []
    return None


def _public_names(tree: ast.Module) -> set[str]:
    """Names a reader would take as public: what is defined here, or imported from the product, for types or not."""
    names: set[str] = set()
    body = [child for node in tree.body for child in (node.body if isinstance(node, ast.If) else [node])]
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PACKAGES:
            names |= {alias.asname or alias.name for alias in node.names}
    return {name for name in names if not name.startswith("_") or name == "__version__"}


RULES: tuple[Callable[[Mapping[str, str]], list[str]], ...] = (
    core_imports_no_framework,
    every_module_has_an_address,
    imports_point_down,
    no_circles,
    only_bootstrap_knows_concrete_stores_and_sinks,
    only_redis_client_imports_redis,
    only_transport_imports_aiohttp,
    portkey_ai_is_never_imported_with_us,
    public_names_are_listed,
    pure_modules_do_no_io,
    rooms_are_small,
)


def shape(sources: Mapping[str, str]) -> str:
    """Sizes of files and functions, in one line each."""
    files = sorted(len(source.splitlines()) for source in sources.values())
    lengths = sorted(found.lines for found in functions(sources))
    if not lengths:
        return f"{len(files)} files, no functions"
    p90 = lengths[min(len(lengths) - 1, int(len(lengths) * 0.9))]
    longest = max(functions(sources), key=lambda found: found.lines)
    return (
        f"{len(files)} files, {sum(files)} lines: median {statistics.median(files):g}, longest {files[-1]}\n"
        f"{len(lengths)} functions: median {statistics.median(lengths):g} lines, p90 {p90}, "
        f"longest {longest.lines} ({longest.path}:{longest.name})"
    )


if __name__ == "__main__":
    print(shape(product_sources()))  # noqa: T201 - its purpose
