"""Rings between processes of one user on one host: datagrams to sockets in a private folder.

Each subscription has a socket file there, and a ring is a datagram to each of them. A datagram to a
full socket is dropped: rings that its owner has not read are waiting in it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import secrets
import socket
import stat
import tempfile
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from hammerflow.notifiers.base import Ring, Sender, Subscription
from hammerflow.settings import Settings

__all__ = ["LocalTransport", "place_of"]

log = logging.getLogger("hammerflow.notifiers")

#: The longest path of a Unix socket: 108 bytes on Linux, 104 on the BSDs, with the closing NUL.
_LONGEST = 103
#: From this many datagrams at once, some may have been dropped: the smallest queue of a socket that
#: Linux kernels are set up with is 10 (net.unix.max_dgram_qlen).
_CROWDED = 8
#: Datagrams to read at once.
_MOST = 64
_LETTERS = {"work": b"w", "control": b"c", "done": b"d"}
_KINDS = {letter: kind for kind, letter in _LETTERS.items()}


def place_of(settings: Settings) -> str:
    """The database's identity on this host: the file's real path, or the URL."""
    url = settings.url
    return os.path.realpath(url.database) if url.dialect == "sqlite" else url.redacted


class LocalTransport:
    """Sockets in ``<root>/hammerflow-<uid>/<hash of place and namespace>/``.

    The roots are $XDG_RUNTIME_DIR, /run/user/<uid> and the folder for temporary files. A listener
    takes the first that works. A ring goes to all of them, because a worker started at boot may
    have others than a program started from a login.
    """

    label = "sockets of this host"
    instant = True
    direct = True

    def __init__(
        self, place: str, *, namespace: str, roots: Iterable[str | Path] | None = None
    ) -> None:
        key = hashlib.blake2b(f"{namespace}\0{place}".encode(errors="replace"), digest_size=8)
        found = _roots() if roots is None else [str(root) for root in roots]
        self._folders = [
            _Folder(os.path.join(root, f"hammerflow-{os.getuid()}"), key.hexdigest())
            for root in dict.fromkeys(found)
        ]
        self._place = place
        self._roots = found

    def connect(self) -> Sender:
        """See :meth:`Transport.connect`."""
        self._tell_of_strangers()
        return _LocalSender(self._folders)

    def subscribe(self, queues: Collection[str] | None) -> Subscription:
        """See :meth:`Transport.subscribe`."""
        problems: list[str] = []
        for folder in self._folders:
            try:
                return _LocalSubscription(folder, queues)
            except OSError as error:
                problems.append(f"{folder.path}: {error.strerror or error}")
        raise OSError("no usable folder for sockets: " + "; ".join(problems))

    def _tell_of_strangers(self) -> None:
        """Say so if the owner of the database's file listens where no ring gets from us."""
        try:
            owner = os.stat(self._place).st_uid
        except (OSError, ValueError):  # no file, but a URL
            return
        folders = [os.path.join(root, f"hammerflow-{owner}") for root in self._roots]
        if owner != os.getuid() and any(map(os.path.exists, folders)):
            log.warning(
                "this database belongs to user %d, whose processes get no rings from user %d: they "
                "find jobs by polling; run all as one user, or set a Redis URL",
                owner, os.getuid(),
            )  # fmt: skip


class _Folder:
    """A folder of sockets that only this user can enter."""

    def __init__(self, base: str, key: str) -> None:
        self.base = base
        self.path = os.path.join(base, key)

    def make(self) -> None:
        """Make it.

        Raises:
            OSError: it cannot be made, or another user owns it or can enter it.
        """
        for path in (self.base, self.path):
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, 0o700)
            if _is_private(path) and stat.S_IMODE(os.lstat(path).st_mode) != 0o700:
                os.chmod(path, 0o700)  # the umask took bits of it
            if not _is_private(path):
                raise PermissionError(errno.EPERM, "is open to, or belongs to, another user")

    def remove_if_empty(self) -> None:
        """Remove it and its base unless another socket is in them."""
        for path in (self.path, self.base):
            try:
                os.rmdir(path)
            except OSError:
                return


def _is_private(path: str) -> bool:
    """Whether a path is a folder (not a link to one) that only this user can enter."""
    found = os.lstat(path)
    is_folder = stat.S_ISDIR(found.st_mode)
    return is_folder and not found.st_mode & 0o077 and found.st_uid == os.getuid()


class _LocalSender:
    """Sends datagrams from one unnamed socket."""

    def __init__(self, folders: list[_Folder]) -> None:
        self._folders = folders
        self._socket = _new_socket()

    def send(self, rings: Sequence[Ring]) -> None:
        for folder in self._folders:
            try:  # most often nobody listens and there is no folder
                entries = os.scandir(folder.path)
            except OSError:
                continue
            with entries:
                self._send_to_all(rings, folder, entries)

    def _send_to_all(
        self, rings: Sequence[Ring], folder: _Folder, entries: Iterable[os.DirEntry[str]]
    ) -> None:
        try:  # the check comes before the reading: another user's folder may hold a million names
            names = [entry.name for entry in entries] if _is_private(folder.base) else []
        except OSError:
            return
        for name in names:
            for ring in rings:
                if (ring.kind == "done") == name.startswith("d"):
                    self._send(ring, f"{folder.path}/{name}")

    def _send(self, ring: Ring, path: str) -> None:
        letter = _LETTERS[ring.kind]
        try:
            self._socket.sendto(letter + ring.body, path)
        except BlockingIOError:
            pass  # full: its owner has rings to read
        except ConnectionRefusedError:
            with contextlib.suppress(OSError):
                os.unlink(path)  # its process was killed
        except OSError as error:
            if error.errno == errno.EMSGSIZE and ring.body:
                self._send(ring._replace(body=b""), path)  # any job may have ended

    def finish(self, seconds: float) -> None:
        pass  # a datagram has arrived when it is sent

    def close(self) -> None:
        self._socket.close()

    def abandon(self) -> None:
        self._socket.close()


class _LocalSubscription:
    """The socket file of one subscription."""

    def __init__(self, folder: _Folder, queues: Collection[str] | None) -> None:
        self._folder = folder
        self._queues = None if queues is None else {q.encode("utf-8", "replace") for q in queues}
        self._path = f"{folder.path}/{'d' if queues is None else 'w'}-{secrets.token_hex(4)}"
        if len(os.fsencode(self._path)) > _LONGEST:
            raise OSError(errno.ENAMETOOLONG, "its path is too long for a socket")
        self._socket = _new_socket()
        try:
            self._bind()
        except OSError:
            self._socket.close()
            raise

    def _bind(self) -> None:
        for last in (False, False, True):
            self._folder.make()
            try:
                self._socket.bind(self._path)
                os.chmod(self._path, 0o600)  # whatever the umask is
                return
            except FileNotFoundError:  # another listener has just removed the empty folder
                if last:
                    raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive(self) -> tuple[list[Ring], bool]:
        datagrams: list[bytes] = []
        with contextlib.suppress(BlockingIOError):
            while len(datagrams) < _MOST:
                datagrams.append(self._socket.recv(1 << 17))
        if len(datagrams) >= _CROWDED:
            return [Ring("all")], False
        rings = {self._ring(datagram): None for datagram in datagrams}
        return [ring for ring in rings if ring is not None], False

    def _ring(self, data: bytes) -> Ring | None:
        kind, body = _KINDS.get(data[:1]), data[1:]
        if kind == "control" and self._queues is not None:
            return Ring("control")
        if kind == "work" and self._queues is not None and body in self._queues:
            return Ring("work", body)
        return Ring("done", body) if kind == "done" and self._queues is None else None

    def ping(self) -> bool:
        os.stat(self._path)  # a cleaner of temporary folders may have removed it
        return False

    def close(self) -> None:
        self._socket.close()
        with contextlib.suppress(OSError):
            os.unlink(self._path)
        self._folder.remove_if_empty()

    def abandon(self) -> None:
        self._socket.close()


def _new_socket() -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.setblocking(False)
    return made


def _roots() -> list[str]:
    runtime = [os.environ.get("XDG_RUNTIME_DIR", ""), f"/run/user/{os.getuid()}"]
    temporary = ["/tmp"]  # in case the path of the first is too long
    with contextlib.suppress(OSError):  # no folder for temporary files can be written
        temporary.insert(0, tempfile.gettempdir())
    return [root for root in runtime if root.startswith("/") and os.path.isdir(root)] + temporary
