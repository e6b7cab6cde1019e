# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Serves modules and classes under the names of version 0.1.0, with a DeprecationWarning.

Old programs keep working for one version. A finder at the end of ``sys.meta_path`` answers only
for names that no file has, so it costs nothing if it is not used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import importlib
import importlib.abc
import importlib.machinery
import sys
import types
from typing import Any
import warnings

PACKAGE = 'streamvlm_ros'
# Old module: the new one, or several with a space between them, searched in this order.
MODULES = {
    'cli.bags': 'bags.bags',
    'cli.client': 'client.client',
    'cli.errors': 'errors',
    'cli.goals': 'client.goals',
    'cli.graph': 'environment',
    'cli.player': 'bags.player',
    'cli.ready': 'client.ready',
    'engine.ahead': 'engine.stream.encoder_cache',
    'engine.allocation': 'engine.kvcache.allocation',
    'engine.answering': 'engine.questions.sequence engine.questions.sampler',
    'engine.atomic_file': 'engine.store.atomic_file',
    'engine.attention': 'engine.ops.attention',
    'engine.branch': 'engine.questions.branch',
    'engine.branch_attention': 'engine.kvcache.contexts',
    'engine.budget': 'engine.kvcache.capacity',
    'engine.cache': 'engine.kvcache.cache',
    'engine.cache_manager': 'engine.kvcache.manager',
    'engine.chat_template': 'engine.models.chat_template',
    'engine.checkpoint': 'engine.models.folder.checkpoint',
    'engine.chunks': 'engine.stream.chunks',
    'engine.decoder': 'engine.models.decoder',
    'engine.decoding': 'engine.questions.decoder',
    'engine.desk': 'engine.serving.request_queue',
    'engine.device_passes': 'engine.runner.device_passes',
    'engine.devices': 'engine.models.devices',
    'engine.file_jobs': 'engine.store.jobs',
    'engine.file_place': 'engine.store.place',
    'engine.fingerprint': 'engine.stream.saving.fingerprint',
    'engine.frame_clock': 'engine.stream.stamps',
    'engine.frame_queue': 'engine.serving.frame_queue',
    'engine.frames': 'engine.models.preprocessing engine.stream.frames',
    'engine.graphs': 'engine.runner.cuda_graphs',
    'engine.inference': 'engine.serving.inference',
    'engine.intake': 'engine.serving.frame_queue engine.serving.session',
    'engine.kernels': 'engine.ops.kernels',
    'engine.kernels.attention': 'engine.ops.kernels.attention.segments',
    'engine.kernels.hopper': 'engine.ops.kernels.attention.hopper',
    'engine.kernels.hopper_tiles': 'engine.ops.kernels.attention.hopper_tiles',
    'engine.kernels.int4': 'engine.ops.kernels.matmul.int4',
    'engine.kernels.launch': 'engine.ops.kernels.launch',
    'engine.kernels.matmul': 'engine.ops.kernels.matmul.rows',
    'engine.kernels.merging': 'engine.ops.kernels.attention.merge',
    'engine.kernels.operations': 'engine.ops.kernels.operations',
    'engine.kernels.pointwise': 'engine.ops.kernels.pointwise',
    'engine.kernels.tiles': 'engine.ops.kernels.matmul.tiles',
    'engine.kernels.unpacking': 'engine.ops.kernels.matmul.unpack',
    'engine.kernels.widening': 'engine.ops.kernels.dequantize',
    'engine.kernels.windows': 'engine.models.qwen2_5_vl.kernels.windows',
    'engine.kv_buffer': 'engine.kvcache.buffer',
    'engine.layout': 'engine.stream.chunks',
    'engine.likelihood': 'engine.ops.likelihood',
    'engine.memory': 'engine.kvcache.eviction',
    'engine.model': 'engine.models.qwen2_5_vl.model engine.models.qwen2_5_vl.forward',
    'engine.model_config': 'engine.models.folder.config',
    'engine.model_files': 'engine.models.folder.files',
    'engine.model_thread': 'engine.serving.engine_loop',
    'engine.mrope': 'engine.ops.rotary',
    'engine.open_question': 'engine.questions.sequence',
    'engine.operations': 'engine.ops.operations',
    'engine.passes': 'engine.runner.passes',
    'engine.pieces': 'engine.questions.branch engine.questions.scoring',
    'engine.pin': 'engine.kvcache.contexts',
    'engine.policy': 'engine.serving.scheduler',
    'engine.prepared': 'engine.models.qwen2_5_vl.model',
    'engine.processor': 'engine.models.processor',
    'engine.prompt': 'engine.models.prompt',
    'engine.quantized': 'engine.ops.quantization',
    'engine.rebase': 'engine.kvcache.rebase',
    'engine.requests': 'engine.serving.request',
    'engine.results': 'engine.outputs',
    'engine.sampling': 'engine.config engine.stream.stamps',
    'engine.saved_about': 'engine.stream.saving.about',
    'engine.saved_bounds': 'engine.stream.saving.bounds',
    'engine.saved_checks': 'engine.stream.saving.checks',
    'engine.saved_fields': 'engine.store.fields',
    'engine.saved_file': 'engine.store.file',
    'engine.saved_units': 'engine.store.entries',
    'engine.saving': 'engine.stream.saving.saved_stream engine.stream.saving.loaded_stream',
    'engine.served_stream': 'engine.serving.session',
    'engine.settings': 'engine.config',
    'engine.sharing': 'engine.serving.loading',
    'engine.slots': 'engine.kvcache.allocator',
    'engine.stamp_rule': 'engine.stream.stamps',
    'engine.still': 'engine.stream.static_filter',
    'engine.tables': 'engine.kvcache.metadata',
    'engine.tail': 'engine.kvcache.tail',
    'engine.template_process': 'engine.models.template_process',
    'engine.turn_clock': 'engine.serving.scheduler',
    'engine.units': 'engine.kvcache.entries',
    'engine.versions': 'versions',
    'engine.vision': 'engine.models.qwen2_5_vl.vision',
    'engine.vision_pass': 'engine.runner.passes',
    'engine.warming': 'engine.serving.warmup',
    'engine.watch': 'engine.questions.watches',
    'engine.watching': 'engine.questions.watches',
    'engine.weight_files': 'engine.models.folder.weight_files',
    'engine.weights': 'engine.ops.weights engine.models.weights engine.models.qwen2_5_vl.weights',
    'engine.windows': 'engine.models.qwen2_5_vl.vision',
    'engine.worker': 'engine.serving.worker',
    'engine.worker_status': 'engine.serving.metrics',
    'nodes.answer_action': 'nodes.interfaces.answer_action',
    'nodes.answered': 'nodes.interfaces.answered',
    'nodes.ask_services': 'nodes.interfaces.ask_services',
    'nodes.camera_input': 'nodes.interfaces.camera_input',
    'nodes.camera_names': 'nodes.parameters.camera_names',
    'nodes.compressed': 'nodes.images.compressed',
    'nodes.declare': 'nodes.parameters.declare',
    'nodes.decoding': 'nodes.images.image_decoder',
    'nodes.encodings': 'nodes.images.encodings',
    'nodes.gate': 'nodes.interfaces.gate',
    'nodes.goal': 'nodes.interfaces.goal',
    'nodes.messages': 'nodes.interfaces.messages',
    'nodes.parameter': 'nodes.parameters.parameter',
    'nodes.parameter_table': 'nodes.parameters.table',
    'nodes.picture_size': 'nodes.images.jpeg nodes.images.png',
    'nodes.save_paths': 'nodes.parameters.save_paths',
    'nodes.save_services': 'nodes.interfaces.save_services',
    'nodes.stamps': 'stamps',
    'nodes.stream_interfaces': 'nodes.interfaces.stream_interfaces',
    'nodes.stream_services': 'nodes.interfaces.stream_services',
    'nodes.submit': 'nodes.interfaces.submit',
    'nodes.watch_lines': 'nodes.parameters.watch_lines',
    'nodes.watch_services': 'nodes.interfaces.watch_services',
}
NAMES = {
    'Ahead': 'EncoderCache',
    'AnswerDesk': 'RequestQueue',
    'Answering': 'Sequence',
    'BatchPass': 'DecodePass',
    'BatchTable': 'BatchMetadata',
    'Control': 'InputBuffer',
    'Decoding': 'Decoder',
    'DueChunk': 'PendingChunk',
    'FrameIntake': 'FrameQueue',
    'KeyTurn': 'KeyRotation',
    'Kind': 'EntryKind',
    'Label': 'EntryInfo',
    'ModelThread': 'EngineLoop',
    'OpenQuestion': 'Sequence',
    'PixelSettings': 'ImageProcessorConfig',
    'PreparedModel': 'StreamQwenModel',
    'Recorder': 'GraphRunner',
    'Rota': 'RoundRobin',
    'Sampling': 'SamplingParams',
    'SequencePass': 'PrefillPass',
    'SequenceTable': 'SequenceMetadata',
    'ServedStream': 'StreamSession',
    'SlotRing': 'SlotAllocator',
    'StillScenes': 'StaticFilter',
    'StreamMemory': 'EvictionPolicy',
    'Turns': 'Scheduler',
    'Unit': 'CacheEntry',
    'VideoPart': 'VideoSpan',
    'VisionPass': 'EncoderPass',
    'WatchList': 'Watches',
    'Watching': 'Watches',
    'cut_patches': 'patchify',
    'encode_together': 'encode_batch',
}


class _MovedModule(types.ModuleType):
    """A module under its old name; its attributes come from the new modules."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__'):
            raise AttributeError(name)
        new = targets(self.__name__)
        return _find(name, new, f'{self.__name__} has no {name}; it moved to {" and ".join(new)}.')


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules of the table."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: types.ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if not targets(fullname):
            return None
        old = fullname.removeprefix(PACKAGE + '.')
        is_package = any(module.startswith(old + '.') for module in MODULES)
        return importlib.machinery.ModuleSpec(fullname, self, is_package=is_package)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _MovedModule(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        _warn(module.__name__, ' and '.join(targets(module.__name__)))


def targets(name: str) -> list[str]:
    """Return the new modules of an old one; none if it did not move."""
    if not name.startswith(PACKAGE + '.'):
        return []
    return [f'{PACKAGE}.{new}' for new in MODULES.get(name[len(PACKAGE) + 1 :], '').split()]


def old_names(room: str, module: str) -> Callable[[str], Any]:
    """Return ``__getattr__`` for a room that has the name of an old module.

    Args:
        room: the room's dotted name.
        module: the new name of that module.

    """

    def find(name: str) -> Any:
        fault = f'module {room!r} has no attribute {name!r}'
        if name.startswith('__'):
            raise AttributeError(fault)
        found = _find(name, [module], fault)
        _warn(f'{room}.{name}', module)
        return found

    return find


def serve_old_names() -> None:
    """Make the old names importable."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


def _find(name: str, modules: Sequence[str], fault: str) -> Any:
    """Return what has an old name, in the first module that has it; raise AttributeError."""
    for module in modules:
        found = importlib.import_module(module)
        for known in (name, NAMES.get(name, name)):
            if hasattr(found, known):
                return getattr(found, known)
    raise AttributeError(fault)


def _warn(old: str, new: str) -> None:
    # 3 is the import statement, or who reads the attribute: warnings leaves out the frames of the
    # import system.
    warnings.warn(
        f'{old} moved to {new}; the next version will not have the old name.',
        DeprecationWarning,
        stacklevel=3,
    )
