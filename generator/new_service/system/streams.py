"""Standard streams that never stop the work: a failure of the output is reported at the end."""

import io
import os
import select
import sys
from typing import TYPE_CHECKING, TextIO

from .platforms import is_windows

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class Output(io.FileIO):
    """Standard output or error; once a write fails, the rest is dropped."""

    failure: OSError | None = None
    """Why the write failed."""

    def write(self, data: "ReadableBuffer", /) -> int:
        """Write all of `data` or a part of it; wait if a pipe that does not block is full."""
        try:
            while self.failure is None:
                written = super().write(data)
                if written is not None:
                    return written
                select.select([], [self], [])
        except OSError as failed:
            self.failure = failed
        return memoryview(data).nbytes


def prepare() -> Output:
    """Replace the standard streams by ones that cannot fail; returns the one under `sys.stdout`.

    A closed one becomes the null device, before one of our files takes its number.
    """
    if is_windows():  # whose consoles take no bytes
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        return Output(1, "wb", closefd=False)
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    output, errors = Output(1, "wb", closefd=False), Output(2, "wb", closefd=False)
    sys.stdout = _text(output, sys.stdout)
    sys.stderr = _text(errors, sys.stderr)
    return output


def _text(output: Output, replaced: TextIO | None) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(output),
        encoding=replaced.encoding if replaced else "utf-8",
        errors="backslashreplace",  # file names may be any bytes
        line_buffering=output.isatty() or output.fileno() == 2,
    )
