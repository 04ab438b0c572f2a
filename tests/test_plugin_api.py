"""The plugin API is pinned: what plugins lean on changes only together with its version."""

import inspect
from typing import get_type_hints

import zoo
from zoo import plugins, testing

PINNED = {
    1: """
Architecture(self, config: Any) -> None: config config_class task
  forward(self, x: SparseTensor) -> Any
Backend: name
  add(self, x: SparseTensor, y: SparseTensor, *, overwrite: bool) -> SparseTensor
  check_device(self, device: torch.device) -> None
  coarsen(self, index: Index) -> Index
  contains(self, index: Index, other: Index) -> Tensor
  convolution(self, x: SparseTensor, kernel: Tensor, stride: int) -> SparseTensor
  generative_transposed_convolution(self, x: SparseTensor, kernel: Tensor) -> SparseTensor
  index(self, coordinates: Tensor, *, batch_size: int, stride: int) -> tuple[Index, Tensor]
  index_from_grids(self, grids: Sequence[NDArray[Any]], low: Triple, device: torch.device) -> Index
  prune(self, x: SparseTensor, keep: Tensor) -> SparseTensor
  rectify(self, features: Tensor, scale: Tensor, shift: Tensor) -> Tensor
  to_grid(self, index: Index, low: Triple, shape: Triple) -> NDArray[np.bool_]
  transposed_convolution(self, x: SparseTensor, kernel: Tensor, index: Index) -> SparseTensor
Head(self, channels: int, threshold: float) -> None: kind
  forward(self, x: SparseTensor) -> tuple[Tensor, Tensor]
LabelsHead(self, channels: int, classes: int) -> None: kind
  forward(self, x: SparseTensor) -> Tensor
Reader
  __call__(self, path: Path) -> Volume
Writer
  __call__(self, volume: Volume, path: Path) -> None
zoo_architectures zoo_backends zoo_cards zoo_heads zoo_readers zoo_writers
check_architecture(architecture, config, backends)
check_backend(backend, device, dtype, refuses, leave_out)
check_card(name, backends)
check_head(head, channels)
check_reader(read, write, suffix, dtypes)
check_writer(write, suffix, read, dtypes)
""",
}


def described():
    """The API as text: parts, their attributes and methods, the groups, and the kit."""
    lines = []
    for name in plugins.__all__:
        part = getattr(plugins, name)
        made = part.__init__.__qualname__.startswith(name) and inspect.signature(part.__init__)
        attributes = " ".join(sorted(get_type_hints(part)))
        lines.append(f"{name}{made or ''}: {attributes}".rstrip(": "))
        for method, function in sorted(vars(part).items()):
            if inspect.isfunction(function) and (method == "__call__" or method[0] != "_"):
                lines.append(f"  {method}{inspect.signature(function)}")
    groups = sorted(registry.namespace[0] for registry in zoo.registries.everything())
    lines.append(" ".join(groups))
    for name in sorted(testing.__all__):
        if name.startswith("check_"):
            words = ", ".join(inspect.signature(getattr(testing, name)).parameters)
            lines.append(f"{name}({words})")
    return "\n".join(lines).replace("'", "")


def test_the_api_is_what_its_version_says():
    """If this fails: raise `zoo.plugin_api_version`, and pin the new API beside the old."""
    assert described() == PINNED[zoo.plugin_api_version].strip()
    assert list(PINNED) == list(range(1, zoo.plugin_api_version + 1))


def test_every_part_says_what_it_takes_and_gives():
    for name in plugins.__all__:
        part = getattr(plugins, name)
        methods = [
            f for key, f in vars(part).items() if inspect.isfunction(f) and key != "__init__"
        ]
        for function in methods:
            inherited = function.__qualname__.startswith(("Protocol", "_"))
            assert inherited or function.__doc__ or function.__name__ == "__subclasshook__", (
                function
            )
        assert (part.__doc__ and "roup `zoo_" in part.__doc__) or name == "Backend"
