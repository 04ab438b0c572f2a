"""The house: which way imports go between its rooms, and through which doors."""

import ast
from pathlib import Path
from typing import NamedTuple

import pytest

import zoo

HOUSE = Path(zoo.__file__).parent
ROOMS = (  # imports go down this list only
    *("__main__", "testing", "cli", "benchmark", "plugins", "viewer"),
    *("executors", "tasks", "evaluation"),
    *(
        "training",
        "pictures",
        "models",
        "cards",
        "datasets",
        "networks",
        "anatomy",
        "volumes",
        "sparse",
    ),
    *("registries", "contract", "validation", "version", "memory", "tables", "errors"),
)
LISTS = ("registries.py",)  # where "module:attribute" names what is imported when it is asked for


class Import(NamedTuple):
    """One import.

    Attributes:
        importer: the module that has it.
        imported: the module that is needed.
        door: the module that the statement names, of which `imported` may be a part.
        for_types: whether it is there for type checking alone.
    """

    importer: str
    imported: str
    door: str
    for_types: bool


def modules(house):
    """Every module of a package by its dotted name."""
    paths = sorted(house.rglob("*.py"))
    return {name_of(path, house): path for path in paths}


def name_of(path, house):
    parts = path.relative_to(house.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(house):
    """All imports of the package from itself, also those in functions."""
    known = modules(house)
    found = []
    for importer, path in known.items():
        tree = ast.parse(path.read_text())
        checked = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            for inner in ast.walk(node)
        }
        for node in ast.walk(tree):
            for target, door in named(node, known):
                if target.partition(".")[0] == house.name and target != importer:
                    found.append(Import(importer, target, door, id(node) in checked))
    return found


def named(node, known):
    """The modules that an import statement needs, and which it names for that."""
    if isinstance(node, ast.Import):
        return [(alias.name, alias.name) for alias in node.names]
    if not isinstance(node, ast.ImportFrom) or node.level or not node.module:
        return []
    full = [f"{node.module}.{alias.name}" for alias in node.names]
    return [(name if name in known else node.module, node.module) for name in full]


def room(name):
    return [*name.split("."), ""][1]


def upward(found):
    """The imports that do not go down the list of rooms."""
    floor = {name: number for number, name in enumerate(ROOMS)}
    return [
        each
        for each in found
        if room(each.importer)  # the package itself names all rooms, when they are asked for
        and room(each.importer) != room(each.imported)
        and floor[room(each.importer)] >= floor.get(room(each.imported), -1)
    ]


def circles(found):
    """Modules that import each other, by whatever way round, but for type checking."""
    below = {}
    for each in found:
        if not each.for_types and room(each.importer):
            below.setdefault(each.importer, set()).add(each.imported)

    def reached(name, seen):
        for other in below.get(name, set()) - seen:
            seen.add(other)
            reached(other, seen)
        return seen

    return sorted(name for name in below if name in reached(name, set()))


def test_every_room_is_on_the_list():
    assert {room(name) for name in modules(HOUSE)} - {""} == set(ROOMS)


@pytest.mark.slow
def test_imports_go_down():
    assert upward(imports(HOUSE)) == []


def test_there_are_no_circles():
    assert circles(imports(HOUSE)) == []


def test_a_room_is_entered_through_its_door():
    """From outside a room only its packages are imported, never a module in them."""
    packages = {name for name, path in modules(HOUSE).items() if path.name == "__init__.py"}
    found = [
        each
        for each in imports(HOUSE)
        if room(each.importer) and room(each.importer) != room(each.imported)
        if each.door not in packages and each.door.count(".") > 1
    ]
    assert found == []


@pytest.mark.slow
def test_what_is_private_stays_in_its_package():
    found = [
        each
        for each in imports(HOUSE)
        if each.imported.rpartition(".")[2].startswith("_")
        if not each.importer.startswith(each.imported.rpartition(".")[0])
    ]
    assert found == []


def test_nothing_is_imported_by_a_name_in_a_string_but_from_the_lists():
    for name, path in modules(HOUSE).items():
        if path.relative_to(HOUSE).as_posix() in LISTS or "plugins" in name:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            text = node.value if isinstance(node, ast.Constant) else ""
            assert not (isinstance(text, str) and text.startswith("zoo.") and ":" in text), name


@pytest.mark.parametrize("room_name", [name for name in ROOMS if (HOUSE / name).is_dir()])
def test_every_room_says_its_job(room_name):
    text = ast.get_docstring(ast.parse((HOUSE / room_name / "__init__.py").read_text()))
    assert text and len(text) > 40


@pytest.fixture
def crooked(tmp_path):
    """A package whose imports go up, around, and through a window."""
    house = tmp_path / "zoo"
    lines = {
        "sparse/__init__.py": "",
        "sparse/tensor.py": "def late():\n    from zoo.volumes import Volume",
        "volumes/__init__.py": "from zoo.volumes.volume import Volume",
        "volumes/volume.py": "from zoo.volumes import files",
        "volumes/files.py": "from zoo.volumes.volume import Volume",
        "errors.py": "import typing\nif typing.TYPE_CHECKING:\n    from zoo import registries",
        "registries.py": "",
    }
    for name, text in lines.items():
        (house / name).parent.mkdir(parents=True, exist_ok=True)
        (house / name).write_text(text)
    (house / "__init__.py").touch()
    return house


def test_the_checks_can_fail(crooked):
    found = imports(crooked)
    assert {(each.importer, each.imported) for each in upward(found)} == {
        ("zoo.sparse.tensor", "zoo.volumes"),
        ("zoo.errors", "zoo.registries"),
    }
    assert {"zoo.volumes.volume", "zoo.volumes.files"} <= set(circles(found))
