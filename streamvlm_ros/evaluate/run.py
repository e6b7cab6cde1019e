# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One pass over each video: frames go into a stream, and questions branch off at their times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
import math
import pathlib

from streamvlm_ros.engine import StreamError
from streamvlm_ros.engine.outputs import Answer
from streamvlm_ros.errors import ErrorCode, SourceError
from streamvlm_ros.evaluate.frame_window import FrameWindow
from streamvlm_ros.evaluate.progress import Progress
from streamvlm_ros.evaluate.question import Question
from streamvlm_ros.evaluate.responses import ResponseFile
from streamvlm_ros.evaluate.stream import says_yes, Stream
from streamvlm_ros.sources.video import open_video, Video
from streamvlm_ros.stamps import NANOSECONDS

MISSING, BROKEN = 'the video is missing', 'the video cannot be read so far'
CUT_S = 5.0  # a video that ends so much before the length that it states was cut


class Run:
    """Asks a benchmark's questions of one model and writes what it says."""

    def __init__(
        self, stream: Stream, videos: pathlib.Path, rate: float, responses: ResponseFile
    ) -> None:
        """Begin.

        Args:
            stream: is asked.
            videos: folder of the videos.
            rate: frames a second that the stream gets.
            responses: is written to; what it has a response to is not asked again.

        """
        self._stream, self._folder, self._rate = stream, videos, rate
        self._responses = responses
        self._progress = Progress(0, 0, 0.0)

    def ask(self, questions: Sequence[Question]) -> None:
        """Ask all questions that have no response yet.

        Raises:
            StreamError: OUT_OF_MEMORY.
            CommandError: the responses cannot be written.

        """
        left = [each for each in questions if not self._responses.is_answered(each.key)]
        by_video: dict[str, list[Question]] = {}
        for each in left:
            by_video.setdefault(each.video, []).append(each)
        seconds = {
            name: sum(_seconds(clip) for clip in _clips(asked)) for name, asked in by_video.items()
        }
        self._progress = Progress(len(by_video), len(left), sum(seconds.values()))
        for name, asked in by_video.items():
            path = find_video(self._folder, name)
            if path is None:
                self._give_up(asked, MISSING)
            else:
                self._go_through(name, path, asked)
            self._progress.add_video(seconds[name])
        self._progress.end()

    def _go_through(self, name: str, path: pathlib.Path, asked: Sequence[Question]) -> None:
        """Go through a video once."""
        self._stream.begin_figures()
        left = list(asked)
        fault, damaged = '', 0
        try:
            with open_video(path) as video:
                try:
                    self._ask_all(video, left)
                finally:
                    fault, damaged = video.fault, video.broken
        except SourceError as error:
            fault = str(error)
        self._give_up(left, BROKEN)
        self._responses.add_video(
            name, **self._stream.figures(), damaged_pictures=damaged, fault=fault
        )

    def _ask_all(self, video: Video, left: list[Question]) -> None:
        """Ask all questions about a video; those that could be asked are taken out of `left`."""
        window = FrameWindow(video, self._rate)
        clips = _clips(left)
        next_starts = [*(clip[0].start_s for clip in clips[1:]), math.inf]
        for clip, keep_s in zip(clips, next_starts):
            self._stream.reset()
            window.begin(clip[0].start_s, keep_s)
            for moment_s in sorted({time_s for each in clip for time_s in each.times_s}):
                now = [each for each in clip if each in left and moment_s in each.times_s]
                if not now:
                    continue  # put out already
                self._stream.append(window.until(moment_s))
                if window.ended and _was_cut(video, window, moment_s):
                    return
                for each in self._ask_now(now, moment_s, self._beyond(window, moment_s)):
                    left.remove(each)

    def _ask_now(
        self, now: Sequence[Question], moment_s: float, beyond_s: float
    ) -> Iterator[Question]:
        """Ask questions; yield those that are done with."""
        for each, outcome in zip(now, self._stream.ask(now)):
            if isinstance(outcome, StreamError):
                if outcome.code == ErrorCode.OUT_OF_MEMORY:
                    raise outcome
                self._responses.add_not_asked(each.key, str(outcome))
            elif each.then_ask and moment_s < each.times_s[-1] and not says_yes(outcome):
                continue
            else:
                self._write(each, moment_s, outcome[-1], beyond_s)
            self._progress.add_question()
            yield each

    def _write(self, question: Question, moment_s: float, answer: Answer, beyond_s: float) -> None:
        self._responses.add_response(
            question.key,
            task=question.task,
            rule=question.rule,
            truth=question.truth,
            response=answer.text,
            late_s=None if question.truth_s is None else moment_s - question.truth_s,
            time_s=moment_s,
            beyond_end_s=beyond_s,
            finish_reason=answer.finish_reason,
            exact=answer.evidence.exact,
            frames=answer.evidence.frames,
            first_s=answer.evidence.first_stamp_ns / NANOSECONDS,
            last_s=answer.evidence.last_stamp_ns / NANOSECONDS,
            first_token_s=round(answer.time_to_first_token, 6),
            total_s=round(answer.total_time, 6),
        )

    def _beyond(self, window: FrameWindow, moment_s: float) -> float:
        """Return how long the video has been at its end at a moment, in seconds."""
        if not window.ended:
            return 0.0
        return round(max(0.0, moment_s - window.newest_ns / NANOSECONDS - 1 / self._rate), 3)

    def _give_up(self, questions: Iterable[Question], reason: str) -> None:
        for each in questions:
            self._responses.add_not_asked(each.key, reason)
            self._progress.add_question()


def find_video(folder: pathlib.Path, name: str) -> pathlib.Path | None:
    """Return a video's path: as the annotations have it in a folder, or by its name alone."""
    for path in (folder / name, folder / pathlib.PurePath(name).name):
        if path.is_file():
            return path
    return None


def _clips(questions: Iterable[Question]) -> list[list[Question]]:
    """Return the questions that begin at the same time of a video, in the order of the times."""
    clips: dict[float, list[Question]] = {}
    for each in questions:
        clips.setdefault(each.start_s, []).append(each)
    return [clips[start_s] for start_s in sorted(clips)]


def _seconds(clip: Sequence[Question]) -> float:
    return max(each.seconds for each in clip)


def _was_cut(video: Video, window: FrameWindow, moment_s: float) -> bool:
    """Return whether a part of a video that has ended is missing before a moment."""
    if video.duration is None:
        return False
    return window.newest_ns / NANOSECONDS + CUT_S < min(moment_s, video.duration)
