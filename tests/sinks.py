"""Where notifications end in tests: a web server and a mail server on 127.0.0.1 that keep what they get."""

import base64
import json
import socketserver
import threading
from collections.abc import Callable
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self, cast

from tests.servers import free_port

MAIL_USER, MAIL_PASSWORD = "pgqueue-alerts", "of-the-mail-server"


@dataclass(frozen=True)
class Message:
    """What arrived: `channel` (`slack`, `pagerduty`, `webhook` or `email`), `to` whom, and what.

    `to` is an address, PagerDuty's routing key, or the last part of the URL's path. `body` is the JSON, or the e-mail;
    `credentials` what came as the header Authorization.
    """

    channel: str
    to: str
    body: Any
    credentials: str = ""

    @property
    def mail(self) -> EmailMessage:
        """The e-mail."""
        assert isinstance(self.body, EmailMessage)
        return self.body

    def part(self, kind: str) -> str:
        """The e-mail's part in that type, such as `text/html`."""
        return next(str(part.get_content()) for part in self.mail.walk() if part.get_content_type() == kind)


class _Server:
    """Runs in a thread of its own and hands on what arrives."""

    def __init__(self, server: socketserver.BaseServer, port: int) -> None:
        self.port = port
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class WebSink(_Server):
    """Takes POSTs to /CHANNEL/TO. Channels named in `broken` are answered 503, and nothing of theirs is kept."""

    def __init__(self, keep: Callable[[Message], None]) -> None:
        self.broken: set[str] = set()
        broken = self.broken

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                _, channel, to = self.path.split("/", 2)
                if channel in broken:
                    self.answer(503, b"broken")
                    return
                to = body["routing_key"] if channel == "pagerduty" else to
                keep(Message(channel, to, body, self.headers.get("Authorization", "")))
                self.answer(202 if channel == "pagerduty" else 200, b"{}" if channel == "pagerduty" else b"ok")

            def answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        port = free_port()
        super().__init__(ThreadingHTTPServer(("127.0.0.1", port), Handler), port)


class _MailHandler(socketserver.StreamRequestHandler):
    """One conversation: EHLO, AUTH PLAIN, MAIL, RCPT, DATA. Who does not log in may not send."""

    def say(self, line: str) -> None:
        self.wfile.write(line.encode() + b"\r\n")

    def handle(self) -> None:
        keep = cast("_MailServer", self.server).keep
        self.say("220 sink ESMTP")
        recipients: list[str] = []
        known = False
        while line := self.rfile.readline():
            verb, _, rest = line.decode().strip().partition(" ")
            match verb.upper():
                case "EHLO":
                    self.say("250-sink")
                    self.say("250 AUTH PLAIN")
                case "AUTH":
                    _, user, password = base64.b64decode(rest.split()[1]).decode().split("\0")
                    known = (user, password) == (MAIL_USER, MAIL_PASSWORD)
                    self.say("235 welcome" if known else "535 no")
                case "RCPT" if known:
                    recipients.append(rest.partition("<")[2].rpartition(">")[0])
                    self.say("250 ok")
                case "DATA" if recipients:
                    self.say("354 go on")
                    text = b""
                    while (piece := self.rfile.readline()) not in {b".\r\n", b""}:
                        text += piece.removeprefix(b".") if piece.startswith(b"..") else piece
                    mail = message_from_bytes(text, policy=policy.default)
                    for to in recipients:
                        keep(Message("email", to, mail))
                    recipients = []
                    self.say("250 kept")
                case "MAIL" if known:
                    self.say("250 ok")
                case "QUIT":
                    self.say("221 bye")
                    return
                case _:
                    self.say("503 not now")


class _MailServer(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, port: int, keep: Callable[[Message], None]) -> None:
        super().__init__(("127.0.0.1", port), _MailHandler)
        self.keep = keep


class MailSink(_Server):
    """Takes e-mail from `MAIL_USER`."""

    def __init__(self, keep: Callable[[Message], None]) -> None:
        port = free_port()
        super().__init__(_MailServer(port, keep), port)
