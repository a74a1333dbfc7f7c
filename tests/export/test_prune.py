"""Pruning at export: what is zero, what is estimated and fitted again, what the file says of it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra 'train')")

from archonsim.cli.app import run_command  # noqa: E402
from archonsim.errors import WorkloadError  # noqa: E402
from archonsim.export import export_module  # noqa: E402
from archonsim.export.examine import examine  # noqa: E402
from archonsim.export.images import as_images  # noqa: E402
from archonsim.export.prune import Pruning, kind_of  # noqa: E402
from archonsim.export.source import module_source  # noqa: E402
from archonsim.export.units import Unit  # noqa: E402
from archonsim.network.workload import Workload  # noqa: E402
from archonsim.runs.verify import verify  # noqa: E402
from archonsim.tracefile.reader import open_workload  # noqa: E402
from archonsim.tracefile.writer import write_workload  # noqa: E402
from tests.export.nets import MobileNetV2  # noqa: E402

SHARES = {"pointwise": 0.75, "depthwise": 0.5, "linear": 0.25}
RNG = np.random.default_rng(6)
IMAGES = RNG.standard_normal((3, 3, 32, 32)).astype(np.float32)
CALIBRATION = RNG.standard_normal((6, 3, 32, 32)).astype(np.float32)


def made() -> Any:
    """A network whose normalisations have statistics of their own, as a trained one's have."""
    torch.manual_seed(4)
    net = MobileNetV2().eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            module.weight.data.uniform_(0.6, 1.4)
            module.bias.data.normal_(0, 0.2)
    return net


def exported(method: Any = "magnitude", **options: Any) -> Workload:
    return export_module(
        made(),
        IMAGES,
        calibration=CALIBRATION,
        pruning=Pruning(shares=SHARES, method=method),
        **options,
    )


def units(net: Any, pruning: Pruning | None = None) -> tuple[Any, list[Unit]]:
    """Return what was examined, and its layers with weights."""
    source = module_source(net, IMAGES[:1], "net", "exact")
    found = examine(source, pruning=pruning, calibration=as_images(CALIBRATION))
    return found, [one for one in found.layers.values() if isinstance(one, Unit)]


@pytest.mark.parametrize("method", ["magnitude", "least-squares"])
def test_a_share_of_each_kind_becomes_zero_and_other_layers_stay(method: Any) -> None:
    work, whole = exported(method), export_module(made(), IMAGES)
    assert work.trace is not None
    assert whole.trace is not None
    seen = set()
    for layer in work.layers():
        if not layer.is_compute:
            continue
        tensors, before = work.trace.layer(layer.name), whole.trace.layer(layer.name)
        share = SHARES.get(kind_of(layer), 0.0)
        seen.add(kind_of(layer))
        zeros = tensors.weight.size - np.count_nonzero(tensors.weight)
        assert zeros == round(share * tensors.weight.size)
        if not share:
            np.testing.assert_array_equal(tensors.weight, before.weight)
            np.testing.assert_array_equal(tensors.scale, before.scale)
    assert seen == {"conv", *SHARES}
    assert work.provenance.flavour == "pruned"
    assert work.provenance.note == (
        f"PRUNED at export by {method}, not retrained: pointwise 75 %, depthwise 50 %, linear 25 %"
    )


def test_magnitude_keeps_the_largest_weights_as_they_are() -> None:
    work, whole = exported(), export_module(made(), IMAGES)
    assert work.trace is not None
    assert whole.trace is not None
    for layer in work.layers():
        if SHARES.get(kind_of(layer)) and layer.is_compute:
            after, before = (one.trace.layer(layer.name).weight for one in (work, whole))  # type: ignore[union-attr]
            kept = after != 0
            np.testing.assert_array_equal(after[kept], before[kept])
            assert np.abs(before[kept]).min() >= np.abs(before[~kept]).max()


@pytest.mark.parametrize("method", ["magnitude", "least-squares"])
def test_sums_keep_their_mean_and_deviation_on_the_calibration_images(method: Any) -> None:
    whole, layers = units(made())
    pruned, _ = units(made(), Pruning(shares=SHARES, method=method))
    for unit in layers:
        if not SHARES.get(kind_of(unit.layer)):
            continue
        one, other = (
            np.concatenate(
                [
                    found.source.runner.evaluate(
                        {found.source.graph.input.name: image[None]}, [unit.pre]
                    )[unit.pre].reshape(unit.layer.out_channels, -1)
                    for image in CALIBRATION
                ],
                axis=1,
            )
            for found in (whole, pruned)
        )
        np.testing.assert_allclose(other.mean(1), one.mean(1), atol=1e-4)
        alive = other.std(1) > 1e-6
        np.testing.assert_allclose(other.std(1)[alive], one.std(1)[alive], rtol=1e-3, atol=1e-4)
        assert alive.any()


def test_the_pruned_network_is_the_one_that_ran() -> None:
    """The same weights in PyTorch's own modules make the same masks."""
    work = exported()
    assert work.trace is not None
    net = made()
    _, layers = units(made())
    tensors = [work.trace.layer(unit.name) for unit in layers]
    convolutions = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for module, one in zip(convolutions, tensors, strict=True):
            module.weight.copy_(torch.from_numpy(one.weight).reshape(module.weight.shape))
            if module.bias is not None:
                module.weight.mul_(torch.from_numpy(one.scale)[:, None])
                module.bias.copy_(torch.from_numpy(one.shift))
        for module, one in zip(norms, tensors, strict=False):
            module.running_mean.zero_()
            module.running_var.fill_(1 - module.eps)
            module.weight.copy_(torch.from_numpy(one.scale))
            module.bias.copy_(torch.from_numpy(one.shift))
    maps: list[Any] = []
    for module in (net.one.branch[2], net.one.branch[5], net.three.branch[2]):
        module.register_forward_hook(lambda m, x, y: maps.append(y[0].numpy() > 0))
    for number, image in enumerate(IMAGES):
        maps.clear()
        with torch.no_grad():
            net(torch.from_numpy(image[None]))
        first, last = work.trace.block("b1", number), work.trace.block("b3", number)
        for mask, theirs in zip((first.keep1, first.keep2, last.keep1), maps, strict=True):
            assert (mask.unpack() != theirs).mean() < 1e-3


def test_least_squares_errs_less_than_magnitude() -> None:
    net = made()
    with torch.no_grad():
        wanted = net(torch.from_numpy(CALIBRATION)).numpy()
    errors = {}
    for method in ("magnitude", "least-squares"):
        found, _ = units(net, Pruning(shares=SHARES, method=method))
        graph, runner = found.source.graph, found.source.runner
        scores = [
            runner.evaluate({graph.input.name: image[None]}, graph.outputs)[graph.outputs[0]][0]
            for image in CALIBRATION
        ]
        errors[method] = float(np.square(np.array(scores) - wanted).mean())
    assert 0 < errors["least-squares"] < errors["magnitude"]


def test_the_module_stays_as_it_is() -> None:
    net = made()
    before = copy.deepcopy(net.state_dict())
    export_module(net, IMAGES, calibration=CALIBRATION, pruning=Pruning(shares=SHARES))
    assert all(torch.equal(one, before[name]) for name, one in net.state_dict().items())


def test_a_pruned_file_verifies_and_says_what_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "pruned.h5"
    work = exported("least-squares")
    write_workload(path, work, work.trace)
    assert all(check.passed for check in verify(open_workload(path), images=range(3)))
    assert run_command(["run", "-a", "archon", "-w", str(path)]) == 0
    assert "PRUNED at export by least-squares, not retrained" in capsys.readouterr().out


def test_labels_count_what_is_right_before_and_after(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = np.concatenate([IMAGES, CALIBRATION, RNG.standard_normal((5, 3, 32, 32))])
    images = images.astype(np.float32)
    np.save(tmp_path / "x.npy", images)
    torch.manual_seed(0)
    from tests.export.nets import labelled

    with torch.no_grad():
        classes = labelled()(torch.from_numpy(images)).argmax(1).numpy()
    classes[13] = (classes[13] + 1) % 5  # one that the network gets wrong
    (tmp_path / "y.txt").write_text("\n".join(map(str, classes)))
    command = ["export", "--module", "tests.export.nets:labelled", "--images"]
    command += [str(tmp_path / "x.npy"), "--count", "3", "--calibration", "6"]
    command += ["--labels", str(tmp_path / "y.txt"), "-o", str(tmp_path / "out.h5")]
    assert run_command([*command, "--prune", "pointwise=0.9, linear=0.5"]) == 0
    said = capsys.readouterr().err
    # 14 images, six of which were calibrated on.
    assert "% of 8 labelled images right, 87.50 % before pruning" in said
    about = open_workload(tmp_path / "out.h5").provenance
    assert about.test_images == 8
    assert about.test_accuracy in {k / 8 for k in range(9)}
    assert "pointwise 90 %, linear 50 %; 87.50 % right before" in about.note
    assert run_command(command) == 0
    about = open_workload(tmp_path / "out.h5").provenance
    assert (about.test_accuracy, about.test_images, about.note) == (13 / 14, 14, "")


WRONG = {
    "an unknown kind": (["--prune", "fully=0.5"], "--prune fully: it must be one of pointwise"),
    "a share of all": (["--prune", "conv=1"], "conv is 1; it must be greater than 0 and less"),
    "no share": (["--prune", "conv"], "write KIND=SHARE,..."),
    "a method alone": (["--prune-by", "least-squares"], "--prune-by says how to prune; add --pr"),
    "no images": (["--prune", "conv=0.5"], "give --images"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_options_are_one_line(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options, words = WRONG[case]
    command = ["export", "--module", "tests.export.nets:labelled", "--input", "3x32x32"]
    assert run_command([*command, *options, "-o", str(tmp_path / "out.h5")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert words in said
    assert not (tmp_path / "out.h5").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("0\n1\ncat\n", "not labels: a .npy of whole numbers"),
        ("7\n", "7 is the class of an image; the network knows 0 to 4"),
        ("", "shape is (0,)"),
    ],
)
def test_wrong_labels_are_one_line(
    content: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "x.npy", IMAGES)
    (tmp_path / "y.txt").write_text(content)
    command = ["export", "--module", "tests.export.nets:labelled", "--count", "2", "--images"]
    command += [str(tmp_path / "x.npy"), "--labels", str(tmp_path / "y.txt")]
    assert run_command([*command, "-o", str(tmp_path / "out.h5")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert words in said


def test_kinds_that_the_network_lacks_and_8_bit_networks_are_refused(tmp_path: Path) -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()).eval()
    with pytest.raises(WorkloadError, match="--prune depthwise: the network has no such layer"):
        export_module(
            net, IMAGES, calibration=CALIBRATION, pruning=Pruning(shares={"depthwise": 0.5})
        )
    pytest.importorskip("tflite", reason="tflite is not installed (extra 'tflite')")
    from archonsim.export import export_model
    from tests.export.tflite_files import bottleneck

    (tmp_path / "net.tflite").write_bytes(bottleneck("int8").content())
    with pytest.raises(WorkloadError, match="--prune takes networks of float32"):
        export_model(
            tmp_path / "net.tflite",
            RNG.standard_normal((2, 4, 9, 9)),
            calibration=RNG.standard_normal((2, 4, 9, 9)),
            pruning=Pruning(shares={"pointwise": 0.5}),
        )
