"""The folders that a study reads, for workers on other machines: what is needed, where it is there, and who asks whom.

A worker that does not see a folder asks its pool for it, part by part, so that nobody holds more than one part.
Features of frozen layers are never shared between machines: they are read through memory maps, in which one machine
does not see what another has written meanwhile.
"""

import contextlib
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hpsearch.data.folder_copy import Content, Folders, Listing, places
from hpsearch.errors import NodeError, PreparedDataError, StoreError
from hpsearch.plan.paths import cache_folder
from hpsearch.runtime.messages import Sent, Wanted, Workload
from hpsearch.tasks import Prepared
from hpsearch.tasks.pretrained import files_to_load
from hpsearch.training.features.store import FeatureStore

_STALE_SECONDS = 30 * 24 * 3600.0
"""How long the features of a machine may lie unused beside those of others: containers come under ever new names."""


def folders_of(workload: Workload) -> Folders:
    """Return the folders of this machine that a study's workers read: training rows, models not on the hub, modules."""
    prepared = [workload.prepared, *workload.choices.values()]
    rows = dict.fromkeys(each.folder.absolute() for each in prepared)
    models = dict.fromkeys(Path(each.source) for each in prepared if Path(each.source).is_absolute())
    listings = [Listing.of(folder) for folder in rows]
    listings += [Listing.of(folder, files_to_load(folder)) for folder in models]
    modules = tuple(str(Path(folder).absolute()) for folder in sys.path)
    return Folders(socket.gethostname(), tuple(listings), modules)


def look_for_modules(folders: Folders) -> None:
    """Have this process look where the coordinator's does, as far as it sees that, after it has looked at its own."""
    sys.path += [folder for folder in folders.modules if folder not in sys.path and Path(folder).exists()]


def placed(workload: Workload, folders: Folders, ask: Callable[[Wanted], Sent]) -> Workload:
    """Return a workload as the workers of this machine read it, whose `folders` are the coordinator's.

    Raises:
        PreparedDataError: Files changed on the coordinator's machine while they were copied.
        NodeError: This machine has no room for a copy.
    """
    try:
        found = places(folders.listings, cache_folder() / "copies", _Coordinator(workload.study, ask))
    except StoreError as error:
        raise NodeError(
            f"The node {socket.gethostname()} cannot keep a copy of what the study reads: {error}"
        ) from error
    choices = {choice: _moved(prepared, found) for choice, prepared in workload.choices.items()}
    features, is_there = workload.features, folders.machine == socket.gethostname()
    is_there = is_there and all(Path(folder) == place for folder, place in found.items())
    if features is not None and features.budget and not is_there:
        features = own_features(features.budget)
    return replace(workload, prepared=_moved(workload.prepared, found), choices=choices, features=features)


def _moved(prepared: Prepared, found: Mapping[str, Path]) -> Prepared:
    folder = found[str(prepared.folder.absolute())]
    return replace(prepared, folder=folder, source=str(found.get(prepared.source, prepared.source)))


def own_features(budget: int) -> FeatureStore:
    """Return this machine's own store of features, within a budget and within a tenth of its disk's free room."""
    folder = cache_folder() / "features-of-nodes" / socket.gethostname()
    with contextlib.suppress(OSError):  # a folder that cannot be used is for the cache to say
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
        for other in folder.parent.iterdir():
            if time.time() - other.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(other, ignore_errors=True)
    return FeatureStore(folder, min(budget, FeatureStore.within(folder, None).budget))


@dataclass(frozen=True)
class _Coordinator:
    """The machine that has the folders of a study, asked by messages."""

    study: str
    ask: Callable[[Wanted], Sent]

    def content(self, listing: Listing) -> Content:
        answer = self._answer(Wanted(self.study, listing.folder))
        assert isinstance(answer, Content)
        return answer

    def part(self, listing: Listing, name: str, start: int) -> bytes:
        answer = self._answer(Wanted(self.study, listing.folder, name, start))
        assert isinstance(answer, bytes)
        return answer

    def _answer(self, wanted: Wanted) -> Content | bytes:
        answer = self.ask(wanted).answer
        if isinstance(answer, PreparedDataError):
            raise answer
        return answer


def sent(workload: Workload | None, wanted: Wanted) -> Sent:
    """Return what a worker asks for of the folders of a study; None is one that was given up."""
    listings = () if workload is None else folders_of(workload).listings
    try:
        for listing in listings:
            if listing.folder == wanted.folder:
                return Sent(listing.part(wanted.name, wanted.start) if wanted.name else listing.content())
    except PreparedDataError as error:
        return Sent(error)
    return Sent(PreparedDataError(f"The study {wanted.study!r} does not read {wanted.folder!r} any more."))
