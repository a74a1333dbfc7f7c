"""ARCHON's energies as published, inconsistencies included (``energy_rules = "ics21"``).

Formulas and constants: the authors' scripts and stored results, compstruct/fusion-timeloop-model,
commit ab4a7ef; docs/energy.md lists what is odd about them. They start from the energies of a
Timeloop nest, one MAC at a time, and correct those.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from archonsim.errors import SpecError
from archonsim.machines.archon.energy import memory_sizes, predicted_layer
from archonsim.machines.archon.nests import hierarchy, layer_nest, main_nest
from archonsim.machines.archon.spec import ArchonSpec
from archonsim.machines.charge import charge
from archonsim.machines.phases import Energy, PhaseResult
from archonsim.machines.row_stationary.nest_actions import InputMaps, nest_actions
from archonsim.network.block import Block
from archonsim.network.layer import Layer
from archonsim.spec.technology import load_technology

#: pJ: a multiplication in prediction, a tenth of the Timeloop runs'; an addition; a word from or to
#: DRAM.
MULTIPLY_PJ = 0.22
ADD_PJ = 0.043
DRAM_PJ = 128.0

#: The index enters as the quotient of two widths: neither 10/16 nor 26/16.
INDEX_FACTOR = 16 / 10

#: pJ of a prediction GLB access with address and data toggling: the only accesses that are not
#: charged the largest energy.
PREDICTION_GLB_PJ = {"read": 21.203, "write": 21.456}

#: Side of the array's output tile, PEs, and taps (of MnasNet's 5x5 windows, too), which the scripts
#: have as constants.
TILE, PES, TAPS = 8, 64, 9

#: Words of the older GLB that some predictions were simulated with.
OLD_GLB_WORDS = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Constants:
    """What differs between the authors' networks.

    Attributes
    ----------
    prune : float
        Share of non-zero fused weights.
    lanes : dict of adders per PE to int
        Lanes that the overhead charges.
    glb_words : int or None
        Of the predictions' GLB; None for that of the machine.
    grouped : bool
        The scripts' variant for FusioNet and ShuffleNet; the other one is for MobileNetV2 and
        MnasNet.
    decoder : float
        Decoder operations of a lane and cycle.
    two_bit_blocks : int
        First blocks whose maps have 2 bits instead of 4.
    one_map : bool
        FusioNet: what 4 bits save of a depthwise layer's DRAM input is taken from one map, and not
        from all.
    """

    prune: float
    lanes: dict[int, int]
    glb_words: int | None = None
    grouped: bool = False
    decoder: int = 16
    two_bit_blocks: int = 0
    one_map: bool = False


FUSIONET = Constants(prune=0.014, lanes={6: 24}, grouped=True, one_map=True)
MOBILENET = Constants(prune=0.013, lanes={6: 24, 5: 6}, glb_words=OLD_GLB_WORDS, decoder=24)
MNASNET = Constants(prune=0.013, lanes={6: 24, 5: 20}, two_bit_blocks=3)
SHUFFLENET = Constants(prune=0.010, lanes={6: 6}, glb_words=OLD_GLB_WORDS, grouped=True)

NETWORKS = {
    "fusionet_c10": FUSIONET, "fusionet_c10-ics21": FUSIONET, "fusionet_c100": FUSIONET,
    "fusionet_c100-ics21": FUSIONET, "mobilenetv2mod_c10": MOBILENET, "mnasnetmod_c10": MNASNET,
    "mnasnetmod_c10-ics21": MNASNET, "shufflenetmod_c10": SHUFFLENET,
    "shufflenetmod_c10-ics21": SHUFFLENET,
}  # fmt: skip


def constants_of(workload: str, adders: int) -> Constants:
    """Return a published network's constants.

    Raises
    ------
    SpecError
        The authors ran no such network, or not with so many adders.
    """
    if workload not in NETWORKS:
        raise SpecError(
            f"energy rules ics21: ICS'21 has no energies of {workload!r} on ARCHON; it has"
            f" {', '.join(NETWORKS)}"
        )
    found = NETWORKS[workload]
    if adders not in found.lanes:
        known = " or ".join(map(str, found.lanes))
        raise SpecError(
            f"energy rules ics21: pe.adders is {adders}; {workload} was published with {known}"
        )
    return found


def _nest_energy(layer: Layer, spec: ArchonSpec, glb_words: int | None, maps: InputMaps) -> Energy:
    sizes = memory_sizes(spec, main=False)
    sizes["glb"] = glb_words or sizes["glb"]
    levels = hierarchy(spec, sizes, main=False)
    return charge(
        nest_actions(*layer_nest(layer, levels), levels, maps),
        load_technology(spec.technology),
        sizes,
    )


def layer_energy(layer: Layer, spec: ArchonSpec) -> Energy:
    """Head and tail: the nest's energy.

    A depthwise layer's further input maps are charged at the GLB alone (DRAM was intended).
    """
    return _nest_energy(layer, spec, None, InputMaps(levels=("glb",)))


def predict_energy(block: Block, phase: str, spec: ArchonSpec, network: Constants) -> Energy:
    """A prediction: the nest's energy with narrow weights and maps.

    Masks, additions and multiplications are added.
    """
    layer = predicted_layer(block, phase)
    energy = _nest_energy(layer, spec, network.glb_words, InputMaps(levels=()))
    share = (2 if block.index <= network.two_bit_blocks else 4) / 16
    outputs = layer.out_channels * layer.out_h * layer.out_w
    for key in (("dram", "weight"), ("weight_spad", "weight")):
        energy[key] *= 1 / 8
    depthwise = phase == "predict_dw"
    per_product = TAPS if depthwise and not network.grouped else block.in_channels
    energy["mac", "compute"] = MULTIPLY_PJ * layer.macs / per_product
    energy["adders", "compute"] = ADD_PJ * layer.macs * (1.0 if network.grouped else share)
    energy["dram", "mask"] = DRAM_PJ / 16 * outputs
    narrow = [("glb", "input")]
    if phase == "predict_pw1":
        narrow += [
            ("dram", "input"),
            ("dram", "output"),
            *([] if network.grouped else [("ifmap_spad", "input")]),
        ]
    else:
        narrow.append(("ifmap_spad", "input"))
        del energy["dram", "output"]
    if phase == "predict_pw2":
        narrow.append(("dram", "input"))
    if depthwise:
        del energy["glb", "output"]
        one_map = energy["dram", "input"]
        charged = one_map * layer.in_channels
        energy["dram", "input"] = charged - (1 - share) * (one_map if network.one_map else charged)
    for key in narrow:
        energy[key] *= share
    return energy


def main_energy(block: Block, spec: ArchonSpec, network: Constants, cycles: int) -> Energy:
    """The fused convolution: the nest's energy without its weights, and the overhead."""
    sizes = memory_sizes(spec, main=True)
    levels = hierarchy(spec, sizes, main=True)
    energy = charge(
        nest_actions(*main_nest(block, spec, levels), levels, InputMaps()),
        load_technology(spec.technology),
        sizes,
    )
    return {**energy, **overhead_energy(block, spec, network, cycles)}


def overhead_energy(block: Block, spec: ArchonSpec, network: Constants, cycles: int) -> Energy:
    """The authors' charge for streaming weights and masks and for the accumulate stage.

    They assume a fixed rate.
    """
    technology = load_technology(spec.technology)
    pixels = block.layers[-1].out_h * block.layers[-1].out_w
    lanes, mid = network.lanes[spec.pe.adders], block.mid_channels
    kept = (
        block.in_channels
        // block.groups
        * (mid // block.groups)
        * TAPS
        * block.layers[-1].out_channels
        * network.prune
    )
    tiles = math.ceil(pixels / TILE**2)
    if network.grouped:
        accesses = math.ceil((mid + block.in_channels) * pixels / 64)
        writes, extra, factor, rate = math.ceil((mid + block.in_channels) / 8) * tiles, 1, 8.0, 0.5
    else:
        accesses = 2 * math.ceil(mid * pixels / 64)
        writes, extra, factor, rate = TAPS * math.ceil(mid / 8) * tiles, 0, 128 / 18, 1.0
    lane_cycles = lanes * cycles
    gates = network.decoder if lanes == 24 else 16
    # Each its own energy, where all other accesses are charged the larger one.
    buffer = [
        technology.memory("prediction_buffer").at(action, spec.pe.prediction_buffer_words)
        for action in ("read", "write")
    ]

    def part(name: str, action: str, times: float) -> float:
        return technology.action_pj(name, action) * times

    return {
        ("dram", "weight"): kept * DRAM_PJ * INDEX_FACTOR * pixels / TILE**2,
        ("dram", "mask"): accesses * sum(PREDICTION_GLB_PJ.values()) * factor,
        ("binary_decoder", "weight"): part("binary_decoder", "process", gates * lane_cycles),
        ("prediction_buffer", "mask"): (
            PES * (buffer[0] * (lane_cycles + extra) + buffer[1] * writes)
        ),
        ("mux_", "mask"): part("mux_", "process", PES * lane_cycles * rate),
        ("mux", "weight"): part("mux", "process", PES * 2 * lane_cycles * rate),
        ("adders", "compute"): part("adders", "add", PES * lane_cycles * rate),
        ("bit_masks_and", "mask"): part("bit_masks_and", "process", PES * lane_cycles * rate),
    }


def with_published_energy(
    result: PhaseResult, item: Layer | Block, spec: ArchonSpec, workload: str
) -> PhaseResult:
    """Charge a phase in ``ideal`` fidelity as published."""
    network = constants_of(workload, spec.pe.adders)
    if isinstance(item, Layer):
        energy = layer_energy(item, spec)
    elif result.phase == "main":
        energy = main_energy(item, spec, network, result.stats.cycles)
    else:
        energy = predict_energy(item, result.phase, spec, network)
    return replace(result, energy=energy)
