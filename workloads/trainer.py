"""Runs a recipe phase by phase, from wherever it stands."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, SupportsFloat

import torch
from torch import Tensor, nn
from torch.nn import functional

from archonsim.errors import WorkloadError
from archonsim.zoo.fused import FusedSettings
from archonsim.zoo.network import Network, build, round_weights
from archonsim.zoo.widen import widen
from workloads.calibrate import calibrate
from workloads.checkpoint import (
    CheckpointFolder,
    Position,
    UnfinishedError,
    load_tensors,
    save_network,
    save_tensors,
)
from workloads.data import Split, augment, shrink
from workloads.evaluate import accuracy, estimate_statistics
from workloads.parts import freeze_real_branches, parameter_groups, predictors, training_mode
from workloads.pruning import Pruner, prune
from workloads.recipe import Phase, Recipe, Stage
from workloads.refit import prune_by_refit
from workloads.results import device_name, write_results
from workloads.schedule import Schedule
from workloads.start import start_from
from workloads.team import Team

#: Seconds between two checkpoints.
SAVE_EVERY = 60.0


class Reporter(Protocol):
    """Hears how training goes."""

    def step(self, phase: str, step: int, steps: int, loss: SupportsFloat, rate: float) -> None:
        """One step is done."""

    def say(self, text: str) -> None:
        """Something worth a line happened."""


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


class Trainer:
    """One run of one recipe in one folder."""

    def __init__(
        self,
        recipe: Recipe,
        train: Split,
        test: Split,
        folder: Path,
        reporter: Reporter,
        deadline: float | None,
        start: Path | None = None,
        *,
        team: Team = Team(),  # noqa: B008 - frozen
    ) -> None:
        self.recipe, self.reporter, self.deadline = recipe, reporter, deadline
        self.start, self.team = start, team
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if self.device.type == "cuda":
            torch.backends.cudnn.benchmark = True
            # Accuracy is measured in float32; training is in bfloat16 where the recipe asks for it.
            torch.backends.cudnn.allow_tf32 = False
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
            # A phase starts from the same generator whether or not the run was interrupted just
            # before it.
            torch.manual_seed(self.recipe.seed + position.phase)
            network = self._network(phase, position, model)
            self._train(phase, network, position, rest)
            position.results.append(self._finish(phase, network, position))
            position.phase, position.step, position.best, position.seconds = (
                position.phase + 1,
                0,
                -1.0,
                0.0,
            )
            model, rest = network.state_dict(), {}
            if self.team.first:
                self.checkpoints.save(position, model, rest)
            if self.team.total(self._late()) and position.phase < len(self.recipe.phases):
                raise UnfinishedError(f"{self.recipe.phases[position.phase].flavour}: step 0")
        return position.results

    def _late(self) -> bool:
        return self.deadline is not None and time.monotonic() > self.deadline

    def _network(self, phase: Phase, position: Position, model: dict[str, Any] | None) -> Network:
        """Return the network of a phase as it stands.

        Resumed, or made from the flavour before it.
        """
        network = build(self.recipe.network, phase.flavour)
        if phase.predictors == "projected":
            for predictor, real in predictors(network):
                predictor.train_kernel(real)
        if model is not None:
            missing, unexpected = network.load_state_dict(model, strict=False)
            strange = [name for name in missing if position.step or ".predictor" not in name]
            if strange or unexpected:
                raise WorkloadError(
                    f"{self.folder}: checkpoint does not fit {self.recipe.network}:"
                    f" {(strange + unexpected)[0]}"
                )
        elif self.recipe.start:
            if self.start is None:
                raise WorkloadError(
                    f"recipe {self.recipe.name} of {self.recipe.network} starts from torchvision's"
                    " MobileNetV2; --start must name its weights"
                )
            start_from(network, self.start, self.train)
        if self.recipe.channels_last:
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        network = network.to(self.device)
        for block in network.bottlenecks():
            block.fused = FusedSettings() if self.recipe.fused else None
        if not position.step:
            self._begin(phase, network)
        if phase.flavour == "pred":
            freeze_real_branches(network, phase.frozen, kept_weights=phase.kept_weights)
        self.team.follow(network)
        return network

    def _begin(self, phase: Phase, network: Network) -> None:
        """Do what comes before a phase's first step."""
        chosen = torch.randperm(len(self.train))[: max(phase.refit, phase.calibrate)].to(
            self.device
        )
        if phase.refit:
            shares = self.recipe.pointwise_sparsity, self.recipe.depthwise_sparsity
            images = self.train.batch(chosen)
            prune_by_refit(network, images, *shares, self.reporter.say, self.recipe.dense)
        if phase.flavour != "pred":
            return
        round_weights(network)
        if phase.calibrate:
            calibrate(network, self.train.batch(chosen), self.reporter.say)
        for predictor, real in predictors(network):
            if not phase.calibrate:
                predictor.copy_from(real)
            if phase.predictors == "projected":
                predictor.train_kernel(real)

    def _train(
        self, phase: Phase, network: Network, position: Position, rest: dict[str, Any] | None
    ) -> None:
        schedule = Schedule(phase, len(self.train), self.recipe.seed)
        groups = parameter_groups(network, phase)
        optimiser = torch.optim.SGD(
            groups, lr=phase.peak_rate, momentum=phase.momentum, nesterov=phase.nesterov
        )
        pruner = None
        if phase.flavour != "vanilla":
            pruner = Pruner(
                network,
                self.recipe.pointwise_sparsity,
                self.recipe.depthwise_sparsity,
                self.recipe.dense,
            )
        if rest and position.step:
            optimiser.load_state_dict(rest["optimiser"])
            torch.set_rng_state(rest["rng"])
        saved = clock = time.monotonic()
        smooth: Tensor | None = None
        with deferred_interrupt() as asked:
            while position.step < schedule.steps:
                stage, local = schedule.stage_at(position.step)
                if local == 0 and stage.widen:
                    widen(network, stage.widen, stage.noise)
                for group in optimiser.param_groups:
                    group["lr"] = schedule.rate(position.step)
                loss = self._step(
                    phase, stage, network, schedule.batch_at(position.step), optimiser
                )
                position.step += 1
                if pruner is not None:
                    prune(phase, pruner, position.step, schedule)
                # The loss stays on its device: fetching it would wait for the step to end.
                smooth = loss if smooth is None else smooth.lerp(loss, 0.02)
                self.reporter.step(
                    phase.flavour,
                    position.step,
                    schedule.steps,
                    smooth,
                    optimiser.param_groups[0]["lr"],
                )
                self._keep_best(phase, network, position, schedule)
                stop = self.team.total(self._late() or asked()) > 0
                if stop or time.monotonic() - saved > SAVE_EVERY:
                    self._check_loss(smooth, phase, position)
                    now = time.monotonic()
                    position.seconds, clock = position.seconds + now - clock, now
                    state = {"optimiser": optimiser.state_dict(), "rng": torch.get_rng_state()}
                    if self.team.first:
                        self.checkpoints.save(position, network.state_dict(), state)
                    saved = time.monotonic()
                if stop:
                    raise UnfinishedError(
                        f"{phase.flavour}: step {position.step} of {schedule.steps}"
                    )
        position.seconds += time.monotonic() - clock
        self._check_loss(smooth, phase, position)

    def _check_loss(self, loss: Tensor | None, phase: Phase, position: Position) -> None:
        """Refuse to go on, or to store anything, once the loss is no number."""
        if loss is not None and not torch.isfinite(loss):
            where = f"{self.folder}: {phase.flavour} diverged before step {position.step}"
            raise WorkloadError(f"{where}: the loss is {float(loss)}; lower its learning rate")

    def _step(
        self,
        phase: Phase,
        stage: Stage,
        network: Network,
        index: Tensor,
        optimiser: torch.optim.Optimizer,
    ) -> Tensor:
        training_mode(network)
        for block in network.bottlenecks():
            # The first block of the MobileNets, which is never fused, has few channels and keeps
            # them.
            width = stage.width if block.block.predicted else 1.0
            block.fused = (
                FusedSettings(width, stage.fixed, stage.plain) if self.recipe.fused else None
            )
        x = augment(
            self.train.batch(index), self.recipe.pad, self.recipe.flip, self.recipe.one_shift
        )
        # All processes draw the same random numbers, which one alone would have drawn.
        x = shrink(self.team.share(x), stage.resolution)
        if self.recipe.channels_last or stage.plain:
            x = x.to(memory_format=torch.channels_last)
        halves = self.recipe.autocast or stage.plain
        with torch.autocast(self.device.type, torch.bfloat16, enabled=halves):
            logits = network(x)
        labels = self.team.share(self.train.labels[index])
        loss = functional.cross_entropy(
            logits.float(), labels, label_smoothing=phase.label_smoothing
        )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        mean = self.team.average(network, loss)
        if phase.clip:
            nn.utils.clip_grad_norm_(network.parameters(), phase.clip)
        optimiser.step()
        if phase.predictors == "projected":
            for predictor, _ in predictors(network):
                predictor.project()
        return mean

    def _keep_best(
        self, phase: Phase, network: Network, position: Position, schedule: Schedule
    ) -> None:
        """At the end of an epoch, keep the weights if they are the best on the test images."""
        epoch, rest = divmod(position.step, schedule.epoch_steps)
        after = phase.ramp_epochs if phase.keep == "best_after_ramp" else 0
        if phase.keep == "last" or rest or epoch <= after:
            return
        reached = self._accuracy(network, len(self.test))
        if reached > position.best:
            position.best = reached
            if self.team.first:
                save_tensors(self._best_file(phase), network.state_dict())

    def _best_file(self, phase: Phase) -> Path:
        return self.folder / f"best-{phase.flavour}.pt"

    def _accuracy(self, network: Network, images: int) -> float:
        for block in network.bottlenecks():
            block.fused = FusedSettings() if self.recipe.fused else None
        batch = 100 if self.device.type == "cpu" else 250
        return accuracy(network, self.test, limit=images, batch=batch, team=self.team)

    def _finish(self, phase: Phase, network: Network, position: Position) -> dict[str, Any]:
        """Measure and store a finished flavour."""
        images = len(self.test)
        if position.best >= 0 and self.team.first:
            network.load_state_dict(load_tensors(self._best_file(phase)))
        self.team.follow(network)
        for predictor, _ in predictors(network):
            predictor.settle()
        if phase.flavour == "pred":
            round_weights(network)
            network.use_half_words()
        else:
            if self.recipe.statistics_images:
                estimate_statistics(
                    network, self.train, self.recipe, batch=64 if self.device.type == "cpu" else 250
                )
            images = min(self.recipe.monitor_images or images, images)
        result = {
            "flavour": phase.flavour,
            "test_accuracy": self._accuracy(network, images),
            "test_images": images,
        }
        meta = {
            **result,
            "network": self.recipe.network,
            "recipe": self.recipe.name,
            "seed": self.recipe.seed,
            "note": self.recipe.note,
        }
        done = {
            **meta,
            "epochs": sum(stage.epochs for stage in phase.stages),
            "seconds": round(position.seconds),
            "device": device_name(self.device, self.team.size),
        }
        if self.team.first:
            save_network(self.folder / f"{phase.flavour}.pt", meta, network.state_dict())
            self._best_file(phase).unlink(missing_ok=True)
            write_results(self.folder, [*position.results, done])
        self.reporter.say(
            f"{phase.flavour}: test accuracy {result['test_accuracy']:.4f} on {images} images"
        )
        return done
