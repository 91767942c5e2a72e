"""Where the demo's notifications end: a web server and a mail server on 127.0.0.1, in place of Slack and the others."""

from __future__ import annotations

import json
import re
import socketserver
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self, cast

HOST: Final = "127.0.0.1"

#: The route of the watchdog, which comes again and again and is news only once.
HEARTBEAT: Final = "dead-mans-switch"

#: The channels of one notification arrive within so many seconds of each other.
_TOGETHER: Final = 0.8
_LARGEST: Final = 1_000_000
_LINK: Final = re.compile(r"<([^|>]*)\|([^>]*)>")

#: Ways that Slack's markup writes what makes it.
_ESCAPES: Final = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))


@dataclass(frozen=True, slots=True)
class Message:
    """One message: `channel` (slack, pagerduty, webhook, email), the receiver or address `to`; of Slack the words."""

    channel: str
    to: str
    resolved: bool = False
    title: str = ""
    text: str = ""


class Inbox:
    """What has arrived, kept until it is taken."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._messages: list[Message] = []
        self._first = 0.0
        self._heartbeat = False

    def keep(self, message: Message) -> None:
        """A message has arrived."""
        with self._lock:
            if message.to == HEARTBEAT:
                self._heartbeat = True
                return
            if not self._messages:
                self._first = time.monotonic()
            self._messages.append(message)

    @property
    def heartbeat(self) -> bool:
        """Whether the watchdog has been heard: all from the rules to the channels works."""
        return self._heartbeat

    def take(self) -> list[Message]:
        """The messages of a notification, once all of its channels had their time; else none."""
        with self._lock:
            if not self._messages or time.monotonic() < self._first + _TOGETHER:
                return []
            taken, self._messages = self._messages, []
            return taken


class Channels:
    """The servers while entered; ``web`` and ``mail`` are their ports."""

    def __init__(self, inbox: Inbox) -> None:
        web, mail = _Web(inbox.keep), _Mail(inbox.keep)
        self.web, self.mail = int(web.server_address[1]), int(mail.server_address[1])
        self._servers: tuple[socketserver.BaseServer, ...] = (web, mail)

    def __enter__(self) -> Self:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()


def understood(channel: str, to: str, body: dict[str, Any]) -> Message:
    """A message from the JSON that was posted for a channel."""
    if channel != "slack":
        return Message(channel, to)
    attachment = body["attachments"][0]
    return Message(channel, to, attachment["color"] == "good", _plain(attachment["title"]), _plain(attachment["text"]))


def _plain(text: str) -> str:
    """Slack's markup as it is read: of a link its name, and its address where a person can take it in."""
    text = _LINK.sub(lambda link: f"{link[2]} {link[1]}" if link[1].startswith("file:") else link[2], text)
    for escaped, plain in _ESCAPES:
        text = text.replace(escaped, plain)
    return text.strip()


class _Web(ThreadingHTTPServer):
    """Takes POSTs to /CHANNEL/RECEIVER."""

    def __init__(self, keep: Callable[[Message], None]) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 10

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", "0"))
                try:
                    _, channel, to = self.path.split("/", 2)
                    keep(understood(channel, to, json.loads(self.rfile.read(min(length, _LARGEST)))))
                except (ValueError, LookupError, TypeError):
                    self._answer(400, b"not understood")
                else:
                    # PagerDuty's way to say that it took it; the others look at nothing but 200.
                    self._answer(202 if channel == "pagerduty" else 200, b"ok")

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__((HOST, 0), Handler)


class _Mail(socketserver.ThreadingTCPServer):
    """Takes e-mail from everybody; of it, only who it is for."""

    daemon_threads = True

    def __init__(self, keep: Callable[[Message], None]) -> None:
        super().__init__((HOST, 0), _MailHandler)
        self.keep = keep


class _MailHandler(socketserver.StreamRequestHandler):
    timeout = 10

    def handle(self) -> None:
        self._say("220 demo ESMTP")
        recipients: list[str] = []
        while line := self.rfile.readline(_LARGEST):
            verb, _, rest = line.decode(errors="replace").strip().partition(" ")
            match verb.upper():
                case "RCPT":
                    recipients.append(rest.partition("<")[2].rpartition(">")[0])
                    self._say("250 ok")
                case "DATA":
                    self._say("354 go on")
                    while self.rfile.readline(_LARGEST) not in {b".\r\n", b""}:
                        pass
                    for to in recipients:
                        cast("_Mail", self.server).keep(Message("email", to))
                    recipients = []
                    self._say("250 kept")
                case "QUIT":
                    self._say("221 bye")
                    return
                case _:
                    self._say("250 ok")

    def _say(self, line: str) -> None:
        self.wfile.write(line.encode() + b"\r\n")
