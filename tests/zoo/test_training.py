"""Training: recipes, schedules, pruning, and runs that are interrupted and go on."""

from __future__ import annotations

import dataclasses
import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra 'train')")
pytest.importorskip(
    "sklearn", reason="scikit-learn, which brings the digits, is not installed (extra 'train')"
)

from archonsim.errors import WorkloadError  # noqa: E402
from archonsim.export.datasets import load_dataset  # noqa: E402
from archonsim.zoo.fused import FusedSettings  # noqa: E402
from archonsim.zoo.network import build  # noqa: E402
from archonsim.zoo.predictor import ternarise  # noqa: E402
from archonsim.zoo.widen import widen  # noqa: E402
from tests.present import present  # noqa: E402
from workloads.book import load_recipe  # noqa: E402
from workloads.checkpoint import UnfinishedError  # noqa: E402
from workloads.console import ConsoleReporter  # noqa: E402
from workloads.data import Split, load  # noqa: E402
from workloads.evaluate import accuracy  # noqa: E402
from workloads.pruning import Pruner, magnitude_mask, sparsity_at  # noqa: E402
from workloads.recipe import FOLDER, Phase, Rate, Recipe, Stage, parse_recipe  # noqa: E402
from workloads.refit import prune_by_refit  # noqa: E402
from workloads.results import read_results  # noqa: E402
from workloads.schedule import Schedule  # noqa: E402
from workloads.trainer import Trainer  # noqa: E402

STAGES = (
    Stage(epochs=0.02, batch=16, resolution=8, width=0.5),
    Stage(epochs=0.04, batch=8, resolution=8),
)
TINY = Recipe(
    name="tiny",
    network="fusionet_digits",
    dataset="digits",
    note="",
    fused=True,
    flip=False,
    statistics_images=64,
    monitor_images=20,
    phases=(
        Phase(flavour="vanilla", stages=STAGES, peak_rate=0.05),
        Phase(flavour="pruned", stages=STAGES, peak_rate=0.05, ramp=0.5),
        Phase(flavour="pred", stages=STAGES[1:], peak_rate=0.01, calibrate=32),
    ),
)


class Listener:
    def __init__(self) -> None:
        self.steps: list[tuple[str, int]] = []

    def step(self, phase: str, step: int, steps: int, loss: object, rate: float) -> None:
        self.steps.append((phase, step))

    def say(self, text: str) -> None:
        assert text


#: The options of the recipes ``paper`` and ``gpu`` that TINY lacks: rates by epoch, the best epoch
#: kept, trained ternary kernels; bfloat16 and channels last.
RATES = (Rate(values=(0.05,)), Rate(shape="cubic", start=0.05, end=0.01, period=2))
SHORT = (Stage(epochs=2, batch=48, resolution=8),)
BY_EPOCH: dict[str, Any] = {
    "stages": SHORT,
    "peak_rate": 0.0,
    "rates": RATES,
    "nesterov": False,
    "clip": 0.0,
    "l2": {"blocks": 1e-4, "fc": 1e-4},
}
OTHER = Recipe(
    name="other",
    network="fusionet_digits",
    dataset="digits",
    note="",
    flip=False,
    one_shift=True,
    autocast=True,
    channels_last=True,
    phases=(
        Phase(flavour="vanilla", keep="best", **BY_EPOCH),
        Phase(flavour="pruned", ramp_epochs=1, keep="best_after_ramp", **BY_EPOCH),
        Phase(
            flavour="pred",
            predictors="projected",
            keep="best",
            **(BY_EPOCH | {"l2": {"predictors": 1e-4}}),
        ),
    ),
)


def some(split: str, count: int | None) -> Split:
    """The digits, or the first few of them."""
    whole = load("digits", split, None)
    return (
        whole
        if count is None
        else dataclasses.replace(whole, images=whole.images[:count], labels=whole.labels[:count])
    )


def train(
    recipe: Recipe,
    folder: Path,
    deadline: float | None = None,
    images: tuple[int | None, int | None] = (96, 40),
    listener: Listener | None = None,
) -> Listener:
    listener = listener or Listener()
    Trainer(
        recipe, some("train", images[0]), some("test", images[1]), folder, listener, deadline
    ).run()
    return listener


@pytest.mark.full
@pytest.mark.parametrize("recipe", [TINY, OTHER], ids=lambda recipe: recipe.name)
def test_an_interrupted_run_ends_with_the_same_weights_as_an_undisturbed_one(
    recipe: Recipe, tmp_path: Path
) -> None:
    images = (None, None) if recipe is TINY else (96, 40)
    whole = train(recipe, tmp_path / "whole", images=images).steps
    for _ in range(len(whole) + len(recipe.phases)):
        try:
            # A deadline that has passed already: one step, a checkpoint, and out.
            train(recipe, tmp_path / "parts", time.monotonic() - 1, images)
        except UnfinishedError:
            # What a machine that is lent for minutes hands back.
            assert len(list((tmp_path / "parts").iterdir())) <= 8
            continue
        break
    assert [flavour for flavour, _ in whole] == sorted(
        (flavour for flavour, _ in whole), key=["vanilla", "pruned", "pred"].index
    )
    for flavour in ("vanilla", "pruned", "pred"):
        one, other = (
            torch.load(tmp_path / name / f"{flavour}.pt", weights_only=True)
            for name in ("whole", "parts")
        )
        assert one["meta"] == other["meta"]
        for key, tensor in one["model"].items():
            assert torch.equal(tensor, other["model"][key]), f"{flavour} {key}"
    pred = torch.load(tmp_path / "whole" / "pred.pt", weights_only=True)
    assert pred["meta"]["test_images"] == images[1] or 450
    weight = pred["model"]["items.b1.pw1.conv.weight"]
    assert torch.equal(weight, weight.half().float())
    assert not [key for key in pred["model"] if key.endswith(".kernel")], (
        "kernels that trained are ternary in the end"
    )
    assert not [*(tmp_path / "whole").glob("*.tmp"), *(tmp_path / "whole").glob("best-*")]
    results = read_results(tmp_path / "whole")
    assert {flavour for _, flavour in results} == {"vanilla", "pruned", "pred"}
    assert results["fusionet_digits", "pred"].test_accuracy == pred["meta"]["test_accuracy"]


def test_the_best_epoch_on_the_test_images_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []

    def listen(*args: Any, **more: Any) -> float:
        seen.append(accuracy(*args, **more))
        return seen[-1]

    monkeypatch.setattr("workloads.trainer.accuracy", listen)
    recipe = dataclasses.replace(
        OTHER, phases=(Phase(flavour="vanilla", keep="best", **BY_EPOCH),), autocast=False
    )
    train(recipe, tmp_path)
    assert len(seen) == 3, "after both epochs, and at the end"
    assert seen[-1] == max(seen)


def test_a_few_steps_lower_the_loss(tmp_path: Path) -> None:
    losses: list[float] = []

    class Losses(Listener):
        def step(self, phase: str, step: int, steps: int, loss: object, rate: float) -> None:
            losses.append(float(loss))  # type: ignore[arg-type]

    phase = Phase(
        flavour="vanilla", stages=(Stage(epochs=20, batch=48, resolution=8),), peak_rate=0.05
    )
    train(
        dataclasses.replace(TINY, phases=(phase,), statistics_images=0), tmp_path, listener=Losses()
    )
    assert losses[-1] < 0.9 * losses[0]


def test_progress_is_counted_anew_in_every_phase(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    reporter = ConsoleReporter()
    for phase in ("vanilla", "pruned"):
        for step in range(1, 4):
            # The first step compiles, for 1000 s; the others take a minute each.
            clock[0] += 1000.0 if step == 1 else 60.0
            reporter.step(phase, step, 3, 0.5, 0.1)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["vanilla"] * 2 + ["pruned"] * 2
    assert all("0.02 steps/s" in line for line in lines)


def test_a_diverged_run_says_so(tmp_path: Path) -> None:
    stages = (Stage(epochs=4, batch=48, resolution=8),)
    bad = Phase(flavour="vanilla", stages=stages, peak_rate=1e30, clip=0.0, warmup=0.0)
    with pytest.raises(WorkloadError, match="vanilla diverged before step"):
        train(dataclasses.replace(TINY, phases=(bad,)), tmp_path)
    assert not list(tmp_path.iterdir())


def test_trained_ternary_kernels_are_made_ternary_after_every_step() -> None:
    torch.manual_seed(0)
    block = next(build("fusionet_digits", "pred").bottlenecks())
    for predictor, unit in ((block.predictor1, block.pw1), (block.predictor2, block.dw)):
        assert predictor is not None
        predictor.copy_from(unit)
        predictor.train_kernel(unit)
        ternary = predictor.signs * predictor.alpha.view(-1, 1, 1, 1)
        # PW starts ternary, DW from the real weights (recipes of ICS'21, 4.5).
        assert torch.equal(predictor.kernel, ternary if unit is block.pw1 else unit.conv.weight)
        x = torch.randn(4, unit.layer.in_channels, 8, 8) * 3
        predictor.train()(x).square().sum().backward()
        kernel = present(predictor.kernel)
        with torch.no_grad():
            kernel.sub_(1e-3 * present(kernel.grad))
        trained = kernel.detach().clone()
        predictor.project()
        signs, alpha = ternarise(trained, predictor.slices)
        assert torch.equal(predictor.signs, signs.to(torch.int8))
        assert torch.equal(predictor.kernel, signs * alpha.view(-1, 1, 1, 1))
        # What training computes with the kernel is what evaluation computes with signs and scale.
        sums = torch.nn.functional.conv2d(
            (x / predictor.step).round().clamp(-8, 7),
            predictor.kernel,
            None,
            predictor.stride,
            predictor.padding,
            1,
            unit.layer.groups,
        )
        torch.testing.assert_close(
            sums, predictor.accumulate(x) * predictor.alpha.view(1, -1, 1, 1), rtol=1e-4, atol=1e-4
        )
        predictor.settle()
        assert predictor.kernel is None


def test_pruning_keeps_exactly_the_largest_of_each_slice() -> None:
    network = build("fusionet_digits")
    block = next(network.bottlenecks())
    mask = magnitude_mask(block.pw1, 0.8)
    assert mask.view(4, -1).sum(1).tolist() == [round(96 * 4 * 0.2)] * 4
    weight = block.pw1.conv.weight.detach().view(4, -1).abs()
    for kept, values in zip(mask.view(4, -1), weight, strict=True):
        assert values[kept].min() >= values[~kept].max()
    assert int(magnitude_mask(block.dw, 0.7).sum()) == round(384 * 9 * 0.3)


def test_pruned_weights_stay_zero_whatever_training_does() -> None:
    network = build("fusionet_digits")
    pruner = Pruner(network, 0.8, 0.7)
    pruner.tighten(1.0)
    before = [block.dw.conv.weight.detach() != 0 for block in network.bottlenecks()]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1.0)
    Pruner.apply(pruner)
    assert all(
        torch.equal(block.dw.conv.weight.detach() != 0, kept)
        for block, kept in zip(network.bottlenecks(), before, strict=True)
    )


def test_sparsity_grows_along_a_cubic() -> None:
    assert [sparsity_at(progress, 0.8) for progress in (0.0, 0.5, 1.0, 2.0)] == pytest.approx(
        [0.0, 0.7, 0.8, 0.8]
    )


def test_refit_prunes_to_exact_counts_and_comes_closer_than_cutting_alone() -> None:
    torch.manual_seed(0)
    images = load("digits", "train", None).batch(slice(0, 256))
    network, cut = build("fusionet_digits"), build("fusionet_digits")
    for block in network.bottlenecks():
        block.fused = FusedSettings()
    for norm in network.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.momentum = None
    with torch.no_grad():
        network.train()(images)
        cut.load_state_dict(network.state_dict())
        wanted = network.eval()(images)
        Pruner(cut, 0.8, 0.7).tighten(1.0)
        prune_by_refit(network, images, 0.8, 0.7, Listener().say)
        errors = [float((one.eval()(images) - wanted).square().mean()) for one in (network, cut)]
    assert errors[0] < 0.7 * errors[1]
    for block in network.bottlenecks():
        for unit, slices, share in ((block.pw1, 4, 0.2), (block.pw2, 4, 0.2), (block.dw, 1, 0.3)):
            kept = (unit.conv.weight != 0).view(slices, -1)
            assert kept.sum(1).tolist() == [round(kept.shape[1] * share)] * slices


def test_refit_leaves_dense_what_the_recipe_says() -> None:
    torch.manual_seed(0)
    network, images = build("fusionet_digits"), torch.randn(16, 1, 8, 8)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    prune_by_refit(network, images, 0.8, 0.7, Listener().say, dense=("b1", "tail_pw"))
    same = {key for key, value in network.state_dict().items() if torch.equal(value, before[key])}
    assert "items.b1.pw1.conv.weight" in same
    assert "items.tail_pw.conv.weight" in same
    assert "items.b2.pw1.conv.weight" not in same


@pytest.mark.full
def test_kept_weights_train_beside_predictors_and_zeros_stay(tmp_path: Path) -> None:
    """The phase `pred` on the kernels: weights of PW2 move with `kept_weights` alone."""
    for kept in (False, True):
        last = Phase(
            flavour="pred",
            stages=(Stage(epochs=0.5, batch=8, resolution=8),),
            peak_rate=0.05,
            calibrate=32,
            kept_weights=kept,
        )
        pruned = Phase(flavour="pruned", stages=(), peak_rate=0.0, refit=32)
        recipe = dataclasses.replace(TINY, phases=(TINY.phases[0], pruned, last))
        train(recipe, tmp_path / str(kept))
    states = [torch.load(tmp_path / name / "pred.pt")["model"] for name in ("False", "True")]
    for key in ("items.b1.pw2.conv.weight", "items.b1.pw1.conv.weight"):
        one, other = (state[key] for state in states)
        assert torch.equal(one, other) == ("pw1" in key)
        assert torch.equal(one == 0, other == 0)
        assert 0 < (one == 0).float().mean() < 1


def test_widened_copies_make_the_same_network_when_they_are_not_perturbed() -> None:
    torch.manual_seed(0)
    network = build("fusionet_digits").train()
    x = torch.randn(8, 1, 8, 8)
    for block in network.bottlenecks():
        block.fused = FusedSettings(width=1 / 3, fixed=True)
    with torch.no_grad():
        narrow = network(x)
        widen(network, 1 / 3, noise=0.0)
        for block in network.bottlenecks():
            block.fused = None
            # A sum over three copies is three times as large; the normalisation behind it takes
            # that away but for its epsilon.
            block.pw2.conv.weight /= 3
        torch.testing.assert_close(network(x), narrow, rtol=1e-3, atol=1e-3)


def test_every_epoch_shows_every_image_once() -> None:
    schedule = Schedule(
        Phase(flavour="vanilla", stages=(Stage(epochs=2, batch=32, resolution=8),), peak_rate=1.0),
        100,
        7,
    )
    shown = torch.cat([schedule.batch_at(step) for step in range(schedule.steps)])
    assert torch.bincount(shown[:100]).tolist() == [1] * 100
    assert torch.bincount(shown[100:], minlength=100).max() == 1
    assert not torch.equal(shown[:92], shown[100:])


def test_learning_rate_warms_up_and_falls_to_its_end() -> None:
    stage = Stage(epochs=10, batch=10, resolution=8)
    schedule = Schedule(
        Phase(flavour="vanilla", stages=(stage,), peak_rate=1.0, final_rate=0.1, warmup=0.2), 100, 0
    )
    assert schedule.rate(20) == pytest.approx(1.0)
    assert (
        schedule.rate(0)
        < schedule.rate(10)
        < schedule.rate(20)
        > schedule.rate(60)
        > schedule.rate(99)
    )
    assert schedule.rate(100) == pytest.approx(0.1)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*-*.toml")), ids=lambda path: path.stem)
def test_shipped_recipes_parse_and_name_networks_that_exist(path: Path) -> None:
    recipe = parse_recipe(path.read_text("utf-8"), path.name)
    assert path.stem == f"{recipe.network}-{recipe.name}"
    assert build(recipe.network).workload.provenance.dataset == recipe.dataset
    predicted = any(block.block.predicted for block in build(recipe.network).bottlenecks())
    flavours = ["vanilla", "pruned", "pred"] if predicted else ["vanilla", "pruned"]
    assert [phase.flavour for phase in recipe.phases] == flavours
    assert all(phase.calibrate for phase in recipe.phases if phase.flavour == "pred")
    widths = [stage.width for stage in recipe.phases[0].stages]
    assert widths == sorted(widths), "what was widened is not trained narrow again"


def test_unknown_keys_and_recipes_are_refused_by_name() -> None:
    with pytest.raises(WorkloadError, match=r"unknown key 'sede'; did you mean 'seed'"):
        parse_recipe("sede = 1", "x.toml")
    with pytest.raises(
        WorkloadError, match="no recipe 'cpx' for fusionet_digits; did you mean 'cpu'"
    ):
        load_recipe("fusionet_digits", "cpx")


def test_missing_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match="no CIFAR-10 here"):
        load_dataset("cifar10", "test", tmp_path)
    with pytest.raises(WorkloadError, match="needs a folder"):
        load_dataset("cifar10", "test", None)


@pytest.mark.parametrize(
    ("dataset", "folder", "key"),
    [
        ("cifar10", "cifar-10-batches-py", b"labels"),
        ("cifar100", "cifar-100-python", b"fine_labels"),
    ],
)
def test_cifar_is_read_as_torchvision_unpacks_it(
    dataset: str, folder: str, key: bytes, tmp_path: Path
) -> None:
    inner = tmp_path / folder
    inner.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3072), np.uint8)
    file = inner / ("test_batch" if dataset == "cifar10" else "test")
    file.write_bytes(pickle.dumps({b"data": pixels, key: [7, 0, 9]}))
    images, labels = load_dataset(dataset, "test", tmp_path)
    assert labels.tolist() == [7, 0, 9]
    assert np.array_equal(images, pixels.reshape(3, 3, 32, 32))
    with pytest.raises(WorkloadError, match=r"no such file; CIFAR-10+'s train split needs"):
        load_dataset(dataset, "train", tmp_path)


def test_digits_are_split_once_and_for_all() -> None:
    splits = [load_dataset("digits", split, None) for split in ("train", "test")]
    assert [len(labels) for _, labels in splits] == [1347, 450]
    seen = {image.tobytes() for image in splits[0][0]}
    assert sum(image.tobytes() in seen for image in splits[1][0]) == 0
