"""Write book/api.md: every public name with its docstring and the chapters that teach it.

    python tools/make_api.py            write the page anew
    python tools/make_api.py --check    say what is stale or untaught, and exit with status 1 if anything is

"Teaches" is read from the notebooks themselves: a chapter teaches a name when one of its code cells uses it. A class
also counts as used where a function annotated to return it is called, or where it is an annotated attribute of a class
that is used.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "meanfield_sgd"
HEAD = """# The library

Every public name with its docstring, and the chapters that use it. Run `meanfield-sgd --help` for the command line.

% Written by `make api` from the docstrings and the notebooks: edit those.
"""


def wings() -> dict[str, ModuleType]:
    """The package and its public modules, each a section of the page."""
    package = import_module(PACKAGE)
    values = {f"{PACKAGE}.{name}": getattr(package, name) for name in package.__all__}
    return {PACKAGE: package} | {name: value for name, value in values.items() if inspect.ismodule(value)}


def public_names() -> dict[str, object]:
    """Map the dotted name of everything public, modules apart, to the object; in the order of ``__all__``."""
    found = {}
    for wing, module in wings().items():
        for name in module.__all__:
            value = getattr(module, name)
            if not inspect.ismodule(value):
                found[f"{wing}.{name}"] = value
    return found


def toc_notebooks(root: Path = ROOT) -> list[Path]:
    """The notebooks of the book in the order of _toc.yml."""
    import yaml

    toc = yaml.safe_load((root / "_toc.yml").read_text())
    files = [toc["root"]] + [page["file"] for part in toc["parts"] for page in part["chapters"]]
    return [path for path in (root / f"{file}.ipynb" for file in files) if path.exists()]


def cells(path: Path, kind: str) -> list[str]:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == kind]


def title(path: Path) -> str:
    """The first heading of a notebook."""
    for text in cells(path, "markdown"):
        for line in text.splitlines():
            if line.startswith("# "):
                return line[2:].strip()
    raise ValueError(f"{path} has no level-one heading")


def used_names(path: Path) -> set[str]:
    """Dotted names of this package's things that the code cells of a notebook use, prefixes included."""
    code = "\n".join(
        line for text in cells(path, "code") for line in text.splitlines() if not line.startswith(("%", "!"))
    )
    tree = ast.parse(code)
    alias = {}  # local name -> dotted name
    used = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for item in node.names:
                if item.name.split(".")[0] == PACKAGE:
                    alias[item.asname or PACKAGE] = item.name if item.asname else PACKAGE
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE:
            for item in node.names:
                alias[item.asname or item.name] = f"{node.module}.{item.name}"

    def dotted(node: ast.AST) -> str | None:
        if isinstance(node, ast.Name):
            return alias.get(node.id)
        if isinstance(node, ast.Attribute):
            owner = dotted(node.value)
            return owner and f"{owner}.{node.attr}"
        return None

    for node in ast.walk(tree):
        # Importing a name without using it teaches nothing: only uses count.
        if isinstance(node, (ast.Name, ast.Attribute)) and (name := dotted(node)):
            used.add(name)
        # Calling a module, decide(...), is calling the function of its own name.
        if isinstance(node, ast.Call) and (name := dotted(node.func)) in wings():
            used.add(f"{name}.{name.rpartition('.')[2]}")
    return used


def returned_class(value: object, names: dict[str, object]) -> str | None:
    """Dotted public name of the class that a function's annotation says it returns."""
    if not inspect.isfunction(value):
        return None
    annotation = value.__annotations__.get("return")
    wanted = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", None)
    for name, other in names.items():
        if inspect.isclass(other) and other.__name__ == wanted:
            return name
    return None


def held_classes(value: object, names: dict[str, object]) -> set[str]:
    """Dotted public names of the classes that the annotated attributes of a class hold."""
    if not inspect.isclass(value):
        return set()
    words = set(re.findall(r"\w+", " ".join(map(str, getattr(value, "__annotations__", {}).values()))))
    return {name for name, other in names.items() if inspect.isclass(other) and other.__name__ in words}


def teachers(names: dict[str, object], notebooks: list[Path]) -> dict[str, list[Path]]:
    """For every public name, the notebooks that use it."""
    result = {name: [] for name in names}
    for path in notebooks:
        used = used_names(path)
        used |= {returned for name in used if (returned := returned_class(names.get(name), names))}
        used |= {held for name in used for held in held_classes(names.get(name), names)}
        for name in names:
            if name in used:
                result[name].append(path)
    return result


def private(used: set[str], names: dict[str, object]) -> list[str]:
    """Names of this package that a chapter uses and a reader should not: what is not in an ``__all__``."""
    public = set(names) | set(wings()) | {f"{PACKAGE}.__version__"}
    return sorted(name for name in used if name not in public and (name.rpartition(".")[0] in wings() or "._" in name))


def untaught(taught: dict[str, list[Path]], names: dict[str, object]) -> list[str]:
    """Public names that no chapter uses. Errors are exempt: they are met, not called."""
    return [name for name, paths in taught.items() if not paths and not is_error(names[name])]


def is_error(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, BaseException)


def entry(name: str, value: object, paths: list[Path]) -> str:
    kind = "autoexception" if is_error(value) else "autoclass" if inspect.isclass(value) else "autofunction"
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        kind = "autodata"
    lines = [f"### {name.rsplit('.', 1)[1]}", "", "```{eval-rst}", f".. {kind}:: {name}"]
    if kind == "autoclass":
        lines += ["   :members:", "   :inherited-members:", "   :special-members: __call__"]
    lines += ["```", ""]
    if paths:
        lines += ["Taught in: " + ", ".join(f"[{title(path)}]({path.name})" for path in paths) + ".", ""]
    return "\n".join(lines)


def page(names: dict[str, object], taught: dict[str, list[Path]]) -> str:
    parts = [HEAD]
    for wing, module in wings().items():
        parts.append(f"## `{wing}`\n\n{inspect.getdoc(module).split(chr(10) + chr(10))[0]}\n")
        parts += [entry(name, names[name], taught[name]) for name in names if name.rsplit(".", 1)[0] == wing]
    return "\n".join(parts)


def main(arguments: list[str]) -> int:
    names = public_names()
    taught = teachers(names, toc_notebooks())
    text = page(names, taught)
    target = ROOT / "book" / "api.md"
    if "--check" not in arguments:
        target.write_text(text, encoding="utf-8")
        print(f"Wrote book/api.md: {len(names)} names")
        return 0
    complaints = [f"no chapter uses {name}" for name in untaught(taught, names)]
    if not target.exists() or target.read_text(encoding="utf-8") != text:
        complaints.append("book/api.md is stale: run make api")
    print("\n".join(complaints) or "book/api.md is current")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
