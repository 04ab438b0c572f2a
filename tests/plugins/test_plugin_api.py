"""The plugin API is pinned: what plugins lean on changes only together with its version."""

import ast
import inspect
import re

import pytest
from command_line import ROOT

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
    2: """
Architecture(self, config: Any) -> None: config config_class task
  forward(self, x: SparseTensor) -> Any
Backend: bfloat16 dense has_roofline index_bytes name preferred_on
  check_device(self, device: torch.device) -> None
  coarsen(self, index: Index) -> Index
  compiling(self, compilation: Callable[[], Scope]) -> Scope
  contains(self, index: Index, other: Index) -> Tensor
  convolve(self, features: Tensor, kernel: Tensor, relation: Relation, source: Index, target:
      Index) -> Tensor
  correlate(self, features: Tensor, gradient: Tensor, relation: Relation, source: Index, target:
      Index) -> Tensor
  differentiate(self, features: Tensor, kernel: Tensor, gradient: Tensor, relation: Relation,
      source: Index, target: Index, wanted: tuple[bool, bool]) -> tuple[Tensor | None, Tensor |
      None]
  index(self, coordinates: Tensor, *, batch_size: int, stride: int) -> tuple[Index, Tensor]
  index_from_grids(self, grids: Sequence[NDArray[Any]], low: Triple, device: torch.device) -> Index
  index_from_mask(self, mask: Tensor, low: Triple = (0, 0, 0)) -> Index
  index_tensors(self, source: Index, target: Index) -> tuple[Tensor, ...]
  rectify(self, features: Tensor, scale: Tensor, shift: Tensor) -> Tensor
  refine(self, index: Index, size: int) -> Index
  select(self, index: Index, keep: Tensor) -> Index
  to_grid(self, index: Index, low: Triple, shape: Triple) -> NDArray[np.bool_]
  transfer(self, features: Tensor, source: Index, target: Index, onto: Tensor | None = None) ->
      Tensor
  unite(self, a: Index, b: Index) -> Index
Executor
  __call__(self, work: Work[J], jobs: Sequence[J], run: Run) -> Iterator[Outcome[J]]
LabellingHead(self, channels: int, classes: int) -> None: kind
  forward(self, x: SparseTensor) -> Tensor
PruningHead(self, channels: int, threshold: float) -> None: kind
  forward(self, x: SparseTensor) -> tuple[Tensor, Tensor]
Reader
  __call__(self, path: Path) -> Volume
Scoring: case_kind measures score_class
  is_empty(self, score: Any) -> bool
  score(self, model: Model, case: Case) -> tuple[Prediction, Score]
Task: derivatives pipeline_tag prediction_options settings_class
  assess(self, prediction: Prediction) -> tuple[dict[str, Any], list[str]]
  benchmark(self, name: str) -> Workload
  check_card(self, card: Card) -> None
  doubts(self, model: Model, source: Volume, threshold: Threshold, prediction: Prediction) ->
      list[str]
  predict(self, model: Model, source: Volume, threshold: Threshold, options: Any, stage:
      Stage) -> Prediction
  reference_input(self, card: Card) -> Volume
  scoring(self, card: Card, settings: Settings) -> Scoring
  training(self) -> type[Training]
  trial(self, model: Model, source: Volume, threshold: Threshold) -> tuple[Bools,
      Callable[[Bools], object]]
  untrained_facts(self, config: BaseModel) -> dict[str, Any]
Training(self, config: Any, cache: Path, cell: int) -> None: config_class data
  facts(self) -> dict[str, Any]
  loss(self, network: nn.Module, x: SparseTensor, target: Any, *, forced: bool) -> Tensor
  sample(self, number: int) -> tuple[Any, Any]
  score(self, network: nn.Module, backend: Backend, device: torch.device) -> Scores
  tensors(self, batch: Batch, backend: Backend, device: torch.device) -> tuple[SparseTensor, Any]
Writer
  __call__(self, volume: Volume, path: Path) -> None
zoo_architectures zoo_backends zoo_cards zoo_executors zoo_heads zoo_readers zoo_tasks zoo_writers
About BackendError Batch Bools COST Card Case CaseKind ConfigError Convolution
      GenerativeNetwork GenerativeTransposedConvolution GridCache Grids Index InputContract Job
      KeyIndex LabelledVoxels LabelsHead Measure Measures MissingDependency Model OccupancyHead
      Options Outcome Pair PhantomConfig Predict Prediction Probabilities ReadError Relation
      Resampled
      Residual Run SAME Sample Score Scores Section Segmentation SegmentationConfig
      SegmentationTraining Settings Shape SparseSegmentation SparseTensor Stage TorchBackend
      TrainingConfig TransposedConvolution Unit VALIDATION_SEEDS Volume VolumeError WeightsError
      Work Workload WriteError ZooError atomic_path attempt binarise bounds centring_shift
      check_config
      check_output colour_of complete_skull cost dice died download find_cases generator_digest
      head_of_kind load_complete load_labels load_pair make_folder normalised pack portable
      read_config
      read_volume reference_input resample_intensities resample_mask select_backend sha256_of
      skull_case solids sparse sparse_input too_slow torch_device training_class verify windowed
      write_volume
check_architecture(architecture, config, backends)
check_backend(backend, device, dtype, refuses, leave_out)
check_card(name, backends)
check_executor(executor, run)
check_head(head, channels)
check_reader(read, write, suffix, dtypes)
check_transposed_convolution(bench, points, size, tensor_stride)
check_writer(write, suffix, read, dtypes)
""",
}


PARTS = (
    *("Architecture", "Backend", "Executor", "LabellingHead", "PruningHead", "Reader", "Scoring"),
    *("Task", "Training", "Writer"),
)


def described():
    """The API as text: parts, their attributes and methods, the groups, all names, and the kit."""
    lines = []
    for name in PARTS:
        part = getattr(plugins, name)
        made = part.__init__.__qualname__.startswith(name) and inspect.signature(part.__init__)
        lines.append(f"{name}{made or ''}: {' '.join(sorted(attributes(part)))}".rstrip(": "))
        for method, function in sorted(vars(part).items()):
            if inspect.isfunction(function) and (method == "__call__" or method[0] != "_"):
                lines.append(f"  {method}{inspect.signature(function)}")
    lines.append(" ".join(sorted(group.namespace[0] for group in zoo.registries.everything())))
    lines.append(" ".join(sorted(set(plugins.__all__) - set(PARTS))))
    for name in sorted(testing.__all__):
        if name.startswith("check_"):
            words = ", ".join(inspect.signature(getattr(testing, name)).parameters)
            lines.append(f"{name}({words})")
    return "\n".join(lines).replace("'", "")


def attributes(part):
    """Names of its declared fields and of its properties."""
    properties = {name for name, value in vars(part).items() if isinstance(value, property)}
    return set(getattr(part, "__annotations__", {})) | properties


def test_the_api_is_what_its_version_says():
    """If this fails: raise `zoo.plugin_api_version`, and pin the new API beside the old.

    Only what no plugin needs to have or to know is added to the version that is there.
    """
    pinned = PINNED[zoo.plugin_api_version]
    assert described() == re.sub(r"\n {6}", " ", pinned).strip()
    assert list(PINNED) == list(range(1, zoo.plugin_api_version + 1))


def test_every_part_says_what_it_takes_and_gives():
    for name in PARTS:
        part = getattr(plugins, name)
        assert part.__doc__, name
        for method, function in vars(part).items():
            if inspect.isfunction(function) and method[0] != "_":
                assert function.__doc__, f"{name}.{method}"


PUBLIC = {"zoo": zoo.__all__, "zoo.plugins": plugins.__all__, "zoo.testing": testing.__all__}
SOURCES = [
    *ROOT.glob("zoo_plugins/*/**/*.py"),
    *ROOT.glob("tests/plugins/zoo-outliers/**/*.py"),
    *ROOT.glob("zoo/plugins/scaffold/template/*.py.txt"),
]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_first_party_plugins_use_public_names_alone(path):
    """And so do the scaffold, and the tests of all of them."""
    tree = ast.parse(re.sub("@([A-Z]+)@", r"\1", path.read_text()))
    for node in ast.walk(tree):
        names = [alias.name for alias in getattr(node, "names", [])]
        if isinstance(node, ast.Import):
            modules = [name for name in names if name.partition(".")[0] == "zoo"]
            assert set(modules) <= set(PUBLIC), modules
        elif isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "zoo":
            assert node.module in PUBLIC, node.module
            assert set(names) <= set(PUBLIC[node.module]), names


def test_what_the_zoo_gives_plugins_can_be_had():
    assert all(hasattr(plugins, name) for name in plugins.__all__)
    assert all(hasattr(testing, name) for name in testing.__all__)
    assert len(set(plugins.__all__)) == len(plugins.__all__)
