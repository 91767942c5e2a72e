"""The health check, of a listener in every guise."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.listening import Certificates, Listening, hashed
from tests.servers import free_port


def ping(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "exporter", "ping", *arguments],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def guises(ours: Certificates) -> Iterator[tuple[dict[str, Any] | None, str]]:
    certificate, key = ours.issue()
    tls = {"cert_file": str(certificate), "key_file": str(key)}
    yield None, "answers 200"
    yield {"basic_auth_users": {"anna": hashed("S3cret")}}, "answers 401"
    yield {"tls_server_config": tls}, "answers 200"
    asks = {"client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": str(ours.ca_file)}
    yield {"tls_server_config": tls | asks}, "asks for a client certificate"


@pytest.mark.parametrize("guise", range(4))
def test_it_is_well_in_every_guise(tmp_path: Path, ours: Certificates, guise: int) -> None:
    web, expected = list(guises(ours))[guise]
    running = Listening(tmp_path, web)
    try:
        found = ping(f"127.0.0.1:{running.port}")
    finally:
        running.close()
    assert (found.stdout, found.stderr, found.returncode) == (f"{expected}\n", "", 0)


def test_no_one_there() -> None:
    found = ping(f"127.0.0.1:{free_port()}")
    assert found.returncode == 1
    assert "no answer: [Errno 111] Connection refused" in found.stderr


def test_an_address_that_is_none() -> None:
    found = ping("nowhere")
    assert found.returncode == 2
    assert "expected host:port" in found.stderr
