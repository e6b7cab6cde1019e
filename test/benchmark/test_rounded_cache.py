# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Caches whose content is rounded hold what the format has, and are as before behind that."""

from __future__ import annotations

import pytest
import torch

from benchmark.common.harness import frames, load_model, make_engine, parser
from benchmark.quantization.rounded_cache import Largest, rounded, Rounding, scale, stored
from streamvlm_ros.engine.kvcache.cache import StreamCache
from streamvlm_ros.engine.kvcache.tail import Tail

E4M3, E5M2 = torch.float8_e4m3fn, torch.float8_e5m2
CPU = torch.device('cpu')


@pytest.mark.parametrize(('dtype', 'count'), [(E4M3, 254), (E5M2, 248)])
def test_every_number_of_a_format_stays(dtype: torch.dtype, count: int) -> None:
    every = torch.arange(256).to(torch.uint8).view(dtype).float()
    every = every[every.isfinite()]
    assert len(every) == count
    assert torch.equal(rounded(every, dtype), every)


@pytest.mark.parametrize(
    ('given', 'held'),
    [
        (1.0624, 1.0),
        (1.0626, 1.125),
        (150.0, 144.0),
        (153.0, 160.0),
        (-303.0, -288.0),
        (1e6, 448.0),
        (-1e6, -448.0),
    ],
)
def test_a_number_becomes_the_nearest_that_three_bits_hold(given: float, held: float) -> None:
    assert float(rounded(torch.tensor(given), E4M3)) == held


@pytest.mark.parametrize(
    ('largest', 'chosen'),
    [(0.0, 1.0), (448.0, 1.0), (448.1, 2.0), (224.0, 0.5), (1.0, 2.0**-8), (7000.0, 16.0)],
)
def test_a_scale_is_the_least_power_of_two_that_saturates_nothing(
    largest: float, chosen: float
) -> None:
    assert scale(largest, E4M3) == chosen


def test_what_would_saturate_is_scaled_and_what_is_beyond_that_is_counted() -> None:
    keys, values = torch.tensor([[[900.0, 1.0]]]), torch.tensor([[[3.14, -0.001]]])
    largest = Largest()
    assert largest(0, keys, values)[0] is keys
    rounding = Rounding(E4M3, None, largest)
    held, same = rounding(0, keys, values)
    assert held.tolist() == [[[896.0, 1.0]]] and same is values and rounding.saturated == 0
    assert rounding(0, -3 * keys, values)[0][0, 0, 0] == -1792.0 and rounding.saturated == 1


def test_both_caches_hold_what_is_rounded_and_what_is_given_stays() -> None:
    cache, tail = StreamCache(1, 2, 8, torch.float32, [CPU]), Tail(1, 2, torch.float32, [CPU])
    keys, values = torch.tensor([[[150.0, 1.0]]]), torch.tensor([[[150.0, 1.1]]])
    largest = Largest({0: 448.0}, {0: 448.0})
    with stored(Rounding(E4M3, E4M3, largest)):
        cache.reserve(1)
        cache.store(0, keys, values)
        tail.reserve(1)
        for held in (cache.buffer.views(0, ((0, 1),))[0], tail.write(0, keys, values)):
            assert [each.tolist() for each in held] == [[[[144.0, 1.0]]], [[[144.0, 1.125]]]]
    assert keys.tolist() == [[[150.0, 1.0]]]


def test_caches_are_as_before_also_behind_an_exception() -> None:
    store, write = StreamCache.store, Tail.write
    with pytest.raises(RuntimeError, match='meant'), stored(Largest()):
        assert StreamCache.store is not store and Tail.write is not write
        raise RuntimeError('meant')
    assert StreamCache.store is store and Tail.write is write


def test_a_stream_and_its_answers_go_through_what_is_rounded() -> None:
    arguments = parser('').parse_args([])
    engine = make_engine(load_model(arguments), sample_rate=0.0, capacity=1024)
    largest, said, content = Largest(), [], []
    for change in (largest, Rounding(None, E5M2, largest)):
        with stored(change):
            engine.reset()
            for number, frame in enumerate(frames(arguments, 8)):
                engine.append_frame(frame, number * 250_000_000)
            said.append(engine.ask_choice('What colour is the box?', ('red', 'blue')))
        content.append([engine.stream.cache.content(layer) for layer in largest.values])
    assert said[0].probabilities != said[1].probabilities
    assert len(content[0]) == engine.model.config.text_config.num_hidden_layers
    (keys, values), (same, held) = content[0][0], content[1][0]
    assert torch.equal(keys, same) and not torch.equal(values, held)
    step = scale(largest.values[0], E5M2)
    assert torch.equal(held, rounded(values / step, E5M2) * step)
