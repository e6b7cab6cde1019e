# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Changed files of saved streams with right checksums: each is refused, or harmless.

    scripts/with_ros python test/saved_mutations.py --number 5000 --seed 1

The test suite runs a part of it (test/engine/stream/test_saved_mutations.py); what is changed, and
what counts as harmless, is in test/support/saving/saved_mutations.py. Ends with an error at the
first file that is neither. Writes benchmark/results/saved_mutations.json and .md.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import tempfile
import time

from support.saving.saved_mutations import Mutations
import torch

RESULTS = pathlib.Path(__file__).resolve().parents[1] / 'benchmark' / 'results'


def main() -> None:
    """Run, and write what became of the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--number', type=int, default=5000)
    parser.add_argument('--seed', type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        mutations = Mutations(pathlib.Path(folder), arguments.seed)
        mutations.run(arguments.number)
    kinds = {name: dataclasses.asdict(counts) for name, counts in mutations.counts.items()}
    result = {
        'number': arguments.number,
        'seed': arguments.seed,
        'cpu_seconds': round(time.process_time() - began, 1),
        'kinds': kinds,
    }
    (RESULTS / 'saved_mutations.json').write_text(json.dumps(result, indent=1) + '\n')
    lines = [
        f'# {arguments.number} changed files of saved streams',
        '',
        f'Seed {arguments.seed}, checksums computed anew after each change. None was taken '
        'that does not work: each was refused with a sentence and the running stream as it '
        'was, or it loaded as a stream whose cache is consistent and that answers as the '
        'unchanged one did, now and after more frames. `other answer`: what was seen or when '
        'was changed (keys, values, pixels, times), which no reader can know.',
        '',
        '| kind of change | refused | same answers | other answer |',
        '|---|---|---|---|',
        *(
            f'| {name} | {each["refused"]} | {each["same"]} | {each["other"]} |'
            for name, each in kinds.items()
        ),
        '',
    ]
    (RESULTS / 'saved_mutations.md').write_text('\n'.join(lines))
    print('\n'.join(lines))


if __name__ == '__main__':
    main()
