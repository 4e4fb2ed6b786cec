"""Servers and clients of the bridge in processes of their own."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import uuid
from contextlib import suppress
from pathlib import Path

from in_thread import PATIENCE_S
from napari_hae.instruments.bridge.line import Line
from napari_hae.instruments.remote import RemoteMicroscope, RemoteSettings

HERE = Path(__file__).parent
TOKEN = "a token that only tests know"
SMALL = ("--set", "instrument.shape=[32,32]", "--set", "instrument.particles=3")


class Process:
    """A child whose lines can be waited for; it ends when its stdin is closed."""

    def __init__(self, script, *arguments, before=(), **environment) -> None:
        command = [*before, sys.executable, str(HERE / script), *map(str, arguments)]
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "NAPARI_HAE_TOKEN": TOKEN, **environment},
        )
        self.pid = self._child.pid
        self.lines = []
        self._new = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_for(self, pattern, timeout_s=PATIENCE_S):
        """The next line that matches; fails with all lines if there is none."""
        while True:
            try:
                line = self._new.get(timeout=timeout_s)
            except queue.Empty:
                line = None
            if line is None:
                raise AssertionError(f"no {pattern!r} in:\n" + "\n".join(self.lines))
            if found := re.search(pattern, line):
                return found

    def tell(self, text) -> None:
        self._child.stdin.write(text + "\n")
        self._child.stdin.flush()

    def signal(self, number) -> None:
        self._child.send_signal(number)

    def wait(self) -> int:
        """Its exit code, when it has ended by itself."""
        code = self._child.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code

    def close(self) -> None:
        with suppress(OSError):
            self._child.stdin.close()
        try:
            self._child.wait(PATIENCE_S)
        finally:
            self._child.kill()
            self._child.wait()
            self._reader.join(PATIENCE_S)
            self._child.stdout.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _read(self) -> None:
        for line in self._child.stdout:
            self.lines.append(line.rstrip())
            self._new.put(line.rstrip())
        self._new.put(None)


class ServerProcess(Process):
    """`napari-hae serve`, listening when it is made."""

    def __init__(self, *arguments, instrument="simulated", before=(), **environment):
        super().__init__(
            "bridge_server.py",
            *("--instrument", instrument, "--port", "0", *arguments),
            before=before,
            **environment,
        )
        try:
            found = self.wait_for(r"is served at (\S+):(\d+)")
        except AssertionError:
            self.close()
            raise
        self.host, self.port = found[1], int(found[2])

    def settings(self, **more) -> RemoteSettings:
        values = {"host": self.host, "port": self.port, "token": TOKEN, **more}
        return RemoteSettings(**values)

    def microscope(self, **more) -> RemoteMicroscope:
        return RemoteMicroscope(self.settings(**more))

    def look(self):
        """What it says of itself, and the state of its microscope, whoever has that."""
        session = uuid.uuid4().hex
        line = Line(self.host, self.port, TOKEN, session, session, PATIENCE_S)
        try:
            reply = line.call("hello", timeout_s=PATIENCE_S)
        finally:
            line.cut()
        return json.loads(reply.value), reply.status

    def end(self) -> int:
        """The exit code after it was told to end."""
        self.signal(signal.SIGTERM)
        return self.wait()


class ClientProcess(Process):
    """A plugin that does what it is told."""

    def __init__(self, host, port, line_timeout_s=5, before=()) -> None:
        super().__init__("bridge_client.py", host, port, line_timeout_s, before=before)

    def expose(self, server) -> None:
        """Take the microscope, and begin an exposure that takes 100 s."""
        self.tell("connect")
        self.wait_for("^done")
        self.tell("expose")
        server.wait_for("BEAM on")
