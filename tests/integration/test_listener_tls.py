"""TLS on the real process: versions, client certificates, rotation, users."""

from __future__ import annotations

import signal
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest

from tests.listening import Certificates, Listen, hashed, status, wait_for

Version = ssl.TLSVersion


@pytest.fixture
def ours(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path / "ours")


def server_of(ours: Certificates, **more: Any) -> dict[str, Any]:
    certificate, key = ours.issue()
    return {"tls_server_config": {"cert_file": str(certificate), "key_file": str(key), **more}}


def test_tls_1_2_is_the_least_by_default_and_strict_transport_is_asked_for(
    listening: Listen, ours: Certificates
) -> None:
    one = listening(server_of(ours))
    assert "url=https://127.0.0.1" in one.printed()
    for version in (Version.TLSv1_2, Version.TLSv1_3):
        context = ours.client()
        context.minimum_version = context.maximum_version = version
        answer = one.get(context=context)
        assert status(answer) == 200
        assert b"strict-transport-security: max-age=31536000\r\n" in answer
    old = ours.client()
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = Version.TLSv1_1
    with pytest.raises(ssl.SSLError):
        one.get(context=old)
    # Plain HTTP gets nothing.
    assert one.get() == b""


@pytest.mark.parametrize(
    ("keys", "version", "taken"),
    [
        ({"min_version": "TLS13"}, Version.TLSv1_2, False),
        ({"min_version": "TLS13"}, Version.TLSv1_3, True),
        ({"max_version": "TLS12"}, Version.TLSv1_3, False),
        ({"min_version": "TLS10"}, Version.TLSv1_1, True),
        ({"min_version": "TLS10"}, Version.TLSv1_3, True),
        ({"cipher_suites": ["TLS_AES_128_GCM_SHA256"]}, Version.TLSv1_2, False),
        ({"cipher_suites": ["TLS_AES_128_GCM_SHA256"]}, Version.TLSv1_3, True),
    ],
)
def test_versions_are_those_that_are_configured(
    listening: Listen, ours: Certificates, keys: dict[str, Any], version: ssl.TLSVersion, *, taken: bool
) -> None:
    one = listening(server_of(ours, **keys))
    context = ours.client()
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    if taken:
        assert status(one.get(context=context)) == 200
    else:
        with pytest.raises(ssl.SSLError):
            one.get(context=context)
    assert ("both are broken" in one.printed()) is ("TLS10" in keys.values())


def test_suites_and_curve_are_those_that_are_configured(listening: Listen, ours: Certificates) -> None:
    suite = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"
    one = listening(server_of(ours, cipher_suites=[suite], curve_preferences=["CurveP384"], max_version="TLS12"))
    context = ours.client()
    with one.handshake(context) as connection:
        cipher = connection.cipher()
        assert cipher is not None
        assert cipher[0] == "ECDHE-ECDSA-CHACHA20-POLY1305"
    context.set_ecdh_curve("prime256v1")
    with pytest.raises(ssl.SSLError):
        one.get(context=context)


@pytest.mark.parametrize(
    ("kind", "allowed", "none", "right", "other_name", "strange"),
    [
        ("NoClientCert", None, True, True, True, True),
        ("VerifyClientCertIfGiven", None, True, True, True, False),
        ("RequireAndVerifyClientCert", None, False, True, True, False),
        ("VerifyClientCertIfGiven", ["prometheus.example"], True, True, False, False),
        ("RequireAndVerifyClientCert", ["10.1.2.3", "prometheus.example"], False, True, False, False),
        ("RequireAndVerifyClientCert", ["2001:db8::7"], False, False, True, False),
    ],
)
def test_client_certificates(
    listening: Listen,
    ours: Certificates,
    tmp_path: Path,
    kind: str,
    allowed: list[str] | None,
    none: bool,
    right: bool,
    other_name: bool,
    strange: bool,
) -> None:
    more: dict[str, Any] = {"client_auth_type": kind}
    if kind != "NoClientCert":
        more["client_ca_file"] = str(ours.ca_file)
    if allowed:
        more["client_allowed_sans"] = allowed
    one = listening(server_of(ours, **more))
    theirs = Certificates(tmp_path / "theirs")

    def admitted(certificate: tuple[Path, Path] | None) -> bool:
        try:
            answer = one.get(context=ours.client(certificate))
        except (ssl.SSLError, ConnectionError):
            return False
        return status(answer) == 200

    assert admitted(None) is none
    assert admitted(ours.issue("prometheus.example", stem="right")) is right
    assert admitted(ours.issue("other.example", "2001:db8:0::7", stem="other")) is other_name
    assert admitted(theirs.issue("prometheus.example")) is strange
    assert ("no name of client_allowed_sans" in one.printed()) is bool(allowed)


def test_certificates_are_rotated_under_load_without_a_dropped_scrape(listening: Listen, ours: Certificates) -> None:
    web = server_of(ours)
    one = listening(web)
    url = f"https://127.0.0.1:{one.port}/metrics"
    over, failures = Event(), []

    def scrape(number: int) -> int:
        count = 0
        kept = httpx.Client(verify=ours.client(), trust_env=False)
        while not over.is_set():
            try:
                if number % 2:
                    assert kept.get(url).status_code == 200
                else:
                    with httpx.Client(verify=ours.client(), trust_env=False) as fresh:
                        assert fresh.get(url).status_code == 200
                count += 1
            except Exception as error:  # noqa: BLE001  # whatever went wrong is the finding
                failures.append(repr(error))
            time.sleep(0.02)
        kept.close()
        return count

    def serial() -> Any:
        with one.handshake(ours.client()) as connection:
            certificate = connection.getpeercert()
            assert certificate is not None
            return certificate["serialNumber"]

    def is_new(before: Any) -> bool:
        return bool(serial() != before)

    with ThreadPoolExecutor(6) as threads, socket.create_connection(("127.0.0.1", one.port)) as raw:
        scrapes = [threads.submit(scrape, number) for number in range(6)]
        try:
            # Kept open across the rotation: its next answer is its last.
            old = ours.client().wrap_socket(raw, server_hostname="localhost")
            for _ in range(3):
                before = serial()
                ours.issue()
                wait_for(partial(is_new, before))
            old.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"connection: close" in old.recv(65536)
        finally:
            over.set()
        assert all(done.result() > 10 for done in scrapes)
    assert failures == []
    assert one.printed().count("web configuration reloaded") >= 3


def test_a_broken_file_leaves_the_former_in_force_and_is_told_once(listening: Listen, ours: Certificates) -> None:
    web = server_of(ours)
    one = listening(web)
    context = ours.client()

    def success() -> bytes:
        page = one.get("/metrics", context=context)
        return next(line for line in page.splitlines() if line.startswith(b"pgqueue_config_reload_success "))[-1:]

    key = Path(web["tls_server_config"]["key_file"])
    good = key.read_bytes()
    key.write_bytes(ours.authority.issue_cert("other").private_key_pem.bytes())
    wait_for(lambda: success() == b"0")
    time.sleep(2.5)
    assert one.printed().count("expected the key of the certificate in cert_file; found another's") == 1
    key.write_bytes(good)
    wait_for(lambda: success() == b"1")
    # An empty file, as one that is being written may be, does not open the listener.
    text = one.web_file.read_text()
    one.web_file.write_text("")
    wait_for(lambda: success() == b"0")
    # The configuration itself is fine: that does not hide the other's fault.
    one.process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert success() == b"0"
    one.web_file.unlink()
    wait_for(lambda: "cannot be read" in one.printed())
    one.web_file.write_text(text)
    one.process.send_signal(signal.SIGHUP)
    wait_for(lambda: success() == b"1", 2)
    # TLS can go and come without a restart.
    one.configure({"http_server_config": {"http2": True}})
    wait_for(lambda: status(one.get()) == 200)
    assert "only HTTP/1.1 is served" in one.printed()
    one.web_file.write_text(text)
    wait_for(lambda: one.get() == b"")
    assert success() == b"1"


def test_users_come_and_go_without_a_restart(listening: Listen, ours: Certificates) -> None:
    web = server_of(ours)
    one = listening({**web, "basic_auth_users": {"anna": hashed("S3cret:ä/@"), "prometheus": hashed("S3cret2")}})
    client = httpx.Client(verify=ours.client(), trust_env=False, base_url=f"https://127.0.0.1:{one.port}")
    for path in ("/", "/metrics", "/-/healthy", "/-/ready", "/nothing"):
        refused = client.get(path)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Basic realm=")
        assert refused.headers["x-content-type-options"] == "nosniff"
    assert client.get("/metrics", auth=("anna", "S3cret:ä/@")).status_code == 200
    assert client.get("/metrics", auth=("anna", "S3cret2")).status_code == 401
    assert client.get("/metrics", auth=("nobody", "S3cret2")).status_code == 401
    # Told once a minute, with the address; not at all where no one tried.
    (line,) = [line for line in one.printed().splitlines() if "login refused" in line]
    assert 'msg="login refused" client=127.0.0.1 refused=1' in line
    # As in a target's URL.
    scrape = httpx.get(
        f"https://prometheus:S3cret2@127.0.0.1:{one.port}/metrics", verify=ours.client(), trust_env=False
    )
    assert scrape.status_code == 200
    one.configure({**web, "basic_auth_users": {"anna": hashed("another")}})
    wait_for(lambda: client.get("/metrics", auth=("anna", "S3cret:ä/@")).status_code == 401)
    assert client.get("/metrics", auth=("anna", "another")).status_code == 200
    assert client.get("/metrics", auth=("prometheus", "S3cret2")).status_code == 401
    one.configure({**web, "basic_auth_users": {"anna": "S3cret"}})
    wait_for(lambda: "expected a bcrypt hash" in one.printed())
    assert client.get("/metrics", auth=("anna", "another")).status_code == 200
    assert "S3cret" not in Path(f"/proc/{one.process.pid}/cmdline").read_text()
    client.close()


def test_a_slow_hash_does_not_hold_up_those_who_are_known(listening: Listen) -> None:
    one = listening({"basic_auth_users": {"fast": hashed("right"), "slow": hashed("x", 12)}})
    assert "passwords cross the network in plain" in one.printed()
    url = f"http://127.0.0.1:{one.port}/metrics"
    with httpx.Client(trust_env=False, timeout=30) as client, ThreadPoolExecutor(40) as threads:
        assert client.get(url, auth=("fast", "right")).status_code == 200
        tries = [threads.submit(httpx.get, url, auth=("slow", f"{n}"), trust_env=False, timeout=60) for n in range(40)]
        wait_for(lambda: any(one.done() for one in tries))  # refused: no more may wait for bcrypt
        for _ in range(10):
            assert client.get(url, auth=("fast", "right")).status_code == 200
        assert not all(one.done() for one in tries), "the slow were to be waiting still"
        assert {one.result().status_code for one in tries} == {401, 503}
