"""Memory that the auditor writes requests into and the model's process reads them from: quicker than a pipe, and one-way.

Its size is sealed and nobody else can make it writable, so the model can neither change a request nor take the memory away.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

SHARED_BYTES = 64 * 2**20  # only pages that were written to take memory
ROOM_FOR_SCHEMA = 2**16
ALIGNMENT = 64
F_SEAL_FUTURE_WRITE = 0x10  # Linux 5.1


class RequestMemory:
    """The auditor's side. `descriptor` is handed to the process; None where the system has no such memory."""

    def __init__(self) -> None:
        self.descriptor: int | None = None
        self._view: mmap.mmap | None = None
        try:
            descriptor = os.memfd_create("rai-requests", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        except (AttributeError, OSError):
            return
        try:
            os.ftruncate(descriptor, SHARED_BYTES)
            self._view = mmap.mmap(descriptor, SHARED_BYTES)
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | F_SEAL_FUTURE_WRITE | fcntl.F_SEAL_SEAL)
        except OSError:
            os.close(descriptor)
            self._view = None
            return
        self.descriptor = descriptor

    def write(self, items: Sequence[pa.Table | np.ndarray]) -> list[tuple[int, int]] | None:
        """Write tables as Arrow streams, and bytes as they are; where each lies (start, bytes). None when they do not fit: then a pipe has to do."""
        import numpy as np
        import pyarrow as pa

        from rai_pipelines.model_host.wire import write_table

        if self._view is None or sum(item.nbytes + ROOM_FOR_SCHEMA for item in items) > SHARED_BYTES:
            return None
        places, start = [], 0
        try:
            with memoryview(self._view) as view:
                for item in items:
                    if isinstance(item, np.ndarray):
                        size = item.nbytes
                        view[start : start + size] = item.data
                    else:
                        sink = pa.FixedSizeBufferWriter(pa.py_buffer(view[start:]))
                        write_table(item, sink)
                        size = sink.tell()
                        sink.close()
                    places.append((start, size))
                    start += -(-size // ALIGNMENT) * ALIGNMENT
        except (pa.ArrowException, OSError, BufferError):  # a schema that takes more than its room
            return None
        return places


def open_requests(descriptor: int) -> memoryview:
    """The model's side: the same memory, to read."""
    return memoryview(mmap.mmap(descriptor, SHARED_BYTES, prot=mmap.PROT_READ))
