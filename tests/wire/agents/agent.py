"""Agent programs for the launcher's tests: `agent.py BEHAVIOUR [ARGUMENT …]`. Real programs that report with the hub's
client, as any agent does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import FrameType

ME = os.environ["HUB_AGENT_ID"]
stopped = threading.Event()


def report(**event: object) -> None:
    from event_hub.client import Publisher

    publisher = Publisher()  # reads HUB_URL
    publisher.publish({"agent_id": ME, **event})
    publisher.close(30)  # the next hub can take that long to start on a busy machine


def ready(message: str = "Listening") -> None:
    """Reports ready, and on SIGTERM publishes a last event and exits with 0."""
    print(f"started in the mode {os.environ['HUB_AGENT_MODE']}")
    report(type="agent_ready", message=message)
    stopped.wait()
    report(type="session_ended", session="s", reason="job_shutdown")


def echo(*_: str) -> None:
    """Publishes its environment and arguments."""
    given = {
        name: os.environ.get(name) for name in ("HUB_AGENT_MODE", "HUB_AGENT_ROOM", "HUB_AGENT_INSTRUCTIONS", "HUB_URL")
    }
    same = {"cwd": os.getcwd(), "apart": os.getsid(0) == os.getpid(), "from_dotenv": os.environ.get("FROM_DOTENV")}
    report(type="echo", given=given, arguments=sys.argv[1:], stdin=sys.stdin.read(), **same)
    stopped.wait()


def silent() -> None:
    """Never reports ready."""
    print("still loading")
    stopped.wait()


def exits(code: str, after: str = "") -> None:
    """Exits with this code, at once or after it has reported ready."""
    print("loading the model")
    if after:
        report(type="agent_ready")
    print("the model is not there", file=sys.stderr)
    sys.exit(int(code))


def waits_then_exits(code: str, flag: str) -> None:
    """Reports ready; exits with this code once the file exists."""
    report(type="agent_ready")
    while not os.path.exists(flag):
        if stopped.wait(0.02):
            return
    sys.exit(int(code))


def crashes_once(flag: str) -> None:
    """Crashes on its first start, and reports ready on the second."""
    if os.path.exists(flag):
        return ready("Back again")
    with open(flag, "w"):
        pass
    os.kill(os.getpid(), signal.SIGSEGV)
    return None


def reports_error(code: str) -> None:
    """Reports an error, and exits."""
    report(type="agent_error", message="a hiccup", source="agent", recoverable=True)
    report(type="agent_error", message="OPENAI_API_KEY is wrong: set another", source="agent", recoverable=False)
    sys.exit(int(code))


def serves() -> None:
    """Serves HTTP on a free port, and reports its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(ME.encode())

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        report(type="agent_ready", message="Serving", address=f"http://127.0.0.1:{server.server_port}")
        stopped.wait()
        server.shutdown()
        thread.join()


def stubborn() -> None:
    """Ignores SIGTERM, as do its child and grandchild."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _family(signal.SIG_IGN)
    report(type="agent_ready")
    while True:
        stopped.wait(1)


def comet() -> None:
    """Ignores SIGTERM, and has a child that replaces itself with a fork every half millisecond."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        os.close(1)
        os.close(2)
        while True:
            if os.fork():
                os._exit(0)
            time.sleep(0.0005)
    ready()


def forks() -> None:
    """Exits and leaves a child and a grandchild behind."""
    _family(signal.SIG_IGN)
    report(type="agent_ready")
    stopped.wait()


def _family(handling: signal.Handlers) -> None:
    """A child and a grandchild that ignore SIGTERM; the pids are in the log."""
    code = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "os.fork()\nprint('child', os.getpid(), flush=True)\n"
        "while True: time.sleep(1)"
    )
    assert handling == signal.SIG_IGN
    subprocess.Popen([sys.executable, "-S", "-E", "-c", code])


def floods() -> None:
    """Writes as fast as it can."""
    report(type="agent_ready")
    number = 0
    while not stopped.is_set():
        sys.stdout.write("".join(f"line {number + n} {'x' * 80}\n" for n in range(1000)))
        number += 1000
    threading.Event().wait(0.5)  # after the last cut that the flood has caused
    print("\nthe last line")  # a cut may have lost the end of the flood's own last line


def secrets(jwt: str) -> None:
    """Writes secrets and control characters."""
    print(f"key {os.environ['OPENAI_API_KEY']} and {os.environ['LIVEKIT_API_SECRET']}")
    print(f"\x1b[31mAuthorization: Bearer {jwt}\x1b[0m, joined with {jwt}")
    print(f"wss://user:p4ssw0rd@host/?access_token={jwt[:30]}&room=a")
    print("10 %\r50 %\r100 %")
    print("plain\x07 text \x1b]0;title\x07→ ü")
    print("bad \udcff bytes".encode("utf-8", "surrogateescape").decode("latin-1"))
    sys.stdout.buffer.write(b"\xff\xfe\x00 raw\n")
    report(type="agent_ready")
    stopped.wait()


def _stop(number: int, frame: FrameType | None) -> None:
    stopped.set()


signal.signal(signal.SIGTERM, _stop)
globals()[sys.argv[1]](*sys.argv[2:])
