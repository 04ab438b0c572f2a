"""What the code never does: run text, unpickle, or give words to a shell."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CODE = sorted([*ROOT.glob("zoo/**/*.py"), *ROOT.glob("zoo_plugins/*/zoo_*/**/*.py")])
NEVER_IMPORTED = {"pickle", "dill", "cloudpickle", "marshal", "shelve"}
NEVER_CALLED = {"eval", "exec", "os.system", "os.popen", "yaml.unsafe_load", "torch.hub.load"}
ONLY_WITH = {"torch.load": "weights_only=True", "np.load": "allow_pickle=False"}


def dangers(code):
    """The imports and calls in a module that could run what a file says."""
    found = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found += NEVER_IMPORTED & {name.partition(".")[0] for name in names}
        elif isinstance(node, ast.Call):
            name, words = ast.unparse(node.func), [ast.unparse(word) for word in node.keywords]
            is_unsafe = name in ONLY_WITH and ONLY_WITH[name] not in words
            if name in NEVER_CALLED or is_unsafe or "shell=True" in words:
                found.append(name)
    return found


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_runs_what_a_file_says(path):
    assert dangers(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from dill import loads",
        "eval(text)",
        "os.system(text)",
        "subprocess.run(text, shell=True)",
        "torch.load(path)",
        "np.load(path, allow_pickle=True)",
    ],
)
def test_the_check_can_fail(code):
    assert dangers(code)
