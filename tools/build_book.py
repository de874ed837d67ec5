"""Build the book into ROOT/_build/html, quietly unless something is wrong: ``python tools/build_book.py [ROOT]``.

Three things that jupyter-book alone gets wrong are put right here:

* Its execution cache knows the notebook but not the library: a page would go on printing numbers of an older ``lib/``.
  The cache is therefore emptied whenever a hash of ``lib/``, of the pins or of the Python version changes.
* Sphinx re-reads changed pages only, so that a warning which failed one build is gone from the next. Pages are made
  afresh each time; only executions, which take minutes, are kept.
* Success is judged by the pages being there, not by the exit status alone.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

BUILD = "_build"
PINS = ("requirements.lock", "pyproject.toml")


def digest(root: Path, files: list[Path]) -> str:
    """Hash of the names and contents of ``files``, and of the Python that runs them."""
    total = hashlib.sha256(sys.version.encode())
    for path in sorted(files):
        total.update(f"\0{path.relative_to(root).as_posix()}\0".encode())
        total.update(path.read_bytes())
    return total.hexdigest()


def execution_key(root: Path) -> str:
    """What a cached execution depends on besides its notebook: the library and the pins."""
    files = [path for path in (root / "lib").rglob("*") if path.is_file() and in_source(path)]
    return digest(root, files + [root / name for name in PINS if (root / name).exists()])


def source_key(root: Path) -> str:
    """What the built pages depend on: the tests compare it to know a stale build when they see one."""
    files = [path for path in (root / "book").rglob("*") if path.is_file() and in_source(path)]
    return digest(root, files + [root / "_config.yml", root / "_toc.yml"]) + execution_key(root)


def in_source(path: Path) -> bool:
    generated = {"__pycache__", ".ipynb_checkpoints"}
    return not generated.intersection(path.parts) and not any(part.endswith(".egg-info") for part in path.parts)


def images_beside(root: Path) -> dict[str, str]:
    """The variable that names the folder of Fashion-MNIST, where one stands beside ROOT; the environment's own wins."""
    images = root.parent / "shared" / "data" / "fashion-mnist"
    return {"FASHION_MNIST_DIR": str(images)} if images.is_dir() else {}


def build(root: Path) -> int:
    output = root / BUILD
    html = output / "html"
    key_file = output / "execution.key"
    source_file = output / "source.key"
    # A page that was executed without images shows others in their place; it does not stay once a folder has them.
    images = (images_beside(root) | os.environ).get("FASHION_MNIST_DIR", "")
    key, source = f"{execution_key(root)} images {images}", source_key(root)

    for stale in (html, output / ".doctrees", output / "jupyter_execute"):
        shutil.rmtree(stale, ignore_errors=True)
    source_file.unlink(missing_ok=True)
    if not key_file.exists() or key_file.read_text() != key:
        shutil.rmtree(output / ".jupyter_cache", ignore_errors=True)
        output.mkdir(exist_ok=True)
        key_file.write_text(key)

    how = (
        "executions of unchanged notebooks are kept"
        if (output / ".jupyter_cache").exists()
        else "every notebook is executed"
    )
    print(f"Building the book: {how}", flush=True)
    started = time.monotonic()
    # The library is taken from ROOT/lib even where another copy is installed.
    environment = {"OMP_NUM_THREADS": "1"} | images_beside(root) | os.environ
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root / "lib"), os.environ.get("PYTHONPATH")]))
    notebooks = sorted(map(str, (root / "book").glob("*.ipynb")))
    if notebooks:
        ahead = [sys.executable, str(Path(__file__).parent / "execute_notebooks.py"), str(output / ".jupyter_cache")]
        # What goes wrong here goes wrong again below, where it is told.
        subprocess.run([*ahead, *notebooks], env=environment, capture_output=True)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()",
               "build", str(root), "-n", "-W", "--keep-going", "-q"]  # fmt: skip
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    index = html / "index.html"
    if run.returncode or not index.exists():
        said = [run.stdout, run.stderr]
        for report in sorted(html.rglob("reports/**/*.err.log")):
            said += [f"{report.relative_to(html)}:", *report.read_text().splitlines()[-30:]]
        print(re.sub(r"\x1b\[[\d;]*m", "", "\n".join(said)), file=sys.stderr)
        print("error: the book was not built: the warnings and errors above say why", file=sys.stderr)
        return run.returncode or 1
    source_file.write_text(source)
    pages = sum(1 for _ in html.rglob("*.html"))
    print(f"Built {pages} pages in {time.monotonic() - started:.0f} s: open {index}")
    return 0


if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[1]).resolve()))
