"""model.pt: the trained model's probabilities in a process that knows nothing of this project, and the same bytes."""

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import torch
from torch import Tensor, nn
from torchrec import EmbeddingBagCollection, EmbeddingBagConfig, KeyedJaggedTensor
from torchrec.modules.crossnet import LowRankCrossNet

from modules.space import NASREC_FULL, Architecture, InputShape, single_operator_any_connection
from modules.space.handmade import handmade
from modules.supernet import Subnet
from pipeline.data.schema import Schema
from pipeline.run.files import read_json, sha256
from pipeline.run.records.codec import to_plain
from pipeline.run.records.model_card import Provenance
from pipeline.run.records.recipe import Recipe
from pipeline.run.records.results import Metrics, SplitMetrics
from pipeline.serving.exported_model import ExportedModel, TrainedParts
from pipeline.serving.torchscript_model import write_model

FRESH_PROCESS = """
import sys, torch, fbgemm_gpu
model = torch.jit.load(sys.argv[1])
inputs = torch.load(sys.argv[2])
assert "torchrec" not in sys.modules and "pipeline" not in sys.modules
torch.save(model(inputs["dense"], inputs["ids"]), sys.argv[3])
"""
SHAPE = InputShape(3, 4, 8)
SCHEMA = Schema("small", "clicked", ("a", "b", "c"), ("w", "x", "y", "z"), (50, 2, 7, 300))
ARCHITECTURE = single_operator_any_connection(NASREC_FULL, numpy.random.default_rng(4))
METRICS = Metrics(0.5, None, None, None, 10)
RECIPE = Recipe(embedding_width=8, epochs=3, tables="fresh")
PROVENANCE = Provenance({}, ARCHITECTURE, RECIPE, (2,), SplitMetrics(METRICS, METRICS))
ROWS = 2_000


def embedding_tables(seed: int = 3, widths: tuple[int, ...] = (8, 8, 8, 8)) -> EmbeddingBagCollection:
    """Unsharded tables as training has them."""
    torch.manual_seed(seed)
    columns = zip(SCHEMA.table_names, SCHEMA.table_sizes, SCHEMA.categories, widths, strict=True)
    return EmbeddingBagCollection(
        tables=[
            EmbeddingBagConfig(name=table, embedding_dim=width, num_embeddings=rows, feature_names=[column])
            for table, rows, column, width in columns
        ]
    )


def parts_of(tables: EmbeddingBagCollection, interaction: nn.Module) -> TrainedParts:
    """What is exported of a training with these tables."""
    return TrainedParts({name: tables.embedding_bags[name].weight.detach() for name in SCHEMA.table_names}, interaction)


def network(architecture: Architecture = ARCHITECTURE, seed: int = 1) -> Subnet:
    """An interaction with random weights."""
    return Subnet(architecture, SHAPE, torch.Generator().manual_seed(seed))


def random_inputs(rows: int) -> tuple[Tensor, Tensor]:
    """dense [B, I] and ids [B, F] over every table's whole range."""
    generator = torch.Generator().manual_seed(6)
    ids = [torch.randint(size, (rows,), generator=generator) for size in SCHEMA.table_sizes]
    return 3 * torch.rand(rows, 3, generator=generator), torch.stack(ids, dim=1)


def torchrec_logit(tables: EmbeddingBagCollection, interaction: nn.Module) -> Tensor:
    """What torchrec's own lookup and the interaction give for the random inputs."""
    dense, ids = random_inputs(ROWS)
    lengths = torch.ones(4 * ROWS, dtype=torch.int32)
    features = KeyedJaggedTensor(list(SCHEMA.categories), ids.T.flatten(), lengths=lengths)
    with torch.no_grad():
        return interaction(dense, tables(features).values().reshape(ROWS, 4, -1))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A subnet exported once."""
    path = tmp_path_factory.mktemp("export") / "model.pt"
    write_model([parts_of(embedding_tables(), network())], SCHEMA.to_json(), PROVENANCE, path)
    return path


def ensemble() -> list[TrainedParts]:
    """Three trainings of one model."""
    return [parts_of(embedding_tables(seed), network(handmade("dlrm_dcn", SHAPE), seed)) for seed in range(3)]


@pytest.mark.slow
def test_fresh_process_with_torch_and_fbgemm_alone(exported: Path, tmp_path: Path) -> None:
    """Its probabilities on 2,000 rows are those of torchrec's tables and the subnet here, within 1e-6."""
    dense, ids = random_inputs(ROWS)
    torch.save({"dense": dense, "ids": ids}, tmp_path / "inputs.pt")
    files = [str(exported), str(tmp_path / "inputs.pt"), str(tmp_path / "probability.pt")]
    subprocess.run([sys.executable, "-P", "-W", "ignore", "-c", FRESH_PROCESS, *files], check=True)
    expected = torchrec_logit(embedding_tables(), network()).sigmoid()
    torch.testing.assert_close(torch.load(files[2]), expected, rtol=0, atol=1e-6)


def test_logits(exported: Path) -> None:
    """Its method `logit` gives what the probability is the sigmoid of, also where that is 1 in float32."""
    dense, ids = random_inputs(ROWS)
    model = torch.jit.load(str(exported))
    found = model.logit(dense, ids)
    torch.testing.assert_close(found, torchrec_logit(embedding_tables(), network()), rtol=1e-5, atol=1e-5)
    assert torch.equal(model(dense, ids), found.sigmoid())


@pytest.mark.slow
def test_same_weights_give_the_same_bytes(exported: Path, tmp_path: Path) -> None:
    """Exported again, under another name and after other things were scripted here, model.pt is byte-identical."""
    torch.jit.script(network(handmade("dlrm", SHAPE)))
    torch.jit.script(network(single_operator_any_connection(NASREC_FULL, numpy.random.default_rng(8))))
    again = tmp_path / "again.pt"
    write_model([parts_of(embedding_tables(), network())], SCHEMA.to_json(), PROVENANCE, again)
    assert again.read_bytes() == exported.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.json", "again.pt"]


def test_description(exported: Path) -> None:
    """model.json says what goes in and comes out, and carries schema, checksum and what it was given."""
    description = read_json(exported.with_suffix(".json"))
    assert description["model"] == {
        "file": "model.pt",
        "sha256": sha256(exported),
        "bytes": exported.stat().st_size,
    }
    dense, ids = description["inputs"]
    assert (dense["shape"], dense["columns"]) == (["batch", 3], ["a", "b", "c"])
    assert (ids["shape"], ids["columns"]) == (["batch", 4], ["w", "x", "y", "z"])
    assert ids["table_rows"] == [50, 2, 7, 300]
    assert Schema.from_json(description["schema"]) == SCHEMA
    assert description["architecture"] == json.loads(json.dumps(ARCHITECTURE.to_json()))
    assert description["recipe"] == to_plain(RECIPE) and description["seeds"] == [2]
    assert description["metrics"] == {"valid": to_plain(METRICS), "test": to_plain(METRICS)}
    assert description["versions"]["torch"] == importlib.metadata.version("torch")


@pytest.mark.slow
def test_several_trainings_are_averaged(tmp_path: Path) -> None:
    """Each with tables of its own, the probability is the sigmoid of their mean logit, and the bytes are repeatable."""
    paths = [tmp_path / name for name in ("model.pt", "again.pt")]
    for path in paths:
        write_model(ensemble(), SCHEMA.to_json(), PROVENANCE, path)
    logits = [torchrec_logit(embedding_tables(seed), network(handmade("dlrm_dcn", SHAPE), seed)) for seed in range(3)]
    found = torch.jit.load(str(paths[0]))(*random_inputs(ROWS))
    torch.testing.assert_close(found, torch.stack(logits).double().mean(0).sigmoid().float(), rtol=0, atol=1e-6)
    assert (found - logits[0].sigmoid()).abs().max() > 1e-3
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_one_training_is_not_rounded_by_the_mean() -> None:
    """The mean of a single logit is that logit, to the last bit."""
    parts = parts_of(embedding_tables(), network())
    with torch.no_grad():
        found = ExportedModel([parts], 3)(*random_inputs(ROWS))
    assert torch.equal(found, torchrec_logit(embedding_tables(), network()).sigmoid())


@pytest.mark.parametrize(
    ("row", "field", "value"),
    [(0, 0, 50), (3, 1, -1), (1, 3, 2**40)],
)
def test_ids_outside_their_table(exported: Path, row: int, field: int, value: int) -> None:
    """An id that is no row of its table is an error naming row, field, value and range, never another table's row."""
    dense, ids = random_inputs(5)
    ids[row, field] = value
    message = rf"ids\[{row}, {field}\] is {value}; table {SCHEMA.table_names[field]} has the rows 0 to "
    with pytest.raises(torch.jit.Error, match=message):
        torch.jit.load(str(exported))(dense, ids)
    with pytest.raises(ValueError, match=message):
        ExportedModel([parts_of(embedding_tables(), network())], 3)(dense, ids)


def test_wrong_shapes_and_types(exported: Path) -> None:
    """Inputs of another shape or type are errors saying what is expected; an empty batch is none."""
    model = torch.jit.load(str(exported))
    dense, ids = random_inputs(5)
    for wrong_dense, wrong_ids, message in (
        (dense[:, :2], ids, r"it must be float32 \[batch, 3\]"),
        (dense.double(), ids, r"it must be float32 \[batch, 3\]"),
        (dense, ids[:, :3], r"it must be int64 \[5, 4\]"),
        (dense, ids[:4], r"it must be int64 \[5, 4\]"),
        (dense, ids.int(), r"it must be int64 \[5, 4\]"),
    ):
        with pytest.raises(torch.jit.Error, match=message):
            model(wrong_dense, wrong_ids)
    assert model(dense[:0], ids[:0]).shape == (0,)


class Moody(nn.Module):
    """An interaction that answers otherwise each time."""

    def forward(self, dense: Tensor, sparse: Tensor) -> Tensor:
        """Noise."""
        return torch.randn_like(dense).sum(1)


@pytest.mark.slow
def test_a_model_that_answers_otherwise_elsewhere_is_not_written(tmp_path: Path) -> None:
    """When the fresh process disagrees, export raises, the old model.pt stays and nothing is left behind."""
    path = tmp_path / "model.pt"
    path.write_bytes(b"the old one")
    moody = torch.fx.symbolic_trace(Moody())  # its code travels with it; this test module cannot be imported
    with pytest.raises(RuntimeError, match=r"probabilities differ by 0\.\d+"):
        write_model([parts_of(embedding_tables(), moody)], SCHEMA.to_json(), PROVENANCE, path)
    assert path.read_bytes() == b"the old one"
    assert [file.name for file in tmp_path.iterdir()] == ["model.pt"]


@pytest.mark.slow
def test_a_model_that_torchscript_refuses(tmp_path: Path) -> None:
    """The error carries TorchScript's own complaint."""
    with pytest.raises(RuntimeError, match=r"(?s)scripting the model failed .*integer literal"):
        refused = parts_of(embedding_tables(), LowRankCrossNet(3, 1))
        write_model([refused], SCHEMA.to_json(), PROVENANCE, tmp_path / "model.pt")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("widths", [(4, 8, 4, 8), (12, 8, 4, 16)])
def test_tables_of_unequal_widths(widths: tuple[int, ...], tmp_path: Path) -> None:
    """Alone and as one of two whose logits are averaged, model.pt gives what torchrec's lookup and the subnets give."""
    shape = InputShape(3, 4, 16, table_widths=widths)
    tables = [embedding_tables(seed, widths) for seed in range(2)]
    subnets = [Subnet(handmade("dlrm", shape), shape, torch.Generator().manual_seed(seed)) for seed in range(2)]
    parts = [parts_of(*pair) for pair in zip(tables, subnets, strict=True)]
    logits = [torchrec_logit(*pair) for pair in zip(tables, subnets, strict=True)]
    dense, ids = random_inputs(ROWS)
    for count in (1, 2):
        path = tmp_path / f"{count}.pt"
        write_model(parts[:count], SCHEMA.to_json(), PROVENANCE, path)
        expected = torch.stack(logits[:count]).mean(0).sigmoid()
        torch.testing.assert_close(torch.jit.load(path)(dense, ids), expected, rtol=0, atol=1e-6)


def test_trainings_with_other_tables() -> None:
    """Trainings that are averaged have tables of the same sizes; the message names what differs."""
    parts = [TrainedParts({"t_w": torch.zeros(2, width)}, nn.Identity()) for width in (4, 8)]
    with pytest.raises(ValueError, match=r"\(2, 4\).* and .*\(2, 8\).*must be alike"):
        ExportedModel(parts, 1)
