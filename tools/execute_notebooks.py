"""Execute the notebooks that the book's cache does not have, two at a time: ``execute_notebooks.py CACHE NOTEBOOK ...``.

Sphinx executes one notebook after the other while the second core waits. What is executed here is put into the cache that
Sphinx looks into; a notebook that fails is left to Sphinx, which executes it again and says what is wrong with it.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_cache.executors.utils import single_nb_execution

TIMEOUT = 120  # seconds a cell, as in _config.yml


def missing(cache, paths: list[Path]) -> list[tuple[Path, nbformat.NotebookNode]]:
    """The notebooks whose code the cache does not know, longest source first: they are the likeliest to take long."""
    found = []
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        try:
            cache.match_cache_notebook(notebook)
        except KeyError:
            found.append((path, notebook))
    return sorted(found, key=lambda item: -item[0].stat().st_size)


def execute(job: tuple[Path, nbformat.NotebookNode]):
    path, notebook = job
    # As MyST-NB does: in the notebook's own folder, and the first cell that raises ends it.
    return single_nb_execution(notebook, cwd=str(path.parent), timeout=TIMEOUT, allow_errors=False, meta_override=True)


def main(arguments: list[str]) -> int:
    cache = get_cache(arguments[0])
    jobs = missing(cache, [Path(name).resolve() for name in arguments[1:]])
    workers = max(1, int(os.environ.get("JOBS") or 2))
    with ThreadPoolExecutor(workers) as pool:
        # Results are stored by this thread alone: the cache is one file of SQLite.
        for (path, notebook), result in zip(jobs, pool.map(execute, jobs)):
            if result.err is None:
                bundle = CacheBundleIn(notebook, str(path), data={"execution_seconds": result.time})
                cache.cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
                print(f"{path.name}: {result.time:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
