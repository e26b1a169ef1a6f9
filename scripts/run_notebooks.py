#!/usr/bin/env python3
"""Runs the notebooks from start to end, in a folder of their own; renders them for the documentation on demand.

    scripts/run_notebooks.py                     run all of notebooks/
    scripts/run_notebooks.py --render docs/notebooks notebooks/rules.ipynb
    scripts/run_notebooks.py --strip             take outputs out of the files

The repository keeps notebooks without output: one with output is an error. Needs nbclient, nbformat and ipykernel, and
nbconvert to render.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
#: Seconds one cell may take.
CELL_LIMIT = 120


def has_output(notebook: nbformat.NotebookNode) -> bool:
    return any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)


def strip(notebook: nbformat.NotebookNode) -> None:
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        cell.metadata = {}


def run(path: Path) -> nbformat.NotebookNode:
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    if has_output(notebook):
        sys.exit(f"{path} has output; take it out with scripts/run_notebooks.py --strip")
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(notebook, timeout=CELL_LIMIT, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    return notebook


def render(notebook: nbformat.NotebookNode, name: str, folder: Path) -> None:
    """Writes NAME.md, and the pictures beside it."""
    from nbconvert import MarkdownExporter

    folder.mkdir(parents=True, exist_ok=True)
    text, resources = MarkdownExporter().from_notebook_node(
        notebook, {"output_files_dir": f"{name}_files", "unique_key": name}
    )
    # Style sheets of tables are of no use in Markdown.
    text = re.sub(r"<style scoped>.*?</style>\n?", "", text, flags=re.DOTALL)
    pictures = resources.get("outputs", {})
    (folder / f"{name}_files").mkdir(exist_ok=True)
    for old in (folder / f"{name}_files").iterdir():
        old.unlink()
    for file, content in pictures.items():
        (folder / file).write_bytes(content)
    note = f"<!-- Made from notebooks/{name}.ipynb by scripts/run_notebooks.py --render docs/notebooks; do not edit. -->\n\n"
    lines = [line.rstrip() for line in text.strip().splitlines()]
    (folder / f"{name}.md").write_text(note + "\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path)
    parser.add_argument("--render", type=Path, metavar="FOLDER")
    parser.add_argument("--strip", action="store_true")
    arguments = parser.parse_args()
    paths = arguments.notebooks or sorted((ROOT / "notebooks").glob("*.ipynb"))
    # Pictures are drawn without a screen, and look the same everywhere.
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    for path in paths:
        if arguments.strip:
            notebook = nbformat.read(path, as_version=4)
            strip(notebook)
            nbformat.write(notebook, path)
            continue
        started = time.monotonic()
        try:
            notebook = run(path)
        except Exception as error:  # The cell and its traceback are in the message.
            sys.exit(f"{path}: {error}")
        print(f"{path.name}: {time.monotonic() - started:.1f} s", flush=True)
        if arguments.render:
            render(notebook, path.stem, arguments.render)


if __name__ == "__main__":
    main()
