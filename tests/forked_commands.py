"""Commands for scripts and sweeps to start, forked from a process that has imported torch and fairseq.

They are small programs in a folder, with the names of the real commands. Each sends its arguments, folder, environment
and streams to the test, which lets ``console.start_forked`` do what the command does, and ends with the same exit
status. A signal reaches the small program alone: a test that kills commands has to start the real ones.
"""

import contextlib
import json
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

from console import is_over, start_forked

NAMES = ("dsp-fairseq", "fairseq-", "sacrebleu")
PROGRAM = """#!{python} -IS
import json, os, socket, sys
name, arguments = os.path.basename(sys.argv[0]), sys.argv[1:]
if name == "python" and not (arguments and arguments[0].endswith(".py")):
    os.execv({python!r}, [{python!r}, *arguments])
said = json.dumps([name, arguments, dict(os.environ), os.getcwd()]).encode()
with socket.socket(socket.AF_UNIX) as test:
    test.connect({address!r})
    socket.send_fds(test, [len(said).to_bytes(8, "big")], [0, 1, 2])
    test.sendall(said)
    sys.exit(int(test.makefile().read()))
"""


@contextlib.contextmanager
def forked_commands() -> Iterator[Path]:
    """The folder, for the beginning of PATH. Its ``python`` is the real one for all but files."""
    commands = {point.name: point.value for point in entry_points(group="console_scripts")}
    commands = {name: value for name, value in commands.items() if name.startswith(NAMES)}
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        address = f"{folder}/socket"  # of at most 107 letters, which folders of pytest may exceed
        listener.bind(address)
        listener.listen()
        for name in (*commands, "python"):
            program = Path(folder, name)
            program.write_text(PROGRAM.format(python=sys.executable, address=address))
            program.chmod(0o755)
        threading.Thread(target=_accept, args=(listener, commands), daemon=True).start()
        yield Path(folder)


def _accept(listener, commands):
    with contextlib.suppress(OSError):  # at the end the listener is closed
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_serve, args=(connection, commands), daemon=True).start()


def _serve(connection, commands):
    """Run one command, and send its exit status as text."""
    with connection, connection.makefile("rb") as file:
        size, streams, _, _ = socket.recv_fds(connection, 8, 3)
        name, arguments, env, cwd = json.loads(file.read(int.from_bytes(size, "big")))
        entry_point, argv = (arguments[0], arguments) if name == "python" else (commands[name], [name, *arguments])
        process = start_forked(entry_point, argv, env, cwd, streams)
        for stream in streams:
            os.close(stream)
        is_over(process)
        status = process.exitcode if process.exitcode >= 0 else 128 - process.exitcode  # as a shell has it
        connection.sendall(str(status).encode())
