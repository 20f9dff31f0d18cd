"""Table bytes that a width for each table saves at equal validation log loss, on the generated log and on Frappe.

    nice -n 10 python -m benchmarks.widths [--seeds 2] [--folder /tmp/widths] [--logs planted frappe]

Trains narrow DLRM with the recipe that races find on each log: with one D for all tables, D of several widths; and with
widths of their own under limits of bytes, found by pipeline/training/table_widths.py from the first seed's training at
the recipe's D, or given by the sizes of the tables (mixed dimensions, arXiv:1909.11810: width ∝ rows^-.3). What is
trained already is read from the folder. A line for each choice has its bytes and its mean validation log loss.

For each log the target is the least log loss with one D for all, and .0003. Compared are the fewest bytes within the
target with one D for all, and with widths of the tables' own. The last line is JSON: table_bytes_ratio, the first over
the second, the smaller of the logs'; 0 where no widths of the tables' own were within the target.
"""

import dataclasses
import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from benchmarks.frappe import LOG as FRAPPE
from modules.embeddings import BYTES_PER_NUMBER
from modules.space import OPEN
from modules.space.handmade import handmade
from modules.space.union import narrow
from pipeline.config import RunConfig
from pipeline.data import DataConfig
from pipeline.race.config import RaceConfig
from pipeline.race.proposals import NARROW_WIDTH, REFERENCE
from pipeline.race.recipes import first_recipes, fitting_batch, with_prior
from pipeline.race.trial_training import Job, train_passes
from pipeline.run.files import read_json, write_json
from pipeline.run.processes import cpu_threads, join
from pipeline.run.records.recipe import WIDTH_STEP, Recipe
from pipeline.session import Session, open_session
from pipeline.training.standalone import with_recipe
from pipeline.training.table_widths import allotted, measured_losses, widths_by_size

EQUAL = 0.0003
"""Log losses no further apart count as equal, nats per row."""


@dataclass(frozen=True)
class WidthsConfig:
    """Compare widths of embedding tables."""

    seeds: int = 2
    """Trainings of each choice, at least 1."""
    logs: tuple[str, ...] = ("planted", "frappe")
    """Of these two."""
    divisors: tuple[float, ...] = (2.0, 4.0, 6.0)
    """Limits: the bytes of tables of the recipe's D over each of these, above 1."""
    frappe: str = str(FRAPPE)
    """Where that log is."""
    folder: str = "/tmp/widths"
    """Where the trainings' outcomes and the generated log are."""


@dataclass(frozen=True)
class Choice:
    """Widths of the tables."""

    label: str
    """How they came about: "one" D for all, "found" or "power_law", and how narrow."""
    width: int
    """D."""
    table_widths: tuple[int, ...] = ()
    """Width of each table; empty: all are D wide."""


def recipe_of(log: str, train_rows: int) -> Recipe:
    """The recipe that races find on the log: three passes with fresh tables at D 32, two of three planned passes with
    kept tables at D 64; both with a prior of 32."""
    fresh, kept = first_recipes(RaceConfig(), 32)[0], first_recipes(RaceConfig(), 64)[1]
    recipe = with_prior(fresh if log == "planted" else kept, 32.0)
    return dataclasses.replace(recipe, batch_size=fitting_batch(recipe.batch_size, train_rows))


def train(session: Session, log: str, choice: Choice, seed: int, folder: Path) -> float:
    """Validation log loss of one training; what it leaves for other widths is written beside it."""
    path = folder / f"{choice.label}_seed_{seed}.json"
    recipe = recipe_of(log, session.dataset.rows("train"))
    whole = choice.width == recipe.embedding_width and not choice.table_widths
    recipe = dataclasses.replace(recipe, embedding_width=choice.width, table_widths=choice.table_widths)
    if not path.exists():
        seeded = dataclasses.replace(session, config=dataclasses.replace(session.config, seed=seed))
        own = with_recipe(seeded, recipe)
        plain = dataclasses.replace(own.shape, table_widths=())
        architecture = narrow(handmade(REFERENCE, plain), NARROW_WIDTH, OPEN)
        with cpu_threads(1):
            loss, _, network, trainee = train_passes(own, Job(0, REFERENCE, architecture, recipe, 1.0))
            lost = [list(of.items()) for of in measured_losses(own, network, trainee)] if whole and not seed else []
        write_json(path, {"log_loss": loss, "widths": list(choice.table_widths), "losses_by_width": lost})
    found = read_json(path)
    if found["widths"] != list(choice.table_widths):
        raise ValueError(f"{path} is of other widths; remove it to have it trained again")
    return float(found["log_loss"])


def table_bytes(choice: Choice, sizes: Sequence[int]) -> int:
    """Of all tables."""
    widths = choice.table_widths or (choice.width,) * len(sizes)
    return BYTES_PER_NUMBER * sum(width * rows for width, rows in zip(widths, sizes, strict=True))


def choices(session: Session, log: str, config: WidthsConfig, folder: Path) -> Iterator[Choice]:
    """All that are compared; those that are found are asked for after the first training."""
    width = recipe_of(log, session.dataset.rows("train")).embedding_width
    sizes = session.dataset.schema.table_sizes
    while width >= WIDTH_STEP:
        yield Choice(f"one_{width}", width)
        width //= 2
    width = recipe_of(log, session.dataset.rows("train")).embedding_width
    whole = table_bytes(Choice("", width), sizes)
    measured = read_json(folder / f"one_{width}_seed_0.json")["losses_by_width"]
    losses = [{int(own): lost for own, lost in of} for of in measured]
    for divisor in config.divisors:
        yield Choice(f"found_{divisor:g}", width, allotted(losses, sizes, whole / divisor))
        yield Choice(f"power_law_{divisor:g}", width, widths_by_size(sizes, width, whole / divisor))


def compare(log: str, config: WidthsConfig) -> float:
    """All trainings of a log; the ratio of bytes at equal log loss."""
    folder = Path(config.folder) / log
    folder.mkdir(parents=True, exist_ok=True)
    data = DataConfig(path="" if log == "planted" else config.frappe)
    run = RunConfig(run="data", runs=str(folder), device="cpu", data=data)
    found: dict[Choice, float] = {}
    with join("cpu") as processes, open_session(run, processes) as session:
        sizes = session.dataset.schema.table_sizes
        for choice in choices(session, log, config, folder):
            losses = [train(session, log, choice, seed, folder) for seed in range(config.seeds)]
            found[choice] = statistics.mean(losses)
            megabytes = table_bytes(choice, sizes) / 1e6
            each = ", ".join(f"{loss:.5f}" for loss in losses)
            widths = f"  widths {choice.table_widths}" if choice.table_widths else ""
            print(f"{log}  {choice.label:<14} {megabytes:7.3f} MB  {found[choice]:.5f} ({each}){widths}", flush=True)
    return ratio(found, sizes)


def ratio(losses: dict[Choice, float], sizes: Sequence[int]) -> float:
    """Fewest bytes within the target with one D for all, over those with widths of the tables' own; 0 without any.

    >>> one, own = Choice("one_8", 8), Choice("power_law_2", 8, (8, 4))
    >>> ratio({one: 0.45, own: 0.4502}, [10, 20]), ratio({one: 0.45, own: 0.4504}, [10, 20])
    (1.5, 0.0)
    """
    target = EQUAL + min(loss for choice, loss in losses.items() if not choice.table_widths)

    def fewest(have_own: bool) -> int | None:
        equal = (one for one, loss in losses.items() if bool(one.table_widths) == have_own and loss <= target)
        return min((table_bytes(one, sizes) for one in equal), default=None)

    one, own = fewest(False), fewest(True)
    return one / own if one and own else 0.0


def main(config: WidthsConfig) -> dict[str, float]:
    """All logs; returns the last line."""
    ratios = {log: compare(log, config) for log in config.logs}
    for log, found in ratios.items():
        print(f"{log}: {found:.2f} times fewer bytes at equal log loss")
    return {"table_bytes_ratio": round(min(ratios.values()), 2)}


if __name__ == "__main__":
    print(json.dumps(main(tyro.cli(WidthsConfig, description=__doc__))))
