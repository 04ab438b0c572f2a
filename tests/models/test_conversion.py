"""From checkpoints to model folders; what comes out answers as MinkowskiEngine does."""

import json
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from command_line import contents, hollow_box
from torch.nn import Sequential

import zoo
from zoo.cli import main
from zoo.errors import (
    ConfigError,
    MissingDependency,
    NotRegistered,
    ReadError,
    WeightsError,
    WriteError,
    ZooError,
)
from zoo.models.conversion import convert
from zoo.sparse import SparseTensor

FEW = (2, 3, 4, 5)
SEVEN = (3, 2, 4, 5, 4, 6, 8)
COMPLETION = "sparse-completion"


def public_state(channels, seed=0):
    """A state_dict as the public scripts save it, with random values."""
    draw = torch.Generator().manual_seed(seed)
    random, normal = partial(torch.rand, generator=draw), partial(torch.randn, generator=draw)
    state = {}

    def unit(name, number, size, before, after):
        deviation = (2 / (size**3 * before)) ** 0.5
        state[f"{name}.{number}.kernel"] = normal(size**3, before, after) * deviation
        norm = f"{name}.{number + 1}.bn"
        state[f"{norm}.weight"] = random(after) + 0.5
        state[f"{norm}.bias"] = normal(after) * 0.3
        state[f"{norm}.running_mean"] = normal(after) * 0.2
        state[f"{norm}.running_var"] = random(after) + 0.3
        state[f"{norm}.num_batches_tracked"] = torch.tensor(7)

    def classifier(name, before):
        state[f"{name}.kernel"] = normal(before, 1)  # without an axis for its one row
        state[f"{name}.bias"] = normal(1, 1) * 0.1 - 0.2

    unit("enc_block_s1", 0, 3, 1, channels[0])
    for level, (fine, coarse) in enumerate(pairwise(channels)):
        s, t = 2**level, 2 ** (level + 1)
        unit(f"enc_block_s{s}s{t}", 0, 2, fine, coarse)
        unit(f"enc_block_s{s}s{t}", 3, 3, coarse, coarse)
        unit(f"dec_block_s{t}s{s}", 0, 4 if level == len(channels) - 2 else 2, coarse, fine)
        unit(f"dec_block_s{t}s{s}", 3, 3, fine, fine)
        classifier(f"dec_s{s}_cls", fine)
    classifier("final_out.0", channels[0])
    return state


@pytest.fixture
def saved(tmp_path):
    """Saves whatever it is given; returns the path."""

    def save(content, name="skull_completion_512.pth", **options):
        torch.save(content, tmp_path / name, **options)
        return tmp_path / name

    return save


@pytest.fixture
def refused(tmp_path):
    """Converts what must be refused; returns the error's message. Nothing may have been written."""

    def refused(error, path, **options):
        before = contents(tmp_path)
        with pytest.raises(error) as raised:
            convert(path, tmp_path / "model", **{"architecture": COMPLETION, **options})
        assert contents(tmp_path) == before
        message = str(raised.value)
        assert isinstance(raised.value, ZooError) and "\n" not in message
        return message

    return refused


@pytest.fixture
def engine():
    """MinkowskiEngine."""
    from zoo.sparse.backends.minkowski import import_minkowski

    try:
        return import_minkowski()
    except MissingDependency as error:
        pytest.skip(str(error))


def minkowski_network(engine, channels):
    """The network of the paper as its authors name its modules; returns logits by tensor stride."""
    conv = partial(engine.MinkowskiConvolution, dimension=3)
    grow = partial(engine.MinkowskiGenerativeConvolutionTranspose, dimension=3, stride=2)
    steps = [(2**n, 2 ** (n + 1)) for n in range(len(channels) - 1)]

    def block(first, features):
        norms = [engine.MinkowskiBatchNorm(features) for _ in range(2)]
        relu, second = engine.MinkowskiReLU(), conv(features, features, kernel_size=3)
        return Sequential(first, norms[0], relu, second, norms[1], relu)

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            norm, relu = engine.MinkowskiBatchNorm(channels[0]), engine.MinkowskiReLU()
            self.enc_block_s1 = Sequential(conv(1, channels[0], kernel_size=3), norm, relu)
            for (s, t), (fine, coarse) in zip(steps, pairwise(channels), strict=True):
                down = conv(fine, coarse, kernel_size=2, stride=2)
                up = grow(coarse, fine, kernel_size=4 if (s, t) == steps[-1] else 2)
                setattr(self, f"enc_block_s{s}s{t}", block(down, coarse))
                setattr(self, f"dec_block_s{t}s{s}", block(up, fine))
                setattr(self, f"dec_s{s}_cls", conv(fine, 1, kernel_size=1, bias=True))
            last = conv(channels[0], 1, kernel_size=1, bias=True)
            self.final_out = Sequential(last, engine.MinkowskiSigmoid())
            self.pruning = engine.MinkowskiPruning()

        def forward(self, x):
            skips = [self.enc_block_s1(x)]
            for s, t in steps:
                skips.append(getattr(self, f"enc_block_s{s}s{t}")(skips[-1]))
            x, levels = skips.pop(), {}
            for s, t in reversed(steps):
                x = getattr(self, f"dec_block_s{t}s{s}")(x) + skips.pop()
                logits = getattr(self, f"dec_s{s}_cls")(x)
                levels[s] = logits.C, logits.F
                keep = (logits.F > 0).squeeze(1)
                assert keep.any()  # it crashes on a tensor without voxels
                x = self.pruning(x, keep)
            answer = self.final_out(x)
            return levels | {"answer": (answer.C, answer.F)}

    return Network()


def zoo_levels(model, points):
    """The same from a model of the zoo."""
    levels = {}

    def keep(module, given, result):
        levels[given[0].stride] = given[0].coordinates, result[0]

    for head in model.network.heads:
        head.register_forward_hook(keep)
    answer = model.network(SparseTensor.from_coordinates(points, backend=model.backend)).occupancy
    return levels | {"answer": (answer.coordinates, answer.features)}


def in_order(coordinates, values):
    order = np.lexsort(coordinates.numpy().T[::-1])
    return coordinates[order].long(), values.reshape(-1)[order]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize(("channels", "seed"), [(FEW, 3), (SEVEN, 8)])
@torch.no_grad()
def test_every_level_has_the_logits_of_minkowski_engine(engine, channels, seed, saved, tmp_path):
    theirs = minkowski_network(engine, channels).eval()
    theirs.load_state_dict(public_state(channels, seed))  # every name and shape, or it raises
    convert(saved(theirs.state_dict()), tmp_path / "model", architecture=COMPLETION)
    points = torch.from_numpy(np.argwhere(hollow_box().array))
    batch = engine.utils.batched_coordinates([points.int()])
    wanted = theirs(engine.SparseTensor(torch.ones(len(points), 1), batch))
    answers = []
    for backend in ("cpu", "minkowski"):
        model = zoo.load(f"local-dir:{tmp_path / 'model'}", backend=backend, device="cpu")
        answers.append(model.predict(hollow_box()).volume.array)
        got = zoo_levels(model, points)
        assert got.keys() == wanted.keys() and len(got) == len(channels)
        for level, (coordinates, values) in got.items():
            (ours, a), (engines, b) = in_order(coordinates, values), in_order(*wanted[level])
            assert torch.equal(ours, engines) and len(ours)
            torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
    assert np.array_equal(*answers)
    assert hollow_box().array.sum() < answers[0].sum() < answers[0].size


def test_every_tensor_is_reported(saved, tmp_path):
    state = public_state(FEW)
    report = convert(saved(state), tmp_path / "model", architecture=COMPLETION)
    network = zoo.load(f"local-dir:{tmp_path / 'model'}", device="cpu").network
    got = network.state_dict()
    assert {used.old for used in report.used} == state.keys()
    assert {used.new: used.shape for used in report.used} == {k: v.shape for k, v in got.items()}
    assert all(torch.equal(got[u.new].reshape(-1), state[u.old].reshape(-1)) for u in report.used)
    assert (report.missing, report.left_over, report.nested) == ((), (), "")
    assert report.config["channels"] == list(FEW) and network.config.channels == FEW
    was = {used.new: used.was for used in report.used if used.was}
    assert was["heads.1.classifier.kernel"] == "float32 (3, 1)"
    assert len(was) == 2 * 4  # kernels and biases of what has size 1


@pytest.mark.slow
def test_the_same_network_serves_super_resolution(saved, tmp_path):
    convert(saved(public_state(FEW)), tmp_path / "model", architecture="sparse-super-resolution")
    model = zoo.load(f"local-dir:{tmp_path / 'model'}", device="cpu")
    assert model.card.task == "super-resolution" and model.config.channels == FEW


def prefixed(state, prefix):
    return {f"{prefix}{name}": value for name, value in state.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrap", "nested", "left_over"),
    [
        (lambda state: prefixed(state, "module."), "", ()),
        (lambda state: prefixed(state, "_orig_mod.module."), "", ()),
        (lambda state: {"state_dict": state}, "state_dict", ()),
        (lambda state: {"epoch": 3, "model": prefixed(state, "module.")}, "model", ("epoch",)),
        (
            lambda state: {"model": "net", "model_state_dict": state, "optimizer": {"state": {}}},
            "model_state_dict",
            ("model", "optimizer"),
        ),
    ],
)
def test_wrapped_state_dicts(wrap, nested, left_over, saved, tmp_path):
    state = public_state(FEW)
    plain, wrapped = tmp_path / "plain", tmp_path / "wrapped"
    convert(saved(state), plain, architecture=COMPLETION)
    report = convert(saved(wrap(state)), wrapped, architecture=COMPLETION)
    assert (report.nested, report.left_over) == (nested, left_over)
    assert all(used.old.endswith(old) for used, old in zip(report.used, state, strict=True))
    one, other = (
        zoo.load(f"local-dir:{folder}").network.state_dict() for folder in (plain, wrapped)
    )
    assert all(torch.equal(other[name], value) for name, value in one.items())


@pytest.mark.parametrize(
    ("architecture", "config", "untold"),
    [
        (COMPLETION, {"channels": FEW}, ()),
        (COMPLETION, {"channels": FEW, "residuals": (2, 0, 1)}, ()),
        (COMPLETION, {"channels": FEW, "thresholds": (-1, 0, 0)}, ("thresholds",)),
        ("sparse-segmentation", {"channels": (2, 3), "classes": 3}, ("channels", "classes")),
    ],
)
def test_names_of_the_network_itself(architecture, config, untold, saved, tmp_path):
    """`untold` is what shapes do not tell."""
    torch.manual_seed(0)
    state = zoo.create(architecture, config, backend="torch", device="cpu").network.state_dict()
    settings = {key: config[key] for key in untold}
    options = {"architecture": architecture, "config": settings}
    report = convert(saved(state), tmp_path / "model", **options)
    model = zoo.load(f"local-dir:{tmp_path / 'model'}", device="cpu")
    assert all(used.old == used.new and used.was is None for used in report.used)
    assert {key: getattr(model.config, key) for key in config} == config
    assert all(torch.equal(state[k], v) for k, v in model.network.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_floats_become_float32(dtype, saved, tmp_path):
    state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in public_state(FEW).items()}
    report = convert(saved(state), tmp_path / "model", architecture=COMPLETION)
    got = zoo.load(f"local-dir:{tmp_path / 'model'}", device="cpu").network.state_dict()
    assert {v.dtype for v in got.values()} == {torch.float32, torch.int64}
    kernel = next(used for used in report.used if used.new == "encoder.0.convolution.kernel")
    assert kernel.was == f"{str(dtype)[6:]} (27, 1, 2)"
    assert torch.equal(got[kernel.new], state[kernel.old].float())


def test_only_counters_of_batches_may_be_missing(saved, refused, tmp_path):
    state = {k: v for k, v in public_state(FEW).items() if not k.endswith("num_batches_tracked")}
    report = convert(saved(state), tmp_path / "counted", architecture=COMPLETION)
    assert len(report.missing) == 1 + 4 * 3
    assert all(name.endswith("norm.num_batches_tracked") for name in report.missing)
    del state["enc_block_s2s4.1.bn.running_var"], state["dec_s1_cls.kernel"]
    message = refused(WeightsError, saved(state))
    assert "missing: enc_block_s2s4.1.bn.running_var, dec_s1_cls.kernel;" in message


class Hostile:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_hostile_pickle_is_refused_and_not_run(zipped, saved, refused, tmp_path):
    content = {"state_dict": public_state(FEW), "epoch": Hostile(tmp_path / "made")}
    path = saved(content, _use_new_zipfile_serialization=zipped)
    with open(path, "rb") as file:  # it does what it says
        assert b"open" in file.read()
    message = refused(ReadError, path)
    assert "wanted plain tensors, got a pickle that calls " in message and "io.open" in message
    assert not (tmp_path / "made").exists()


def test_a_whole_network_is_refused(saved, refused):
    message = refused(ReadError, saved(torch.nn.Linear(2, 2)))
    assert "torch.nn.modules.linear.Linear" in message and "only a state_dict()" in message


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.99])
def test_truncated_files(zipped, share, saved, refused):
    path = saved(public_state(FEW), _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "copy it again" in refused(ReadError, path)


def test_files_that_are_no_checkpoints(refused, tmp_path):
    (tmp_path / "text.pth").write_text("hello world\n")
    (tmp_path / "folder.pth").mkdir()
    assert "damaged, truncated or something else" in refused(ReadError, tmp_path / "text.pth")
    assert "got a folder" in refused(ReadError, tmp_path / "folder.pth")
    assert "got no such file" in refused(ReadError, tmp_path / "none.pth")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ([1, 2], "got list:"),
        ({}, "got dict:"),
        ({"epoch": 3, "weights_of_it": {"a": torch.ones(1)}}, "epoch (int), weights_of_it (dict)"),
        ({"model": {"a": torch.ones(1)}, "net": {"a": torch.ones(1)}}, "model (dict), net (dict)"),
        ({0: torch.ones(1)}, "got dict:"),
    ],
)
def test_files_without_one_state_dict(content, named, saved, refused):
    message = refused(WeightsError, saved(content))
    assert "wanted a state_dict" in message and named in message


KERNEL = "enc_block_s2s4.0.kernel"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"dec_s8_cls.kernel": torch.ones(2, 1)}, "left over: dec_s8_cls.kernel;"),
        ({"encoder.2.0.convolution.kernel": torch.ones(8, 3, 4)}, f"left over: {KERNEL};"),
        ({KERNEL: torch.ones(8, 3, 5)}, f"{KERNEL} (wanted shape (8, 3, 4), got (8, 3, 5));"),
        ({KERNEL: torch.ones(())}, f"{KERNEL} (wanted shape (8, 3, 4), got ());"),
        ({KERNEL: torch.full((8, 3, 4), torch.nan)}, f"{KERNEL} (wanted finite float32 (8, 3, 4)"),
        ({KERNEL: torch.full((8, 3, 4), 1e300, dtype=torch.float64)}, f"{KERNEL} (wanted finite"),
        ({KERNEL: torch.ones(8, 3, 4).int()}, f"{KERNEL} (wanted float32 (8, 3, 4), got int32"),
        ({KERNEL: torch.ones(8, 3, 4).to_sparse()}, f"{KERNEL} (wanted a dense tensor"),
        ({KERNEL: torch.ones(8, 3, 4, device="meta")}, f"{KERNEL} (wanted a dense tensor"),
    ],
)
def test_tensors_that_do_not_fit(change, named, saved, refused):
    message = refused(WeightsError, saved(public_state(FEW) | change))
    assert named in message and f"{COMPLETION} with config" in message
    assert "missing" not in message


def test_few_bytes_that_stand_for_many(saved, refused):
    change = {"enc_block_s1.0.kernel": torch.ones(1).expand(27, 1, 10**9)}
    message = refused(WeightsError, saved(public_state(FEW) | change))
    assert "wanted every value of its tensors, 108,0" in message


def test_a_checkpoint_of_something_else(saved, refused):
    message = refused(WeightsError, saved(torch.nn.Linear(2, 2).state_dict()))
    assert "left over: weight, bias;" in message
    assert "missing: encoder.0.convolution.kernel" in message and "more" in message


@pytest.mark.parametrize(
    ("config", "error", "named"),
    [
        ({"channels": (2, 3, 4, 6)}, WeightsError, "wanted shape (8, 4, 6), got (8, 4, 5)"),
        ({"channels": (2, 3, 4, 5, 6)}, WeightsError, "missing: enc_block_s8s16.0.kernel"),
        ({"thresholds": (0.5,)}, ConfigError, "thresholds: Value error, wanted 3 numbers"),
        ({"chanels": (2, 3)}, ConfigError, f"config of {COMPLETION}: chanels: Extra inputs"),
        ({"head": "labels"}, ConfigError, "head: wanted one of kind 'occupancy'"),
    ],
)
def test_configs_that_do_not_fit(config, error, named, saved, refused):
    assert named in refused(error, saved(public_state(FEW)), config=config)


def test_a_level_that_is_missing_altogether(saved, refused):
    state = {k: v for k, v in public_state(SEVEN).items() if "s4s8" not in k and "s8s4" not in k}
    state = {k: v for k, v in state.items() if "s8s16" not in k and "s16s8" not in k}
    assert "missing: enc_block_s4s8.0.kernel" in refused(WeightsError, saved(state))


def test_unknown_architectures(saved, refused):
    message = refused(NotRegistered, saved(public_state(FEW)), architecture="sparse-complete")
    assert COMPLETION in message


def test_the_card_says_where_it_came_from(saved, tmp_path):
    path = saved(public_state(FEW), "Skull_Completion 512.pth")
    convert(path, tmp_path / "model", architecture=COMPLETION)
    card = zoo.info(f"local-dir:{tmp_path / 'model'}")
    assert card.name == "skull-completion-512" and card.task == "completion"
    assert card.input.accepts((0.1, 1, 90))
    assert "Skull_Completion 512.pth" in card.text and str(tmp_path) not in card.text


@pytest.mark.slow
def test_name_and_spacing(saved, refused, tmp_path):
    path = saved(public_state(FEW))
    convert(path, tmp_path / "mine", architecture=COMPLETION, name="mine", spacing=0.5)
    card = zoo.info(f"local-dir:{tmp_path / 'mine'}")
    assert card.name == "mine" and card.input.spacing == (0.5, 0.5, 0.5)
    assert card.input.accepts((0.5, 0.5, 0.6)) and not card.input.accepts((1, 1, 1))
    assert "name: String should match" in refused(ConfigError, path, name="Not a name")
    for spacing in (0, -1, float("nan"), float("inf")):
        assert "spacing: wanted" in refused(ConfigError, path, spacing=spacing)


def test_scans_keep_their_windows(saved, tmp_path):
    config = {"channels": (2, 3), "classes": 3}
    state = zoo.create("sparse-segmentation", config, backend="torch").network.state_dict()
    options = {"architecture": "sparse-segmentation", "config": config, "spacing": 3}
    convert(saved(state), tmp_path / "model", **options)
    card = zoo.info(f"local-dir:{tmp_path / 'model'}")
    assert (card.input.kind, card.input.spacing) == ("intensity", (3, 3, 3))
    assert card.input.windows and len(card.labels) == 2


def test_nothing_is_overwritten(saved, refused, tmp_path):
    path = saved(public_state(FEW))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "notes.txt").write_text("mine")
    convert(path, tmp_path / "model", architecture=COMPLETION)
    assert (tmp_path / "model" / "notes.txt").read_text() == "mine"
    assert "model.safetensors" in refused(WriteError, path)


def test_a_folder_that_cannot_be_written_is_not_left(saved, tmp_path, monkeypatch):
    def fail(card):
        raise OSError(28, "No space left on device")

    path = saved(public_state(FEW))
    monkeypatch.setattr("zoo.cards.card.Card.to_markdown", fail)
    with pytest.raises(WriteError, match="No space left"):
        convert(path, tmp_path / "model", architecture=COMPLETION)
    assert not (tmp_path / "model").exists()


@pytest.mark.slow
def test_command(saved, tmp_path, capfd):
    path, folder = saved(public_state(FEW)), tmp_path / "model"
    words = ["convert", str(path), "--architecture", COMPLETION, "-o"]
    assert main([*words, str(folder), "--config", '{"thresholds": [-1, 0, 0]}']) == 0
    printed, complaints = capfd.readouterr()
    assert not complaints
    assert "dec_s2_cls.kernel -> heads.1.classifier.kernel (1, 3, 1), was float32 (3, 1)" in printed
    assert printed.splitlines()[-1].endswith(f"use it as local-dir:{folder}")
    (tmp_path / "config.json").write_text('{"thresholds": [-2, 0, 0]}')
    more = ["--config", str(tmp_path / "config.json"), "--name", "b", "--spacing", "0.4", "--json"]
    assert main([*words, str(tmp_path / "b"), *more]) == 0
    facts = json.loads(capfd.readouterr().out)
    assert facts["name"] == "b" and facts["config"]["thresholds"] == [-2, 0, 0]
    assert facts["used"][0] == {
        "old": "enc_block_s1.0.kernel",
        "new": "encoder.0.convolution.kernel",
        "shape": [27, 1, 2],
        "was": None,
    }
    assert facts["missing"] == facts["left_over"] == []


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--config", '{"channels": }'], "wanted JSON"),
        (["--config", "none.json"], "none.json"),
        (["--config", '{"channels": [2, 3, 4, 6]}'], "wanted shape (8, 4, 6), got (8, 4, 5)"),
        (["--spacing", "0"], "spacing: wanted"),
        (["--spacing", "wide"], "'--spacing'"),
    ],
)
def test_command_refuses_in_one_line(words, named, saved, tmp_path, capfd):
    path = saved(public_state(FEW))
    before = contents(tmp_path)
    given = ["convert", str(path), "-o", str(tmp_path / "model"), "--architecture", COMPLETION]
    assert main([*given, *words]) == 2
    printed, complaints = capfd.readouterr()
    assert not printed and complaints.startswith("zoo: ") and complaints.count("\n") == 1
    assert named in complaints and contents(tmp_path) == before


def test_config_of_another_kind_than_an_object(saved, tmp_path, capfd):
    (tmp_path / "list.json").write_text("[1]")
    path = saved(public_state(FEW))
    words = ["-o", tmp_path / "m", "--architecture", COMPLETION, "--config", tmp_path / "list.json"]
    assert main(["convert", str(path), *map(str, words)]) == 2
    assert "wanted a JSON object" in capfd.readouterr().err
