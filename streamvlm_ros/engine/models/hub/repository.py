# Copyright 2026 The streamvlm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A model's files on the hub: listed and downloaded; what goes wrong is told in a sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import dataclasses
import os
import pathlib
import shutil
from typing import Any

from huggingface_hub import constants, hf_hub_download, HfApi
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.utils.tqdm import tqdm

from streamvlm_ros.engine.models.folder.files import HUB_ID

TIMEOUT = 4.0  # seconds for the hub's first answer
SPARE = 1 << 26  # bytes of the disk that stay free
CONFIG = 'config.json'
NO_ID = (
    '{!r:.200} is not the name of a model on the hub, which is like Qwen/Qwen2.5-VL-3B-Instruct. '
    'The model tiny and a model in a folder need no download.'
)
LOG_IN = 'run hf auth login, or set HF_TOKEN'


@dataclasses.dataclass(frozen=True)
class Repository:
    """
    A model on the hub at one revision.

    `sizes` has the bytes of each file of its top folder, by name. The files go to `folder`, or to
    the cache that transformers uses too where that is None.
    """

    name: str
    revision: str
    sizes: Mapping[str, int]
    folder: pathlib.Path | None = None

    def download(
        self, names: Sequence[str], progress: Callable[[int], object] = lambda _: None
    ) -> pathlib.Path:
        """Download some of the files, and return the folder that they are in.

        What is there already is kept; a file of which a part is there goes on from it.

        Args:
            names: of the files.
            progress: is told of every piece how many bytes it had.

        Raises:
            OSError: the hub refuses them or cannot be reached, or the disk is full.

        """
        where: str | os.PathLike[str] | None = None
        with explained(self.name):
            for name in names:
                where = hf_hub_download(
                    self.name,
                    name,
                    # The cache notes which revision main is when it is asked for by that name: so
                    # the model is found later without the hub.
                    revision=None if name == CONFIG else self.revision,
                    local_dir=self.folder,
                    tqdm_class=_counting(progress),
                )
        return self.folder or pathlib.Path(str(where)).parent

    def check_room(self, names: Sequence[str]) -> None:
        """Refuse files that the disk has no room for.

        Raises:
            OSError: the disk has too little room.

        """
        folder = self.folder or pathlib.Path(constants.HF_HUB_CACHE)
        needed = sum(self.sizes[name] for name in names) - self._present(names)
        there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        free = shutil.disk_usage(there).free
        if needed + SPARE > free:
            raise OSError(
                f'{self.name} needs {needed / 1e9:.2f} GB more, and {folder} has '
                f'{free / 1e9:.2f} GB free; make room, or choose a folder on another disk '
                '(--folder, or HF_HOME for the cache).'
            )

    def _present(self, names: Sequence[str]) -> int:
        """Return how many bytes of some files are there already."""
        if self.folder is not None:
            files = [self.folder / name for name in names]
        else:
            cache = pathlib.Path(constants.HF_HUB_CACHE)
            snapshot = cache / f'models--{self.name.replace("/", "--")}' / 'snapshots'
            files = [snapshot / self.revision / name for name in names]
        return sum(file.stat().st_size for file in files if file.exists())


def look_up(name: str, folder: pathlib.Path | None = None) -> Repository:
    """Ask the hub for a model's files; waits some seconds at most.

    Raises:
        OSError: there is no such model, or the hub cannot be reached.
        ValueError: the name is not that of a model on the hub.

    """
    if not HUB_ID.fullmatch(name):
        raise ValueError(NO_ID.format(name))
    with explained(name):
        info = HfApi().model_info(name, files_metadata=True, timeout=TIMEOUT)
    files = {
        file.rfilename: int(file.size or 0)
        for file in info.siblings or ()
        if '/' not in file.rfilename
    }
    return Repository(name, str(info.sha), files, folder)


@contextlib.contextmanager
def explained(name: str) -> Iterator[None]:
    """Turn what the hub's library raises inside into sentences.

    Raises:
        OSError: the hub refuses the model or cannot be reached.
        ValueError: the name is not that of a model on the hub.

    """
    try:
        yield
    except HFValidationError as error:
        raise ValueError(NO_ID.format(name)) from error
    except GatedRepoError as error:
        raise OSError(
            f'{name} is gated: accept its terms at {constants.ENDPOINT}/{name}, and give your '
            f'token ({LOG_IN}).'
        ) from error
    except RepositoryNotFoundError as error:
        raise OSError(
            f'{constants.ENDPOINT} has no model {name}. Look at how it is written; for a private '
            f'one {LOG_IN}.'
        ) from error
    except OfflineModeIsEnabled as error:
        raise OSError(
            f'{name} is not on this machine, and HF_HUB_OFFLINE forbids to ask the hub. Unset it '
            f'and run streamvlm pull {name}, or give a folder.'
        ) from error
    except HfHubHTTPError as error:
        raise OSError(
            f'{constants.ENDPOINT} refuses {name}: {str(error).splitlines()[0]:.200}'
        ) from error
    except EntryNotFoundError as error:
        raise OSError(f'{name} cannot be fetched: {str(error).splitlines()[0]:.200}') from error
    except (OSError, ValueError):
        raise
    except Exception as error:
        # Those of the HTTP library, which is another one in other releases.
        raise OSError(
            f'{name} is not on this machine, and {constants.ENDPOINT} cannot be reached '
            f'({error!s:.120}). Connect the machine and run streamvlm pull {name}, or give the '
            'folder of a model.'
        ) from error


def _counting(progress: Callable[[int], object]) -> type[tqdm]:
    """Return what the hub's library takes for a bar: it draws nothing and tells of each piece."""

    class Counting(tqdm):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **{**named, 'disable': True})
            progress(int(named.get('initial') or 0))

        def update(self, n: float | None = 1) -> bool | None:
            progress(int(n or 0))
            return None

    return Counting
