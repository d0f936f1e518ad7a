"""Two ranks started by the real torchrun, mpirun and srun train the model that `--nproc 2` does.

Each is skipped where it is not installed: torchrun comes with torch, mpirun from openmpi-bin, srun
from slurmd, slurmctld, slurm-client and munge, of which the test starts daemons of its own (as root).
"""
import hashlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

import pytest

BERTIE = os.environ.get("BERTIE")
MINILM = os.environ.get("BERTIE_MINILM")
pytestmark = pytest.mark.skipif(not (BERTIE and MINILM), reason="BERTIE and BERTIE_MINILM are not set")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("launchers") / "train.csv"
    rows = [f'"this is the {i}th good one",1\n"bad as the {i}th",0\n' for i in range(64)]
    path.write_text("sentence,label\n" + "".join(rows))
    return path


def command(data, out):
    return [os.path.abspath(BERTIE), "train", str(data), "--model", MINILM, "--out", str(out), "--epochs", "1",
            "--batch-size", "32", "--seed", "3", "--threads", "1"]


def run(words, **extra):
    environment = {**os.environ, **extra}
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def digest(out):
    return hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def expected(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("nproc") / "model"
    run([*command(data, out), "--nproc", "2"])
    return digest(out)


def test_torchrun(data, expected, tmp_path):
    torchrun = shutil.which("torchrun") or pathlib.Path(sys.executable).with_name("torchrun")
    if not os.path.exists(torchrun):
        pytest.skip("no torchrun")
    run([torchrun, "--no-python", "--nproc-per-node", "2", "--master-port", free_port(),
         *command(data, tmp_path / "model")])
    assert digest(tmp_path / "model") == expected


def test_mpirun(data, expected, tmp_path):
    if not shutil.which("mpirun"):
        pytest.skip("no mpirun")
    run(["mpirun", "--allow-run-as-root", "--oversubscribe", "-np", "2", *command(data, tmp_path / "model")],
        MASTER_PORT=str(free_port()))
    assert digest(tmp_path / "model") == expected


SLURM = """ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket={run}/munge.sock
SlurmctldPort={ctld}
SlurmdPort={slurmd}
StateSaveLocation={run}/state
SlurmdSpoolDir={run}/spool
SlurmctldPidFile={run}/slurmctld.pid
SlurmdPidFile={run}/slurmd.pid
SlurmctldLogFile={run}/slurmctld.log
SlurmdLogFile={run}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES State=UP OverSubscribe=YES
"""


@pytest.fixture
def slurm(tmp_path):
    """A Slurm of one node, this machine, with its own munge."""
    missing = [tool for tool in ("slurmctld", "slurmd", "srun", "munged") if not shutil.which(tool, path="/usr/sbin:/usr/bin")]
    if missing or os.geteuid() != 0:
        pytest.skip("needs root and " + ", ".join(missing) if missing else "needs root")
    for name in ("state", "spool"):
        (tmp_path / name).mkdir()
    key = tmp_path / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    os.chmod(tmp_path, 0o755)
    for parent in tmp_path.parents[:2]:
        os.chmod(parent, 0o755)
    host = socket.gethostname().split(".")[0]
    config = tmp_path / "slurm.conf"
    config.write_text(SLURM.format(host=host, run=tmp_path, ctld=free_port(), slurmd=free_port(), cpus=os.cpu_count()))
    started = []
    environment = {**os.environ, "SLURM_CONF": str(config)}

    def start(*words):
        started.append(subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    start("/usr/sbin/munged", "--foreground", f"--socket={tmp_path}/munge.sock", f"--key-file={key}",
          f"--pid-file={tmp_path}/munged.pid", f"--log-file={tmp_path}/munged.log", f"--seed-file={tmp_path}/munged.seed",
          "--force")
    for _ in range(100):
        if (tmp_path / "munge.sock").exists():
            break
        time.sleep(0.1)
    start("/usr/sbin/slurmctld", "-D", "-f", str(config))
    start("/usr/sbin/slurmd", "-D", "-f", str(config))
    for _ in range(100):
        state = subprocess.run(["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True, text=True).stdout
        if "idle" in state:
            break
        time.sleep(0.2)
    else:
        logs = "".join(path.read_text()[-1500:] for path in tmp_path.glob("*.log"))
        pytest.skip("this machine runs no Slurm node: " + logs)
    yield environment
    for process in reversed(started):
        process.terminate()
        process.wait(20)


def test_srun(slurm, data, expected, tmp_path):
    run(["srun", "-n", "2", "--kill-on-bad-exit=1", "--oversubscribe", "--mpi=none", *command(data, tmp_path / "model")], **slurm)
    assert digest(tmp_path / "model") == expected
