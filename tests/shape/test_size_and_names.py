"""Small and plain: lengths, names, packages."""

from __future__ import annotations

import ast
import re
from pathlib import Path

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_TRACKED_BYTES = 5_000_000
MAX_BUNDLE_BYTES = 45_000_000
DRAWERS = re.compile(r"(^|_)(utils?|helpers?|common|misc|manager|managers)($|_)")


def functions(tree: ast.AST):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_no_file_is_longer_than_the_limit(sources):
    long = {str(s.path): s.text.count("\n") for s in sources if s.text.count("\n") > MAX_FILE_LINES}
    assert long == {}


def test_no_function_is_longer_than_the_limit(sources):
    long = {}
    for source in sources:
        for node in functions(source.tree):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                long[f"{source.path}:{node.name}"] = length
    assert long == {}


def test_no_file_or_folder_has_the_name_of_a_drawer(files):
    bad = [str(path) for path in files for part in path.with_suffix("").parts if DRAWERS.search(part.lower())]
    assert bad == []


def test_every_package_folder_is_a_package(product):
    folders = {source.path.parent for source in product}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_there_is_no_large_file_but_the_bundles(files, root):
    bundles: dict[str, int] = {}
    large = []
    for path in files:
        size = (root / path).stat().st_size
        if path.parts[0] == "triton_models":
            bundles[path.parts[1]] = bundles.get(path.parts[1], 0) + size
        elif size > MAX_TRACKED_BYTES:
            large.append(str(path))
    assert large == []
    assert {name: size for name, size in bundles.items() if size > MAX_BUNDLE_BYTES} == {}


def test_every_public_function_and_class_is_documented(product):
    bare = []
    for source in product:
        if "migrations" in source.path.parts:
            continue
        nodes = [source.tree, *(n for n in source.tree.body if isinstance(n, ast.ClassDef | ast.FunctionDef))]
        for node in nodes:
            name = getattr(node, "name", source.module)
            if not name.startswith("_") and ast.get_docstring(node) is None:
                bare.append(f"{source.path}:{name}")
    assert bare == []


def test_the_limits_are_able_to_fail(tmp_path: Path):
    body = "def f():\n" + "    x = 1\n" * (MAX_FUNCTION_LINES + 1)
    node = functions(ast.parse(body))[0]
    assert (node.end_lineno or 0) - node.lineno + 1 > MAX_FUNCTION_LINES
    assert DRAWERS.search("string_utils")
    assert not DRAWERS.search("commonplace")
