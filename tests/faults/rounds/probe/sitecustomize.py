"""Counts the greenlets of a hub from outside: at the signal, the process writes their names to `$FAULTS_PROBE/<pid>`.

Python imports this file at its start if its folder is in PYTHONPATH. It changes nothing else in the hub.
"""

import os
import signal

SIGNAL = getattr(signal, "SIGRTMIN", 0) + 5  # rounds need Linux, but this file can be imported anywhere


def _name(frame: object) -> str:
    """Where a greenlet began, in other code than gevent's."""
    name = "running"
    while frame is not None:
        code = frame.f_code  # type: ignore[attr-defined]
        if not any(part in code.co_filename for part in ("gevent", "threading.py")):
            name = code.co_qualname if hasattr(code, "co_qualname") else code.co_name
        frame = frame.f_back  # type: ignore[attr-defined]
    return name


def _count(*_: object) -> None:
    import gc

    from greenlet import greenlet

    alive = [thing for thing in gc.get_objects() if isinstance(thing, greenlet) and not thing.dead]
    path = f"{os.environ['FAULTS_PROBE']}/{os.getpid()}"
    with open(f"{path}.new", "w") as file:
        file.write("\n".join(_name(thing.gr_frame) for thing in alive))
    os.replace(f"{path}.new", path)


if "FAULTS_PROBE" in os.environ:
    signal.signal(SIGNAL, _count)
