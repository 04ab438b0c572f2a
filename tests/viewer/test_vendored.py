"""What others wrote of the page lies here unchanged, with its licence."""

import hashlib
import json
from importlib.resources import files

ASSETS = files("zoo.viewer") / "assets"
OWN = {"page.html", "view.css", "view.js", "vendored.json"}


def test_vendored_files_are_those_of_the_manifest():
    packages = json.loads((ASSETS / "vendored.json").read_text())
    found = {name: digest for package in packages for name, digest in package["sha256"].items()}
    for name, digest in found.items():
        assert hashlib.sha256((ASSETS / name).read_bytes()).hexdigest() == digest, name
    assert {path.name for path in ASSETS.iterdir()} == OWN | set(found)
    for package in packages:
        assert package.keys() >= {"package", "version", "license"}
        assert any(name.endswith("LICENSE") for name in package["sha256"])
