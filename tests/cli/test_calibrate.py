"""`portkey-router cache calibrate`: pairs from files, the threshold that the core chooses, the plot."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from portkey_router import LocalEmbeddings, calibrate
from portkey_router.cli.pairs import read_pairs
from portkey_router.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from portkey_router.sandbox import PortkeyDouble
    from tests.cli.conftest import InProcess

SAME = [
    ("How do I reset my password?", "how do I reset the password"),
    ("Where is my card?", "Where is my new card?"),
    ("How can I open an account?", "How do I open an account?"),
]
DIFFERENT = [
    ("How do I close my account?", "How do I top up by cheque?"),
    ("Can I pay with 5 cards?", "Can I pay with 6 cards?"),
    ("Who is the owner of this bank?", "Which fee does a transfer have?"),
]
PAIRS = [*((*pair, True) for pair in SAME), *((*pair, False) for pair in DIFFERENT)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Those pairs, with a header."""
    lines = [
        "question,other,label",
        *(f"{one},{other},{'same' if same else 'different'}" for one, other, same in PAIRS),
    ]
    (tmp_path / "pairs.csv").write_text("\n".join(lines))
    return tmp_path / "pairs.csv"


def test_the_threshold_is_the_cores(cli: InProcess, file: Path) -> None:
    """The same as `calibrate` gives; as a table with the choice marked, and what to do with it."""
    made = calibrate(PAIRS, LocalEmbeddings().embed_documents)
    told = cli.run("calibrate", str(file), "--embeddings", "local", "--json").json
    assert (told["threshold"], told["recall"], told["false_hits"]) == (made.threshold, made.recall, made.false_hits)
    assert (told["vetoed_different"], told["embeddings"]) == (made.vetoed_different, None)
    assert len(told["points"]) == len(made.points)
    table = cli.run("calibrate", str(file), "--embeddings", "local")
    assert f"threshold {made.threshold:.3f} (distance {made.distance_threshold:.3f})" in table.out
    assert f"SemanticCache(..., distance_threshold={made.distance_threshold})" in table.out
    (chosen,) = (line for line in table.out.splitlines() if line.rstrip().endswith("chosen"))
    assert f"{made.recall:.1%}" in chosen
    assert "█" in table.out
    assert "Too few pairs to be sure" in table.out
    assert table.err == "The guards keep 1 different pairs apart, and 0 of the same.\n"
    bare = cli.run("calibrate", str(file), "--embeddings", "local", "--no-guards", "--max-error", "0.5", "--json").json
    assert (bare["vetoed_different"], bare["max_error"]) == (0, 0.5)


def test_it_draws_a_picture(cli: InProcess, file: Path) -> None:
    """As PNG here; what cannot be drawn is said before anything is embedded."""
    cli.run("calibrate", str(file), "--embeddings", "local", "--plot", "trade.png")
    assert (file.parent / "trade.png").read_bytes().startswith(b"\x89PNG")
    no_model = ["calibrate", str(file), "--embeddings", "no-such-model", "--plot"]
    assert "name a file that ends so" in cli.fails(*no_model, "trade.txt", code=3)
    assert "there is no folder" in cli.fails(*no_model, "none/trade.png", code=3)


def test_without_matplotlib_it_says_the_pip_line(
    cli: InProcess,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only the plot needs it."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    told = cli.fails("calibrate", str(file), "--embeddings", "local", "--plot", "trade.png", code=3)
    assert 'pip install "portkey-router[plots]"' in told


def test_a_model_is_asked_through_portkey_once(
    cli: InProcess,
    file: Path,
    server: PortkeyDouble,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All texts in as few requests as may be; tokens and cost are told."""
    monkeypatch.setenv("PORTKEY_API_KEY", server.api_key)
    monkeypatch.setenv("PORTKEY_GATEWAY_URL", server.url)
    monkeypatch.setenv("PORTKEY_VIRTUAL_KEY_OPENAI", "vk-openai")
    told = cli.run("calibrate", str(file), "--embeddings", "text-embedding-3-small")
    assert told.code == 0
    assert len(server.requests) == 1
    assert "(12 texts, " in told.err
    assert "tokens, $0.00000" in told.err


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "one,other,same\nq,r,1\ns,t,0\n"),
        ("a.csv", '\ufeffq,r,SAME\r\n"s","t",different\r\n\r\n'),
        ("a.tsv", "q\tr\ttrue\ns\tt\tno\n"),
        ("a.jsonl", '["q", "r", true]\n\n["s", "t", false]\n'),
        ("a.NDJSON", '{"question1": "q", "question2": "r", "is_duplicate": 1}\n{"a": "s", "b": "t", "c": "different"}'),
    ],
)
def test_pairs_are_read_in_each_form(tmp_path: Path, name: str, text: str) -> None:
    """With a header or none, as lists or objects; labels in several words."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert read_pairs(str(tmp_path / name)) == [("q", "r", True), ("s", "t", False)]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "", "is empty"),
        ("a.csv", " \n\n", "is empty"),
        ("a.csv", "one,other,label\n", "has a header and nothing below it"),
        ("a.csv", "q,r,same\nq,r\n", "line 2: it should have three values"),
        ("a.csv", "q,r,same\nq,r,maybe\n", "line 2: the third value says same or different"),
        ("a.csv", "q,r,same\n,r,same\n", "line 2: a question is missing"),
        ("a.csv", 'q,r,same\n"q,r,same\n', "line 2: unexpected end of data"),
        ("a.jsonl", '["q", "r", true]\nq\n', "line 2: not JSON"),
        ("a.jsonl", '["q", 7, true]\n', "line 1: a question is missing"),
        ("a.jsonl", "7\n", "line 1: it should have three values"),
        ("a.txt", "q,r,same\n", "should end in .csv, .tsv or .jsonl"),
    ],
)
def test_a_line_that_is_no_pair_is_named(tmp_path: Path, name: str, text: str, words: str) -> None:
    """By its number, with what it should be."""
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigurationError, match=words):
        read_pairs(str(tmp_path / name))


def test_a_file_that_cannot_be_read_is_one_line(cli: InProcess, tmp_path: Path) -> None:
    """Not there, a folder, no UTF-8; no model; pairs of one kind; a pipe works."""
    local = ["--embeddings", "local"]
    assert "cannot be read: No such file" in cli.fails("calibrate", "none.csv", *local, code=3)
    (tmp_path / "folder.csv").mkdir()
    assert "cannot be read" in cli.fails("calibrate", "folder.csv", *local, code=3)
    (tmp_path / "latin.csv").write_bytes("für,r,same".encode("latin-1"))
    assert "is not UTF-8 text" in cli.fails("calibrate", "latin.csv", *local, code=3)
    assert "which model embeds?" in cli.fails("calibrate", "none.csv", code=2)
    lines = "\n".join(json.dumps(pair) for pair in PAIRS)
    assert "pairs of both kinds" in cli.fails("calibrate", "-", *local, code=3, stdin=lines.splitlines()[0])
    assert cli.run("calibrate", "-", *local, "--json", stdin=lines).json["same"] == 3
