"""Certificates for tests of TLS, made by the openssl command."""

import shutil
import subprocess

import pytest


def openssl(folder, *arguments):
    subprocess.run(["openssl", *map(str, arguments)], cwd=folder, check=True, capture_output=True)


def certificate(folder, name, *, ca, host="DNS:localhost,IP:127.0.0.1", days=2):
    openssl(folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
            f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
    (folder / f"{name}.ext").write_text(f"subjectAltName={host}\n")
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key",
            "-CAcreateserial", "-days", days, "-extfile", f"{name}.ext", "-out", f"{name}.pem")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A folder with NAME.pem and NAME.key: two authorities, ca and stranger, and what they signed."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl")
    folder = tmp_path_factory.mktemp("tls")
    for name in ("ca", "stranger"):
        openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-subj", f"/CN={name}", "-days", "2", "-keyout", f"{name}.key", "-out", f"{name}.pem")
    certificate(folder, "server", ca="ca")
    certificate(folder, "client", ca="ca")
    certificate(folder, "unknown", ca="stranger")
    certificate(folder, "elsewhere", ca="ca", host="DNS:elsewhere.example")
    certificate(folder, "expired", ca="ca", days=-1)
    return folder
