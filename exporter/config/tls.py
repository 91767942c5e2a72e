"""From ``tls_server_config`` to what TLS connections are made with."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

from .document import harmless, no_pipe
from .web import CURVES, SUITES, VERSIONS, Tls

_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"
_LARGEST: Final = 1_000_000

#: Takes the key at fault, and what is wrong.
Fault = Callable[[str, str], None]


def files(tls: Tls, directory: Path) -> dict[str, Path]:
    """The files that are named, by their keys; relative names start at the configuration's own directory."""
    named = {"cert_file": tls.cert_file, "key_file": tls.key_file, "client_ca_file": tls.client_ca_file}
    return {key: directory / name for key, name in named.items() if name is not None}


def context(tls: Tls, directory: Path, fault: Fault) -> ssl.SSLContext | None:
    """The context of a server. None after faults; nothing of a key is in them."""
    named = files(tls, directory)
    contents = {key: _read(key, file, fault) for key, file in named.items()}
    if None in contents.values():
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    if tls.prefer_server_cipher_suites:
        made.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    else:
        made.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    made.set_alpn_protocols(["http/1.1"])
    whole = _versions(made, tls, fault)
    for curve in tls.curve_preferences:
        made.set_ecdh_curve(CURVES[curve])
    whole &= _certificate(made, named, contents, fault)
    if "client_ca_file" in named:
        required = tls.client_auth_type == "RequireAndVerifyClientCert"
        made.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
        try:
            made.load_verify_locations(named["client_ca_file"])
        except (ssl.SSLError, OSError):
            fault("client_ca_file", "expected certificates in PEM form; found something else in the file")
            whole = False
    return made if whole else None


def _read(key: str, file: Path, fault: Fault) -> bytes | None:
    named = f"the file {file}" if harmless(str(file)) else "the file that is named here"
    try:
        with open(file, "rb", opener=no_pipe) as stream:
            return stream.read(_LARGEST)
    except OSError as error:
        fault(key, f"cannot read {named}: {error.strerror}")
    except ValueError:
        fault(key, "expected the name of a file; found a NUL character in it")
    return None


def _versions(made: ssl.SSLContext, tls: Tls, fault: Fault) -> bool:
    suites = [SUITES[name] for name in tls.cipher_suites if name in SUITES]
    least, most = VERSIONS[tls.min_version], VERSIONS[tls.max_version]
    if tls.cipher_suites and not suites:
        least = ssl.TLSVersion.TLSv1_3  # those that are named belong to it alone
    supported = {"TLS10": ssl.HAS_TLSv1, "TLS11": ssl.HAS_TLSv1_1}
    for key, version in (("min_version", tls.min_version), ("max_version", tls.max_version)):
        if not supported.get(version, True):
            fault(key, f"expected TLS12 or TLS13: this machine's OpenSSL has no other; found {version}")
            return False
    if least > most:
        fault("cipher_suites", f"expected a suite of TLS 1.2 too, because max_version is {tls.max_version}; found none")
        return False
    made.minimum_version, made.maximum_version = least, most
    if suites or least < ssl.TLSVersion.TLSv1_2:
        # OpenSSL has the old versions only at a security level that nobody gets unasked.
        level = ":@SECLEVEL=0" if least < ssl.TLSVersion.TLSv1_2 else ""
        made.set_ciphers((":".join(suites) or "DEFAULT") + level)
    return True


def _certificate(made: ssl.SSLContext, named: dict[str, Path], contents: dict[str, bytes | None], fault: Fault) -> bool:
    certificate, key = contents["cert_file"] or b"", contents["key_file"] or b""
    if _CERTIFICATE not in certificate:
        fault("cert_file", "expected a certificate in PEM form; found something else in the file")
    if b"PRIVATE KEY-----" not in key:
        fault("key_file", "expected a private key in PEM form; found something else in the file")
    elif b"ENCRYPTED" in key:
        fault("key_file", "expected a private key without a passphrase; found an encrypted one")
    elif _CERTIFICATE in certificate:
        try:
            # Never asks a terminal for a passphrase.
            made.load_cert_chain(named["cert_file"], named["key_file"], password="")
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                fault("key_file", "expected the key of the certificate in cert_file; found another's")
            else:
                fault("cert_file", f"cannot be used with its key: {error.reason or 'not what OpenSSL reads'}")
        except OSError as error:
            fault("cert_file", f"cannot be read with its key: {error.strerror}")
        else:
            return True
    return False
