"""Sockets of one host: what is left behind, what others do to the folder."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from hammerflow.notifiers import open_notifier
from hammerflow.notifiers.doorbell import Doorbell
from hammerflow.notifiers.transports.local import LocalTransport
from hammerflow.settings import Settings
from tests.notifiers.kit import LONG, Lines, Listening, in_a_fork, until


def _doorbell(*roots: Path, place: str = "/srv/shop.db") -> Doorbell:
    return Doorbell(LocalTransport(place, namespace="shop", roots=roots))


def _sockets(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if stat.S_ISSOCK(path.lstat().st_mode)]


def _folder(root: Path) -> Path:
    return root / f"hammerflow-{os.getuid()}"


def test_nothing_is_left_behind(root: Path) -> None:
    doorbell = _doorbell(root)
    Listening(doorbell)
    with doorbell.expect(os.urandom(16)):
        assert len(_sockets(root)) == 2

    doorbell.close()

    assert list(root.iterdir()) == []


def test_a_script_that_just_ends_leaves_nothing_behind(root: Path) -> None:
    code = (
        "import sys\n"
        "from hammerflow.notifiers.doorbell import Doorbell\n"
        "from hammerflow.notifiers.transports.local import LocalTransport\n"
        "doorbell = Doorbell(LocalTransport('/shop.db', namespace='shop', roots=[sys.argv[1]]))\n"
        "doorbell.ring(['mail'])\n"
        "with doorbell.expect(bytes(16)): pass\n"
    )

    subprocess.run([sys.executable, "-c", code, str(root)], check=True)

    assert list(root.iterdir()) == []


def test_the_folder_is_for_us_alone(root: Path) -> None:
    doorbell = _doorbell(root)
    Listening(doorbell)

    (socket_path,) = _sockets(root)
    paths = (_folder(root), socket_path.parent, socket_path)
    modes = [stat.S_IMODE(path.lstat().st_mode) for path in paths]

    assert modes == [0o700, 0o700, 0o600]
    doorbell.close()


@pytest.mark.parametrize("mode", [0o000, 0o500, 0o700])
def test_no_umask_keeps_a_listener_from_its_folder(root: Path, mode: int) -> None:
    _folder(root).mkdir(mode=mode)
    os.chmod(_folder(root), mode)  # as an earlier start under such a umask has left it
    before = os.umask(0o777)
    try:
        doorbell = _doorbell(root)
        listening = Listening(doorbell)
    finally:
        os.umask(before)

    doorbell.ring(["mail"])

    listening.comes()
    assert stat.S_IMODE(_folder(root).lstat().st_mode) == 0o700
    doorbell.close()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_program_of_another_user_says_that_its_rings_are_not_heard(
    root: Path, lines: Lines
) -> None:
    root.chmod(0o777)
    place = root / "shop.db"
    place.touch()
    doorbell = _doorbell(root, place=str(place))
    Listening(doorbell)
    os.setreuid(65534, 0)
    try:
        other = _doorbell(root, place=str(place))
        other.ring(["mail"])
        other.ring(["mail"])
    finally:
        os.setreuid(0, 0)

    assert "this database belongs to user 0" in lines.next()
    other.close()
    doorbell.close()


def test_without_any_folder_for_temporary_files_one_warning_tells(
    tmp_path: Path, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", fail)  # as on a read-only root
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "missing"))
    assert LocalTransport("/srv/shop.db", namespace="shop")

    doorbell = Doorbell(
        LocalTransport("/srv/shop.db", namespace="shop", roots=[tmp_path / "missing"])
    )
    listener = doorbell.listen(queues=["a"], on_work=_nothing, on_control=_nothing)

    assert "jobs are found by polling" in lines.next()
    doorbell.ring(["a"])
    listener.close()
    doorbell.close()


def test_the_socket_of_a_killed_listener_is_removed_by_the_next_ring(root: Path) -> None:
    code = (
        "import sys\n"
        "from hammerflow.notifiers.transports.local import LocalTransport\n"
        "transport = LocalTransport('/srv/shop.db', namespace='shop', roots=[sys.argv[1]])\n"
        "subscription = transport.subscribe(['a'])\n"
        "print('listening', flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as killed:
        assert killed.stdout is not None
        assert killed.stdout.readline() == b"listening\n"
        killed.send_signal(signal.SIGKILL)
    assert len(_sockets(root)) == 1
    doorbell = _doorbell(root)

    doorbell.ring(["mail"])

    assert _sockets(root) == []
    doorbell.close()


@pytest.mark.slow
def test_a_listener_whose_socket_was_tidied_away_makes_another(root: Path) -> None:
    listener, ringer = _doorbell(root), _doorbell(root)
    listening = Listening(listener)

    for path in _sockets(root):
        path.unlink()
        path.parent.rmdir()
    _folder(root).rmdir()
    listening.comes()  # something may have been missed
    ringer.ring(["mail"])

    listening.comes()
    listener.close()
    ringer.close()


def test_a_folder_that_others_can_look_into_is_not_used(root: Path, lines: Lines) -> None:
    open_root, closed_root = root / "open", root / "closed"
    open_root.mkdir()
    closed_root.mkdir()
    _folder(open_root).mkdir(mode=0o755)
    os.chmod(_folder(open_root), 0o755)
    doorbell = _doorbell(open_root, closed_root)

    Listening(doorbell)

    assert _sockets(open_root) == []
    assert len(_sockets(closed_root)) == 1
    doorbell.close()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_is_neither_used_nor_rung(root: Path, lines: Lines) -> None:
    _folder(root).mkdir(mode=0o700)
    first = _doorbell(root)
    Listening(first)
    (stolen,) = _sockets(root)
    os.chown(_folder(root), 12345, 12345)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as theirs:
        theirs.bind(str(stolen.with_name("w-theirs")))
        theirs.settimeout(0.2)
        doorbell = _doorbell(root)

        doorbell.ring(["mail"])
        listener = doorbell.listen(queues=["a"], on_work=_nothing, on_control=_nothing)

        assert "another user" in lines.next()
        with pytest.raises(TimeoutError):
            theirs.recv(100)
    listener.close()
    doorbell.close()
    first.close()


def test_a_link_in_place_of_the_folder_is_not_followed(root: Path, lines: Lines) -> None:
    aim = root / "aim"
    aim.mkdir(mode=0o700)
    place = root / "place"
    place.mkdir()
    _folder(place).symlink_to(aim)
    doorbell = _doorbell(place)

    listener = doorbell.listen(queues=["a"], on_work=_nothing, on_control=_nothing)

    assert "down" in lines.next()
    assert list(aim.iterdir()) == []
    listener.close()
    doorbell.close()


def test_a_root_that_is_too_long_or_missing_gives_way_to_the_next(root: Path) -> None:
    long = root / ("long" * 30)
    long.mkdir()
    doorbell = _doorbell(long, root / "missing", root)

    listening = Listening(doorbell)
    doorbell.ring(["mail"])

    listening.comes()
    doorbell.close()
    assert list(root.iterdir()) == [long]
    assert list(long.iterdir()) == []


def test_a_ring_reaches_listeners_in_every_root(root: Path) -> None:
    login, boot = root / "login", root / "boot"
    login.mkdir()
    boot.mkdir()
    worker, program = _doorbell(boot), _doorbell(login, boot)
    listening = Listening(worker)

    program.ring(["mail"])

    listening.comes()
    worker.close()
    program.close()


def test_databases_do_not_hear_each_other(root: Path) -> None:
    doorbell, stranger = _doorbell(root), _doorbell(root, place="/srv/other.db")
    listening = Listening(doorbell)

    stranger.ring(["mail"])

    assert listening.is_quiet()
    doorbell.close()
    stranger.close()


def test_a_listener_that_reads_nothing_holds_nobody_up(root: Path) -> None:
    transport = LocalTransport("/srv/shop.db", namespace="shop", roots=[root])
    subscription = transport.subscribe(["mail"])
    doorbell = Doorbell(transport)

    for n in range(2_000):
        doorbell.ring([f"queue-{n}"])
    doorbell.ring(["mail"])

    assert {ring.kind for ring in subscription.receive()[0]} == {
        "all"
    }  # some were lost: take any for rung
    subscription.close()
    doorbell.close()


def test_datagrams_of_any_content_do_no_harm(root: Path) -> None:
    doorbell = _doorbell(root)
    listening = Listening(doorbell)
    job = os.urandom(16)
    with (
        doorbell.expect(job) as bell,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
    ):
        bell.wait(0.1)
        for path in _sockets(root):
            for body in (b"", b"?", b"w", b"wother", b"d" + b"x" * 15, os.urandom(100_000)):
                sender.sendto(body, str(path))
        doorbell.ring_done([job])
        assert bell.wait(LONG)
    doorbell.ring(["mail"])

    listening.comes()
    doorbell.close()


def test_a_child_does_not_take_its_parents_socket_away(root: Path) -> None:
    doorbell, ringer = _doorbell(root), _doorbell(root)
    listening = Listening(doorbell)

    assert in_a_fork(doorbell.close)

    assert len(_sockets(root)) == 1
    ringer.ring(["mail"])
    listening.comes()
    doorbell.close()
    ringer.close()


def test_sqlite_without_redis_opens_it_whatever_the_path_is_called(root: Path) -> None:
    (root / "link").symlink_to(root)
    listener = open_notifier(Settings(database=f"sqlite:///{root}/shop.db"))
    ringer = open_notifier(Settings(database=f"sqlite:///{root}/link/shop.db"))
    listening = Listening(listener)

    ringer.ring(["mail"])

    listening.comes()
    listener.close()
    ringer.close()


def test_without_any_doorbell_a_wait_is_a_wait(root: Path) -> None:
    silence = open_notifier(Settings(database="sqlite:////nowhere/shop.db", doorbell="none"))

    listener = silence.listen(queues=["mail"], on_work=_nothing, on_control=_nothing)
    silence.ring(["mail"])
    silence.ring_done([os.urandom(16)])
    silence.ring_control()
    with silence.expect(os.urandom(16)) as bell:
        rung = bell.wait(0.01)

    assert not rung
    listener.close()
    silence.close()


def test_hundreds_of_listeners_are_all_heard(root: Path) -> None:
    doorbells = [_doorbell(root) for _ in range(40)]
    listenings = [Listening(doorbell) for doorbell in doorbells]

    doorbells[0].ring(["mail"])
    until(lambda: all(listening.work.is_set() for listening in listenings))

    for doorbell in doorbells:
        doorbell.close()


def _nothing() -> None:
    """A callback."""
