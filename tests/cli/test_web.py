"""``hammerflow web``: what it cannot serve is refused in a sentence."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Run


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("--tls-cert", "none.pem"), "cannot use the certificate in 'none.pem'"),
        (("--tls-key", "none.key"), "give --tls-cert, too"),
        (("--proxy", "nonsense"), "a --proxy must be an IP address or a network"),
        (("--host", "192.0.2.1"), "cannot listen at '192.0.2.1'"),
        (("--host", "x" * 70), "cannot listen at 'xx"),
        (("--host", "0"), "--host must be an IP address or the name of this machine"),
    ],
)
def test_what_cannot_be_served_is_refused(
    sqlite_url: str, run: Run, wrong: tuple[str, str], said: str
) -> None:
    run("--database", sqlite_url, "migrate")
    ran = run("--database", sqlite_url, "web", "--port", "0", *wrong)
    assert ran.code != 0
    assert said in ran.err
