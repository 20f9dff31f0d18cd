"""What few bits cost a network's log loss: quantized after training, and trained with quantization.

python benchmarks/low_bits.py [--rows 40000] [--seeds 3] [--models dcn_v2_parallel] [--bits 4 6]

Hand-made models on the generated log of `python -m pipeline.chain` (its first rows; one pass of the race's starting
recipe). The floating-point network is quantized with calibrated ranges, every operator of a block at so many bits for
weights and activations; the same network is trained from scratch with these bits. Stem and head have 8 bits in both.
Log losses are of the test rows, the mean over seeds; the increase is over the floating-point network of the same seed,
with its standard error over seeds. The last line is one JSON object.
"""

import dataclasses
import json
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import tyro
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from modules.operators import Precision
from modules.space import Architecture
from modules.space.architecture import BlockPrecision
from modules.space.handmade import handmade
from pim_codesign import bits_of_subnet, calibrate, quantize
from pipeline.config import RunConfig
from pipeline.data import DataConfig
from pipeline.race.config import starting_recipe
from pipeline.race.recipes import fitting_batch
from pipeline.race.trial_training import Job, train_passes
from pipeline.run.processes import join
from pipeline.run.records.recipe import Recipe
from pipeline.session import Session, open_session
from pipeline.training.evaluating import evaluating
from pipeline.training.frozen_rows import FrozenRows, load_frozen_rows
from pipeline.training.standalone import with_recipe

CALIBRATION_ROWS = 4096


@dataclass(frozen=True)
class Options:
    """Measure what few bits cost."""

    rows: int = 40_000
    """Rows of the generated log; 80 % of them train."""
    seeds: int = 3
    """Trainings of each network."""
    models: tuple[str, ...] = ("dcn_v2_parallel",)
    """Hand-made models."""
    bits: tuple[int, ...] = (4, 6)
    """Bits of weights and of activations."""


@dataclass(frozen=True)
class Fitted:
    """A trained network with rows looked up in its tables."""

    network: nn.Module
    """The network."""
    calibration: FrozenRows
    """Training rows."""
    test: FrozenRows
    """Test rows."""

    @torch.no_grad()
    def log_loss(self, network: nn.Module) -> float:
        """Of a network in the place of this one, on the test rows."""
        with evaluating(network):
            logit = torch.cat([network(chunk.dense, chunk.embedded) for chunk in self.test.chunks()])
        return float(binary_cross_entropy_with_logits(logit.double(), self.test.label.double()))


def trained(session: Session, name: str, architecture: Architecture, recipe: Recipe, seed: int) -> Fitted:
    """The network after the recipe's passes over all training rows."""
    own = with_recipe(session, recipe, seed)
    _, _, network, trainee = train_passes(own, Job(0, name, architecture, recipe, row_share=1.0))
    tables, data, processes = trainee.embeddings, own.dataset, own.processes
    calibration = load_frozen_rows(tables, data, "train", CALIBRATION_ROWS, processes, 0)
    test = load_frozen_rows(tables, data, "test", data.rows("test"), processes, 0)
    return Fitted(network, calibration, test)


def at_bits(architecture: Architecture, bits: int) -> Architecture:
    """The architecture with so many bits for everything in its blocks."""
    blocks = []
    for block in architecture.blocks:
        made = {operator.branch: Precision(bits, bits) for operator in block.operators()}
        blocks.append(dataclasses.replace(block, precision=BlockPrecision(**made)))
    return dataclasses.replace(architecture, blocks=tuple(blocks))


def measure(session: Session, options: Options, name: str, recipe: Recipe) -> dict[str, float]:
    """Mean increases of one model's log loss, by how it got its bits."""
    shape = with_recipe(session, recipe).shape
    plain, increases, losses = handmade(name, shape), dict[str, list[float]](), []
    for seed in range(options.seeds):
        base = trained(session, name, plain, recipe, seed)
        losses.append(base.log_loss(base.network))
        ranges = calibrate(base.network, base.calibration.dense, base.calibration.embedded)
        for bits in options.bits:
            low = at_bits(plain, bits)
            own = bits_of_subnet(low, shape)
            after = base.log_loss(quantize(base.network, own, ranges))
            found = trained(session, name, low, recipe, seed)
            calibration = calibrate(found.network, found.calibration.dense, found.calibration.embedded)
            aware = found.log_loss(quantize(found.network, own, calibration))
            for how, loss in ((f"w{bits}a{bits}_after_training", after), (f"w{bits}a{bits}_aware", aware)):
                increases.setdefault(how, []).append(loss - losses[-1])
    print(f"{name}: {statistics.fmean(losses):.5f} in floating point", flush=True)
    for how, each in increases.items():
        error = statistics.stdev(each) / len(each) ** 0.5 if len(each) > 1 else float("nan")
        print(f"  {how:24} {statistics.fmean(each):+.5f} ± {error:.5f}", flush=True)
    return {how: round(statistics.fmean(each), 5) for how, each in increases.items()}


def main() -> None:
    """Train and measure everything."""
    options = tyro.cli(Options)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        config = RunConfig(run="low_bits", runs=folder, device="cpu", data=DataConfig(rows=options.rows))
        with join("cpu") as processes, open_session(config, processes) as session:
            batch = fitting_batch(512, session.dataset.rows("train"))
            recipe = Recipe(**starting_recipe(batch).values(), embedding_width=16)
            figures = {name: measure(session, options, name, recipe) for name in options.models}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
