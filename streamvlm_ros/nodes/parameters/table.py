# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The table of all parameters of the node. No ROS here."""

from __future__ import annotations

from streamvlm_ros.answer_settings import BOUNDS, LARGEST_INTEGER, SOURCES
from streamvlm_ros.nodes.parameters.parameter import Parameter, Settable
from streamvlm_ros.nodes.parameters.store_table import STORE_PARAMETERS
from streamvlm_ros.nodes.parameters.stream_table import STREAM_PARAMETERS
from streamvlm_ros.view import VIEWS

_MODEL_AND_IMAGES = (
    Parameter(
        'model',
        'tiny',
        "The model: 'tiny' (embedded), a folder, or a Hugging Face hub id.",
        shared=True,
    ),
    Parameter(
        'device',
        'auto',
        "Where the model runs: 'auto' (the GPU if there is one), 'cpu', 'cuda', 'cuda:1' ..., or "
        "'balanced' (a model larger than one GPU: its layers spread over all that are visible).",
        shared=True,
    ),
    Parameter(
        'dtype',
        'auto',
        "The model's number format; 'auto' is bfloat16 on a GPU and float32 on the CPU.",
        choices=('auto', 'float32', 'bfloat16', 'float16'),
        shared=True,
    ),
    Parameter(
        'quantization',
        'none',
        "Bits of the decoder's matrices: 'none' leaves them in dtype; 'int8' and 'int4' take "
        'about a half and a quarter of the memory. Answers come faster, frames slower.',
        choices=('none', 'int8', 'int4'),
        shared=True,
    ),
    Parameter(
        'image_transport',
        'raw',
        "Which images come: 'raw' on the topic image, or 'compressed' (JPEG, PNG) on "
        'image/compressed.',
        choices=('raw', 'compressed'),
    ),
    Parameter(
        'reliability',
        'auto',
        "How images are delivered: 'reliable' sends lost ones again, but receives nothing from "
        "a best-effort publisher; 'best_effort' receives from all and may lose images; 'auto' is "
        'reliable while every publisher of the topic offers it. A qos_overrides parameter takes '
        'precedence.',
        choices=('auto', 'reliable', 'best_effort'),
        settable=Settable.ALWAYS,
    ),
    Parameter(
        'depth_range',
        0.0,
        'Metres. Depth images (16UC1, 32FC1) become grey: white at the camera, black from there '
        'on; 0: they are refused.',
        minimum=0.0,
        maximum=1000.0,
    ),
)
_NODE = (
    Parameter(
        'policy',
        'frames_first',
        'What the model works on first when frames and answers wait.',
        choices=('frames_first', 'answers_first', 'balanced'),
        settable=Settable.ALWAYS,
        shared=True,
    ),
    Parameter(
        'queue_frames',
        64,
        'Sampled frames that may wait for the model; then the oldest is dropped and counted.',
        minimum=1,
        maximum=4096,
    ),
    Parameter(
        'queue_bytes',
        1 << 28,
        'Bytes of the images that may wait, before and after decoding each; then the '
        'oldest is dropped and counted. One image may always wait.',
        minimum=1 << 20,
        maximum=1 << 36,
    ),
    Parameter(
        'stale_after',
        5.0,
        'Seconds without an image, on a steady clock, until the stream counts as stale; 0: never.',
        minimum=0.0,
        maximum=3600.0,
        settable=Settable.ALWAYS,
    ),
    Parameter(
        'max_goals',
        8,
        'Goals of ~/answer that are answered at once; goal_policy decides about further goals.',
        minimum=1,
        maximum=16,
        settable=Settable.ALWAYS,
    ),
    Parameter(
        'goal_policy',
        'queue',
        "What happens to a goal above max_goals: 'queue' lets it wait, 'reject' refuses it, "
        "'preempt' ends the oldest goal for it.",
        choices=('queue', 'reject', 'preempt'),
        settable=Settable.ALWAYS,
    ),
    Parameter(
        'max_new_tokens',
        128,
        'Longest answer, in tokens, if the request says 0.',
        minimum=1,
        maximum=8192,
        settable=Settable.ALWAYS,
    ),
    Parameter(
        'request_timeout',
        30.0,
        'Seconds that a request may take if it says 0 itself; 0: max_request_timeout.',
        minimum=0.0,
        maximum=3600.0,
        settable=Settable.ALWAYS,
    ),
    Parameter(
        'max_request_timeout',
        3600.0,
        'Most seconds that any request may take; longer time-outs are reduced to this.',
        minimum=0.1,
        maximum=86400.0,
        settable=Settable.ALWAYS,
    ),
    Parameter(
        'watchdog',
        30.0,
        'Seconds in which the thread of the model must finish a turn; /diagnostics shows an ERROR '
        'after that.',
        minimum=1.0,
        maximum=3600.0,
        settable=Settable.ALWAYS,
        shared=True,
    ),
    Parameter(
        'watches',
        '',
        'Standing questions from the start on, one a line: name | question | choice, choice; '
        'optionally followed by | threshold 0.7 | hold 2 | view now.',
        longest=1 << 16,
    ),
    Parameter(
        'save_folder',
        '~/.ros/streamvlm',
        'Folder of the files of ~/save and ~/load; with a namespace, a folder of that name in it. '
        'Made when something is saved there, for its owner alone.',
        settable=Settable.START,
    ),
    Parameter(
        'load_at_start',
        '',
        'Name of a saved stream in save_folder that is loaded whenever the node is configured, so '
        'that a restarted node remembers; without that file the stream begins empty.',
    ),
    Parameter(
        'allow_any_path',
        False,
        'Dangerous: let ~/save and ~/load take any path that the user of the node may write, not '
        'only names in save_folder. Anyone in the graph can call them.',
        settable=Settable.START,
    ),
    Parameter(
        'cameras',
        '',
        "Names of the cameras of this process, as 'front, rear': each has its own namespace with "
        'topics, services, memory and parameters, and all share the model. Empty: one camera, in '
        "the node's own namespace.",
        settable=Settable.START,
        shared=True,
        is_list=True,
    ),
    Parameter(
        'autostart',
        True,
        'Configure and activate at the start; a model that cannot be loaded then ends the node. '
        'False: a launch file, a lifecycle manager or ros2 lifecycle does it.',
        settable=Settable.START,
        shared=True,
    ),
)
# From `generation` on, the names are those of `AnswerSettings`.
_ANSWERS = (
    Parameter(
        'view',
        'memory',
        'What questions and watches look at that do not say it: all that is cached, the newest '
        'frames, both, or all frames whose pictures are kept.',
        choices=VIEWS,
        settable=Settable.ALWAYS,
    ),
    Parameter(
        'generation',
        'model',
        "Where the settings of answers come from that are 0 below: 'model' (what the model's "
        "generation_config.json says) or 'plain' (no penalty, nothing left out).",
        choices=SOURCES,
        settable=Settable.ALWAYS,
    ),
    Parameter(
        'sample',
        False,
        'Draw the tokens of answers at random, by these settings. False: the most probable token '
        'after the repetition penalty, so that the same question is answered the same.',
        settable=Settable.ALWAYS,
    ),
    Parameter(
        'temperature',
        0.0,
        'Of the softmax that tokens are drawn from, at least 1e-6; above 0 tokens are drawn. '
        '0: see generation.',
        minimum=0.0,
        maximum=BOUNDS['temperature'][1],
        settable=Settable.ALWAYS,
    ),
    Parameter(
        'top_p',
        0.0,
        'Draw from the most probable tokens that together have this share; 0: see generation.',
        minimum=0.0,
        maximum=1.0,
        settable=Settable.ALWAYS,
    ),
    Parameter(
        'top_k',
        0,
        'Draw from so many of the most probable tokens; 0: see generation.',
        minimum=0,
        maximum=LARGEST_INTEGER,
        settable=Settable.ALWAYS,
    ),
    Parameter(
        'min_p',
        0.0,
        'Draw from tokens at least this share as probable as the most probable one; 0: see '
        'generation.',
        minimum=0.0,
        maximum=1.0,
        settable=Settable.ALWAYS,
    ),
    Parameter(
        'repetition_penalty',
        0.0,
        'Scores of tokens that prompt or answer have already are divided by this where positive, '
        'multiplied where negative; at least 0.01, 1 changes nothing. 0: see generation. Choices '
        'and watches have raw probabilities, whatever this is.',
        minimum=0.0,
        maximum=BOUNDS['repetition_penalty'][1],
        settable=Settable.ALWAYS,
    ),
    Parameter(
        'seed',
        0,
        'Of the random numbers of drawn answers: the same stream, question, settings and seed '
        'give the same answer.',
        minimum=0,
        maximum=LARGEST_INTEGER,
        settable=Settable.ALWAYS,
    ),
)
PARAMETERS = (*_MODEL_AND_IMAGES, *STREAM_PARAMETERS, *STORE_PARAMETERS, *_NODE, *_ANSWERS)
