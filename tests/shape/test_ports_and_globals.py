"""No clock, no identifiers, no globals outside the composition root; no hidden imports."""

from __future__ import annotations

import ast
import sys

CLOCKS = {
    "time": {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}
IDENTIFIER_MODULES = {"uuid", "random", "secrets"}
ROOT_MODULES = {"node.app", "node.system"}
TRAINER_MAY_MEASURE = "trainer"
IMAGING_MAY_IMPORT = {"numpy", "cv2"}


def imports(tree: ast.AST):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module, node.lineno


def clock_calls(tree: ast.AST):
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            owner = node.value
            name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
            if node.attr in CLOCKS.get(name, ()):
                yield f"{name}.{node.attr}", node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from ((f"time.{alias.name}", node.lineno) for alias in node.names)


def test_only_the_composition_root_reads_clocks(product):
    found = [
        f"{source.path}:{line} {name}"
        for source in product
        if source.module not in ROOT_MODULES and not source.module.startswith(TRAINER_MAY_MEASURE)
        for name, line in clock_calls(source.tree)
    ]
    assert found == []


def test_only_the_composition_root_makes_identifiers(product):
    found = [
        f"{source.path}:{line} {name}"
        for source in product
        if source.module not in ROOT_MODULES and not source.module.startswith(TRAINER_MAY_MEASURE)
        for name, line in imports(source.tree)
        if name.split(".")[0] in IDENTIFIER_MODULES
    ]
    assert found == []


def test_the_domain_imports_the_standard_library_alone(product):
    allowed = sys.stdlib_module_names | {"node"}
    found = [
        f"{source.path}:{line} {name}"
        for source in product
        if source.module.startswith("node.domain")
        for name, line in imports(source.tree)
        if name.split(".")[0] not in allowed
    ]
    assert found == []


def test_imaging_is_numpy_and_opencv(product):
    allowed = sys.stdlib_module_names | {"node"} | IMAGING_MAY_IMPORT
    found = [
        f"{source.path}:{line} {name}"
        for source in product
        if source.module.startswith("node.imaging")
        for name, line in imports(source.tree)
        if name.split(".")[0] not in allowed
    ]
    assert found == []


def test_nothing_is_global_or_imported_behind_the_back(product):
    found = []
    for source in product:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Global):
                found.append(f"{source.path}:{node.lineno} global")
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                if name in {"__import__", "importlib.import_module", "exec", "eval"}:
                    found.append(f"{source.path}:{node.lineno} {name}")
            if isinstance(node, ast.ImportFrom) and node.level > 0:
                found.append(f"{source.path}:{node.lineno} relative import")
    assert found == []


def test_there_is_one_preparation(product):
    """The trainer's feed calls the node's; it never resizes, windows or normalises by itself."""
    forbidden = {"resize", "applyColorMap", "equalizeHist"}
    found = [
        f"{source.path}:{node.lineno} {node.attr}"
        for source in product
        if source.module.startswith("trainer")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute)
        and node.attr in forbidden
        and ast.unparse(node.value).split(".")[0] == "cv2"
    ]
    assert found == []


def test_the_checks_are_able_to_fail():
    tree = ast.parse(
        "import time\nfrom datetime import datetime\nimport uuid\nx = time.time()\ny = datetime.now()\n"
    )
    assert {name for name, _ in clock_calls(tree)} == {"time.time", "datetime.now"}
    assert "uuid" in {name for name, _ in imports(tree)}
