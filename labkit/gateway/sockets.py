"""The gateway's two listeners, made safely: a unix socket that only its owner can open, and a loopback port."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from labkit.errors import SetupError


@contextlib.contextmanager
def unix_listener(path: Path) -> Iterator[socket.socket]:
    """A listening unix socket, mode 0600, in a folder of mode 0700; the file is removed at the end.

    What a dead gateway left is replaced; a lock beside the socket tells it from a living one. Raises SetupError.
    """
    _private_folder(path.parent)
    with _lock(path):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        except OSError as error:
            listener.close()
            raise SetupError(f"the gateway cannot listen on {path}: {error}; give another --socket") from error
        finally:
            os.umask(before)
        listener.listen(128)
        try:
            yield listener
        finally:
            listener.close()
            with contextlib.suppress(FileNotFoundError):
                path.unlink()


@contextlib.contextmanager
def loopback_listener(port: int, endpoint: Path) -> Iterator[socket.socket]:
    """A listening TCP socket on 127.0.0.1 (`port` 0: any free one), its number told in the file `endpoint`.

    Raises SetupError where the port is taken.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise SetupError(
            f"the gateway cannot listen on 127.0.0.1:{port}: {error}; choose another with --port or LABKIT_GATEWAY_PORT"
        ) from error
    listener.listen(128)
    _write(endpoint, json.dumps({"port": listener.getsockname()[1]}))
    try:
        yield listener
    finally:
        listener.close()
        with contextlib.suppress(FileNotFoundError):
            endpoint.unlink()


def _private_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if found.st_uid != os.getuid():
        raise SetupError(f"the folder {folder} belongs to another user: give a --socket in one of your own")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise SetupError(f"the folder {folder} is open to other users: run `chmod 700 {folder}`")


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    lock = os.open(path.with_name(path.name + ".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise SetupError(f"another gateway is listening on {path}: stop it, or give another --socket") from None
    try:
        yield
    finally:
        os.close(lock)


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(text)
    draft.replace(path)
