"""Runs a recipe phase by phase, from wherever it stands."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from archonsim.errors import WorkloadError
from archonsim.zoo.fused import FusedSettings
from archonsim.zoo.network import Network, build, round_weights
from archonsim.zoo.unit import ConvUnit, Dense
from archonsim.zoo.widen import widen
from workloads.calibrate import calibrate
from workloads.checkpoint import CheckpointFolder, Position, save_network
from workloads.data import Split, augment
from workloads.evaluate import accuracy, estimate_statistics
from workloads.pruning import Pruner
from workloads.recipe import Phase, Recipe, Stage
from workloads.refit import prune_by_refit
from workloads.schedule import Schedule

#: Seconds between two checkpoints, and steps between two choices of the weights to prune.
SAVE_EVERY, PRUNE_EVERY = 60.0, 10


class Reporter(Protocol):
    """Hears how training goes."""

    def step(self, phase: str, step: int, steps: int, loss: float, rate: float) -> None:
        """One step is done."""

    def say(self, text: str) -> None:
        """Something worth a line happened."""


class UnfinishedError(Exception):
    """The time is up, or the user pressed Ctrl-C; the state is saved."""


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C ask for an end at the next step boundary instead of breaking a step."""
    asked = False

    def note(*_: object) -> None:
        nonlocal asked
        asked = True

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def parameter_groups(network: Network, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay acts on 1x1 and plain convolutions and on the last layer, not on depthwise kernels or normalisations."""
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    units = {id(unit.conv.weight): unit for unit in network.modules() if isinstance(unit, ConvUnit | Dense)}
    for parameter in network.parameters():
        if parameter.requires_grad:
            unit = units.get(id(parameter))
            (decayed if unit is not None and unit.layer.kind != "depthwise" else free).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]


def freeze_real_branches(network: Network) -> None:
    """Leave to training what the recipe trains beside predictors: output normalisations, head and tail."""
    for block in network.bottlenecks():
        if block.predictor1 is not None:
            for part in (block.pw1, block.dw, block.pw2.conv):
                part.requires_grad_(False)


def training_mode(network: Network) -> None:
    """Set training mode; frozen normalisations keep using their running statistics, as in Keras."""
    network.train()
    for block in network.bottlenecks():
        if block.predictor1 is not None:
            block.pw1.eval()
            block.dw.eval()


class Trainer:
    """One run of one recipe in one folder."""

    def __init__(self, recipe: Recipe, train: Split, test: Split, folder: Path, reporter: Reporter, deadline: float | None) -> None:
        self.recipe, self.reporter, self.deadline = recipe, reporter, deadline
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.train, self.test = train.to(self.device), test.to(self.device)
        self.checkpoints = CheckpointFolder(folder)
        self.folder = folder

    def run(self) -> list[dict[str, Any]]:
        """Train all phases that are not finished; return what each reached.

        Raises
        ------
        UnfinishedError
            Before the end; calling again goes on from here.
        """
        loaded = self.checkpoints.load()
        position = Position(recipe=self.recipe.name) if loaded is None else loaded[0]
        model, rest = (None, None) if loaded is None else loaded[1:]
        while position.phase < len(self.recipe.phases):
            phase = self.recipe.phases[position.phase]
            # A phase starts from the same generator whether or not the run was interrupted just before it.
            torch.manual_seed(self.recipe.seed + position.phase)
            network = self._network(phase, position, model)
            self._train(phase, network, position, rest)
            position.results.append(self._finish(phase, network))
            position.phase, position.step = position.phase + 1, 0
            model, rest = network.state_dict(), {}
            self.checkpoints.save(position, model, rest)
        return position.results

    def _network(self, phase: Phase, position: Position, model: dict[str, Any] | None) -> Network:
        """Return the network of a phase as it stands: resumed, or made from the flavour before it."""
        network = build(self.recipe.network, phase.flavour)
        if model is not None:
            missing, unexpected = network.load_state_dict(model, strict=False)
            strange = [name for name in missing if position.step or ".predictor" not in name]
            if strange or unexpected:
                raise WorkloadError(f"{self.folder}: checkpoint does not fit {self.recipe.network}: {(strange + unexpected)[0]}")
        if self.recipe.channels_last:
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        network = network.to(self.device)
        for block in network.bottlenecks():
            block.fused = FusedSettings() if self.recipe.fused else None
        if not position.step:
            self._begin(phase, network)
        if phase.flavour == "pred":
            freeze_real_branches(network)
        return network

    def _begin(self, phase: Phase, network: Network) -> None:
        """Do what comes before a phase's first step."""
        chosen = torch.randperm(len(self.train))[: max(phase.refit, phase.calibrate)].to(self.device)
        if phase.refit:
            shares = self.recipe.pointwise_sparsity, self.recipe.depthwise_sparsity
            prune_by_refit(network, self.train.batch(chosen), *shares, self.reporter.say)
        if phase.calibrate:
            round_weights(network)
            calibrate(network, self.train.batch(chosen), self.reporter.say)

    def _train(self, phase: Phase, network: Network, position: Position, rest: dict[str, Any] | None) -> None:
        schedule = Schedule(phase, len(self.train), self.recipe.seed)
        groups = parameter_groups(network, phase.weight_decay)
        optimiser = torch.optim.SGD(groups, lr=phase.peak_rate, momentum=phase.momentum, nesterov=True)
        pruner = None
        if phase.flavour != "vanilla":
            pruner = Pruner(network, self.recipe.pointwise_sparsity, self.recipe.depthwise_sparsity)
        if rest and position.step:
            optimiser.load_state_dict(rest["optimiser"])
            torch.set_rng_state(rest["rng"])
        saved, smooth = time.monotonic(), 0.0
        with deferred_interrupt() as asked:
            while position.step < schedule.steps:
                stage, local = schedule.stage_at(position.step)
                if local == 0 and stage.widen:
                    widen(network, stage.widen, stage.noise)
                for group in optimiser.param_groups:
                    group["lr"] = schedule.rate(position.step)
                loss = self._step(phase, stage, network, schedule.batch_at(position.step), optimiser)
                position.step += 1
                if pruner is not None:
                    self._prune(phase, pruner, position.step, schedule)
                smooth = loss if not smooth else 0.98 * smooth + 0.02 * loss
                self.reporter.step(phase.flavour, position.step, schedule.steps, smooth, optimiser.param_groups[0]["lr"])
                late = self.deadline is not None and time.monotonic() > self.deadline
                if late or asked() or time.monotonic() - saved > SAVE_EVERY:
                    state = {"optimiser": optimiser.state_dict(), "rng": torch.get_rng_state()}
                    self.checkpoints.save(position, network.state_dict(), state)
                    saved = time.monotonic()
                if late or asked():
                    raise UnfinishedError(f"{phase.flavour}: step {position.step} of {schedule.steps}")

    def _step(self, phase: Phase, stage: Stage, network: Network, index: Tensor, optimiser: torch.optim.Optimizer) -> float:
        training_mode(network)
        for block in network.bottlenecks():
            block.fused = FusedSettings(stage.width, stage.fixed) if self.recipe.fused else None
        x = augment(self.train.batch(index), self.recipe.pad, self.recipe.flip)
        if stage.resolution != x.shape[-1]:
            x = functional.interpolate(x, size=(stage.resolution, stage.resolution), mode="area")
        if self.recipe.channels_last:
            x = x.to(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.autocast):
            logits = network(x)
        loss = functional.cross_entropy(logits.float(), self.train.labels[index], label_smoothing=phase.label_smoothing)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        return float(loss.detach())

    def _prune(self, phase: Phase, pruner: Pruner, step: int, schedule: Schedule) -> None:
        ramping = schedule.progress(step - PRUNE_EVERY) < phase.ramp
        if ramping and step % PRUNE_EVERY == 0:
            pruner.tighten(schedule.progress(step) / phase.ramp)
        else:
            pruner.apply()

    def _finish(self, phase: Phase, network: Network) -> dict[str, Any]:
        """Measure and store a finished flavour."""
        for block in network.bottlenecks():
            block.fused = FusedSettings() if self.recipe.fused else None
        images = len(self.test)
        if phase.flavour == "pred":
            round_weights(network)
            network.use_half_words()
        else:
            if self.recipe.statistics_images:
                estimate_statistics(network, self.train, self.recipe)
            images = min(self.recipe.monitor_images or images, images)
        result = {"flavour": phase.flavour, "test_accuracy": accuracy(network, self.test, limit=images), "test_images": images}
        meta = {
            **result,
            "network": self.recipe.network,
            "recipe": self.recipe.name,
            "seed": self.recipe.seed,
            "note": self.recipe.note,
        }
        save_network(self.folder / f"{phase.flavour}.pt", meta, network.state_dict())
        self.reporter.say(f"{phase.flavour}: test accuracy {result['test_accuracy']:.4f} on {images} images")
        return result
