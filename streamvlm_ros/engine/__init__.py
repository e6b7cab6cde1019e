# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The streaming model: pure PyTorch and transformers, no ROS."""

# First: a version that would break what follows ends in a sentence.
from streamvlm_ros.engine import quiet, versions  # noqa: F401, I001
from streamvlm_ros.engine.cache import StreamCache
from streamvlm_ros.engine.cache_manager import KVCacheManager
from streamvlm_ros.engine.checkpoint import resolve_model
from streamvlm_ros.engine.devices import BALANCED
from streamvlm_ros.engine.devices import check_placement
from streamvlm_ros.engine.devices import device_bytes
from streamvlm_ros.engine.devices import free_device_memory
from streamvlm_ros.engine.errors import ErrorCode
from streamvlm_ros.engine.errors import StreamError
from streamvlm_ros.engine.inference import VideoStreamingInference
from streamvlm_ros.engine.model import StreamQwenModel
from streamvlm_ros.engine.processor import load_processor
from streamvlm_ros.engine.results import Answer
from streamvlm_ros.engine.results import Choice
from streamvlm_ros.engine.saving import SavedStream
from streamvlm_ros.engine.settings import StreamSettings
from streamvlm_ros.engine.sharing import open_streams
from streamvlm_ros.engine.warming import warm_up
from streamvlm_ros.engine.watch import Watch
from streamvlm_ros.engine.watch import WatchEvent
from streamvlm_ros.engine.worker import StreamWorker
from streamvlm_ros.engine.worker_status import WorkerStatus

__all__ = [
    'Answer', 'BALANCED', 'check_placement', 'Choice', 'device_bytes', 'ErrorCode',
    'free_device_memory', 'KVCacheManager', 'load_processor', 'open_streams', 'resolve_model',
    'SavedStream', 'StreamCache', 'StreamError', 'StreamQwenModel', 'StreamSettings',
    'StreamWorker', 'VideoStreamingInference', 'warm_up', 'Watch', 'WatchEvent', 'WorkerStatus',
]
