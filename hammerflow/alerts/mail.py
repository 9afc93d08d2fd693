"""Mail: one message to a mail server, by STARTTLS, TLS, or plainly."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Mapping
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any

from hammerflow.alerts.posting import TargetError
from hammerflow.errors import ConfigError

__all__ = ["send_mail"]


def send_mail(options: Mapping[str, Any], id_: str, subject: str, said: str) -> None:
    """Send a mail, and wait until the server has taken it.

    Args:
        options: of the target ``email``.
        id_: the same at every try, for the Message-ID.

    Raises:
        TargetError: the server has not taken it, for one of the addresses at least.
        ConfigError: an address cannot be one, or a password would be sent unencrypted.
    """
    security = options.get("security", "starttls")
    if options.get("password") and security == "none":
        raise ConfigError("a password is only sent over TLS: set security to starttls or tls")
    recipients = [part.strip() for part in str(options["to"]).split(",") if part.strip()]
    mail = EmailMessage()
    try:
        mail["From"], mail["To"] = options["sender"], ", ".join(recipients)
        mail["Subject"] = " ".join(subject.split())[:200]
        mail["Date"] = formatdate()
        mail["Message-ID"] = f"<{id_}@hammerflow.invalid>"
    except ValueError as error:
        raise ConfigError(f"the addresses of the mail cannot be used: {error}") from None
    mail.set_content(said)
    try:
        with _connect(options, security) as server:
            if options.get("user"):
                server.login(options["user"], options.get("password") or "")
            refused = server.send_message(mail, options["sender"], recipients)
    except (OSError, smtplib.SMTPException) as error:
        raise TargetError(f"{type(error).__name__}: {error}") from None
    if refused:
        raise TargetError(f"refused for {', '.join(sorted(refused))}")


def _connect(options: Mapping[str, Any], security: str) -> smtplib.SMTP:
    context = ssl.create_default_context()
    if not options.get("verify", True):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    host, port, timeout = options["host"], options.get("port", 587), options.get("timeout", 10.0)
    if security == "tls":
        return smtplib.SMTP_SSL(host, port, timeout=timeout, context=context)
    server = smtplib.SMTP(host, port, timeout=timeout)
    if security == "starttls":
        try:
            server.starttls(context=context)
        except BaseException:
            server.close()
            raise
    return server
