"""The authors' code (facebookresearch/NasRec) behind the few functions that a comparison needs.

It is read from a checkout that the user names, never from this repository, and runs as it is published.
"""

import argparse
import contextlib
import io
import json
import math
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy
import torch
from torch import Tensor, nn

from modules.space import Architecture, InputShape, SearchSpace, to_nasrec_json
from modules.space.nasrec import NASREC_CONFIGS

CONFIGS = {config.space.name: name for name, config in NASREC_CONFIGS.items()}
"""Our space's name → the reference's configuration."""

PUBLISHED_SHAPES = {
    "criteo": InputShape(13, 26, 16),
    "avazu": InputShape(1, 23, 16),
    "kdd": InputShape(3, 10, 16),
}
"""Inputs of the data sets whose best architectures are published (docs/search_space.md)."""

Step = Callable[[Tensor, Tensor, Tensor], None]
Batch = tuple[Tensor, Tensor, Tensor]
"""Dense inputs [B, I], ids [B, F] and labels [B, 1], as the reference's loaders give them."""


def open_reference(checkout: str) -> Any:
    """The reference's module `nasrec.supernet.supernet`. Raises ValueError when the checkout does not hold it."""
    if not (Path(checkout) / "nasrec/supernet/supernet.py").exists():
        raise ValueError(f"--reference {checkout}: no nasrec/supernet/supernet.py there; give a checkout of NasRec")
    sys.path.insert(0, checkout)
    from nasrec.supernet import supernet

    return supernet


def open_search(checkout: str) -> Any:
    """The reference's program `nasrec.eval_subnet_from_supernet`, which scores the candidates of a search."""
    open_reference(checkout)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from nasrec import eval_subnet_from_supernet
    return eval_subnet_from_supernet


def published(checkout: str) -> list[tuple[str, InputShape, dict[str, Any]]]:
    """(name, inputs, choice) of every best architecture that the authors publish."""
    found = []
    for data, shape in PUBLISHED_SHAPES.items():
        for path in sorted((Path(checkout) / "nasrec/configs" / data).glob("*_best_*.json")):
            found.append((path.stem, shape, json.loads(path.read_text())))
    return found


def choice_of(architecture: Architecture, space: SearchSpace) -> dict[str, Any]:
    """The reference's choice dictionary for one of our architectures: its file."""
    return to_nasrec_json(architecture, space)


def new_supernet(reference: Any, space: SearchSpace, shape: InputShape, table_rows: int) -> nn.Module:
    """The reference's supernet as it is constructed: its lazy layers have no weights yet."""
    model: nn.Module = reference.SuperNet(
        num_blocks=space.num_blocks,
        ops_config=reference.ops_config_lib[CONFIGS[space.name]],
        use_layernorm=True,
        num_embeddings=[table_rows] * shape.fields,
        sparse_input_size=shape.fields,
        embedding_dim=shape.embedding_width,
        path_sampling_strategy="full-path",
    )
    return model


def build_supernet(reference: Any, space: SearchSpace, shape: InputShape, table_rows: int, device: str) -> nn.Module:
    """The reference's supernet, its lazy layers made by one full path as in its train_supernet.py."""
    model: Any = new_supernet(reference, space, shape, table_rows).to(device)
    _make_lazy_layers(model, shape, device)
    model.configure_path_sampling_strategy("fixed-path")
    return model


def fine_tune_and_evaluate(
    search: Any,
    model: nn.Module,
    checkpoint: dict[str, Any],
    train: Iterable[Batch],
    valid: Iterable[Batch],
    steps: int,
) -> dict[str, Any]:
    """The reference's finetune_and_eval_one_model with its search's published settings, on batches in memory.

    `train` has at least `steps` batches, `valid` those to be evaluated; both may be read more than once.
    """
    settings = argparse.Namespace(
        dataset="criteo-kaggle",
        gpu=None,
        loss_function="bce",
        finetune_whole_supernet=0,
        wd=0,
        no_reg_param_name=None,
        learning_rate=0.04,
        optimizer="adagrad",
        lr_schedule="cosine",
        num_epochs=1,
        max_train_steps=steps,
        max_eval_steps=-1,
        train_batch_size=len(next(iter(train))[0]),
        test_only_at_last_step=1,
    )
    in_memory = mock.patch.multiple(
        search,
        get_criteo_kaggle_pipes=lambda _: ([train], [valid], 0, 0),
        ParallelReadConcat=lambda rows: rows,
        DataLoader=lambda rows, **_: rows,
    )
    metrics = search.train_and_test_one_epoch.__globals__["sklearn"].metrics
    area = metrics.roc_auc_score  # a plain float in scikit-learn of today; the reference expects numpy's
    as_numpy = mock.patch.object(metrics, "roc_auc_score", lambda *columns: numpy.float64(area(*columns)))
    with in_memory, as_numpy, contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result: dict[str, Any] = search.finetune_and_eval_one_model(model, settings, checkpoint)
    return result


def build_standalone(reference: Any, choice: dict[str, Any], shape: InputShape, table_rows: int) -> nn.Module:
    """One published architecture, as the reference's main_train.py trains it: without layer norms."""
    model = reference.SuperNet(
        num_blocks=choice["num_blocks"],
        ops_config=reference.ops_config_lib[choice["config"]],
        use_layernorm=False,
        num_embeddings=[table_rows] * shape.fields,
        sparse_input_size=shape.fields,
        embedding_dim=shape.embedding_width,
        path_sampling_strategy="fixed-path",
        fixed=True,
        fixed_choice=choice,
    )
    _make_lazy_layers(model, shape, "cpu")
    return model


def counted(model: nn.Module, shape: InputShape, attention_products: bool) -> int:
    """Multiply-accumulates of one row as the reference's get_model_flops_and_params counts them, with fvcore.

    Attention is traced as one operation, which fvcore does not count; with `attention_products` it is traced as the two
    matrix products that it was in PyTorch 1.12, the reference's version, which fvcore counts.
    """
    from fvcore.nn import FlopCountAnalysis

    dense, ids = torch.zeros(2, shape.integers), torch.zeros(2, shape.fields, dtype=torch.long)
    by_products = mock.patch.object(nn.functional, "scaled_dot_product_attention", _attention_of_products)
    with by_products if attention_products else contextlib.nullcontext(), torch.no_grad():
        counter = (
            FlopCountAnalysis(model, (dense, ids)).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        )
        total = counter.total()
    rows = len(dense)
    assert total % rows == 0, f"{total} multiply-accumulates of {rows} equal rows"
    return int(total) // rows


def _attention_of_products(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> Tensor:
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
    return scores.softmax(-1) @ value


def train_step(model: nn.Module, learning_rate: float, clip_norm: float) -> Step:
    """One step as in the reference's train_utils.py: forward, backward, clip, torch's Adagrad."""
    optimizer = torch.optim.Adagrad(model.parameters(), lr=learning_rate, eps=1e-2)

    def step(dense: Tensor, ids: Tensor, label: Tensor) -> None:
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(model(dense, ids), label[:, None])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        optimizer.step()

    return step


def _make_lazy_layers(model: nn.Module, shape: InputShape, device: str) -> None:
    with torch.no_grad():
        model(torch.zeros(2, shape.integers, device=device), torch.zeros(2, shape.fields, dtype=torch.long).to(device))
