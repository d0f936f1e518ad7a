"""The Debian package: made by CPack, looked at by lintian, installed and used in a bare Debian 12.

Needs dpkg-dev, and for what it is skipped without: root and debootstrap, lintian, systemd-analyze,
qemu-user. BERTIE_BOOKWORM names a folder that debootstrap has filled before; it is copied.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ["BERTIE"]).resolve().parent


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")


def check(*command, **more):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    need("cpack", "dpkg-shlibdeps", "dpkg-deb")
    out = tmp_path_factory.mktemp("package")
    check("cpack", "--config", BUILD / "CPackConfig.cmake", "-B", out, cwd=BUILD,
          env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"})
    version = re.search(r"project\(bertie VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text())[1]
    return out / f"bertie_{version}_amd64.deb"


def test_contents_and_size(package):
    fields = dict(re.findall(r"^ ([\w-]+): (.*)", check("dpkg-deb", "-I", package), re.M))
    depends = set(re.findall(r"(\S+) \(>=", fields["Depends"]))
    assert {"libc6", "libdnnl2", "libarchive13"} <= depends
    assert not any("grpc" in name or "absl" in name for name in depends), "these are linked in"
    files = set(re.findall(r" \./(\S+)$", check("dpkg-deb", "-c", package), re.M))
    for file in ("usr/bin/bertie", "usr/share/man/man1/bertie.1.gz", "usr/share/man/man1/bertie-serve.1.gz",
                 "usr/share/bash-completion/completions/bertie", "usr/share/zsh/vendor-completions/_bertie",
                 "usr/share/fish/vendor_completions.d/bertie.fish", "lib/systemd/system/bertie-serve@.service",
                 "etc/default/bertie", "usr/share/doc/bertie/copyright", "usr/share/doc/bertie/changelog.gz"):
        assert file in files or "usr/" + file in files, file
    assert not any(file.startswith(("usr/include", "usr/local")) for file in files)
    assert package.stat().st_size < 12e6
    assert int(fields["Installed-Size"]) < 40_000


def test_two_packages_are_the_same(package, tmp_path):
    check("cpack", "--config", BUILD / "CPackConfig.cmake", "-B", tmp_path, cwd=BUILD,
          env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"})
    assert (tmp_path / package.name).read_bytes() == package.read_bytes()


def test_lintian(package):
    need("lintian")
    assert check("lintian", "--allow-root", "--no-cfg", "--fail-on", "warning", package) == ""


def test_the_unit(tmp_path):
    need("systemd-analyze")
    unit = tmp_path / "bertie-serve@.service"
    text = (ROOT / "deploy/debian/bertie-serve@.service").read_text()
    unit.write_text(text.replace("/usr/bin/bertie", str(BUILD / "bertie")))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", unit],
                          capture_output=True, text=True)
    assert done.returncode == 0 and "bertie" not in done.stderr, done.stderr
    # 0 is locked up, 10 free; 2.0 is the bound of "OK".
    check("systemd-analyze", "security", "--offline=true", "--threshold=20", unit)
    stop = int(re.search(r"^TimeoutStopSec=(\d+)$", text, re.M)[1])
    assert stop > int(re.search(r"kExitLimit\{(\d+)\}", (ROOT / "src/cli/service.h").read_text())[1])


@pytest.fixture(scope="module")
def bookworm(package, tmp_path_factory):
    """run(command) in a bare Debian 12 with the package installed, its /proc there."""
    need("unshare", "chroot")
    if os.geteuid() != 0:
        pytest.skip("needs root")
    root = tmp_path_factory.mktemp("bookworm") / "root"
    ready = os.environ.get("BERTIE_BOOKWORM")
    if ready:
        check("cp", "-a", ready, root)
    else:
        need("debootstrap")
        done = subprocess.run(["debootstrap", "--variant=minbase", "bookworm", root], capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip("debootstrap cannot run here: " + (done.stdout + done.stderr)[-300:])

    def prepare(command):
        # Of its own are mounts alone, so that a signal to it is a signal to the command.
        return ["unshare", "--mount", "sh", "-c",
                f'mount -t proc proc "{root}/proc" && exec chroot "{root}" env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin '
                f'HOME=/root DEBIAN_FRONTEND=noninteractive {command}']

    def run(command):
        return check(*prepare(command))

    run.root, run.prepare = root, prepare
    shutil.copy(package, root / "tmp")
    run("apt-get update")
    run(f"apt-get install -y --no-install-recommends /tmp/{package.name}")
    yield run
    shutil.rmtree(root)


def test_it_runs_in_a_bare_debian(bookworm, package):
    assert bookworm("bertie --version").strip() == "bertie " + package.name.split("_")[1]
    diagnosis = json.loads(bookworm("bertie doctor --json"))
    assert diagnosis["ok"] is True
    assert (bookworm.root / "etc/default/bertie").exists()
    assert bookworm("bash --norc -c 'source /usr/share/bash-completion/completions/bertie; complete -p bertie'")


def test_it_trains_and_serves_a_real_model_there(bookworm):
    minilm = os.environ.get("BERTIE_MINILM")
    if not minilm:
        pytest.skip("BERTIE_MINILM is not set")
    shutil.copytree(minilm, bookworm.root / "srv" / "minilm")
    rows = [("a warm and funny film", "good"), ("two hours I will not get back", "bad")] * 16
    (bookworm.root / "srv" / "data.csv").write_text("text,label\n" + "".join(f"{a},{b}\n" for a, b in rows))
    bookworm("bertie train /srv/data.csv --model /srv/minilm --out /srv/model --epochs 2 --holdout 0.25")
    assert json.loads(bookworm("bertie doctor /srv/model --json"))["model"]["ok"] is True
    address = bookworm.root / "srv" / "address"
    server = subprocess.Popen(bookworm.prepare("bertie serve /srv/model --port 0 --address-file /srv/address"))
    try:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                request = urllib.request.Request(f"http://{address.read_text().strip()}/invocations",
                                                 b'{"inputs": ["a funny film", "two hours I will not get back"]}',
                                                 {"Content-Type": "application/json"})
                answer = json.loads(urllib.request.urlopen(request).read())
                break
            except (OSError, urllib.error.HTTPError):
                time.sleep(0.2)
        assert [one["label"] for one in answer] == ["good", "bad"]
    finally:
        server.terminate()
        server.wait(60)


def test_the_images_second_stage_builds_there(bookworm):
    """The Dockerfile's commands after the installation, in order, then its user and its check."""
    dockerfile = (ROOT / "deploy/Dockerfile").read_text()
    (links,) = re.findall(r"^RUN (ln -s .*?[^\\])\n", dockerfile, re.M | re.S)
    script = bookworm.root / "tmp" / "stage.sh"
    script.write_text("set -e\n" + links.replace("\\\n", "") + "\n")
    bookworm("sh /tmp/stage.sh")
    shutil.copy(ROOT / "deploy/healthcheck", bookworm.root / "usr/local/bin/bertie-healthcheck")
    assert "Usage: bertie" in bookworm("setpriv --reuid 1000 --regid 1000 --clear-groups sh -c 'cd /work && bertie --help'")
    # The names by which SageMaker starts its programs.
    assert "bertie serve" in bookworm("serve --help") and "bertie train" in bookworm("train --help")
    assert bookworm("bertie-healthcheck") == ""


def test_purging_leaves_nothing(bookworm):
    bookworm("apt-get purge -y bertie")
    for left in ("usr/bin/bertie", "etc/default/bertie", "usr/share/doc/bertie"):
        assert not (bookworm.root / left).exists(), left


def test_a_processor_without_avx2_is_told_so():
    need("qemu-x86_64")
    old = ["qemu-x86_64", "-cpu", "Westmere", BUILD / "bertie"]
    diagnosis = json.loads(check(*old, "doctor", "--threads", "1", "--json"))
    assert diagnosis["machine"]["kernels"]["fp32"] == "sse4"
    assert "avx2" in {finding["what"] for finding in diagnosis["findings"]}
    done = subprocess.run([*map(str, old), "predict", ROOT / "tests/golden/tiny", "the sea"], capture_output=True, text=True)
    assert done.returncode == 0 and "no AVX2" in done.stderr, done.stderr
