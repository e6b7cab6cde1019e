# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Views: answered as stock answers on their frames alone, and the stream knows nothing of them."""

from __future__ import annotations

import numpy as np
import pytest
from support.models.random_models import processor, random_clip, random_model
from support.streams import everything
from support.whole import sampled
import torch

from benchmark.exactness.views import Case, CHUNKS, play, VIEWS
from streamvlm_ros.engine import (
    BusyError,
    InvalidRequestError,
    NoFramesError,
    OutOfMemoryError,
    StreamSettings,
    VideoStreamingInference,
    View,
)

SECOND = 10**9


def stream(frames: int = 0, **settings) -> VideoStreamingInference:
    """Return an engine that was shown two frames a second, of 56 x 56 pixels."""
    engine = VideoStreamingInference(
        random_model('grouped'),
        processor(),
        settings=StreamSettings(**{'sample_rate': 0.0, **settings}),
    )
    show(engine, 0, frames)
    return engine


def show(engine: VideoStreamingInference, first: int, frames: int) -> None:
    """Append frames; each has a seed of its own."""
    for number in range(first, first + frames):
        engine.append_frame(random_clip(number, 1, 56, 56)[0], (number + 1) * SECOND // 2)


@pytest.mark.parametrize('view', VIEWS)
@pytest.mark.parametrize('seed', sampled(range(60), 3))
def test_tokens_are_those_of_stock_on_these_frames(view, seed):
    """Eight others are open and chunks come meanwhile; the stream is its twin to the byte."""
    case = Case.random(view, seed)
    tokens, expected, same = play('random', case)
    assert tokens == expected and same


def test_fifty_chunks_change_nothing_for_an_answer_that_is_open():
    """Nor does the answer change anything for them."""
    case = Case.random('now', 20)
    assert case.chunks == CHUNKS == 50
    tokens, expected, same = play('tiny', case)
    assert tokens == expected and same


def test_eviction_and_rebasing_go_on():
    """A view without memory holds nothing: the stream never waits for its answer."""
    engine, quiet = (stream(8, capacity=120, rebase_position=150) for _ in range(2))
    asked = engine.questions.begin('What is there?', 40, view='now')
    for number in range(8, 120, 4):
        for each in (engine, quiet):
            show(each, number, 4)
        engine.questions.advance(asked)
        engine.questions.decode([asked])
        assert not engine.stream.cache.pinned
    assert engine.stream.memory.evicted_tokens and engine.stream.cache.rebased
    assert everything(engine) == everything(quiet)
    tokens = list(asked.tokens)
    answer = engine.questions.close(asked)
    assert answer.evidence.exact and answer.evidence.last_stamp_ns == 4 * SECOND
    assert answer.text == stream(8).ask('What is there?', len(tokens), view='now').text


def test_evidence_and_images():
    """The list of stamps, the size, and the pictures as the model saw them."""
    engine = stream(9, now_frames=3)
    answer = engine.ask('What?', 2, view='now', return_frames=True)
    evidence = answer.evidence
    assert evidence.stamps_ns == tuple(n * SECOND // 2 for n in (7, 8, 9))
    assert (evidence.view, evidence.exact, evidence.frames) == ('now', True, 3)
    assert (evidence.height, evidence.width) == (56, 56)
    assert (answer.stamp_ns, answer.oldest_stamp_ns) == (9 * SECOND // 2, 7 * SECOND // 2)
    for number, image in zip((6, 7, 8), answer.images, strict=True):
        assert np.array_equal(image, random_clip(number, 1, 56, 56)[0])
    both = engine.ask_choice('Which?', ['a', 'b'], view='memory_and_now').evidence
    assert both.stamps_ns == evidence.stamps_ns
    assert (both.frames, both.first_stamp_ns, both.exact) == (9, SECOND // 2, True)
    span = engine.ask('What?', 1, view=View('span', SECOND, 2 * SECOND)).evidence
    assert span.stamps_ns == tuple(n * SECOND // 2 for n in (2, 3, 4))
    assert engine.ask('What?', 1, view='now').images == ()


def test_a_frame_may_be_written_over_after_append():
    """What is kept is a copy."""
    engine = stream()
    image = random_clip(1, 1, 56, 56)[0].copy()
    engine.append_frame(image, 0.5)
    before = image.copy()
    image[:] = 0
    assert np.array_equal(engine.ask('?', 1, view='now', return_frames=True).images[0], before)


def test_what_is_gone_is_said():
    """Never fewer frames than the view has without a word."""
    frame = 56 * 56 * 3
    engine = stream(12, view_ring_bytes=6 * frame)
    assert engine.ask('?', 1, view='span').evidence.first_stamp_ns == 7 * SECOND // 2
    with pytest.raises(InvalidRequestError, match=r'frames are kept from 3\.500 s to 6\.000 s'):
        engine.ask('?', 1, view=View('span', SECOND))
    with pytest.raises(InvalidRequestError, match=r'from 5\.700 s to 5\.800 s has no frame'):
        engine.ask('?', 1, view=View('span', 57 * SECOND // 10, 58 * SECOND // 10))
    few = stream(12, view_ring_bytes=3 * frame)
    with pytest.raises(InvalidRequestError, match=r'and 3 are kept as they came, since 5\.000'):
        few.ask('?', 1, view='now')
    none = stream(12, view_ring_bytes=0)
    with pytest.raises(InvalidRequestError, match='0 are kept as they came'):
        none.ask('?', 1, view='span')
    # Nothing is gone of a stream that has only begun.
    assert stream(2).ask('?', 1, view=View('span', 1)).evidence.frames == 2
    with pytest.raises(NoFramesError):
        stream().ask('?', 1, view='now')


def test_a_snapshot_forgets_the_frames_after_it():
    """After going back, the newest frames are those of then."""
    engine = stream(5)
    before = engine.ask('What?', 3, view='now')
    snapshot = engine.snapshot()
    show(engine, 5, 4)
    engine.restore(snapshot)
    after = engine.ask('What?', 3, view='now')
    assert (after.evidence, after.text) == (before.evidence, before.text)
    engine.reset()
    show(engine, 20, 1)
    assert engine.ask('What?', 1, view='now').evidence.frames == 1


def test_places_are_few_and_come_back():
    """As many views as there is room for; a closed or dropped question gives its place back."""
    engine = stream(6, open_views=2)
    opened = [engine.questions.begin('?', view='now') for _ in range(2)]
    with pytest.raises(BusyError, match='2 questions with a view of their own are open'):
        engine.questions.begin('?', view='span')
    assert engine.ask('?', 1).evidence.view == 'memory'
    engine.questions.abandon(opened.pop())
    engine.ask('?', 1, view='now')
    opened.clear()
    assert engine.questions.views.room.free == 2
    with pytest.raises(InvalidRequestError, match='open_views is 0'):
        stream(6, open_views=0).ask('?', 1, view='now')
    with pytest.raises(OutOfMemoryError, match='room for 50'):
        stream(6, view_tokens=50).ask('?', 1, view='now')


def test_what_makes_no_sense_is_refused():
    """Only the memory can keep a turn, and it has no pictures."""
    engine = stream(6)
    with pytest.raises(InvalidRequestError, match='leave out update_state'):
        engine.ask('?', 1, True, view='now')
    with pytest.raises(InvalidRequestError, match='whose pictures are not kept'):
        engine.ask('?', 1, return_frames=True)
    with pytest.raises(InvalidRequestError, match="'later'; choose one of"):
        engine.ask('?', 1, view='later')
    with pytest.raises(InvalidRequestError, match='would never change'):
        engine.watch('?', ['a', 'b'], view=View('span', 0, SECOND))
    assert engine.questions.views.room.free == 2


def test_watches_look_too():
    """Each view is scored as a question with that view is; the cost is told."""
    engine, views = stream(6, chunk_frames=2), ('memory', 'now', 'span', 'memory_and_now')
    watches = [engine.watch('Is it red?', ['yes', 'no'], view=view, name=view) for view in views]
    assert [watch.frame_tokens for watch in watches] == [0, 2 * 4, 8 * 4, 2 * 4]
    blocked = [engine.questions.begin('?', view='now') for _ in range(2)]
    show(engine, 6, 2)
    engine.score_watches()
    for each in blocked:
        engine.questions.abandon(each)
    for watch in engine.watches():
        choice = engine.ask_choice('Is it red?', ['yes', 'no'], view=watch.name)
        assert watch.probabilities == pytest.approx(choice.probabilities, abs=1e-5)
        assert watch.view.name == watch.name


def test_a_watch_whose_view_fails_leaves_the_others(monkeypatch):
    engine = stream(4, chunk_frames=2)
    for view in ('now', 'memory'):
        engine.watch('Is it red?', ['yes', 'no'], view=view, name=view)
    score = engine.questions.score

    def fail(asked, view):
        if view.name == 'now':
            raise torch.OutOfMemoryError('none left')
        return score(asked, view)

    monkeypatch.setattr(engine.questions, 'score', fail)
    show(engine, 4, 2)
    with pytest.raises(OutOfMemoryError, match='none left'):
        engine.score_watches()
    assert [bool(watch.probabilities) for watch in engine.watches()] == [False, True]


def test_watches_have_few_views():
    engine = stream(4, chunk_frames=2)
    for since in range(1, 5):
        engine.watch('?', ['a', 'b'], view=View('span', since))
    with pytest.raises(InvalidRequestError, match='at 4 different views already'):
        engine.watch('?', ['a', 'b'], view='now')
    engine.watch('?', ['a', 'b'], view=View('span', 4))
    engine.watch('?', ['a', 'b'])


def test_frames_that_are_far_apart_are_several_videos():
    """So their positions stay in the range that the model knows."""
    engine = stream(2)
    engine.append_frame(random_clip(2, 1, 56, 56)[0], 600 * SECOND)
    frames = engine.questions.views.look(View('now'))
    assert len([span for shot in frames._shots for span in shot.spans]) == 2


def test_views_are_decoded_in_one_batch():
    """Each answer in a batch of all views is the one that it is alone."""
    engine = stream(7, open_views=3)
    views = ('memory', 'now', 'memory_and_now', 'span', 'memory')
    alone = [engine.ask('What is there?', 8, view=view).text for view in views]
    opened = [engine.questions.open('What is there?', 8, view=view) for view in views]
    while not all(each.ended for each in opened):
        engine.questions.decode(opened)
    assert [engine.questions.close(each).text for each in opened] == alone
    # Before anything is evicted a span of all frames is the memory.
    assert alone[0] == alone[3] and len(set(alone)) == 3
