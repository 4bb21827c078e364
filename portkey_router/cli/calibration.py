"""`cache calibrate`: the similarity threshold from labelled pairs, and what it is worth."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from portkey_router.cli.cache_options import LOCAL, Embeddings, embeddings_named
from portkey_router.cli.charts import check_plot, figure_class, save_figure
from portkey_router.cli.options import Json  # noqa: TC001  (typer reads annotations)
from portkey_router.cli.output import note, progress, show, show_rows
from portkey_router.cli.pairs import read_pairs

if TYPE_CHECKING:
    from portkey_router.cache.calibrate import Calibration, Point
    from portkey_router.cache.guards import Guards

__all__ = ["register"]

ROWS = 15
WIDTH = 24


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(calibrate)


def calibrate(
    *,
    file: Annotated[
        str,
        typer.Argument(metavar="FILE", help="question, question, same|different: .csv, .tsv or .jsonl; - reads JSON."),
    ],
    embeddings: Embeddings = None,
    max_error: Annotated[
        float,
        typer.Option("--max-error", min=0, max=0.99, help="The share of different pairs that may be taken for one."),
    ] = 0.01,
    guards: Annotated[
        bool, typer.Option("--guards/--no-guards", help="Whether the cache to be has its guards.")
    ] = True,
    plot: Annotated[
        str | None, typer.Option("--plot", metavar="FILE.png", help="Draw the trade into this file ([plots]).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Choose a cache's similarity threshold from pairs of questions that you label; no cache is asked.

    It is the lowest at which at most --max-error of the different pairs would be served each other's answer. The table
    says what it costs in hits, and how sure the pairs are.
    """
    from portkey_router.cache.calibrate import calibrate as choose  # noqa: PLC0415  (who does not use it does not pay)

    named = embeddings_named(embeddings)
    if named is None:
        raise typer.BadParameter("which model embeds? --embeddings MODEL, or local; or set PORTKEY_CACHE_EMBEDDINGS")
    if plot is not None:
        check_plot(plot)
    pairs = read_pairs(file)
    embed = _Embedding(named)
    with progress(f"Embedding {len(pairs):,} pairs"):
        made = choose(pairs, embed, guards=_guards(on=guards), max_error=max_error)
    if plot is not None:
        _draw(made, plot)
        note(f"Drawn into {plot}.")
    if as_json:
        show({**_told(made), "embeddings": embed.told}, "", as_json=True)
        return
    _print(made)
    if embed.told:
        note(f"({embed.told['texts']:,} texts, {embed.told['tokens']} tokens, {embed.told['cost']})")


def _guards(*, on: bool) -> Guards:
    from portkey_router.cache.guards import Guards  # noqa: PLC0415  (as above)

    return Guards() if on else Guards(numbers=False, negation=False, antonyms=False, entities=False, order=False)


class _Embedding:
    """Embeds many texts at once, and remembers what that took."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.told: dict[str, Any] | None = None

    def __call__(self, texts: list[str]) -> Any:
        """The texts' vectors."""
        if self._name == LOCAL:
            from portkey_router.cache.local_embeddings import LocalEmbeddings  # noqa: PLC0415  (as above)

            return LocalEmbeddings().embed_documents(texts)
        from portkey_router.bootstrap import build_router  # noqa: PLC0415  (as above)

        made = build_router(from_env=True).embed(texts, model=self._name)
        self.told = {
            "texts": len(texts),
            "tokens": made.usage.input_tokens if made.usage else None,
            "cost": f"${made.cost.amount}" if made.cost else "cost unknown",
        }
        return made.vectors


# ---- telling ---------------------------------------------------------------------------------------------------------


def _told(made: Calibration) -> dict[str, Any]:
    derived = ("distance_threshold", "confident", "pairs_needed")
    return {**asdict(made), **{name: getattr(made, name) for name in derived}}


def _print(made: Calibration) -> None:
    rows = [
        [
            f"{point.threshold:.3f}",
            f"{point.recall:.1%}",
            f"{point.false_hits:.2%}",
            _bar(point.recall),
            _bar(point.false_hits),
            "chosen" if point is chosen else "",
        ]
        for chosen in [_chosen(made)]
        for point in _spread(made, chosen)
    ]
    show_rows(["similarity", "hits", "wrong", "hits, drawn", "wrong, drawn", ""], rows, None, as_json=False, none="")
    # The last two lines of its own account, below the table: the choice, and how sure it is.
    show(None, "\n".join(str(made).splitlines()[-2:]), as_json=False)
    guarded = made.vetoed_same + made.vetoed_different
    if guarded:
        note(f"The guards keep {made.vetoed_different:,} different pairs apart, and {made.vetoed_same:,} of the same.")
    show(None, f"Use it: SemanticCache(..., distance_threshold={made.distance_threshold})", as_json=False)


def _chosen(made: Calibration) -> Point:
    """The last of the points that the threshold lets in."""
    return [made.points[0], *(point for point in made.points if point.threshold >= made.threshold)][-1]


def _spread(made: Calibration, chosen: Point) -> list[Point]:
    """Some of the points, over the whole range, and the chosen one."""
    step = max(1, -(-len(made.points) // ROWS))
    return [point for number, point in enumerate(made.points) if number % step == 0 or point is chosen]


def _bar(share: float) -> str:
    return "█" * round(WIDTH * share)


def _draw(made: Calibration, path: str) -> None:
    figure = figure_class()(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    thresholds = [point.threshold for point in made.points]
    axes.step(thresholds, [point.recall for point in made.points], where="pre", label="same pairs that hit")
    axes.step(thresholds, [point.false_hits for point in made.points], where="pre", label="different pairs that hit")
    axes.axvline(made.threshold, color="black", linewidth=1, label=f"chosen: {made.threshold:.3f}")
    axes.axhline(made.max_error, color="grey", linewidth=1, linestyle=":", label=f"allowed: {made.max_error:.1%}")
    axes.set(xlabel="similarity threshold", ylabel="share", ylim=(-0.02, 1.02))
    axes.legend()
    save_figure(figure, path)
