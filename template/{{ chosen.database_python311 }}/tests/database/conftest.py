"""Keeps Python 3.11 from hanging where coverage meets the greenlets of SQLAlchemy."""

import sys
import threading
from types import FrameType

from greenlet import getcurrent  # type: ignore[import-untyped]  # it has no types

# Coverage makes each thread's greenlet known, and forgets it in a callback once greenlet frees it,
# after the thread. Where Python 3.11 traces that callback while another thread ends, it never
# leaves: its interpreter begins the callback anew for as long as a call is pending. What is kept
# is not freed.
_kept: dict[object, object] = {}


def _keep(_frame: FrameType, _event: str, _argument: object) -> None:
    sys.setprofile(None)  # the first event of a thread is enough
    current: object = getcurrent()
    _kept[current] = current  # twice, since greenlet searches the heap for a single reference


threading.setprofile(_keep)
