# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A second model family, which nothing in the engine knows, is streamed as it is run offline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
import dataclasses
import pathlib
import random
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file
from support.models.random_models import random_clip
from support.reference.play import answer_of
from support.saving.saved_bytes import SavedBytes
from support.second_family import family
from support.second_family.reference import Pass, Piece, place, Reference, TURN_END
from tokenizers import Tokenizer
import torch

from streamvlm_ros.engine import StreamError, StreamSettings, VideoStreamingInference
from streamvlm_ros.engine.kvcache.entries import CacheEntry, EntryKind
from streamvlm_ros.engine.models.base import PatchText
from streamvlm_ros.engine.models.hub.size import build_empty, fit
from streamvlm_ros.engine.models.processor import load_processor
from streamvlm_ros.engine.models.prompt import Place, Prompt
from streamvlm_ros.engine.models.registry import FAMILIES, load_model, register
from streamvlm_ros.engine.ops.quantization import weight_bytes
from streamvlm_ros.engine.serving.loading import load_streams

FOLDER = pathlib.Path(family.__file__).parent
SIZES = ((32, 32), (48, 32), (32, 64), (50, 39))
SECOND = 10**9
USER, ASSISTANT = '[turn]u:', '[/turn][turn]a:'


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pathlib.Path]:
    """Return a folder with a model of the family, which is registered meanwhile."""
    made = tmp_path_factory.mktemp('lantern')
    family.write(made)
    register(family.LANTERN)
    yield made
    del FAMILIES[family.MODEL_TYPE]


@pytest.fixture(scope='module')
def reference(folder: pathlib.Path) -> Reference:
    return Reference(load_file(folder / 'model.safetensors'))


def stream(folder: pathlib.Path, **settings: Any) -> VideoStreamingInference:
    """Return an engine on the model in the folder."""
    settings: dict[str, Any] = {'sample_rate': 0.0, 'capacity': 1024, **settings}
    [engine] = load_streams(
        str(folder), [StreamSettings(**settings)], device='cpu', dtype='float32'
    )
    return engine


class History:
    """All that a stream has seen and kept, as one prompt."""

    def __init__(self, folder: pathlib.Path, reference: Reference) -> None:
        """Begin empty."""
        self._core = Tokenizer.from_file(str(folder / 'tokenizer.json'))
        self._reference = reference
        self._odd: tuple[np.ndarray, int] | None = None
        self._start: int | None = None
        self._turn = USER
        self.pieces: list[Piece] = []

    def text(self, text: str) -> Piece:
        return Piece(self._core.encode(text, add_special_tokens=False).ids)

    def frame(self, image: np.ndarray, stamp: int) -> None:
        """Take a frame; two of one size are a temporal patch."""
        if self._odd is not None and self._odd[0].shape != image.shape:
            self.complete()
        if self._odd is None:
            self._odd = image, stamp
            return
        (first, began), self._odd = self._odd, None
        self._start = began if self._start is None else self._start
        text = f'{self._turn}<{(began - self._start) / SECOND:.1f} s>[see]'
        self._turn = ''
        seen = self._reference.see([first, image])
        self.pieces += [self.text(text), seen, self.text('[/see]')]

    def complete(self) -> None:
        """Repeat a last odd frame."""
        if self._odd is not None:
            self.frame(*self._odd)

    def ask(self, question: str, tokens: int, keep: bool) -> tuple[list[int], torch.Tensor]:
        """Return the answer's tokens, and the first one's logits."""
        state = list(self.pieces), self._odd, self._start, self._turn
        self.complete()
        self.pieces.append(self.text(f'{self._turn}{question}{ASSISTANT}'))
        said, logits = self._reference.answer(self.pieces, tokens)
        if keep:
            self.pieces.append(Piece([*(each for each in said if each != TURN_END), TURN_END]))
            self._turn = USER
        else:
            self.pieces, self._odd, self._start, self._turn = state
        return said, logits

    def choose(self, question: str, choices: Sequence[str]) -> torch.Tensor:
        """Return the probability of every choice."""
        state = list(self.pieces), self._odd, self._start, self._turn
        self.complete()
        listed = f'{question}\nAnswer with one of: {", ".join(sorted(choices))}.'
        prompt = [*self.pieces, self.text(f'{self._turn}{listed}{ASSISTANT}')]
        scores = []
        for choice in choices:
            said = self.text(f'{choice}[/turn]')
            logits = self._reference.logits([*prompt, said])[-len(said.ids) - 1 : -1]
            scores.append(logits.log_softmax(-1)[range(len(said.ids)), said.ids].sum())
        self.pieces, self._odd, self._start, self._turn = state
        return torch.stack(scores).softmax(0)


def check_answer(engine: Any, history: History, question: str, keep: bool = False) -> None:
    """See the answer, and the logits that it begins with, to be the reference's."""
    expected, wanted = history.ask(question, 4, keep)
    tokens, logits = answer_of(engine, question, 4, keep)
    assert torch.allclose(logits, wanted, atol=1e-4)
    assert tokens == expected


@pytest.mark.parametrize('seed', range(8))
def test_streamed_equals_offline(
    seed: int, folder: pathlib.Path, reference: Reference, tmp_path: pathlib.Path
) -> None:
    """Random clips, stamps and chunks; questions between them, kept or not; a restart."""
    rng = random.Random(seed)
    settings: dict[str, Any] = {
        'chunk_frames': (2, 4, 6, 8)[seed % 4],
        'position_mode': ('continuous', 'append')[seed // 4],
    }
    engine = stream(folder, **settings)
    history = History(folder, reference)
    size, stamp = rng.choice(SIZES), rng.choice((0, 1_700_000_000 * SECOND))
    for round_ in range(4):
        if rng.random() < 0.4:
            size = rng.choice(SIZES)
        for image in random_clip(100 * seed + round_, rng.randint(1, 9), *size):
            stamp += rng.choice((SECOND // 8, SECOND // 2, 15 * SECOND // 2))
            engine.append_frame(image, stamp)
            history.frame(image, stamp)
        check_answer(engine, history, f'Q{round_}?', keep=rng.random() < 0.4)
        if round_ == 1:
            engine.save(tmp_path / 'stream')
            engine = stream(folder, **settings)
            engine.load(tmp_path / 'stream')
    choices = ['red', 'a dog', 'no']
    expected = history.choose('Which?', choices)
    chosen = engine.ask_choice('Which?', choices).probabilities
    assert torch.allclose(torch.tensor(chosen), expected, atol=1e-5)
    assert int(expected.argmax()) == int(torch.tensor(chosen).argmax())


def test_branches_are_decoded_together(folder: pathlib.Path, reference: Reference) -> None:
    """Open answers share passes while new frames come, and each sees what it was asked on."""
    engine = stream(folder, chunk_frames=4)
    history = History(folder, reference)
    opened, expected = [], []
    for index, image in enumerate(random_clip(7, 11, 48, 32)):
        engine.append_frame(image, index * SECOND // 2)
        history.frame(image, index * SECOND // 2)
        if index in (3, 6, 8):
            expected.append(history.ask(f'And {index}?', 6, keep=False)[0])
            opened.append(engine.questions.open(f'And {index}?', 6))
    while running := [each for each in opened if not each.ended]:
        engine.questions.decode(running)
    for each in opened:
        engine.questions.close(each)
    assert [each.tokens for each in opened] == expected


def spans(entries: Iterable[CacheEntry]) -> list[int]:
    """Return the numbers of the entries' tokens."""
    return [n for entry in entries for n in range(entry.first, entry.first + entry.tokens)]


def rows(entries: Iterable[CacheEntry]) -> list[tuple[int, int, int]]:
    """Return the positions of the entries' tokens."""
    return [tuple(row) for entry in entries for row in entry.positions.T.tolist()]


def pieces_of(entries: Iterable[CacheEntry]) -> list[Piece]:
    """Return pieces that have as many tokens, in patches two tokens wide."""
    return [
        Piece([0] * entry.tokens, torch.empty(0) if is_patch(entry) else None, columns=2)
        for entry in entries
    ]


def is_patch(entry: CacheEntry) -> bool:
    return entry.info.kind is EntryKind.PATCH


@pytest.mark.parametrize('mode, seconds', [('continuous', 0.0), ('append', 4.0)])
def test_evicted_and_rebased(
    mode: str, seconds: float, folder: pathlib.Path, reference: Reference, tmp_path: pathlib.Path
) -> None:
    """What is kept answers as a forward in which each token sees what was kept when it came.

    Where positions are counted anew, they are those of a prompt of nothing but the kept pieces.
    """
    settings: dict[str, Any] = {
        'capacity': 150,
        'chunk_frames': 4,
        'position_mode': mode,
        'memory_seconds': seconds,
        'rebase_position': 160,  # so far that whatever is kept can stay
    }
    engine = stream(folder, **settings)
    history = History(folder, reference)
    passes: list[Pass] = []
    before: dict[CacheEntry, list[tuple[int, int, int]]] = {}
    rebased = 0
    for index, image in enumerate(random_clip(3, 60, 32, 32)):
        engine.append_frame(image, index * SECOND // 2)
        history.frame(image, index * SECOND // 2)
        if index % 4 != 3:
            continue
        entries = engine.stream.cache.entries
        old = [entry for entry in entries if entry in before]
        new = [entry for entry in entries if entry not in before]
        if any(rows([entry]) != before[entry] for entry in old):
            rebased += 1
            anew = dict(zip(spans(before), place(pieces_of(before)), strict=True))
            assert rows(old) == [anew[number] for number in spans(old)]
        top = max((max(row) for row in rows(old)), default=-1)
        assert rows(new) == place(pieces_of(new), top + 1)
        passes.append(Pass(spans(old), spans(new), rows(entries)))
        before = {entry: rows([entry]) for entry in entries}
        if index % 12 == 11:
            asked = history.text(f'Q{index}?{ASSISTANT}')
            tokens = sum(len(piece.ids) for piece in history.pieces)
            places = asked.positions(max(max(row) for row in rows(entries)) + 1)
            own = list(range(tokens, tokens + len(asked.ids)))
            last = Pass(spans(entries), own, [*rows(entries), *places])
            expected, wanted = reference.answer([*history.pieces, asked], 3, [*passes, last])
            said, logits = answer_of(engine, f'Q{index}?', 3, keep=False)
            assert torch.allclose(logits, wanted, atol=1e-4)
            assert said == expected
    assert rebased > 1
    assert engine.get_cache_info().evicted_tokens > 200
    engine.save(tmp_path / 'stream')
    other = stream(folder, **settings)
    other.load(tmp_path / 'stream')
    assert answer_of(other, 'Now?', 4, keep=False)[0] == answer_of(engine, 'Now?', 4, False)[0]


@pytest.mark.parametrize(
    'row, column, change, fault',
    [
        (0, 4, 10**9, 'its oldest patch does not fit the time at which it began'),
        (0, 4, -(10**9), 'its oldest patch does not fit the time at which it began'),
        (0, 5, 1, 'it does not begin with the prefix'),
        (1, 4, 1, 'an entry that is not a patch has a frame'),
        (2, 3, 1, 'MARK cannot stand after PATCH|PATCH cannot stand after MARK'),
    ],
)
def test_a_changed_file_is_refused(
    row: int, column: int, change: int, fault: str, folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """The table of entries has the prefix, then a mark, a patch and a mark for each patch."""
    engine, path = stream(folder), tmp_path / 'stream'
    for index, image in enumerate(random_clip(5, 8, 32, 32)):
        engine.append_frame(image, 100 * SECOND + index * SECOND // 2)
    engine.save(path)
    file = SavedBytes(path.read_bytes())
    file.tensors['units'][row, column] += change
    path.write_bytes(file.compose())
    with pytest.raises(StreamError, match=fault):
        stream(folder).load(path)


def test_a_text_that_is_longer_than_said_is_told(folder: pathlib.Path) -> None:
    """Room is asked for as many tokens as the family says, so that this is its fault."""
    talkative = dataclasses.replace(family.LANTERN, patch_text=PatchText(lambda _: 'x' * 9, 8))
    prompt = Prompt(load_processor(folder), talkative, '', ())
    with pytest.raises(ValueError, match='has 9 tokens; the family says that it has at most 8'):
        prompt.open_segment(Place.USER_TURN)


def test_it_is_apart_from_the_first_family() -> None:
    """No file of it names the other one, and its reference imports nothing of the engine."""
    files = {file.name: file.read_text().splitlines() for file in FOLDER.glob('*.py')}
    imports = [
        line
        for lines in files.values()
        for line in lines
        if line.lstrip().startswith(('from ', 'import '))
    ]
    assert imports and not any('qwen' in line.lower() for line in imports)
    assert not any('streamvlm_ros.' in line for line in files['reference.py'])


def test_its_size_is_told_before_it_is_loaded(folder: pathlib.Path) -> None:
    empty = build_empty(folder, torch.float32)
    pixels = load_processor(folder).pixels
    told = fit(empty, StreamSettings(), torch.device('cpu'), 'none', pixels)
    assert told.weights == weight_bytes(load_model(folder, dtype=torch.float32))
    assert told.fits
