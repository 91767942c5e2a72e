"""The web configuration file: every fault at once, and nothing secret in any."""

from __future__ import annotations

import os
import ssl
import traceback
from pathlib import Path
from typing import Any

import pytest
import yaml

from exporter.config import load_web
from exporter.errors import ConfigError
from tests.listening import Certificates, hashed

MARK = "hunter2MARK"


@pytest.fixture
def tls(tmp_path: Path) -> dict[str, Any]:
    Certificates(tmp_path / "certificates").issue()
    return {"cert_file": "certificates/server.pem", "key_file": "certificates/server.key"}


def faults(tmp_path: Path, content: dict[str, Any] | str) -> dict[str, str]:
    """The faults of a file, by their paths; none of them tells a secret."""
    file = tmp_path / "web.yml"
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    with pytest.raises(ConfigError) as caught:
        load_web(file)
    shown = "".join([str(caught.value), repr(caught.value), *traceback.format_exception(caught.value)])
    assert MARK not in shown
    return {fault.path: fault.message for fault in caught.value.faults}


def test_names_of_files_start_at_the_files_own_directory(tmp_path: Path, tls: dict[str, Any]) -> None:
    file = tmp_path / "web.yml"
    file.write_text(yaml.safe_dump({"tls_server_config": tls, "basic_auth_users": {"a": hashed("x")}}))
    web = load_web(file)
    assert web.tls is not None
    assert web.tls.minimum_version == ssl.TLSVersion.TLSv1_2
    assert "***" in repr(web)
    assert "$2" not in repr(web)
    assert web.unchanged
    (tmp_path / "certificates" / "server.key").touch()
    assert not web.unchanged


def test_a_pipe_is_no_certificate_and_is_not_waited_for(tmp_path: Path) -> None:
    """It could be read once; certificates are read again whenever they change."""
    os.mkfifo(tmp_path / "pipe")
    found = faults(tmp_path, {"tls_server_config": {"cert_file": "pipe", "key_file": "pipe"}})
    assert found["tls_server_config.cert_file"] == f"cannot read the file {tmp_path / 'pipe'}: Is a pipe"


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        {
            "tls_server_config": {"cert_file": "no.pem", "key_fiel": "x", "min_version": "TLS14"},
            "http_server_config": {"headers": {"X-Frame-Option": "deny"}, "http2": "maybe"},
            "basic_auth_user": {},
            "rate_limit": {"interval": "soon", "burst": 0},
        },
    )
    assert found["tls_server_config.key_fiel"] == "unknown key; did you mean 'key_file'?"
    assert found["tls_server_config.key_file"] == "missing; it must be given"
    assert found["tls_server_config.min_version"].endswith("found 'TLS14'")
    assert "did you mean 'X-Frame-Options'?" in found["http_server_config.headers"]
    assert found["http_server_config.http2"] == "expected true or false; found 'maybe'"
    assert "did you mean 'basic_auth_users'?" in found["basic_auth_user"]
    assert found["rate_limit.burst"] == "expected at least 1; found 0"
    assert "expected a duration" in found["rate_limit.interval"]


def test_files_are_at_fault_beside_the_rest(tmp_path: Path, tls: dict[str, Any]) -> None:
    found = faults(tmp_path, {"tls_server_config": {**tls, "cert_file": "no.pem"}, "basic_auth_users": {"a": MARK}})
    assert "No such file or directory" in found["tls_server_config.cert_file"]
    assert "bcrypt" in found["basic_auth_users"]


@pytest.mark.parametrize(
    ("keys", "path", "message"),
    [
        ({"client_auth_type": "RequestClientCert"}, ".client_auth_type", "verifies every certificate"),
        ({"client_auth_type": "RequireAnyClientCert"}, ".client_auth_type", "verifies every certificate"),
        ({"client_auth_type": "RequireAndVerifyClientCert"}, "", "expected client_ca_file"),
        ({"client_ca_file": "x"}, "", "beside client_ca_file"),
        ({"client_allowed_sans": ["x"]}, "", "beside client_allowed_sans"),
        ({"min_version": "TLS13", "max_version": "TLS12"}, "", "min_version at most max_version"),
        ({"curve_preferences": ["X25519", "CurveP256"]}, ".curve_preferences", "found 2"),
        ({"curve_preferences": ["P256"]}, ".curve_preferences[0]", "a curve by Go's name"),
        ({"cipher_suites": ["TLS_RSA_WITH_RC4_128_SHA"]}, ".cipher_suites[0]", "holds for safe"),
        ({"cipher_suites": ["TLS_AES_128_GCM_SHA256"], "max_version": "TLS12"}, ".cipher_suites", "of TLS 1.2 too"),
        ({"key": f"-----BEGIN PRIVATE KEY-----\n{MARK}\n"}, ".key", "under key_file"),
        ({"key_file": "certificates/server.pem"}, ".key_file", "expected a private key"),
        ({"cert_file": "certificates/server.key"}, ".cert_file", "expected a certificate"),
        ({"key_file": f"-----BEGIN PRIVATE KEY-----{MARK}"}, ".key_file", "cannot read the file that is named here"),
        ({"key_file": "locked.key"}, ".key_file", "without a passphrase"),
    ],
)
def test_what_cannot_be_honoured_is_refused(
    tmp_path: Path, tls: dict[str, Any], keys: dict[str, Any], path: str, message: str
) -> None:
    (tmp_path / "locked.key").write_text(f"-----BEGIN ENCRYPTED PRIVATE KEY-----\n{MARK}\n")
    found = faults(tmp_path, {"tls_server_config": {**tls, **keys}})
    assert message in found[f"tls_server_config{path}"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "tls_server_config:",
        "basic_auth_users:",
        f"basic_auth_users: {{a: {MARK}}}",
        f"basic_auth_users: {{{MARK}: x}}",
        f"basic_auth_users: $2y$10${MARK}",
        f"basic_auth: {{a: $2y$10${MARK}}}",
        f"rate_limit: $2y$10${MARK}",
        f"http_server_config: {{http2: $2y$10${MARK}}}",
        f"http_server_config: {{headers: {{X-Frame-Options: {MARK}}}}}",
        f"http_server_config: {{headers: {{Content-Security-Policy: '{MARK}ä'}}}}",
        f'http_server_config: {{headers: {{Content-Security-Policy: "{MARK}\\r\\nX: y"}}}}',
        "basic_auth_users: {'a:b': $2y$04$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi}",
        "basic_auth_users: {a: $2y$31$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi}",
    ],
)
def test_what_is_no_such_file_is_refused(tmp_path: Path, content: str) -> None:
    assert faults(tmp_path, content)


def test_nothing_is_said_on_purpose(tmp_path: Path) -> None:
    file = tmp_path / "web.yml"
    file.write_text("{}")
    web = load_web(file)
    assert (web.tls, web.config.basic_auth_users, web.config.notes) == (None, {}, [])


def test_the_example_can_be_used(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "examples" / "web-config.yml").read_text()
    directory = Certificates(tmp_path / "tls").issue()[0].parent
    (directory / "server.pem").rename(directory / "tls.crt")
    (directory / "server.key").rename(directory / "tls.key")
    file = tmp_path / "web-config.yml"
    file.write_text(text)
    web = load_web(file)
    assert web.tls is not None
    assert web.tls.verify_mode == ssl.CERT_REQUIRED
    assert set(web.config.basic_auth_users) == {"prometheus"}
