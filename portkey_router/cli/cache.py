"""`cache`: what a Redis holds of a semantic cache; looking inside, clearing, and answers of one's own."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from portkey_router.cli import calibration
from portkey_router.cli.cache_options import (
    CacheName,
    CacheTimeout,
    Embeddings,
    Listened,
    Namespace,
    OlderThan,
    Prompt,
    Tag,
    Tenant,
    Url,
    UrlEnv,
    address,
    chosen,
    embeddings_named,
    seconds_of,
)
from portkey_router.cli.cache_tables import entry_rows, entry_told, groups_told, since, survey_rows, survey_tables
from portkey_router.cli.options import Json  # noqa: TC001  (typer reads annotations)
from portkey_router.cli.output import note, progress, show, show_rows, warn
from portkey_router.errors import PortkeyError, StoreError

if TYPE_CHECKING:
    from portkey_router.cache.cache import SemanticCache

__all__ = ["register"]

NAME = "portkey:cache"
SECONDS = 10.0
NOT_FOUND = 5
COUNTED_ELSEWHERE = (
    "Hits and misses are not in Redis: each process counts its own (cache.stats()), and tells its sinks of them."
)
EQUAL_ONLY = "This Redis has no search: the cache answers equal questions only. Redis 8 has search built in."

commands = typer.Typer(
    no_args_is_help=True, rich_markup_mode="markdown", help="Look into a semantic cache in Redis, clear it, tune it."
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (stats, inspect, clear, get, put):
        commands.command()(command)
    calibration.register(commands)
    app.add_typer(commands, name="cache", rich_help_panel="Cache")


# ---- looking ---------------------------------------------------------------------------------------------------------


def stats(
    *,
    url: Url = None,
    url_env: UrlEnv = None,
    name: CacheName = NAME,
    tenant: Tenant = None,
    namespace: Namespace = None,
    tag: Tag = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Read at most so many entries.")] = 100_000,
    timeout: CacheTimeout = SECONDS,
    as_json: Json = False,
) -> None:
    """Show how many entries there are, by whom, by model and by encoder, what they weigh, and how the indexes are.

    Hits and misses are not among it: each process counts its own (`cache.stats()`), and tells its sinks of them.
    """
    at = address(url, url_env)
    wanted = chosen(tenant, namespace, tag, None, None)
    with at.reached(), progress(f"Reading {name}"):
        survey = at.open(name, timeout).survey(limit, **wanted)
    if as_json:
        show({"name": name, "at": at.place, **asdict(survey), **groups_told(survey)}, "", as_json=True)
        return
    if survey.rows:
        show_rows([name, at.place], survey_rows(survey), None, as_json=False, none="")
    else:
        none = f"No entries of {name} at {at.place}{' fit' if wanted else ': --name, if the cache has another'}."
        show(None, none, as_json=False)
    for columns, rows in survey_tables(survey):
        show_rows(columns, rows, None, as_json=False, none="")
    if survey.indexes is None:
        note(EQUAL_ONLY)
    note(COUNTED_ELSEWHERE)


def inspect(
    *,
    url: Url = None,
    url_env: UrlEnv = None,
    name: CacheName = NAME,
    tenant: Tenant = None,
    namespace: Namespace = None,
    tag: Tag = None,
    prompt: Prompt = None,
    older_than: OlderThan = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Show at most so many.")] = 20,
    timeout: CacheTimeout = SECONDS,
    as_json: Json = False,
) -> None:
    """Show entries: question, answer, what finds them, model, age, tags, size. Long texts are cut, but for --json."""
    at = address(url, url_env)
    wanted = chosen(tenant, namespace, tag, prompt, older_than)
    with at.reached(), progress(f"Reading {name}"):
        found = at.open(name, timeout).inspect(limit + 1, **wanted)
    shown = sorted(found[:limit], key=lambda entry: entry.age)
    none = f"No entries of {name} at {at.place}{' fit' if wanted else ''}."
    columns, rows = entry_rows(shown)
    show_rows(columns, rows, [entry_told(entry) for entry in shown], as_json=as_json, none=none if not as_json else "")
    if len(found) > limit:
        note(f"There are more than these {limit}: --limit shows them.")


# ---- clearing --------------------------------------------------------------------------------------------------------


def clear(
    *,
    url: Url = None,
    url_env: UrlEnv = None,
    name: CacheName = NAME,
    tenant: Tenant = None,
    namespace: Namespace = None,
    tag: Tag = None,
    prompt: Prompt = None,
    older_than: OlderThan = None,
    entry: Annotated[list[str] | None, typer.Option("--id", help="The entry of this id, as inspect shows it.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="What was put under this key.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    timeout: CacheTimeout = SECONDS,
    as_json: Json = False,
) -> None:
    """Remove entries that fit all that is given; without a choice, all of this name. Asks first."""
    at = address(url, url_env)
    wanted = chosen(tenant, namespace, tag, prompt, older_than)
    named = entry or key is not None
    if named and wanted.keys() - {"tenant", "namespace"}:
        raise typer.BadParameter("--id and --key say which entries: --tag, --prompt and --older-than choose others")
    cache = at.open(name, timeout, tenant=tenant or "", namespace=namespace or "")
    with at.reached():
        if not yes:
            with progress(f"Counting entries of {name}"):
                number = None if named else cache.count(**wanted)
            if number == 0:
                show({"removed": 0}, f"Nothing to remove: no entries of {name} fit.", as_json=as_json)
                return
            what = "this entry" if named else f"{number:,} {'entry' if number == 1 else 'entries'}"
            typer.confirm(f"Remove {what} of {name} at {at.place}?", abort=True, err=True)
        with progress(f"Clearing {name}"):
            removed = cache.remove(*entry or (), key=key) if named else cache.clear(**wanted)
    told = f"Removed {removed:,} {'entry' if removed == 1 else 'entries'} of {name}."
    show({"removed": removed}, told, as_json=as_json)


# ---- answers of one's own --------------------------------------------------------------------------------------------

Question = Annotated[str | None, typer.Option("--question", help="The question that leads to it.")]
Key = Annotated[str | None, typer.Option("--key", metavar="a:b:c", help="The key that leads to it.")]
OwnTenant = Annotated[str, typer.Option("--tenant", help="Whose it is.")]
OwnNamespace = Annotated[str, typer.Option("--namespace", help="Which namespace it is in.")]


def get(
    *,
    question: Question = None,
    key: Key = None,
    url: Url = None,
    url_env: UrlEnv = None,
    name: CacheName = NAME,
    tenant: OwnTenant = "",
    namespace: OwnNamespace = "",
    embeddings: Embeddings = None,
    threshold: Annotated[
        float, typer.Option("--threshold", min=0.01, max=1, help="The least similarity of questions that are alike.")
    ] = 0.9,
    timeout: CacheTimeout = SECONDS,
    as_json: Json = False,
) -> None:
    """Look up what was put under a question or a key, and say what found it, or why nothing did (code 5).

    Answers of models have scopes of their own, by model, parameters and conversation: inspect shows those. Without
    --embeddings only equal questions are found; with it, those that were put with the same model.
    """
    if (question is None) == (key is None):
        raise typer.BadParameter("give --question or --key, one of them")
    at, encoder = address(url, url_env), _listened(embeddings)
    own: dict[str, Any] = {"tenant": tenant, "namespace": namespace, "distance_threshold": 1 - threshold}
    cache = at.open(name, timeout, embeddings=encoder and encoder.encoder, **own)
    with at.reached(), progress("Looking it up"):
        cache.check()
        told = _by_key(cache, key) if question is None else _by_question(cache, question)
    if encoder is not None and encoder.error is not None and not told["hit"]:
        raise encoder.failure()
    if as_json:
        show(told, "", as_json=True)
    elif told["hit"]:
        show(None, told["value"] if isinstance(told["value"], str) else json.dumps(told["value"]), as_json=False)
    if not as_json:
        note(_found_by(told))
    if not told["hit"]:
        raise typer.Exit(NOT_FOUND)


def _listened(embeddings: str | None) -> Listened | None:
    # What a lookup goes without is said by the commands themselves.
    logging.getLogger("portkey_router.cache").addHandler(logging.NullHandler())
    named = embeddings_named(embeddings)
    return None if named is None else Listened(named)


def _by_key(cache: SemanticCache, key: str | None) -> dict[str, Any]:
    value = cache.get(key=key)
    if cache.stats().hits:
        return {"hit": True, "value": value, "layer": "key"}
    return {"hit": False, "reason": "nothing under this key"}


def _by_question(cache: SemanticCache, question: str) -> dict[str, Any]:
    from portkey_router.cache.results import Hit  # noqa: PLC0415  (who does not use it does not pay for it)
    from portkey_router.cache.texts import text_of_entry  # noqa: PLC0415  (as above)

    found = cache.lookup(cache.key([{"role": "user", "content": question}]), text_of_entry)
    if isinstance(found, Hit):
        return {"hit": True, "value": found.value, "id": found.id, **found.as_dict()}
    return {"hit": False, "reason": found.reason, "similarity": found.similarity, "nearest": found.near}


def _found_by(told: dict[str, Any]) -> str:
    if not told["hit"]:
        near = told.get("similarity")
        return f"Nothing: {told['reason']}{f' (the nearest: similarity {near:.3f})' if near is not None else ''}."
    if "similarity" not in told:
        return "(by its key)"
    return f"({told['layer']}, similarity {told['similarity']:.3f}, {since(told['age_seconds'])} old)"


def _not_kept(reason: str, cache: SemanticCache) -> PortkeyError:
    told = f"It was not kept: {reason.rstrip('.')}."
    if not reason.startswith("the store failed"):
        return PortkeyError(told)
    return StoreError(told, code=next((code for code in cache.stats().failures if code.isupper()), None))


def put(
    *,
    response: Annotated[str, typer.Argument(help="The answer; - reads it from standard input.")],
    question: Question = None,
    key: Key = None,
    ttl: Annotated[str, typer.Option("--ttl", metavar="24h", help="How long it is kept: s, m, h, d or w.")] = "7d",
    tag: Annotated[list[str] | None, typer.Option("--tag", help="A tag; given again, one more.")] = None,
    url: Url = None,
    url_env: UrlEnv = None,
    name: CacheName = NAME,
    tenant: OwnTenant = "",
    namespace: OwnNamespace = "",
    embeddings: Embeddings = None,
    timeout: CacheTimeout = SECONDS,
    as_json: Json = False,
) -> None:
    """Keep an answer under a question, a key, or both. Without --embeddings only equal questions will find it."""
    if question is None and key is None:
        raise typer.BadParameter("give --question or --key, or both")
    seconds = seconds_of(ttl, "--ttl")
    if not seconds:
        raise typer.BadParameter("--ttl is above 0: an answer that expires at once is never found")
    at, encoder = address(url, url_env), _listened(embeddings)
    text = sys.stdin.read() if response == "-" else response
    cache = at.open(name, timeout, embeddings=encoder and encoder.encoder, tenant=tenant, namespace=namespace)
    with at.reached(), progress("Keeping it"):
        cache.check()
        reason = cache.put(question, text, key=key, ttl=seconds, tags=tag or ())
        if reason is not None:
            raise _not_kept(reason, cache)
    if encoder is not None and encoder.error is not None:
        warn(f"only equal questions will find it: {encoder.failure()}")
    show({"kept": True, "seconds": seconds}, f"Kept for {since(seconds)}.", as_json=as_json)
