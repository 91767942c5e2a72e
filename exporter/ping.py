"""Whether an exporter answers, however its listener is set up: for a container's health check."""

from __future__ import annotations

import http.client
import ssl

from .errors import ExporterError

#: Nothing answers 5xx here while it is well, but for an exporter that is too busy for logins.
_UNWELL = 500
_BUSY = 503


def ping(host: str, port: int, timeout: float) -> str:
    """How it answers to ``/-/healthy``: plain or over TLS, and also where it asks for a login that we do not have.

    ``timeout`` in seconds, of each try. Its certificate is not looked at: nothing is believed or told. Raises
    ExporterError when it does not answer.
    """
    why = ""
    for connection in (
        http.client.HTTPConnection(host, port, timeout=timeout),
        http.client.HTTPSConnection(host, port, timeout=timeout, context=_unverified()),
    ):
        shaken = False
        try:
            connection.connect()
            shaken = isinstance(connection, http.client.HTTPSConnection)
            connection.request("GET", "/-/healthy")
            status = connection.getresponse().status
        except TimeoutError:
            why = f"no answer within {timeout:g} s"
        except (OSError, http.client.HTTPException) as error:
            if shaken:  # TLS 1.3 tells after the handshake that a certificate is wanted
                return "asks for a client certificate"
            why = why or f"no answer: {str(error) or type(error).__name__}"
        else:
            if status < _UNWELL or status == _BUSY:
                return f"answers {status}"
            raise ExporterError(f"{host}:{port} answers {status}")
        finally:
            connection.close()
    raise ExporterError(f"{host}:{port}: {why}")


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
