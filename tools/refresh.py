"""Execute notebooks and store their outputs in place: ``python tools/refresh.py book/*.ipynb``.

Text is stored, figures are not: text is what gets compared, and figures are drawn when the book is built. What tells
only about the machine (timings, Python's version) is left out, so that a refresh changes nothing but changed results.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

BUDGET = 60  # seconds a notebook on two cores
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def strip(notebook: nbformat.NotebookNode) -> None:
    """Remove figures and whatever depends on the machine."""
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": {"name": "python"}})
    for cell in notebook.cells:
        for name in ("execution", "collapsed", "scrolled", "ExecuteTime"):
            cell.metadata.pop(name, None)
        for output in cell.get("outputs", []):
            for kind in [kind for kind in output.get("data", {}) if "image/" in kind]:
                del output["data"][kind]


def refresh(path: Path) -> bool:
    notebook = nbformat.read(path, as_version=4)
    if any("needs-fashion-mnist" in cell.metadata.get("tags", []) for cell in notebook.cells):
        from meanfield_sgd.neighbours.images import why_absent

        if why := why_absent():
            print(f"error: {path} was left as it was, it shows real images: {why}", file=sys.stderr)
            return False
    started = time.monotonic()
    try:
        NotebookClient(
            notebook, kernel_name="python3", timeout=600, resources={"metadata": {"path": path.parent}}
        ).execute()
    except CellExecutionError as error:
        print(f"error: {path} was left as it was, a cell failed:\n{error}", file=sys.stderr)
        return False
    seconds = time.monotonic() - started
    strip(notebook)
    before = path.read_bytes()
    nbformat.write(notebook, path)
    changed = "changed" if path.read_bytes() != before else "unchanged"
    over = f", over the budget of {BUDGET} s" if seconds > BUDGET else ""
    print(f"{path}: {changed} ({seconds:.0f} s{over})", flush=True)
    return True


def main(arguments: list[str]) -> int:
    library = str(Path(__file__).resolve().parents[1] / "lib")
    sys.path.insert(0, library)
    # As in the tests: one thread a kernel. Two on a busy machine wait for each other, and nothing here needs them.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    images = Path(__file__).resolve().parents[2] / "shared" / "data" / "fashion-mnist"
    if images.is_dir():
        os.environ.setdefault("FASHION_MNIST_DIR", str(images))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [library, os.environ.get("PYTHONPATH")]))
    paths = [Path(argument) for argument in arguments]
    missing = [str(path) for path in paths if not path.is_file()]
    if missing or not paths:
        print(f"error: no such notebook: {' '.join(missing)}" if missing else "error: name a notebook", file=sys.stderr)
        return 2
    failed = [path for path in paths if not refresh(path)]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
