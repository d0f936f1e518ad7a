"""Writes tests/formats/data: archives and PyTorch files that try to do harm, for the readers' tests.

    python3 tests/formats/make_hostile.py

Needs torch. The malicious pickles would create a file named BERTIE_WAS_HERE if anything ran them.
"""
import collections
import gzip
import io
import os
import pathlib
import random
import shutil
import struct
import subprocess
import tarfile
import zipfile

import torch

DATA = pathlib.Path(__file__).resolve().parent / "data"
COMMAND = "touch BERTIE_WAS_HERE"


class Call:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


class Stateful:
    """Pickles as an object with a state to set."""

    def __init__(self):
        self.state = COMMAND


def torch_files(folder: pathlib.Path) -> None:
    good = torch.arange(6.0).reshape(2, 3)
    evil = {
        "os_system": {"w": Call(os.system, COMMAND)},
        "eval": {"w": Call(eval, f"__import__('os').system('{COMMAND}')")},
        "nested": {"w": good, "state_dict": {"x": collections.OrderedDict(y=Call(subprocess.Popen, COMMAND))}},
        "getattr": {"w": Call(getattr, good, "numpy")},
        "stateful": {"w": good, "x": Stateful()},
        "torch_load": {"w": Call(torch.load, "other.bin")},
    }
    for name, content in evil.items():
        torch.save(content, folder / f"{name}_zip.bin")
        torch.save(content, folder / f"{name}_legacy.bin", _use_new_zipfile_serialization=False)
        torch.save(content, folder / f"{name}_pickle4.bin", pickle_protocol=4)
    torch.save({"w": good, "half": good.half(), "long": good.long(), "n": 3}, folder / "good_zip.bin")
    torch.save({"w": good}, folder / "good_legacy.bin", _use_new_zipfile_serialization=False)
    torch.save({"w": good[:1].expand(1000, 3)}, folder / "expanded_zip.bin")
    torch.save([good], folder / "list_zip.bin")
    # TorchScript is told by its entries' names alone.
    with zipfile.ZipFile(folder / "torchscript.bin", "w") as archive:
        for name in ("module/data.pkl", "module/constants.pkl", "module/code/__torch__.py"):
            archive.writestr(name, b"\x80\x02}.")


def zip_bytes(entries, method=zipfile.ZIP_STORED) -> bytearray:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in entries:
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            archive.writestr(info, content)
    return bytearray(out.getvalue())


def zip_files(folder: pathlib.Path) -> None:
    def write(name, content):
        (folder / f"{name}.zip").write_bytes(content)

    write("good", zip_bytes([("a/one", b"first"), ("a/two", b"second")]))
    for name, entry in (("absolute", "/etc/x"), ("parent", "a/../../x"), ("backslash", "a\\x"), ("drive", "c:x")):
        write(name, zip_bytes([(entry, b"x")]))
    # zipfile cuts names at a NUL, so this one is put in afterwards.
    write("nul", bytes(zip_bytes([("a_b", b"x")])).replace(b"a_b", b"a\0b"))
    write("duplicate", bytes(zip_bytes([("one", b"1"), ("two", b"2")])).replace(b"two", b"one"))
    write("deflated", zip_bytes([("zeros", bytes(1_000_000))], zipfile.ZIP_DEFLATED))
    encrypted = zip_bytes([("one", b"1")])
    struct.pack_into("<H", encrypted, encrypted.find(b"PK\1\2") + 8, 1)
    write("encrypted", encrypted)
    # The directory and the local header disagree: about the name, about the size.
    renamed = zip_bytes([("one", b"1")])
    renamed[renamed.find(b"one")] = ord("z")
    write("renamed", renamed)
    resized = zip_bytes([("one", b"123")])
    struct.pack_into("<I", resized, 22, 2)
    write("resized", resized)
    # Both entries of the directory point at the first local header, under its name and another.
    overlap = zip_bytes([("one", b"1"), ("two", b"2")])
    second = overlap.find(b"PK\1\2", overlap.find(b"PK\1\2") + 4)
    struct.pack_into("<I", overlap, second + 42, 0)
    write("overlap_name", overlap)
    # An entry whose data runs over the next one's header (the non-recursive bomb's trick).
    long = zip_bytes([("one", b"1"), ("two", b"2")])
    central = long.find(b"PK\1\2")
    size = long.find(b"PK\3\4", 4) - (30 + 3) + 10
    for at in (18, 22, central + 20, central + 24):
        struct.pack_into("<I", long, at, size)
    write("overlap_data", long)
    leaves = zip_bytes([("one", b"1")])
    for at in (18, 22, leaves.find(b"PK\1\2") + 20, leaves.find(b"PK\1\2") + 24):
        struct.pack_into("<I", leaves, at, 1_000_000)
    write("leaves", leaves)
    parts = zip_bytes([("one", b"1")])
    struct.pack_into("<H", parts, parts.find(b"PK\5\6") + 4, 3)
    write("parts", parts)
    many = zip_bytes([("one", b"1")])
    struct.pack_into("<HH", many, many.find(b"PK\5\6") + 8, 60_000, 60_000)
    write("many", many)
    write("truncated", zip_bytes([("one", bytes(100))])[:90])
    write("empty", zip_bytes([]))
    directory = zip_bytes([("one", b"1")])
    struct.pack_into("<I", directory, directory.find(b"PK\5\6") + 16, 0xfffffff0)
    write("directory_offset", directory)
    # zip64 by force, and one whose sizes claim to be there but are not.
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, archive.open("big", "w", force_zip64=True) as entry:
        entry.write(b"content")
    write("zip64", out.getvalue())
    lacking = zip_bytes([("one", b"1")])
    struct.pack_into("<I", lacking, lacking.find(b"PK\1\2") + 24, 0xffffffff)
    write("zip64_lacking", lacking)


def tar_bytes(members, zipped=True, **options) -> bytes:
    """members: (name, content), or a TarInfo."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", **options) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return gzip.compress(out.getvalue(), mtime=0) if zipped else out.getvalue()


def special(name, kind, target="", mode=0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    info.mode = mode
    return info


def tar_files(folder: pathlib.Path) -> None:
    def write(name, content):
        (folder / f"{name}.tar.gz").write_bytes(content)

    config = ("config.json", b"{}")
    write("good", tar_bytes([("./config.json", b"{}"), ("a/b/deep.txt", b"deep"), special("c", tarfile.DIRTYPE)]))
    # As SageMaker's SDK packs a folder.
    write("root_entry", tar_bytes([special("/", tarfile.DIRTYPE), config]))
    write("gnu_long_name", tar_bytes([("x" * 200 + "/" + "y" * 200, b"1")], format=tarfile.GNU_FORMAT))
    write("pax_long_name", tar_bytes([("x" * 200 + "/" + "y" * 200, b"1")], format=tarfile.PAX_FORMAT))
    write("utf8_name", tar_bytes([("mod\u00e8le/\u6a21.txt", b"1")], format=tarfile.PAX_FORMAT))
    write("plain", tar_bytes([config], zipped=False))
    write("duplicate", tar_bytes([("a.txt", b"first"), ("a.txt", b"second")]))
    write("parent", tar_bytes([config, ("../escaped.txt", b"x")]))
    write("parent_inside", tar_bytes([config, ("a/../../escaped.txt", b"x")]))
    write("absolute", tar_bytes([("/tmp/bertie-escaped.txt", b"x")]))
    write("symlink", tar_bytes([special("link", tarfile.SYMTYPE, "/etc/passwd")]))
    write("symlink_then_write", tar_bytes([special("link", tarfile.SYMTYPE, ".."), ("link/escaped.txt", b"x")]))
    write("hardlink", tar_bytes([config, special("hard", tarfile.LNKTYPE, "config.json")]))
    write("device", tar_bytes([special("null", tarfile.CHRTYPE)]))
    write("fifo", tar_bytes([special("pipe", tarfile.FIFOTYPE)]))
    setuid = special("setuid.sh", tarfile.REGTYPE, mode=0o6777)
    write("setuid", tar_bytes([setuid]))
    write("file_then_folder", tar_bytes([("a", b"file"), ("a/b", b"x")]))
    write("folder_then_file", tar_bytes([("a/b", b"x"), ("a", b"file")]))
    write("many_folders", tar_bytes([("d/" * 40 + "x", b"x")]))
    # 100 MiB in 1 kB: a gzip file in a gzip file, which libarchive unpacks both.
    write("zeros", gzip.compress(tar_bytes([("zeros", bytes(100 << 20))]), mtime=0))
    whole = tar_bytes([("data.bin", random.Random(1).randbytes(5000))])
    write("truncated", whole[: len(whole) // 2])
    write("truncated_tar", gzip.compress(gzip.decompress(whole)[:2000], mtime=0))
    lie = bytearray(gzip.decompress(tar_bytes([("lie.bin", b"x" * 10)])))
    lie[124:136] = b"77777777777\0"  # 8 GiB
    checksum = sum(lie[:148]) + 8 * 32 + sum(lie[156:512])
    lie[148:156] = b"%06o\0 " % checksum
    write("size_lie", gzip.compress(bytes(lie), mtime=0))
    plain = tar_bytes([config], zipped=False)
    write("members", gzip.compress(plain[:700], mtime=0) + gzip.compress(plain[700:], mtime=0))
    write("garbage", b"\x1f\x8b" + bytes(range(200)))
    write("text", b"this is not an archive\n" * 100)
    write("nothing", b"")


def main() -> None:
    shutil.rmtree(DATA, ignore_errors=True)
    for name, make in (("torch", torch_files), ("zip", zip_files), ("tar", tar_files)):
        (DATA / name).mkdir(parents=True)
        make(DATA / name)


if __name__ == "__main__":
    main()
