# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Rotation by three position axes (Qwen2-VL, arXiv 2409.12191, section 2.1)."""

from __future__ import annotations

import dataclasses

import torch


class MRope:
    """Frequencies, dealt out to T, H and W in the sections of ``mrope_section``."""

    def __init__(self, inv_freq: torch.Tensor, sections: list[int]) -> None:
        """Take frequencies [head_dim / 2] and the share of each axis, which sum to that."""
        self._inv_freq = inv_freq.float()
        self._axis = torch.repeat_interleave(torch.arange(3), torch.tensor(sections))

    def __call__(self, positions: torch.Tensor, dtype: torch.dtype,
                 ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return cosine and sine [n, head_dim] for int64 positions [3, n]."""
        angles = self._angles(positions)
        angles = torch.cat([angles, angles], dim=-1)
        return angles.cos().to(dtype), angles.sin().to(dtype)

    def turn(self, old: torch.Tensor, new: torch.Tensor) -> KeyTurn:
        """Return what takes keys from old to new positions, int64 [3, n] each.

        The angle is the difference of the two float32 angles that ``__call__`` has, so that a key
        that is turned equals one that was rotated to its new position at once; the product of the
        frequency and the distance would be off by what float32 rounds at large positions.
        """
        moved = (old != new).any(dim=1)
        bands = moved[self._axis].nonzero()[:, 0].to(self._inv_freq.device)
        device = self._inv_freq.device
        angles = (self._angles(new.to(device)).double()
                  - self._angles(old.to(device)).double())[:, bands]
        return KeyTurn(torch.cat([bands, bands + len(self._axis)]),
                       angles.cos().float(), angles.sin().float())

    def _angles(self, positions: torch.Tensor) -> torch.Tensor:
        """Return float32 [n, head_dim / 2]."""
        axis = self._axis.to(positions.device)
        return positions[axis].T.float() * self._inv_freq.to(positions.device)


@dataclasses.dataclass(frozen=True)
class KeyTurn:
    """A rotation of some bands of keys.

    Attributes:
        bands: where they are in head_dim, [2 b]: the first halves, then the second.
        cos: [n, b]; sin likewise.
        sin: see cos.

    """

    bands: torch.Tensor
    cos: torch.Tensor
    sin: torch.Tensor

    def __call__(self, keys: torch.Tensor) -> None:
        """Turn [kv_heads, n, head_dim] in place; the arithmetic is float32."""
        bands, cos, sin = (x.to(keys.device) for x in (self.bands, self.cos, self.sin))
        first, second = keys[..., bands].float().chunk(2, dim=-1)
        keys[..., bands] = torch.cat([first * cos - second * sin,
                                      second * cos + first * sin], dim=-1).to(keys.dtype)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotate [heads, n, head_dim] by cosine and sine [n, head_dim]."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin
