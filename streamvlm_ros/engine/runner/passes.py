# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Passes over static buffers, which a GPU replays: of frames, of one sequence, of a batch.

Everything that changes from one pass to the next is a number in one int64 buffer
(``InputBuffer``): ids, positions, where keys and values go, and the tables of what is seen.  One
copy to the device brings all of it, so that a pass does not depend on how long anything is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch.nn import functional

from streamvlm_ros.engine.kvcache.metadata import BatchMetadata, HEAD, LINE, SequenceMetadata
from streamvlm_ros.engine.models.base import StreamingModel
from streamvlm_ros.engine.ops.kernels.attention.segments import attend_batch, attend_sequence, ROWS
from streamvlm_ros.engine.ops.kernels.operations import KERNELS
from streamvlm_ros.engine.ops.kernels.pointwise import rotate_and_store
from streamvlm_ros.engine.ops.likelihood import log_probabilities
from streamvlm_ros.engine.ops.rotary import Rotation
from streamvlm_ros.engine.positions import Grid
from streamvlm_ros.engine.runner.penalties import Penalties, Penalty

# Programs that share the keys; twice what today's largest cards run at once.
PROGRAMS = 256


class InputBuffer:
    """Named views of one int64 buffer, written on the host and copied at once."""

    def __init__(self, sizes: Mapping[str, int], device: torch.device) -> None:
        """Lay the names out one after the other."""
        self._places: dict[str, slice] = {}
        start = 0
        for name, size in sizes.items():
            self._places[name] = slice(start, start + size)
            # All at multiples of 16 bytes: Triton compiles another kernel for other pointers.
            start += size + size % 2
        self._host = torch.zeros(start, dtype=torch.long)
        self._device = torch.zeros_like(self._host, device=device)

    def __getitem__(self, name: str) -> torch.Tensor:
        """Return what a name has on the device."""
        return self._device[self._places[name]]

    def set(self, name: str, numbers: Sequence[int] | torch.Tensor, fill: int = 0) -> None:
        """Write a name's first numbers on the host, and fill up what is left."""
        part = self._host[self._places[name]]
        values = torch.as_tensor(numbers, dtype=torch.long).flatten()
        part[: len(values)] = values
        part[len(values) :] = fill

    def send(self) -> None:
        """Copy to the device, after what was launched before; the host does not wait."""
        host = self._host.pin_memory() if self._device.is_cuda else self._host
        self._device.copy_(host, non_blocking=True)


class EncoderPass:
    """Frames' patches to embeddings: one pass for every number and size of frames.

    Attributes:
        patches: [t * h * w * merge^2, depth], to be written before a run.
        embeddings: [t * h * w, hidden_size] of the last run.

    """

    def __init__(self, model: StreamingModel, shape: Sequence[int], grid: Grid) -> None:
        """Make static buffers for patches of a merged grid."""
        self._model, self._grid = model, grid
        self.patches = torch.empty(*shape, dtype=model.dtype, device=model.device)
        self.embeddings: torch.Tensor | None = None

    def run(self) -> None:
        """Launch the pass."""
        result = self._model.encode_video(self.patches, self._grid, KERNELS)
        self.embeddings = result if self.embeddings is None else self.embeddings.copy_(result)


class PrefillPass:
    """New tokens of one sequence: a chunk after the stream, or a question on its branch.

    Attributes:
        control: what changes from pass to pass.
        video: rows of video tokens [n, video_width], for those that ``control`` says.
        logits: float32 [keep, vocabulary] of the kept tokens; where these are scored, [keep] the
            log-probability of the wanted one; None: no token is kept.

    """

    def __init__(
        self, model: StreamingModel, tokens: int, keep: int, video: bool, tree: bool, scored: bool
    ) -> None:
        """Make static buffers for ``tokens`` tokens, ``keep`` of them with logits, or scored."""
        self._model, self._tokens, self._keep = model, tokens, keep
        self._scored = scored
        device = model.device
        self.control = InputBuffer(
            {
                'ids': tokens,
                'positions': 3 * tokens,
                'video': tokens,
                'slot': tokens,
                'keep': keep,
                'wanted': keep * scored,
                'tree': 3 * tokens * tree,
                'target': 1,
                'slots': 1,
                'table': LINE,
            },
            device,
        )
        width = model.parts.video_width
        self.video = (
            torch.zeros(tokens, width, dtype=model.dtype, device=device) if video else None
        )
        self._tree = self.control['tree'] if tree else None
        self.logits: torch.Tensor | None = None
        heads, kv_heads = model.parts.heads, model.parts.kv_heads
        tiles = kv_heads * -(-tokens * heads // kv_heads // ROWS)
        self._splits = max(1, round(PROGRAMS / 2 / tiles)) if tiles < PROGRAMS / 3 else 1

    def load(
        self,
        ids: Sequence[int],
        positions: torch.Tensor,
        table: SequenceMetadata,
        keep: Sequence[int],
        video: torch.Tensor | None,
        wanted: Sequence[int] = (),
    ) -> None:
        """Set what the next run is about.

        Args:
            ids: of the new tokens.
            positions: int64 [3, n].
            table: what they see, and where their keys and values go.
            keep: the tokens whose logits are wanted.
            video: embeddings of the video tokens among them.
            wanted: for every kept one, the token that is scored after it, where these are.

        """
        n, control = len(ids), self.control
        control.set('ids', ids)
        control.set('positions', self._spread(positions))
        control.set('slot', table.slots, fill=-1)
        control.set('keep', [index % n for index in keep])
        control.set('target', table.target[:1])
        control.set('slots', table.target[1:])
        line = list(table.line)
        line[2] = n
        control.set('table', line)
        if self.video is not None and video is not None:
            pad = self._model.parts.video_token_id
            rows = (torch.as_tensor(ids) == pad).long()
            control.set('video', torch.where(rows > 0, rows.cumsum(0) - 1, -1), fill=-1)
            self.video[: len(video)] = video
        if table.tree is not None:
            control.set('tree', self._spread(table.tree.rows))
        control.set('wanted', wanted)
        control.send()

    def _spread(self, rows: torch.Tensor) -> torch.Tensor:
        """Return int64 [rows, tokens] for [rows, n]: zeros for the padding."""
        spread = torch.zeros(len(rows), self._tokens, dtype=torch.long)
        spread[:, : rows.shape[1]] = rows
        return spread

    def run(self) -> None:
        """Launch the pass."""
        model, control = self._model, self.control
        hidden = model.token_table[control['ids']]
        if self.video is not None:
            row = control['video']
            if model.parts.side_outputs:
                more = model.parts.video_width - model.parts.hidden_size
                hidden = functional.pad(hidden, (0, more))
            hidden = torch.where((row >= 0)[:, None], self.video[row.clamp(min=0)], hidden)
        positions = control['positions'].view(3, -1)
        hidden = model.run_decoder(hidden, positions, self, KERNELS)
        if self._keep:
            kept = hidden[control['keep']]
            logits = (
                log_probabilities(model.final, kept, control['wanted'])
                if self._scored
                else model.final(kept)
            )
            self.logits = logits if self.logits is None else self.logits.copy_(logits)

    def attend(self, layer: int, qkv: torch.Tensor, rotation: Rotation) -> torch.Tensor:
        """See ``decoder.Attends``."""
        control = self.control
        query, keys, values = rotate_and_store(
            qkv,
            rotation.cos,
            rotation.sin,
            layer,
            self._model.parts.kv_heads,
            control['target'],
            control['slots'],
            control['slot'],
        )
        return attend_sequence(
            query,
            keys,
            values,
            control['table'],
            layer,
            self._model.parts.kv_heads,
            self._splits,
            self._tree,
        )


class DecodePass:
    """One new token of every branch; run again, it continues from its own tokens.

    Attributes:
        tokens: int64 [batch], the most probable next ones, after the penalties.
        logits: float32 [batch, vocabulary].

    """

    def __init__(self, model: StreamingModel, batch: int, vocabulary: int = 0) -> None:
        """Make static buffers for ``batch`` branches.

        Args:
            model: what is run.
            batch: number of the branches.
            vocabulary: size of the logits, if some of the branches have a repetition penalty; 0:
                none has, and nothing is done for it.

        """
        self._model, self.batch = model, batch
        self._penalties = Penalties(batch, vocabulary, model.device) if vocabulary else None
        self.control = InputBuffer(
            {
                'ids': batch,
                'position': batch,
                'slot': batch,
                'target': batch,
                'slots': batch,
                'order': 2 * batch,
                'table': 2 * batch * LINE,
            },
            model.device,
        )
        self.tokens = torch.zeros(batch, dtype=torch.long, device=model.device)
        self.logits: torch.Tensor | None = None
        # A prefix's programs and the tail's, together a power of two.  Many branches make many
        # partial results, which take longer to join than a longer piece takes to read.
        programs = PROGRAMS if batch <= 2 else PROGRAMS // 2
        self._splits = max(1, programs // model.parts.kv_heads - 1)

    def load(
        self,
        ids: Sequence[int],
        positions: Sequence[int],
        table: BatchMetadata,
        penalties: Sequence[Penalty | None],
    ) -> None:
        """Set what the next run is about: each branch's token, its position and its penalty."""
        control = self.control
        if self._penalties is not None:
            self._penalties.load(penalties)
        control.set('ids', ids)
        control.set('position', positions)
        for index, name in enumerate(('target', 'slots')):
            control.set(name, [tail[index] for tail in table.tails], fill=table.tails[0][index])
        control.set('slot', [length for _, _, length in table.tails], fill=-1)
        lines, order = table.rows(self.batch)
        control.set('order', order)
        control.set('table', [number for line in lines for number in line])
        control.send()

    def run(self) -> None:
        """Launch the pass, and set everything to the tokens that it gave."""
        model, control = self._model, self.control
        ids, position, slot = control['ids'], control['position'], control['slot']
        hidden = model.token_table[ids]
        hidden = model.run_decoder(hidden, position.expand(3, -1), self, KERNELS)
        logits = model.final(hidden)
        self.logits = logits if self.logits is None else self.logits.copy_(logits)
        if self._penalties is None:
            torch.argmax(logits, dim=-1, out=self.tokens)
        else:
            torch.argmax(self._penalties.apply(logits), dim=-1, out=self.tokens)
            self._penalties.mark(self.tokens)
        ids.copy_(self.tokens)
        position += 1
        slot += slot >= 0
        tails = control['table'].view(2 * self.batch, LINE)[self.batch :]
        tails[:, 1] += 1  # tokens
        tails[:, HEAD + 3] += 1  # end of the segment

    def attend(self, layer: int, qkv: torch.Tensor, rotation: Rotation) -> torch.Tensor:
        """See ``decoder.Attends``."""
        control = self.control
        query, _, _ = rotate_and_store(
            qkv,
            rotation.cos,
            rotation.sin,
            layer,
            self._model.parts.kv_heads,
            control['target'],
            control['slots'],
            control['slot'],
        )
        return attend_batch(
            query,
            control['table'].view(-1, LINE),
            control['order'],
            layer,
            self._model.parts.kv_heads,
            self._splits,
        )


def padded(tokens: int) -> int:
    """Return the size of the pass that takes ``tokens`` tokens: few sizes, little padding."""
    return next((size for size in (16, 32, 64) if tokens <= size), -(-tokens // 16) * 16)
