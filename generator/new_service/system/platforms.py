"""What systems differ in: all that is asked of Linux and macOS, and what of it Windows has.

On Windows services are made and looked at; they are changed, and run, in WSL. A name that a system
lacks is looked up here or where it is used, never where a module begins.
"""

import signal
import sys

from .errors import BadInput

try:
    import fcntl as _fcntl
except ImportError:  # Windows
    HAS_LOCKS = False
else:
    HAS_LOCKS = True

_ON_WINDOWS = {"create", "modules", "status"}

# What asks a program to end. A terminal that goes away is none of Windows'.
ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


def is_windows() -> bool:
    """Whether this is Windows, and not WSL."""
    return sys.platform == "win32"


def check_command(name: str) -> None:
    """See that the command `name` works on this system.

    Raises:
        BadInput: it does not.
    """
    if is_windows() and name not in _ON_WINDOWS:
        raise in_wsl(f"new-service {name}")


def in_wsl(what: str) -> BadInput:
    """On Windows, `what` is done in its Linux; one line says all."""
    return BadInput(f"{what} needs Linux or macOS: on Windows, run it in WSL (wsl --install).", "")


def lock(descriptor: int, *, wait: bool) -> None:
    """Take the lock of an open file or folder; the kernel gives it back when its process ends.

    Raises:
        BlockingIOError: somebody else has it, and `wait` is not set.
        OSError: the file system has no locks.
    """
    _fcntl.flock(descriptor, _fcntl.LOCK_EX | (0 if wait else _fcntl.LOCK_NB))


def can_copy_processes() -> bool:
    """Whether a process may be copied and go on: the libraries of macOS do not bear it."""
    return sys.platform == "linux"
