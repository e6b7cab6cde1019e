# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters that are the settings of a stream: sampling, positions, limits and memory.

Their defaults are the engine's own. No ROS here.
"""

from __future__ import annotations

from streamvlm_ros.engine import StreamSettings
from streamvlm_ros.nodes.parameters.parameter import Parameter, Settable

_STREAM = StreamSettings()

STREAM_PARAMETERS = (
    Parameter(
        'sample_rate',
        _STREAM.sample_rate,
        'Frames per second that the model sees, by header stamps, or by arrival if time_source is '
        'uniform; 0: every frame, else at least 0.001.',
        minimum=0.0,
        maximum=240.0,
        settable=Settable.ALWAYS,
    ),
    Parameter(
        'chunk_frames',
        _STREAM.chunk_frames,
        'Frames that are prefilled together; more cost less per frame, fewer are in the '
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
        "'continuous': the chunks are one video, and answers equal the offline model's; 'append': "
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
        'Seconds. An image that is older than the newest stamp by less is left out and counted; '
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
        'Tokens of all watches together, which are computed after every chunk; further watches '
        'are refused.',
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
        "The system turn of the prompt; empty: the model's own default.",
        longest=1 << 16,
    ),
    Parameter(
        'capacity',
        _STREAM.capacity,
        'Tokens of KV cache, allocated at start. When seven eighths are used, the oldest '
        'frames are evicted. The memory_ parameters take precedence.',
        minimum=256,
        maximum=1 << 24,
    ),
    Parameter(
        'memory_seconds',
        _STREAM.memory_seconds,
        'Keep at most this many seconds, by header stamps; 0: all that there is room for.',
        minimum=0.0,
        maximum=604800.0,
    ),
    Parameter(
        'memory_tokens',
        _STREAM.memory_tokens,
        'Make the KV cache large enough to keep this many tokens; 0: see capacity.',
        minimum=0,
        maximum=1 << 24,
    ),
    Parameter(
        'slack',
        _STREAM.slack,
        'One slot of the cache in this many is reserved: new frames use it while open answers '
        'still read evicted ones. 2 for long answers with fast cameras.',
        minimum=2,
        maximum=64,
    ),
    Parameter(
        'memory_bytes',
        _STREAM.memory_bytes,
        'Bytes of the KV cache, all layers together; 0: see capacity.',
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
        'Grey levels. Two frames are left out if no small block of them differs by more from the '
        'last two that were kept; 4 is above the noise of most cameras. 0: off.',
        minimum=0.0,
        maximum=255.0,
    ),
    Parameter(
        'now_frames',
        _STREAM.now_frames,
        'Newest frames that the views now and memory_and_now have.',
        minimum=1,
        maximum=64,
    ),
    Parameter(
        'now_max_pixels',
        _STREAM.now_max_pixels,
        'Larger frames of these views are reduced to this many pixels, whatever max_pixels is; '
        '0: to 1280 x 720.',
        minimum=0,
        maximum=1 << 26,
    ),
    Parameter(
        'view_frames',
        _STREAM.view_frames,
        'Most frames of the view span: pairs of neighbours, evenly spread over it.',
        minimum=2,
        maximum=256,
        step=2,
    ),
    Parameter(
        'view_tokens',
        _STREAM.view_tokens,
        'Room for the frames of one view, in tokens, reserved at start; 0: as much as these '
        'settings need.',
        minimum=0,
        maximum=1 << 20,
    ),
    Parameter(
        'open_views',
        _STREAM.open_views,
        'Views that are open at once, each with its room; further questions wait. 0: memory is '
        'the only view.',
        minimum=0,
        maximum=16,
    ),
    Parameter(
        'view_ring_bytes',
        _STREAM.view_ring_bytes,
        'Bytes of the newest frames that are kept as they came, for views; 0: none.',
        minimum=0,
        maximum=1 << 36,
    ),
)
