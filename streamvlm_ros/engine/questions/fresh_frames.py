# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames that are read for one question alone, piece by piece, before its words.

They are one video, or several: a vision segment ends where the frames' size changes, and each
temporal patch is a segment of its own if its time is written before it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
import dataclasses
import math

import numpy as np
import torch

from streamvlm_ros.engine.models.preprocessing import grid_of, ImageProcessorConfig, patchify
from streamvlm_ros.engine.models.prompt import Place, Prompt
from streamvlm_ros.engine.positions import Grid, VideoSpan
from streamvlm_ros.engine.questions.branch import Branch, Run
from streamvlm_ros.engine.stream.chunks import EncodedChunk, PartLayout
from streamvlm_ros.engine.stream.frames import Frame, pixel_values

# Recorded passes have such multiples of tokens.
MULTIPLE = 16


@dataclasses.dataclass(frozen=True, eq=False)
class Shot:
    """Temporal patches of one size that are encoded together, with what is around them.

    Attributes:
        ids: of all its tokens.
        spans: which temporal patches they are.
        frames: in whole temporal patches; none if they are encoded already.
        video: embeddings, if they are.

    """

    ids: list[int]
    spans: Sequence[VideoSpan]
    frames: Sequence[Frame] = ()
    video: torch.Tensor | None = None

    @classmethod
    def of_chunk(cls, chunk: EncodedChunk) -> Shot:
        """Return the frames that wait for their chunk to fill."""
        return cls(chunk.ids, chunk.parts, (), chunk.video)


def shots_of(
    frames: Sequence[Frame],
    prompt: Prompt,
    pixels: ImageProcessorConfig,
    place: Place,
    began_ns: int,
    timed: bool,
    most_tokens: int,
) -> Iterator[Shot]:
    """Yield the shots of frames; after the last one comes what is asked.

    Args:
        frames: in pairs of neighbours; an odd one is completed by repeating it.
        prompt: the stream's.
        pixels: the preprocessing of these frames.
        place: what the last token before them belongs to.
        began_ns: from when times are written.
        timed: every temporal patch is a video of its own, with its time before it.
        most_tokens: of a shot, unless it is a single temporal patch.

    """
    apart = timed or prompt.each_patch_opens
    patches = list(_patches(frames))
    at = 0
    while at < len(patches):
        size = patches[at][0].size
        grid = grid_of(size, 1, pixels)
        most = at + max(1, most_tokens // math.prod(grid))
        end = at + 1
        while end < min(len(patches), most) and patches[end][0].size == size:
            end += 1
        parts: list[PartLayout] = []
        for index in range(at, end):
            elapsed = [frame.time_ns - began_ns for frame in patches[index]]
            opens = apart or index == 0 or patches[index - 1][0].size != size
            before = []
            if opens:
                before = prompt.open_segment(place, elapsed, timed)
                place = Place.USER_TURN
            last = index + 1 == len(patches) or apart or patches[index + 1][0].size != size
            after = prompt.close_segment() if last else []
            if parts and not opens:
                so_far = parts.pop()
                grown = Grid(so_far.grid.t + 1, grid.h, grid.w)
                parts.append(PartLayout(so_far.before, grown, after))
            else:
                parts.append(PartLayout(before, grid, after))
        yield _shot(patches[at:end], parts, prompt.pad)
        at = end


def _patches(frames: Sequence[Frame]) -> Iterator[tuple[Frame, Frame]]:
    """Yield the temporal patches: two frames of one size, or the same one twice."""
    for start in range(0, len(frames), 2):
        first, second = frames[start], frames[min(start + 1, len(frames) - 1)]
        if first.size == second.size:
            yield first, second
        else:
            yield first, first
            yield second, second


def _shot(patches: Sequence[tuple[Frame, Frame]], parts: Sequence[PartLayout], pad: int) -> Shot:
    ids: list[int] = []
    spans, times = [], tuple(first.time_ns for first, _ in patches)
    for part in parts:
        ids += [*part.before, *[pad] * math.prod(part.grid), *part.after]
        spans.append(VideoSpan(part.grid, times[: part.grid.t]))
        times = times[part.grid.t :]
    return Shot(ids, spans, [frame for patch in patches for frame in patch])


class FreshFrames:
    """The frames of one question, chosen when it was opened.

    Attributes:
        frames: each one once, in their order.
        images: they as the model saw them, RGB uint8 [h, w, 3], once they are read; none unless
            they are wanted.
        tokens: of all shots.
        ids: the different ones among them.

    """

    def __init__(
        self,
        frames: Sequence[Frame],
        waiting: Shot | None,
        passed_ns: int | None,
        shots: Sequence[Shot],
        pixels: ImageProcessorConfig,
        piece: int,
        keep_images: bool,
    ) -> None:
        """Take what was chosen.

        Args:
            frames: each one once.
            waiting: frames that come before them: those that wait for the stream's chunk to fill.
            passed_ns: time that passes after these without a token.
            shots: the frames as they are read.
            pixels: their preprocessing.
            piece: most video tokens of one pass.
            keep_images: whether ``images`` are wanted.

        """
        self.frames = frames
        self.images: tuple[np.ndarray, ...] = ()
        self._waiting, self._passed_ns, self._shots = waiting, passed_ns, shots
        self._pixels, self._piece, self._keep_images = pixels, piece, keep_images
        every = [*([waiting] if waiting else []), *shots]
        self.tokens = sum(len(shot.ids) for shot in every)
        self.ids = frozenset().union(*(shot.ids for shot in every))

    @torch.inference_mode()
    def read(self, branch: Branch) -> Generator[None, None, None]:
        """Prefill the frames on a branch, whose fresh prefix they become.

        The generator yields after every pass.  If it is closed there, or a pass fails, the branch
        must be closed; the stream is as it was.
        """
        if self._waiting is not None:
            yield from self._prefill(branch, self._waiting, self._waiting.video)
        if self._passed_ns is not None:
            branch.state = branch.rule.pass_time(branch.state, self._passed_ns)
        for shot in self._shots:
            device = branch.runner.model.device
            levels = pixel_values(shot.frames, self._pixels, device)
            video = branch.runner.encode(*patchify(levels, self._pixels))
            if not self._keep_images:
                for frame in shot.frames:
                    frame.pixel_values = None
            yield from self._prefill(branch, shot, video)
        if self._keep_images:
            self.images = tuple(map(_as_seen, self.frames))
        branch.context.freeze()

    def _prefill(
        self, branch: Branch, shot: Shot, video: torch.Tensor | None
    ) -> Generator[None, None, None]:
        positions, state = branch.rule.place(branch.state, shot.ids, shot.spans)
        is_video = branch.rule.is_video(shot.ids)
        run = Run(shot.ids, positions, is_video, video)
        most = self._piece + len(run) - int(is_video.sum())
        passes = -(-len(run) // most)
        # Of one length, so that few passes have to be recorded.
        size = -(-len(run) // passes)
        size = -(-size // MULTIPLE) * MULTIPLE if passes > 1 else size
        for start in range(0, len(run), size):
            piece = run.cut(start, min(start + size, len(run)))
            branch.runner.prefill(piece.ids, piece.positions, branch.context, piece.video)
            yield
        branch.state = state


def _as_seen(frame: Frame) -> np.ndarray:
    """Return a frame as the model saw it, and free it on the device."""
    levels, frame.pixel_values = frame.pixel_values, None
    assert levels is not None
    return levels.permute(1, 2, 0).to(torch.uint8).cpu().numpy()
