# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The streaming model: pure PyTorch and transformers, no ROS."""

# First: a version that would break what follows ends in a sentence.
from streamvlm_ros.engine import compat  # noqa: F401, I001
from streamvlm_ros.engine.api.answer_stream import AnswerStream
from streamvlm_ros.engine.api.streaming_vlm import StreamingVLM
from streamvlm_ros.engine.kvcache.cache import StreamCache
from streamvlm_ros.engine.kvcache.manager import KVCacheManager
from streamvlm_ros.engine.models.folder.checkpoint import resolve_model
from streamvlm_ros.engine.models.devices import BALANCED
from streamvlm_ros.engine.models.devices import check_placement
from streamvlm_ros.engine.models.devices import device_bytes
from streamvlm_ros.engine.models.devices import free_device_memory
from streamvlm_ros.errors import (
    AnswerTimeoutError,
    BusyError,
    ErrorCode,
    FileError,
    InternalError,
    InvalidRequestError,
    NoFramesError,
    NotActiveError,
    OutOfMemoryError,
    ResetDuringAnswerError,
    StaleStreamError,
    StreamError,
)
from streamvlm_ros.engine.serving.inference import VideoStreamingInference
from streamvlm_ros.engine.models.qwen2_5_vl.model import StreamQwenModel
from streamvlm_ros.engine.models.processor import load_processor, StreamProcessor
from streamvlm_ros.engine.models.base import StreamingModel
from streamvlm_ros.engine.stream.saving.loaded_stream import LoadedStream
from streamvlm_ros.answer_settings import AnswerSettings
from streamvlm_ros.view import Evidence, View
from streamvlm_ros.engine.models.registry import load_model
from streamvlm_ros.engine.outputs import Answer, CacheInfo, Choice, Metrics
from streamvlm_ros.engine.serving.snapshot import Snapshot
from streamvlm_ros.engine.stream.saving.saved_stream import SavedStream
from streamvlm_ros.engine.config import StreamSettings
from streamvlm_ros.engine.serving.loading import load_streams, open_streams, pick_device
from streamvlm_ros.engine.serving.warmup import warm_up
from streamvlm_ros.engine.questions.watch import Watch
from streamvlm_ros.engine.questions.watch import WatchEvent
from streamvlm_ros.engine.serving.worker import StreamWorker
from streamvlm_ros.engine.serving.metrics import WorkerStatus

__all__ = [
    'Answer',
    'AnswerSettings',
    'AnswerStream',
    'AnswerTimeoutError',
    'BALANCED',
    'BusyError',
    'CacheInfo',
    'check_placement',
    'Choice',
    'device_bytes',
    'ErrorCode',
    'Evidence',
    'FileError',
    'free_device_memory',
    'InternalError',
    'InvalidRequestError',
    'KVCacheManager',
    'load_model',
    'load_processor',
    'load_streams',
    'LoadedStream',
    'Metrics',
    'NoFramesError',
    'NotActiveError',
    'open_streams',
    'OutOfMemoryError',
    'pick_device',
    'ResetDuringAnswerError',
    'resolve_model',
    'SavedStream',
    'Snapshot',
    'StaleStreamError',
    'StreamCache',
    'StreamError',
    'StreamingModel',
    'StreamingVLM',
    'StreamProcessor',
    'StreamQwenModel',
    'StreamSettings',
    'StreamWorker',
    'VideoStreamingInference',
    'View',
    'warm_up',
    'Watch',
    'WatchEvent',
    'WorkerStatus',
]
