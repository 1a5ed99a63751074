"""Certificates from files: what is refused at the start, what is taken over later, and what is kept instead."""

import time
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from services.chassis.rpc.tls import Certificates, Files
from tests.certificates import Authority, Mount, Pair


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.fixture
def mount(tmp_path: Path, authority: Authority) -> Mount:
    """Good files."""
    made = Mount(tmp_path / "tls")
    made.write(authority.issue(), authority.pem)
    return made


def files(mount: Mount) -> Files:
    return Files(*mount.settings.values())


def sample(name: str, mount: Mount) -> float | None:
    return REGISTRY.get_sample_value(name, {"file": str(mount.folder / "tls.crt")})


def test_good_files_are_read_and_their_expiry_is_a_metric(mount: Mount) -> None:
    Certificates(files(mount))
    expires = sample("tls_certificate_expires_timestamp_seconds", mount)
    assert expires == pytest.approx(time.time() + 86_400, abs=60)


@pytest.mark.parametrize("name", ["tls.crt", "tls.key", "ca.crt"])
def test_a_file_that_is_not_there_is_named(mount: Mount, name: str) -> None:
    (mount.folder / name).unlink()
    with pytest.raises(OSError, match=name):
        Certificates(files(mount))


@pytest.mark.parametrize("name", ["tls.crt", "tls.key", "ca.crt"])
@pytest.mark.parametrize("content", [b"", b"no PEM", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_file_that_is_not_pem_is_named(mount: Mount, name: str, content: bytes) -> None:
    (mount.folder / name).write_bytes(content)
    with pytest.raises(OSError, match=name):
        Certificates(files(mount))


def test_a_key_with_a_passphrase_is_refused_and_does_not_ask_for_it(mount: Mount) -> None:
    key = serialization.load_pem_private_key((mount.folder / "tls.key").read_bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    (mount.folder / "tls.key").write_bytes(locked)
    with pytest.raises(OSError, match=r"tls\.key"):
        Certificates(files(mount))


def test_a_certificate_that_peers_would_refuse_is_refused_at_the_start(mount: Mount, authority: Authority) -> None:
    pair = authority.issue()
    refused = [
        (authority.issue(lasts=timedelta(days=-1)), authority.pem, "expired"),
        (Pair(pair.certificate, authority.issue().key), authority.pem, "MISMATCH"),
        (pair, Authority().pem, "not accepted by a peer"),
    ]
    for wrong, authorities, reason in refused:
        mount.write(wrong, authorities)
        with pytest.raises(OSError, match=reason):
            Certificates(files(mount))


def test_the_key_is_not_printed(mount: Mount) -> None:
    current = Certificates(files(mount)).current
    assert "PRIVATE" in current.key.decode() and "PRIVATE" not in repr(current)


async def test_what_the_files_hold_later_is_taken_over(mount: Mount, authority: Authority) -> None:
    certificates = Certificates(files(mount))
    pair = authority.issue(lasts=timedelta(days=5))
    mount.write(pair, authority.pem)
    await certificates.reload()
    assert certificates.current.certificate == pair.certificate
    expires = sample("tls_certificate_expires_timestamp_seconds", mount)
    assert expires == pytest.approx(time.time() + 5 * 86_400, abs=60)


async def test_another_ca_is_taken_over_too(mount: Mount) -> None:
    certificates, other = Certificates(files(mount)), Authority()
    mount.write(other.issue(), other.pem)
    await certificates.reload()
    assert certificates.current.authorities == other.pem


@pytest.mark.parametrize("broken", ["half written", "the key does not fit", "another CA's", "gone"])
async def test_unusable_files_are_logged_once_and_the_old_certificate_is_kept(
    mount: Mount, authority: Authority, broken: str
) -> None:
    certificates = Certificates(files(mount))
    old, pair = certificates.current, authority.issue()
    certificate, key = mount.folder / "tls.crt", mount.folder / "tls.key"
    if broken == "half written":
        certificate.write_bytes(pair.certificate[:300])
    elif broken == "the key does not fit":
        key.write_bytes(pair.key)
    elif broken == "another CA's":
        mount.write(Authority().issue(), authority.pem)
    else:
        key.unlink()
    with capture_logs() as logs:
        for _ in range(3):
            await certificates.reload()
    [said] = logs
    assert (said["event"], said["log_level"]) == ("certificate_refused", "error")
    assert certificates.current is old
    assert sample("tls_certificate_refused", mount) == 1

    certificate.write_bytes(pair.certificate)
    key.write_bytes(pair.key)
    with capture_logs() as logs:
        await certificates.reload()
        await certificates.reload()
    assert [line["event"] for line in logs] == ["certificate_taken_over"]
    assert certificates.current.key == pair.key
    assert sample("tls_certificate_refused", mount) == 0
