"""Certificates are checked: of whom, for whom, and until when."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from listener.adapters.destinations import Policy
from listener.adapters.outbound import open_outbound
from listener.engine.inputs import PICTURES
from listener.errors import InputUnavailable, InputUnreachable
from tests.adapters.internet import ADDRESS, PNG, internet

URL = "https://pictures.example.com/a.png?token=CANARY"
DAY = datetime.timedelta(days=1)
NOW = datetime.datetime.now(datetime.UTC)


def certificate(folder: Path, host: str = "pictures.example.com", until: datetime.datetime = NOW + DAY) -> Path:
    """A key and the certificate that it signed for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - 2 * DAY)
        .not_valid_after(until)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path = folder / "certificate.pem"
    path.write_bytes(
        key.private_bytes(encoding, form, serialization.NoEncryption()) + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


def certified(path: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


def trusting(path: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(path))


async def test_a_picture_comes_over_tls_from_whom_it_should(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = certificate(tmp_path)
    async with (
        internet(monkeypatch, certified(path)) as net,
        open_outbound(Policy(), lookup=net.lookup, trust=trusting(path)) as outbound,
    ):
        assert (await outbound.fetch(URL, PICTURES)).data == PNG
        assert net.dialled == [(ADDRESS, 443)]
        assert b"Host: pictures.example.com\r\n" in net.requests[0]


@pytest.mark.parametrize("wrong", ["unknown issuer", "another host", "expired"])
async def test_a_certificate_that_is_not_valid_ends_it_before_a_word_is_sent(
    wrong: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = certificate(
        tmp_path,
        "other.example.com" if wrong == "another host" else "pictures.example.com",
        NOW - DAY if wrong == "expired" else NOW + DAY,
    )
    trust = None if wrong == "unknown issuer" else trusting(path)
    async with (
        internet(monkeypatch, certified(path)) as net,
        open_outbound(Policy(), lookup=net.lookup, trust=trust) as outbound,
    ):
        with pytest.raises(InputUnavailable) as refused:
            await outbound.fetch(URL, PICTURES)
        assert refused.value.details["problem"] == "has a server whose certificate is not valid"
        assert "CANARY" not in f"{refused.value} {refused.value.details}"
        assert not net.requests
        posted = await outbound.post(URL, b"{}", {}, 5.0)
        assert (posted.status, posted.is_final) == (None, False)
        assert not net.requests


async def test_a_server_without_tls_is_not_spoken_to(monkeypatch: pytest.MonkeyPatch) -> None:
    async with internet(monkeypatch) as net, open_outbound(Policy(), total_s=0.5, lookup=net.lookup) as outbound:
        with pytest.raises(InputUnreachable):
            await outbound.fetch(URL, PICTURES)
        assert not net.requests
