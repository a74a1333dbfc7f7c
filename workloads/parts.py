"""Which parts of a network train, and under which penalty."""

from __future__ import annotations

from typing import Any

from torch import nn

from archonsim.network.layer import Layer
from archonsim.zoo.network import Network
from archonsim.zoo.predictor import Predictor
from archonsim.zoo.unit import ConvUnit, Dense
from workloads.recipe import PART, Phase


def penalty(layer: Layer, l2: dict[str, float]) -> float:
    """Return the penalty of a layer's kernel: its block's own, else its part's, else none."""
    block, dot, _ = layer.name.partition(".")
    if not dot:
        return l2.get({"tail_pw": "tail", "fc": "fc"}.get(layer.role, "head"), 0.0)
    if layer.role.startswith("se_"):
        return l2.get("se", 0.0)
    for part, value in l2.items():
        found = PART.fullmatch(part)
        if found and found[1] and int(found[1]) <= int(block[1:]) <= int(found[2] or found[1]):
            return value
    return l2.get("blocks", 0.0)


def _decay(unit: ConvUnit | Dense, phase: Phase) -> float:
    if unit.layer.kind == "depthwise":
        return 0.0
    return 2 * penalty(unit.layer, phase.l2) if phase.l2 else phase.weight_decay


def parameter_groups(network: Network, phase: Phase) -> list[dict[str, Any]]:
    """Group what trains by weight decay.

    It acts on 1x1 and plain convolutions and dense layers alone.
    """
    decays: dict[int, float] = {}
    for module in network.modules():
        if isinstance(module, ConvUnit | Dense):
            decays[id(module.conv.weight)] = _decay(module, phase)
        elif (
            isinstance(module, Predictor)
            and module.kernel is not None
            and module.real_layer.kind != "depthwise"
        ):
            decays[id(module.kernel)] = 2 * phase.l2.get("predictors", 0.0)
    groups: dict[float, list[nn.Parameter]] = {}
    for parameter in network.parameters():
        if parameter.requires_grad:
            groups.setdefault(decays.get(id(parameter), 0.0), []).append(parameter)
    return [{"params": some, "weight_decay": decay} for decay, some in sorted(groups.items())]


def freeze_real_branches(
    network: Network, roles: tuple[str, ...] = (), kept_weights: bool = False
) -> None:
    """Leave to training what the recipe trains with the predictors.

    Last normalisations of blocks (a DW kernel, too), head, tail.

    Parameters
    ----------
    roles : tuple of str
        Layers outside blocks whose kernels do not train either.
    kept_weights : bool
        Leave PW2's weights free where it is the last layer of a block: the one real layer with
        weights that gradients reach.
    """
    for block in network.bottlenecks():
        if block.predictor1 is not None:
            first, second, third = block.stages
            frozen = third.conv if third is block.pw2 and not kept_weights else None
            for part in (first, second, frozen):
                if part is not None:
                    part.requires_grad_(False)
    for module in network.items.values():
        if isinstance(module, ConvUnit) and module.layer.role in roles:
            module.conv.requires_grad_(False)


def training_mode(network: Network) -> None:
    """Set training mode; frozen normalisations keep using their running statistics, as in Keras."""
    network.train()
    for block in network.bottlenecks():
        if block.predictor1 is not None:
            for unit in block.stages[:2]:
                unit.eval()


def predictors(network: Network) -> list[tuple[Predictor, ConvUnit]]:
    """Return all predictors, each with the real layer beside it."""
    return [
        (predictor, unit)
        for block in network.bottlenecks()
        for predictor, unit in zip((block.predictor1, block.predictor2), block.stages, strict=False)
        if predictor is not None
    ]
