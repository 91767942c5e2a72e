"""What the web configuration file of Prometheus' exporter-toolkit means: frozen models; field names are its keys."""

from __future__ import annotations

import difflib
import re
import ssl
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictStr,
    field_validator,
    model_validator,
)

from .secrets import Secret
from .values import Duration, Flag, Whole

VERSIONS: Final[Mapping[str, ssl.TLSVersion]] = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
#: Go's names of cipher suites up to TLS 1.2 (those it holds for safe), and OpenSSL's.
SUITES: Final[Mapping[str, str]] = {
    f"TLS_ECDHE_{kind}_WITH_{theirs}": f"ECDHE-{kind}-{ours}"
    for kind in ("ECDSA", "RSA")
    for theirs, ours in (
        ("AES_128_GCM_SHA256", "AES128-GCM-SHA256"),
        ("AES_256_GCM_SHA384", "AES256-GCM-SHA384"),
        ("CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305"),
        ("AES_128_CBC_SHA", "AES128-SHA"),
        ("AES_256_CBC_SHA", "AES256-SHA"),
    )
}
#: In TLS 1.3 there is nothing to choose, in Go as here: these may be named, and are always on.
SUITES_13: Final = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
CURVES: Final[Mapping[str, str]] = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}
#: The headers that may be set, as in exporter-toolkit; each with the values that it may take, any where there are none.
_HEADERS: Final[Mapping[str, tuple[str, ...]]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
_BCRYPT: Final = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
#: The dearest hash that is taken: a try costs a core some twenty seconds.
_DEAREST: Final = 18

_VERIFIED: Final = "RequireAndVerifyClientCert or VerifyClientCertIfGiven"


def cost(digest: str) -> int | None:
    """The cost of a bcrypt hash; None for what is none."""
    match = _BCRYPT.fullmatch(digest)
    return int(match[1]) if match and 4 <= int(match[1]) <= 31 else None


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, hide_input_in_errors=True)


def _in_a_file(key: str) -> BeforeValidator:
    def refuse(_value: object) -> None:
        raise ValueError(f"expected the name of a file, under {key} (Python's TLS reads files only); found it inline")

    return BeforeValidator(refuse)


def _known(value: str, names: Collection[str], what: str) -> str:
    if value not in names:
        close = difflib.get_close_matches(value, names, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"
        raise ValueError(f"expected {what}; found another name; {hint}")
    return value


def _suite(value: str) -> str:
    return _known(value, (*SUITES, *SUITES_13), "a cipher suite that Go holds for safe")


def _curve(value: str) -> str:
    return _known(value, CURVES, "a curve by Go's name")


class Tls(_Model):
    """``tls_server_config``."""

    cert: Annotated[None, _in_a_file("cert_file")] = None
    key: Annotated[None, _in_a_file("key_file")] = None
    client_ca: Annotated[None, _in_a_file("client_ca_file")] = None
    cert_file: StrictStr = Field(min_length=1)
    key_file: StrictStr = Field(min_length=1)
    client_auth_type: Literal["NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert"] = "NoClientCert"
    client_ca_file: StrictStr | None = Field(None, min_length=1)
    client_allowed_sans: tuple[StrictStr, ...] = ()
    min_version: Literal["TLS10", "TLS11", "TLS12", "TLS13"] = "TLS12"
    max_version: Literal["TLS10", "TLS11", "TLS12", "TLS13"] = "TLS13"
    cipher_suites: tuple[Annotated[StrictStr, AfterValidator(_suite)], ...] = ()
    prefer_server_cipher_suites: Flag = True
    curve_preferences: tuple[Annotated[StrictStr, AfterValidator(_curve)], ...] = ()

    @field_validator("client_auth_type", mode="before")
    @classmethod
    def _verified(cls, value: object) -> object:
        if value in ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert"):
            raise ValueError(
                f"expected {_VERIFIED}, or NoClientCert: Python's TLS verifies every certificate that it asks for"
            )
        return value

    @field_validator("curve_preferences")
    @classmethod
    def _one_curve(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) > 1:
            raise ValueError(f"expected one curve, because Python's TLS takes no more; found {len(value)}")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        verifies = self.client_auth_type != "NoClientCert"
        if verifies and self.client_ca_file is None:
            # Go would take any certificate of the system's authorities.
            raise ValueError(f"expected client_ca_file beside client_auth_type {self.client_auth_type}; found none")
        for key in ("client_ca_file", "client_allowed_sans"):
            if getattr(self, key) and not verifies:
                raise ValueError(f"expected client_auth_type {_VERIFIED} beside {key}; found {self.client_auth_type}")
        if VERSIONS[self.min_version] > VERSIONS[self.max_version]:
            raise ValueError(f"expected min_version at most max_version; found {self.min_version}, {self.max_version}")
        return self


class Http(_Model):
    """``http_server_config``."""

    http2: Flag = False
    headers: dict[StrictStr, StrictStr] = {}

    @field_validator("headers")
    @classmethod
    def _may_be_set(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            allowed = _HEADERS[_known(name, _HEADERS, "a header that may be set")]
            if text and allowed and text not in allowed:
                raise ValueError(f"expected {name} to be {' or '.join(allowed)}; found something else")
            if not (text.isascii() and (text.isprintable() or not text)):
                raise ValueError(f"expected printable ASCII in {name}; found something else")
        return value


class RateLimit(_Model):
    """``rate_limit``: a request every ``interval`` seconds, and up to ``burst`` at once; 0 is no limit."""

    interval: Annotated[Duration, BeforeValidator(lambda value: "0s" if value == 0 else value)] = 0.0
    burst: Whole = Field(1, ge=1)


def _hash(value: Secret) -> Secret:
    found = cost(value.reveal())
    if found is None:
        raise ValueError("expected a bcrypt hash, such as `htpasswd -nBC 10 name` prints behind the name")
    if found > _DEAREST:
        raise ValueError(f"expected a bcrypt hash of cost {_DEAREST} at most (every try costs a core seconds)")
    return value


class WebConfig(_Model):
    """The whole file."""

    tls_server_config: Tls | None = None
    http_server_config: Http = Http()
    basic_auth_users: dict[StrictStr, Annotated[Secret, AfterValidator(_hash)]] = {}
    rate_limit: RateLimit = RateLimit()

    @field_validator("tls_server_config", mode="before")
    @classmethod
    def _something(cls, value: Any) -> Any:  # noqa: ANN401  # whatever stood in the file
        if value is None:
            raise ValueError("expected keys and values, or no such key (then there is no TLS)")
        return value

    @field_validator("basic_auth_users")
    @classmethod
    def _names(cls, value: dict[str, Secret]) -> dict[str, Secret]:
        if any(not name or ":" in name or not name.isprintable() for name in value):
            raise ValueError("expected user names without colons and control characters; found another")
        return value

    @property
    def notes(self) -> list[str]:
        """What should be known of a file that is taken all the same."""
        found = []
        if self.http_server_config.http2:
            found.append("http2 is asked for: only HTTP/1.1 is served, which every scraper speaks")
        if self.tls_server_config and VERSIONS[self.tls_server_config.min_version] < ssl.TLSVersion.TLSv1_2:
            found.append("TLS 1.0 and 1.1 are allowed: both are broken")
        if self.basic_auth_users and not self.tls_server_config:
            found.append("basic_auth_users without tls_server_config: passwords cross the network in plain")
        return found
