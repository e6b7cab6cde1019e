# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Rotary embedding with three position axes (Qwen2-VL, arXiv 2409.12191, section 2.1)."""

from __future__ import annotations

import dataclasses

import torch


@dataclasses.dataclass(frozen=True)
class Rotation:
    """The rotation of n tokens' queries and keys.

    Attributes:
        cos: float32 [n, head_dim / 2]; sin likewise.
        sin: see cos.

    """

    cos: torch.Tensor
    sin: torch.Tensor

    def to(self, device: torch.device) -> Rotation:
        """Return it on a device."""
        if self.cos.device == device:
            return self
        return Rotation(self.cos.to(device), self.sin.to(device))

    def split(
        self,
        qkv: torch.Tensor,
        kv_heads: int,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Split a layer's projection into heads; rotate queries and keys.

        Args:
            qkv: [n, (heads + 2 kv_heads) head_dim].
            kv_heads: heads of keys and of values.

        Returns:
            Queries [heads, n, head_dim], keys and values [kv_heads, n, head_dim].

        """
        heads = qkv.view(len(qkv), -1, 2 * self.cos.shape[1]).transpose(0, 1)
        query, key, value = heads.split([len(heads) - 2 * kv_heads, kv_heads, kv_heads])
        return rotate(query, self.cos, self.sin), rotate(key, self.cos, self.sin), value


class MRope:
    """Frequencies, each of them for one of the axes T, H and W."""

    def __init__(self, inv_freq: torch.Tensor, axes: torch.Tensor, scale: float = 1.0) -> None:
        """Take frequencies.

        Args:
            inv_freq: [head_dim / 2].
            axes: the axis of each: 0 for T, 1 for H, 2 for W.
            scale: what queries and keys are multiplied by besides; YaRN has one.

        """
        self._inv_freq = inv_freq.float()
        self._axis = axes.to(inv_freq.device)
        self._scale = scale

    def __call__(self, positions: torch.Tensor) -> Rotation:
        """Return the rotation of n tokens at int64 positions [3, n]."""
        angles = self._angles(positions)
        cos, sin = angles.cos(), angles.sin()
        if self._scale != 1:
            cos, sin = cos * self._scale, sin * self._scale
        return Rotation(cos, sin)

    def rerotate(self, old: torch.Tensor, new: torch.Tensor) -> KeyRotation:
        """Return the rotation of keys from old to new positions, int64 [3, n] each.

        Keys have been multiplied by the scale already. The angle is the difference of the two
        float32 angles that ``__call__`` computes. So the
        result equals a key that was rotated to its new position directly. The frequency times the
        distance would not: float32 rounds the angles of large positions.
        """
        moved = (old != new).any(dim=1)
        bands = moved.to(self._axis.device)[self._axis].nonzero()[:, 0]
        angles = (self._angles(new).double() - self._angles(old).double())[:, bands]
        return KeyRotation(
            torch.cat([bands, bands + len(self._axis)]), angles.cos().float(), angles.sin().float()
        )

    def _angles(self, positions: torch.Tensor) -> torch.Tensor:
        """Return float32 [n, head_dim / 2]."""
        device = self._inv_freq.device
        # Contiguous: kernels read it row by row.
        return positions.to(device)[self._axis].T.contiguous().float() * self._inv_freq


@dataclasses.dataclass(frozen=True)
class KeyRotation:
    """A rotation of some bands of keys.

    Attributes:
        bands: their indices in head_dim, [2 b]: the first halves, then the second.
        cos: [n, b]; sin likewise.
        sin: see cos.

    """

    bands: torch.Tensor
    cos: torch.Tensor
    sin: torch.Tensor

    def __call__(self, keys: torch.Tensor) -> None:
        """Rotate keys [kv_heads, n, head_dim] in place; computed in float32."""
        bands, cos, sin = (x.to(keys.device) for x in (self.bands, self.cos, self.sin))
        first, second = keys[..., bands].float().chunk(2, dim=-1)
        keys[..., bands] = torch.cat(
            [first * cos - second * sin, second * cos + first * sin], dim=-1
        ).to(keys.dtype)


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotate [..., n, width] by float32 cosine and sine [n, width / 2]; computed in float32."""
    first, second = x.float().chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1).to(x.dtype)


def split_heads(
    qkv: torch.Tensor, heads: int, width: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return queries [n, heads, width], keys and values [n, kv_heads, width] of a projection."""
    every = qkv.view(len(qkv), -1, width)
    kv_heads = (every.shape[1] - heads) // 2
    query, key, value = every.split([heads, kv_heads, kv_heads], dim=1)
    return query, key, value
