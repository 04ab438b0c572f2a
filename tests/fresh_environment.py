"""Fresh environments, with the zoo's wheel, for plugins to be installed into."""

import json
import os
import subprocess
import sysconfig
import venv

from command_line import ROOT


def environment(folder):
    """Runs Python where the zoo's wheel is installed, and the packages of this environment are."""
    venv.create(folder / "env", with_pip=True)
    (site,) = (folder / "env").glob("lib/python*/site-packages")
    (site / "others.pth").write_text(sysconfig.get_path("purelib"))
    python = folder / "env/bin/python"
    variables = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "COLUMNS")}

    def run(*words, check=True, folder=folder):
        done = subprocess.run(
            [python, *map(str, words)],
            env=variables | {"COLUMNS": "200", "HF_HUB_OFFLINE": "1"},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert not check or done.returncode == 0, done.stderr[-2000:]
        return done

    install(run, ROOT)
    return run


def install(run, *sources, alone=True):
    words = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    words.append("--no-build-isolation")  # Hatchling is there; otherwise each would install its own
    # What the other environment has counts as installed, but the zoo is to be the wheel.
    run(*words, *(["--no-deps", "--ignore-installed"] if alone else []), *sources)


def uninstall(run, *names):
    run("-m", "pip", "uninstall", "--quiet", "--yes", *names)


def rows(run, *words):
    return json.loads(run("-m", "zoo", *words, "--json").stdout)
