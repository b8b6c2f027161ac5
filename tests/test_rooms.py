"""The rooms' arrows, the door, and what importing costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import holystream_nb

PACKAGE = Path(holystream_nb.__file__).parent

# Each room with the rooms it may import: design.md's order, in which each imports only what stands left of it.
ORDER: list[set[str]] = [
    {"errors"},
    {"events", "facts", "kinds", "parts", "wire.sse"},
    {"wire.values", "wire.calls", "wire.wording", "wire.endings", "wire.think", "providers"},
    {"wire.redaction"},
    {"wire.complaints", "wire.format"},
    {"wire.echoes", "wire.messages_request", "wire.responses_request"},
    {"wire.chat", "wire.messages", "wire.responses", "wire.refusals", "wire.sheep", "timing"},
    {"wire.formats"},
    {"money"},
    {"reply"},
    {"wire.certificates", "wire.proxies"},
    {"wire.unreachable", "wire.stamps", "wire.trip"},
    {"wire.pool"},
    {"wire.transport"},
    {"wire.websocket"},  # frames on a connection that transport opened
    {"client"},
    {"tools", "defaults", "journal"},
    {"continued"},
    {"live", "ask"},
    {"serveranswers"},
    {"serverextension"},
    {"migration"},
    {"clients", "conversations", "answered"},
    {"lists"},
    {"session", "sync"},
    {"checking", "models", "recall"},
    {"report", "measuring.values"},
    {"measuring.running", "measuring.figures"},
    {"measuring.charts"},
    {"measuring"},
    {"chat", "magic", "lab", "journal.command"},
    {"completion"},
    {"__main__"},
]
SIMULATOR_IS_FOR = {"session", "measuring", "measuring.running", "__main__", "__init__"}


def room(module: str) -> str:
    """The room of a module: `live.feed` is in `live`; `wire.sse` and `measuring.values` are rooms of their own."""
    head, _, tail = module.partition(".")
    if module == "journal.command":
        return module  # a door, like the magic; all else of the journal stands left of what draws
    if head == "measuring" and (inner := tail.partition(".")[0]) in ("values", "running", "figures", "charts"):
        return f"measuring.{inner}"
    return f"wire.{tail.partition('.')[0]}" if head == "wire" and tail else head


def level(name: str) -> int:
    return next(index for index, rooms in enumerate(ORDER) if name in rooms)


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


PATHS = {module_of(path): path for path in PACKAGE.rglob("*.py") if "frontend" not in path.parts}


def imports() -> list[tuple[str, str]]:
    """(importing module, imported module) inside the package, also of imports inside functions and for types."""
    found = []
    for module, path in PATHS.items():
        package = list(path.relative_to(PACKAGE).parts[:-1])
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.ImportFrom):
                continue
            above = node.module.split(".") if node.module else []
            if node.level:
                target = [*package[: len(package) - (node.level - 1)], *above]
            elif above[:1] == ["holystream_nb"]:
                target = above[1:]
            else:
                continue
            whole = [".".join([*target, name.name]) for name in node.names]
            found += [(module, name if name in PATHS else ".".join(target)) for name in whole]
    return [(importer, imported) for importer, imported in found if imported]


@pytest.mark.parametrize(("importer", "imported"), sorted(set(imports())))
def test_each_room_imports_only_what_stands_left_of_it(importer: str, imported: str) -> None:
    """The arrows of design.md."""
    ours, theirs = room(importer), room(imported)
    if ours == theirs or theirs.startswith("__version__"):
        return
    if ours == "simulator":
        pytest.fail("the simulator imports nothing from the client side")
    if theirs == "simulator":
        assert ours in SIMULATOR_IS_FOR
    elif ours != "__init__":
        assert level(theirs) < level(ours)


FORMATS = {"sse", "values", "calls", "wording", "endings", "think", "redaction", "complaints", "format", "formats"}
FORMATS |= {"echoes", "refusals", "sheep", "chat", "messages", "messages_request", "responses", "responses_request"}
OUTSIDE = {"asyncio", "threading", "subprocess", "select", "signal", "socket", "ssl", "http", "httpx2", "httpcore2"}
OUTSIDE |= {"wsproto", "os", "pathlib", "shutil", "tempfile", "sys", "logging", "time", "random", "secrets"}


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_format_has_no_io_and_no_clock(name: str) -> None:
    """Bytes in, events out: it imports nothing that opens, sends, waits or reads a clock, and opens no file."""
    for node in ast.walk(ast.parse(PATHS[f"wire.{name}"].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            assert not {each.name.partition(".")[0] for each in node.names} & OUTSIDE
        elif isinstance(node, ast.ImportFrom) and not node.level:
            assert (node.module or "").partition(".")[0] not in OUTSIDE
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("open", "print", "input")
        assert not isinstance(node, ast.Await | ast.AsyncFunctionDef)


def test_no_module_leads_back_to_itself() -> None:
    """There is no import circle, imports inside functions and for types included."""
    arrows: dict[str, set[str]] = {}
    for importer, imported in imports():
        if importer not in ("__init__", imported):
            arrows.setdefault(importer, set()).add(imported)
    assert {module for module in arrows if module in reached(arrows, module)} == set()


def reached(arrows: dict[str, set[str]], start: str) -> set[str]:
    """Every module that is imported from `start` on."""
    found: set[str] = set()
    ahead = list(arrows[start])
    while ahead:
        module = ahead.pop()
        if module not in found:
            found.add(module)
            ahead += arrows.get(module, ())
    return found


def test_the_door_is_sorted_and_every_name_is_there() -> None:
    """`__all__` is what the package offers, and each name leads somewhere."""
    assert holystream_nb.__all__ == sorted(holystream_nb.__all__)
    for name in holystream_nb.__all__:
        assert getattr(holystream_nb, name) is not None
    assert set(holystream_nb.__all__) <= set(dir(holystream_nb))


def test_loading_the_extension_imports_nothing_heavy() -> None:
    """What draws, sends and prices is imported by the function that needs it."""
    code = """
import sys
from IPython.core.interactiveshell import InteractiveShell
import holystream_nb
holystream_nb.load_ipython_extension(InteractiveShell.instance())
heavy = {"anywidget", "ipywidgets", "httpx2", "pandas", "matplotlib", "scipy", "genai_prices", "starlette", "uvicorn"}
heavy |= {"pydantic", "docstring_parser", "PIL"}
heavy |= {f"holystream_nb.{each}" for each in ("journal.journal", "journal.masking", "live.saved", "recall", "report")}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
