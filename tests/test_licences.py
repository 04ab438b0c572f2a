"""Every package that a user of the zoo gets has a licence that lets them use and pass it on."""

import re
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

OURS = "sparse-volume-zoo"
BUILDING = {"dev", "minkowski"}  # extras that users do not need
ALLOWED = re.compile(
    r"(?i)\b(MIT|BSD|0BSD|ISC|Apache|PSF|Python Software Foundation|Zlib|HPND|MPL|Mozilla|LGPL"
    r"|Unlicense)"
)
NEVER = re.compile(r"(?i)\b(A?GPL|affero|proprietary|non.?commercial|CC.BY.NC)")


def installed(name):
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None


def needed():
    """The packages that the zoo needs, with those that these need, by their names."""
    extras = set(metadata.metadata(OURS).get_all("Provides-Extra")) - BUILDING
    found, todo = {}, [(OURS, extras)]
    while todo:
        name, extras = todo.pop()
        distribution = installed(name)
        if distribution is None or canonicalize_name(name) in found:
            continue
        if name.startswith(("nvidia-", "cuda-")):  # CUDA, which PyTorch brings for NVIDIA's GPUs
            continue
        found[canonicalize_name(name)] = distribution
        for text in distribution.requires or []:
            wanted = Requirement(text)
            if wanted.marker is None or any(
                wanted.marker.evaluate({"extra": extra}) for extra in ("", *extras)
            ):
                todo.append((wanted.name, wanted.extras))
    del found[OURS]
    return found


def licence(distribution):
    """What the metadata of a package says, in the newest of the three ways; or its licence."""
    facts = distribution.metadata
    files = [f for f in distribution.files or [] if f.name.upper().startswith("LICEN")]
    text = files[0].locate().read_text(errors="replace")[:200] if files else ""
    classifiers = [c for c in facts.get_all("Classifier") or [] if c.startswith("License ::")]
    return facts.get("License-Expression") or " ".join(classifiers) or facts.get("License") or text


def objection(text):
    said = re.sub(r"(?i)\bLGPL[\w.+-]*|lesser general public", "LGPL", text)
    if NEVER.search(said):
        return f"may not be passed on freely: {said[:80]}"
    return None if ALLOWED.search(said) else f"unknown: {said[:80]!r}"


def test_licences_of_dependencies():
    found = needed()
    assert {"torch", "numba", "numpy", "pydantic", "catalogue", "safetensors"} <= set(found)
    objections = {name: objection(licence(each)) for name, each in found.items()}
    assert {name: why for name, why in objections.items() if why} == {}


@pytest.mark.parametrize("text", ["", "GPL-3.0-only", "CC-BY-NC-4.0", "see the file", "AGPL-3.0"])
def test_the_check_can_fail(text):
    assert objection(text)


@pytest.mark.parametrize("text", ["LGPL-3.0-or-later", "MPL-2.0 AND MIT", "BSD 3-Clause License"])
def test_what_is_allowed(text):
    assert objection(text) is None
