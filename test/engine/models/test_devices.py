# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A model whose layers are on several devices is the model on one of them."""

from __future__ import annotations

import copy
import pathlib
from typing import Any

from accelerate.utils import infer_auto_device_map
import pytest
from support.models.random_models import processor, random_clip, random_model
from support.models.two_devices import CPU, device_of, Devices, FIRST, place_model, SECOND
import torch

from streamvlm_ros.answer_settings import AnswerSettings
from streamvlm_ros.engine import (
    ErrorCode,
    KVCacheManager,
    StreamError,
    StreamQwenModel,
    StreamSettings,
    VideoStreamingInference,
    warm_up,
)
from streamvlm_ros.engine.kvcache import allocation
from streamvlm_ros.engine.models.devices import BALANCED, device_bytes, gpus_of, move_model
from streamvlm_ros.engine.models.qwen2_5_vl.modules import WHOLE
from streamvlm_ros.engine.ops.operations import TORCH
from streamvlm_ros.engine.serving import warmup

SETTINGS = [
    {},
    {'position_mode': 'append', 'skip_static': 2.0},
    {'capacity': 128, 'rebase_position': 60},
]
# What is on the second device if the ViT is cut too, and nothing is beside what it is used with.
ALL_OVER = ('patch_embed', 'blocks.2.', 'embed_tokens', 'layers.1.', 'language_model.norm')


def automatic(model: StreamQwenModel, share: float) -> dict[str, int]:
    """Return the device map that is made where the first GPU holds this share of the weights."""
    room = int(share * sum(parameter.nbytes for parameter in model.parameters()))
    return infer_auto_device_map(model, {0: room, 1: 10**9}, list(WHOLE))


def fresh(shape: str) -> StreamQwenModel:
    """Return a copy of a random model, with nothing made of its weights yet."""
    return copy.deepcopy(random_model(shape)).float()


def spread(model: StreamQwenModel, way: str) -> StreamQwenModel:
    """Put a fresh model on two devices."""
    if way == 'automatic':
        second = tuple(f'{name}.' for name, device in automatic(model, 0.8).items() if device)
        place_model(model, lambda name: SECOND if name.startswith(second) else FIRST)
    else:
        place_model(
            model, lambda name: SECOND if any(part in name for part in ALL_OVER) else FIRST
        )
    return model


def play(model: StreamQwenModel, tmp_path: pathlib.Path, **settings: Any) -> list:
    """Return what an engine says in a stream that does a bit of everything."""
    engine = VideoStreamingInference(model, processor(), settings=StreamSettings(**settings))
    engine.watch('Is it red?', ['yes', 'no'])
    said = []
    for index, frame in enumerate(random_clip(5, 31, 56, 84)):
        engine.append_frame(frame, 0.5 * index)
        engine.score_watches()
        if index in (4, 20):
            said += [
                engine.ask('What?', 4)[0],
                engine.ask_choice('Which?', ['red', 'dark green']).probabilities,
            ]
        if index == 9:
            opened = [engine.questions.open(question, 5) for question in ('What?', 'And now?')]
        if 9 < index < 15:
            engine.questions.decode([each for each in opened if not each.ended])
        if index == 15:
            said += [engine.questions.close(each).text for each in opened]
            said.append(engine.ask('Keep this.', 5, update_state=True)[0])
        if index == 17:
            engine.save(tmp_path / 'stream.safetensors')
            engine.load(tmp_path / 'stream.safetensors')
        if index == 23:
            opened = [
                engine.questions.open(
                    'What?', 4, settings=AnswerSettings(temperature=0.8, top_p=0.9)
                )
            ]
            while not opened[0].ended:
                engine.questions.decode(opened)
            said.append(engine.questions.close(opened[0]).text)
    said += [watch.probabilities for watch in engine.watches()]
    cache = KVCacheManager.clone(engine.stream.cache)
    return [
        said,
        engine.get_cache_info(),
        [cache.content(layer)[0].cpu() for layer in range(len(cache.keys))],
    ]


@pytest.mark.parametrize('settings', SETTINGS, ids=lambda settings: '-'.join(settings) or 'plain')
@pytest.mark.parametrize('way', ['automatic', 'all over'])
def test_answers_are_those_of_one_device(
    way: str, settings: dict[str, Any], tmp_path: pathlib.Path
) -> None:
    """Words, probabilities, memory and cached keys; whatever mixes devices fails."""
    expected = play(random_model('grouped'), tmp_path, **settings)
    with Devices():
        model = spread(fresh('grouped'), way)
        assert set(model.layer_devices) == {FIRST, SECOND}
        said, info, keys = play(model, tmp_path, **settings)
    assert said == expected[0] and info == expected[1]
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(keys, expected[2]))


@pytest.mark.parametrize('bits', [8, 4])
def test_spread_in_few_bits(bits: int, tmp_path: pathlib.Path) -> None:
    """Numbers and scales are where their layer is."""
    model = fresh('grouped')
    model.quantize(bits)
    expected = play(copy.deepcopy(model), tmp_path)
    with Devices():
        said, info, keys = play(spread(model, 'all over'), tmp_path)
    assert said == expected[0] and info == expected[1]
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(keys, expected[2]))


def test_forward_spread() -> None:
    """So does the stock way in, with its own cache."""
    pads = [random_model('grouped').config.video_token_id] * 4
    given: dict[str, Any] = dict(
        pixel_values_videos=torch.randn(16, 1176), video_grid_thw=torch.tensor([[1, 4, 4]])
    )
    ids = torch.tensor([[1, *pads, 2]])
    expected = random_model('grouped').forward(ids, **given).logits
    with Devices():
        logits = spread(fresh('grouped'), 'all over').forward(ids, **given).logits
    assert torch.equal(logits, expected)


@pytest.mark.parametrize('share', [0.4, 0.5, 0.6, 0.7, 0.8])
@pytest.mark.parametrize('shape', ['grouped', 'one_kv_head', 'ungrouped'])
def test_layers_and_blocks_are_left_whole(shape: str, share: float) -> None:
    """What is joined and run as one is on one device, wherever the weights are parted."""
    model = random_model(shape)
    found = automatic(model, share)
    assert set(found.values()) == {0, 1}
    parts = [f'model.language_model.layers.{i}.' for i in range(len(model.layers))]
    parts += [f'model.visual.blocks.{i}.' for i in range(len(model.vision.blocks))]
    parts.append('model.visual.merger.')
    for part in parts:
        assert sum(part.startswith(f'{name}.') for name in found) == 1, (part, found)


def test_kernels_are_launched_where_their_tensors_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton launches on the current GPU: a layer's is current while it runs."""
    current = [CPU]

    class Current:
        def __init__(self, tensor: Any) -> None:
            self._device = device_of(tensor)

        def __enter__(self):
            current.append(self._device)

        def __exit__(self, *error: Any):
            current.pop()

    class Launched:
        def __getattr__(self, name: Any):
            def launch(*args: Any) -> Any:
                used.add(current[-1])
                assert {device_of(each) for each in args if isinstance(each, torch.Tensor)} == {
                    current[-1]
                }
                return getattr(TORCH, name)(*args)

            return launch

    used: set[torch.device] = set()
    monkeypatch.setattr(torch.cuda, 'device_of', Current)
    monkeypatch.setattr(
        'streamvlm_ros.engine.models.decoder.operations_for', lambda tensor: Launched()
    )
    with Devices():
        model = spread(fresh('grouped'), 'automatic')
        engine = VideoStreamingInference(model, processor())
        engine.append_video_chunk(random_clip(1, 4, 84, 84), fps=2)
        engine.ask('What?', 3)
    assert used == {FIRST, SECOND}


def test_a_cache_is_checked_on_every_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device with the least room for its layers says how many tokens would fit."""
    one, other = torch.device('cuda:0'), torch.device('cuda:1')
    left = {one: 6400, other: 9000}
    monkeypatch.setattr(allocation, 'available_bytes', left.get)
    monkeypatch.setattr(allocation, 'SPARE', 0.0)
    devices = [one, one, other, other, other]
    allocation.check_fits([300], 10, devices)  # 320 and 300 fit
    with pytest.raises(
        StreamError,
        match=r'301 tokens takes .* does not fit cuda:1, where 3 of 5 '
        r'layers are; 300 tokens would fit, which is 30 s',
    ):
        allocation.check_fits([301], 10, devices, 10)
    left[one] = 5000
    with pytest.raises(
        StreamError,
        match=r'2 streams, 300 .* do not fit cuda:0, where 2 of 5 '
        r'layers are; 250 tokens would fit',
    ):
        allocation.check_fits([100, 200], 10, devices)


def test_a_model_larger_than_a_gpu_is_refused_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it takes is said, and what would help."""
    model = copy.deepcopy(random_model('grouped'))
    monkeypatch.setattr(
        model,
        'to',
        lambda device: (_ for _ in ()).throw(torch.OutOfMemoryError('CUDA out of memory.')),
    )
    with pytest.raises(
        StreamError,
        match=r'takes 0\.00 GB and does not fit cpu; spread it over '
        r'several GPUs \(device balanced\)',
    ) as caught:
        move_model(model, 'cpu')
    assert caught.value.code is ErrorCode.OUT_OF_MEMORY


def test_memory_of_all_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A balanced model's is the sum."""
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 3)
    monkeypatch.setattr(torch.cuda, 'memory_reserved', lambda index: 10**index)
    assert device_bytes(BALANCED) == 111
    assert device_bytes('cpu') is None
    assert gpus_of(random_model('grouped')) == []


def test_warming_compiles_without_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where kernels are used but no pass can be recorded, a stream of noise still runs."""
    engine = VideoStreamingInference(random_model('grouped'), processor())
    told: list[str] = []
    warm_up([engine], told.append)
    assert not told
    monkeypatch.setattr(warmup, 'operations_for', lambda tensor: None)
    monkeypatch.setattr(warmup, 'TIMES', 1)
    warm_up([engine], told.append)
    assert told[1:3] == ['Chunks of frames are ready.', 'Questions are ready.']
    assert told[3] == 'Views are ready.'
    assert 'passes of this model are not recorded' in told[4]
    assert engine.get_cache_info().tokens == 0 and engine.epoch == 0


def test_what_is_where_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory report names the GPUs if there are several."""
    gpus = [torch.device('cuda', index) for index in range(2)]
    engine = VideoStreamingInference(random_model('grouped'), processor())
    monkeypatch.setattr(torch.cuda, 'memory_reserved', lambda gpu: (gpu.index + 1) * 10**9)
    monkeypatch.setattr(StreamQwenModel, 'layer_devices', [gpus[0], gpus[1], gpus[1]])
    monkeypatch.setattr(warmup, 'gpus_of', lambda model: gpus)
    report = warmup.memory_report([engine])
    assert report.startswith('GPU memory: 3.00 GB')
    assert report.endswith('; cuda:0 has 1 layers in 1.00 GB, cuda:1 has 2 layers in 2.00 GB.')
    monkeypatch.setattr(warmup, 'gpus_of', lambda model: gpus[:1])
    assert 'layers' not in warmup.memory_report([engine])
