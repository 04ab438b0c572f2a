"""What is public says what it takes and gives: every argument, what is returned, an example."""

import inspect
import re

import pytest

import zoo
from zoo import plugins, testing

HUB = ("Model.from_pretrained", "Model.push_to_hub")  # their examples need it, so they do not run
METHODS = (*zoo.__all__, "InputContract", "Probabilities", "Resampled", "SparseTensor")
PROTOCOLS = (
    *("Architecture", "Backend", "Executor", "LabellingHead", "PruningHead", "Reader", "Scoring"),
    *("Task", "Training", "Writer"),
)


def methods(owner):
    """The public methods that a class has of its own, without those of pydantic."""
    for name, value in vars(owner).items():
        function = inspect.unwrap(getattr(value, "__func__", value))
        if inspect.isfunction(function) and (name[0] != "_" or name == "__call__"):
            yield name, function


def public():
    """Every function and method by its name."""
    found = {}
    for module in (zoo, plugins, testing):
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isfunction(value):
                found[f"{module.__name__}.{name}"] = inspect.unwrap(value)
            elif inspect.isclass(value) and name in (*METHODS, *PROTOCOLS):
                for method, function in methods(value):
                    found[f"{module.__name__}.{name}.{method}"] = function
    return found


PUBLIC = public()
OURS = [
    name for name in PUBLIC if name.split(".")[-2] not in PROTOCOLS and name[:12] != "zoo.testing."
]


def documented(doc):
    """The arguments that a docstring explains."""
    section = re.search(r"(?ms)^Args:\n(.*?)(?=^\S|\Z)", doc)
    names = re.findall(r"(?m)^    ([\w, ]+): \S", section[1] if section else "")
    return {name.strip() for group in names for name in group.split(",")}


def lacking(name, function):
    """What the docstring of a function does not say."""
    doc = inspect.getdoc(function) or ""
    signature = inspect.signature(function)
    wanted = [each for each in signature.parameters if each not in ("self", "cls")]
    found = [each for each in wanted if each not in documented(doc)]
    gives = signature.return_annotation not in (None, "None", inspect.Signature.empty)
    if gives and not re.search(r"(?m)^(Returns|Yields):$", doc):
        found.append("what it returns")
    return found


@pytest.mark.parametrize("name", PUBLIC)
def test_arguments_and_results_are_explained(name):
    assert lacking(name, PUBLIC[name]) == []


@pytest.mark.parametrize("name", OURS)
def test_there_is_an_example(name):
    """In the docstring, or in that of the class, which then says so; it runs with the others."""
    doc = inspect.getdoc(PUBLIC[name]) or ""
    if "class has an example" in doc:
        owner = name.split(".")[-2]
        doc = inspect.getdoc(getattr(zoo, owner, None) or getattr(plugins, owner))
    elif found := re.search(r"`(\w+)` has an\s+example", doc):
        doc = inspect.getdoc(getattr(plugins, found[1]))
    assert (">>> " in doc) or (name.endswith(HUB) and "\n    " in doc)


def test_the_checks_can_fail():
    def vague(volume, *, threshold: float = 0.5) -> int:
        """Do something.

        Args:
            volume: the volume.
        """

    assert lacking("vague", vague) == ["threshold", "what it returns"]
