# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What `streamvlm verify` found: as JSON, as lines, and as one sentence."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
from typing import Any

from streamvlm_ros.verify.compare import Judged, Noise, Pixels
from streamvlm_ros.verify.exchange import Cost


@dataclasses.dataclass(frozen=True)
class Report:
    """A comparison with stock transformers.

    Attributes:
        model: as it was named.
        device, dtype, quantization: how both were run.
        versions: of transformers and PyTorch.
        processor: 'stock' or 'written out'.
        why: why it is not stock's.
        penalty: the folder's repetition penalty, which both sides apply.
        not_applied: the folder's other rules for answers, which no side applies.
        noise: how far stock is from itself.
        pixels: of each clip.
        cases: each clip in each chunking and mode.
        stock, ours: what each side takes.

    """

    model: str
    device: str
    dtype: str
    quantization: str
    versions: str
    processor: str
    why: str
    penalty: float
    not_applied: Sequence[str]
    noise: Noise
    pixels: Sequence[Pixels]
    cases: Sequence[Judged]
    stock: Cost
    ours: Cost

    @property
    def differences(self) -> list[str]:
        """What differs, each in a few words."""
        found = []
        for what, wrong, all_of in (
            ('the pixels of {} clips', [p for p in self.pixels if not p.equal], self.pixels),
            ('the prompts of {} streams', [c for c in self.cases if not c.prompt], self.cases),
            ('{} answers', [c for c in self.cases if c.tokens == 'differ'], self.cases),
            (
                'the first logits of {} streams',
                [c for c in self.cases if not c.distance <= self.noise.allowed],
                self.cases,
            ),
            (
                'the order of choices in {} streams',
                [c for c in self.cases if c.choices == 'differ'],
                self.cases,
            ),
        ):
            if wrong:
                found.append(what.format(f'{len(wrong)} of {len(all_of)}'))
        return found

    @property
    def lossless(self) -> bool:
        """Whether nothing differs but by stock's own rounding."""
        return not self.differences

    @property
    def sentence(self) -> str:
        """All of it in one sentence."""
        what = 'stock transformers'
        if self.quantization != 'none':
            what += f' with the same weights in {self.quantization}'
        if not self.lossless:
            return f'{self.model} differs from {what}: {"; ".join(self.differences)}.'
        equal = sum(case.tokens == 'equal' for case in self.cases)
        count = len(self.cases)
        if equal == count:
            return (
                f'{self.model} streams losslessly: all {count} answers are those of {what}, '
                'token for token.'
            )
        return (
            f'{self.model} streams losslessly: {equal} of {count} answers are those of {what}, '
            f'token for token, and {count - equal} part from it where its own rounding in '
            f'{self.dtype} decides.'
        )

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON's types."""
        return {
            **dataclasses.asdict(self),
            'ratios': self._ratios(),
            'lossless': self.lossless,
            'differences': self.differences,
            'sentence': self.sentence,
        }

    def lines(self) -> list[str]:
        """Return it as lines for a terminal; the sentence is the last one."""
        said = {'stock': "stock's own", 'written out': 'written out'}[self.processor]
        return [
            f'{self.model} on {self.device} in {self.dtype}, quantization {self.quantization}; '
            f'{self.versions}.',
            f'Preprocessing that is compared with: {said}'
            + (f', because {self.why}.' if self.why else '.'),
            f'Repetition penalty of the folder, applied on both sides: {self.penalty:g}.',
            *(
                f'Its generation_config.json has {each} too, which neither side applies.'
                for each in self.not_applied
            ),
            self._noise_line(),
            *self._exact_lines(),
            '',
            *_table(
                ('clip', 'mode', 'chunk', 'tokens', 'logits apart', 'choices', 'prob. apart'),
                [
                    (
                        case.clip,
                        case.mode,
                        str(case.chunk),
                        case.tokens + _where(case),
                        f'{case.distance:.2g}',
                        case.choices,
                        f'{case.probability:.1g}',
                    )
                    for case in self.cases
                ],
            ),
            '',
            *_table(
                ('pixels of', 'equal', 'most levels apart', 'values apart'),
                [
                    (
                        each.clip,
                        'yes' if each.equal else 'no',
                        'other size' if each.levels is None else f'{each.levels:.2g}',
                        f'{100 * each.share:.2g} %',
                    )
                    for each in self.pixels
                ],
            ),
            '',
            *_table(('', 'streamed', 'stock', 'ratio'), self._cost_rows()),
            '',
            self.sentence,
        ]

    def _noise_line(self) -> str:
        noise = self.noise
        exact = '' if noise.exact is None else f', and {noise.exact:.2g} from float32'
        return (
            f"Stock's own first logits are at most {noise.pieces:.2g} apart from those of its "
            f'prompt prefilled in pieces{exact}; up to {noise.allowed:.2g} counts as rounding.'
        )

    def _exact_lines(self) -> list[str]:
        own = [case.exact_distance for case in self.cases if case.exact_distance is not None]
        return (
            [f"The streamed ones are at most {max(own):.2g} apart from float32's."] if own else []
        )

    def _ratios(self) -> dict[str, float | None]:
        """Return stock's figure divided by the engine's, by name."""
        pairs = {
            field.name: (getattr(self.stock, field.name), getattr(self.ours, field.name))
            for field in dataclasses.fields(Cost)
        }
        return {
            name: one / other if one and other else None for name, (one, other) in pairs.items()
        }

    def _cost_rows(self) -> list[list[str]]:
        names = {
            'weights': 'weights',
            'cache': 'cache',
            'peak': 'peak memory',
            'chunk_ms': 'a chunk',
            'first_token_ms': 'first token',
            'token_ms': 'a token',
        }
        rows = []
        for field, ratio in self._ratios().items():
            kind = _milliseconds if field.endswith('_ms') else _bytes
            values = (getattr(side, field) for side in (self.ours, self.stock))
            rows.append(
                [
                    names[field],
                    *('-' if value is None else kind(value) for value in values),
                    '-' if ratio is None else f'{ratio:.2f}',
                ]
            )
        return rows


def _where(case: Judged) -> str:
    if case.parted is None:
        return ''
    margin = '' if case.margin is None else f' by {case.margin:.2g}'
    return f' (token {case.parted + 1}{margin})'


def _milliseconds(value: float) -> str:
    return f'{value:.1f} ms'


def _bytes(value: float) -> str:
    return f'{value / 1e9:.2f} GB' if value >= 1e8 else f'{value / 1e6:.1f} MB'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines of columns as wide as they need be."""
    all_rows = [head, *rows]
    widths = [max(len(row[i]) for row in all_rows) for i in range(len(head))]
    return [
        '  '.join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
        for row in all_rows
    ]
