# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The one table of the node's parameters. No ROS here."""

from __future__ import annotations

from streamvlm_ros.engine import StreamSettings
from streamvlm_ros.nodes.parameters.parameter import Parameter, Settable

_STREAM = StreamSettings()  # the engine's own defaults are the node's

PARAMETERS = (
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
        "How images are delivered: 'reliable' sends a lost one again, but hears no publisher of "
        "best effort; 'best_effort' hears all and may lose images; 'auto' is reliable while every "
        'publisher of the topic offers it. A qos_overrides parameter counts more.',
        choices=('auto', 'reliable', 'best_effort'),
        settable=Settable.ALWAYS,
    ),
    Parameter(
        'sample_rate',
        _STREAM.sample_rate,
        'Frames per second that the model sees, by header stamps, or by arrival where time_source '
        'is uniform; 0: every frame, else at least 0.001.',
        minimum=0.0,
        maximum=240.0,
        settable=Settable.ALWAYS,
    ),
    Parameter(
        'chunk_frames',
        _STREAM.chunk_frames,
        'Frames that are prefilled together; more are cheaper per frame, fewer are in the '
        'memory sooner.',
        minimum=2,
        maximum=8,
        step=2,
    ),
    Parameter(
        'min_pixels',
        _STREAM.min_pixels,
        "Smaller images are enlarged to this many pixels; 0: the model's own limit.",
        minimum=0,
        maximum=1 << 26,
    ),
    Parameter(
        'max_pixels',
        _STREAM.max_pixels,
        "Larger images are reduced to this many pixels; 0: the model's own limit.",
        minimum=0,
        maximum=1 << 26,
    ),
    Parameter(
        'position_mode',
        _STREAM.position_mode,
        "'continuous': the chunks are one video, answers equal the offline model's; 'append': "
        'each chunk is its own.',
        choices=('continuous', 'append'),
    ),
    Parameter(
        'time_source',
        _STREAM.time_source,
        "The frames' times: 'stamp' from the image headers, 'uniform' one frame every 1 / "
        'sample_rate seconds, whatever the stamps are.',
        choices=('stamp', 'uniform'),
    ),
    Parameter(
        'every_frame',
        _STREAM.every_frame,
        "With time_source 'uniform': take every image that arrives. False: sample_rate images a "
        'second, by arrival.',
    ),
    Parameter(
        'late_tolerance',
        _STREAM.late_tolerance,
        'Seconds. An image whose stamp is older than the newest by less is left out and counted; '
        'an older one begins a new epoch.',
        minimum=0.0,
        maximum=3600.0,
    ),
    Parameter(
        'max_gap',
        _STREAM.max_gap,
        'Seconds. An image whose stamp is further ahead of the newest (and at least 10 sample '
        'periods) waits until a second one confirms it, or stale_after has passed.',
        minimum=0.1,
        maximum=1e9,
    ),
    Parameter(
        'max_question_tokens',
        _STREAM.max_question_tokens,
        'Longest question, in tokens, its choices included; a longer one is refused.',
        minimum=16,
        maximum=8192,
    ),
    Parameter(
        'max_watch_tokens',
        _STREAM.max_watch_tokens,
        'Tokens of all watches together, which are computed after every chunk; one watch more is '
        'refused.',
        minimum=16,
        maximum=16384,
    ),
    Parameter(
        'max_system_tokens',
        _STREAM.max_system_tokens,
        'Longest system_prompt, in tokens.',
        minimum=16,
        maximum=8192,
    ),
    Parameter(
        'max_image_pixels',
        _STREAM.max_image_pixels,
        'Largest image, in pixels (height x width); a larger one is refused before it is decoded.',
        minimum=1 << 10,
        maximum=1 << 28,
    ),
    Parameter(
        'depth_range',
        0.0,
        'Metres. Depth images (16UC1, 32FC1) become grey, white at the camera, black from there '
        'on; 0: they are refused.',
        minimum=0.0,
        maximum=1000.0,
    ),
    Parameter(
        'max_frame_id',
        _STREAM.max_frame_id,
        "Longest frame_id of an image's header, in characters; an image with a longer one is "
        'refused.',
        minimum=1,
        maximum=4096,
    ),
    Parameter(
        'system_prompt',
        _STREAM.system_prompt,
        "What the model is told first; empty: the model's own default.",
        longest=1 << 16,
    ),
    Parameter(
        'capacity',
        _STREAM.capacity,
        'Tokens of KV cache, allocated at start. Seven eighths are kept, then the oldest frames '
        'go. The memory_ parameters can say it otherwise.',
        minimum=256,
        maximum=1 << 24,
    ),
    Parameter(
        'memory_seconds',
        _STREAM.memory_seconds,
        'Keep the newest so many seconds, by header stamps, of what there is room for; 0: all.',
        minimum=0.0,
        maximum=604800.0,
    ),
    Parameter(
        'memory_tokens',
        _STREAM.memory_tokens,
        'Make room to keep so many tokens; 0: see capacity.',
        minimum=0,
        maximum=1 << 24,
    ),
    Parameter(
        'slack',
        _STREAM.slack,
        'One slot of the cache in so many is where new frames go while open answers still read '
        'what was dropped. 2 for long answers beside fast cameras.',
        minimum=2,
        maximum=64,
    ),
    Parameter(
        'memory_bytes',
        _STREAM.memory_bytes,
        'Make the KV cache so large, all layers together; 0: see capacity.',
        minimum=0,
        maximum=1 << 42,
    ),
    Parameter(
        'kept_turns',
        _STREAM.kept_turns,
        'Newest questions and answers asked with update_state that stay in the memory.',
        minimum=1,
        maximum=1024,
    ),
    Parameter(
        'skip_static',
        _STREAM.skip_static,
        'Grey levels. Two frames in which no small block differs by more from the last two that '
        'were kept take no room and no time; 4 is above the noise of most cameras. 0: off.',
        minimum=0.0,
        maximum=255.0,
    ),
    Parameter(
        'policy',
        'frames_first',
        'Who goes first when frames and answers wait for the model.',
        choices=('frames_first', 'answers_first', 'balanced'),
        settable=Settable.ALWAYS,
        shared=True,
    ),
    Parameter(
        'queue_frames',
        64,
        'Sampled frames that may wait for the model; beyond that the oldest is dropped and '
        'counted.',
        minimum=1,
        maximum=4096,
    ),
    Parameter(
        'queue_bytes',
        1 << 28,
        'Bytes of the images that may wait, before and after decoding each; beyond that the '
        'oldest is dropped and counted. One may always wait.',
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
        'Goals of ~/answer that are answered at once; goal_policy decides about one more.',
        minimum=1,
        maximum=16,
        settable=Settable.ALWAYS,
    ),
    Parameter(
        'goal_policy',
        'queue',
        "What becomes of one goal more than max_goals: 'queue' lets it wait, 'reject' refuses "
        "it, 'preempt' ends the oldest for it.",
        choices=('queue', 'reject', 'preempt'),
        settable=Settable.ALWAYS,
    ),
    Parameter(
        'max_new_tokens',
        128,
        'Longest answer, in tokens, where the request says 0.',
        minimum=1,
        maximum=8192,
        settable=Settable.ALWAYS,
    ),
    Parameter(
        'request_timeout',
        30.0,
        'Seconds that a request may take where it says 0 itself; 0: as many as '
        'max_request_timeout.',
        minimum=0.0,
        maximum=3600.0,
        settable=Settable.ALWAYS,
    ),
    Parameter(
        'max_request_timeout',
        3600.0,
        'Seconds that any request may take at most; a longer time-out, or none, counts as this.',
        minimum=0.1,
        maximum=86400.0,
        settable=Settable.ALWAYS,
    ),
    Parameter(
        'watchdog',
        30.0,
        'Seconds in which the thread of the model must come round; /diagnostics shows an ERROR '
        'beyond.',
        minimum=1.0,
        maximum=3600.0,
        settable=Settable.ALWAYS,
        shared=True,
    ),
    Parameter(
        'watches',
        '',
        'Standing questions from the start on, one a line: name | question | choice, choice; '
        'behind that, if wanted, | threshold 0.7 | hold 2.',
        longest=1 << 16,
    ),
    Parameter(
        'save_folder',
        '~/.ros/streamvlm',
        'Where the files of ~/save and ~/load lie, in a folder below it that is called like the '
        "node's namespace; made when something is saved there, for its owner alone.",
        settable=Settable.START,
    ),
    Parameter(
        'load_at_start',
        '',
        'Name of a saved stream in save_folder that is loaded whenever the node is configured, so '
        'that one that is started anew remembers; without that file the stream begins empty.',
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
