"""pipeline/serving/batching.py: each request has its own rows' probabilities, whatever it was scored with."""

import asyncio
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.serving.batching import Batcher, Encoded
from pipeline.serving.served_model import ServedModel


def model(scale: float, calls: list[int] | None = None) -> ServedModel:
    """A model whose answer is its scale times the row's only number."""

    def score(dense: Any, ids: Any) -> Any:
        if calls is not None:
            calls.append(len(dense))
        if dense.min() < 0:
            raise RuntimeError("it cannot")
        return scale * dense[:, 0], dense[:, 0]

    return ServedModel(Path(), "onnx", "", None, score)


def rows(numbers: list[int]) -> list[Encoded]:
    """Rows of one number each."""
    return [([float(number)], [number]) for number in numbers]


@given(
    st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 1000), min_size=1, max_size=6)), min_size=1, max_size=20)
)
def test_each_has_its_own(requests: list[tuple[bool, list[int]]]) -> None:
    """Of requests that wait together, for one model or for two around a reload: each is answered by its model, in
    order,
    in batches of no more rows than allowed."""
    calls, sizes = list[int](), list[int]()
    models = {False: model(1.0, calls), True: model(0.5, calls)}

    async def ask() -> list[list[float]]:
        batcher = Batcher(8, sizes.append)
        return await asyncio.gather(*(batcher.score(models[second], rows(own)) for second, own in requests))

    expected = [[(0.5 if second else 1.0) * number for number in own] for second, own in requests]
    assert asyncio.run(ask()) == expected
    assert calls == sizes and max(sizes) <= 8 and sum(sizes) == sum(len(own) for _, own in requests)


def test_those_that_wait_are_one_batch() -> None:
    """A hundred requests of one moment are one call; a lone one does not wait for others."""
    calls = list[int]()

    async def ask() -> None:
        batcher, own = Batcher(1024, lambda _: None), model(1.0, calls)
        await asyncio.gather(*(batcher.score(own, rows([number])) for number in range(100)))
        await asyncio.wait_for(batcher.score(own, rows([1])), 60)

    asyncio.run(ask())
    assert calls == [100, 1]


def test_a_wait_gathers() -> None:
    """Requests that come one after the other within the wait are one batch."""
    calls = list[int]()

    async def ask() -> None:
        batcher, own = Batcher(1024, lambda _: None, wait_s=0.5), model(1.0, calls)
        answers = []
        for number in range(5):
            answers.append(batcher.score(own, rows([number])))
            await asyncio.sleep(0)
        assert await asyncio.gather(*answers) == [[float(number)] for number in range(5)]

    asyncio.run(ask())
    assert calls == [5]


def test_a_model_that_fails() -> None:
    """Its error reaches each request of the batch, and the next batch is scored."""

    async def ask() -> None:
        batcher, own = Batcher(1024, lambda _: None), model(1.0)
        found = await asyncio.gather(*(batcher.score(own, rows([n])) for n in (1, -1)), return_exceptions=True)
        assert all(isinstance(one, RuntimeError) for one in found)
        assert await batcher.score(own, rows([7])) == [7.0]

    asyncio.run(ask())


def test_a_client_that_is_gone() -> None:
    """A request that was cancelled does not keep the others from their answers."""

    async def ask() -> None:
        batcher, own = Batcher(1024, lambda _: None), model(1.0)
        first, second = batcher.score(own, rows([1])), batcher.score(own, rows([2]))
        first.cancel()
        assert await second == [2.0]
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(ask())


def test_types_are_the_models() -> None:
    """Rows reach the model as float32 and int64."""
    seen = list[Any]()

    def score(dense: Any, ids: Any) -> Any:
        seen.extend((dense, ids))
        return dense[:, 0], dense[:, 0]

    own = ServedModel(Path(), "onnx", "", None, score)

    async def ask() -> None:
        await Batcher(4, lambda _: None).score(own, [([1.0, 2.0], [3]), ([4.0, 5.0], [6])])

    asyncio.run(ask())
    assert [(one.dtype, one.shape) for one in seen] == [(numpy.float32, (2, 2)), (numpy.int64, (2, 1))]
