"""Guests whose wall clock is off. All guests share one kernel and its clock, so the lie is told where programs ask: in the C library's functions.

A library of our own is loaded into every program of the guest (`/etc/ld.so.preload`) and adds its last word, in seconds, to what the kernel says. Whoever
runs has that word mapped from the file, so writing it there moves the clock of everything that runs. Monotonic clocks are not touched, and a
file's times stay the kernel's. The library is laid out here, byte by byte, because a machine that runs the lab needs no compiler.

systemd itself and its journal start without it: systemd's timers are the kernel's and would fire at the wrong time, and the journal is what
drills read. So a guest gets the library by a boot, in the middle of it, and keeps it, perhaps with a clock that is right, until the next one.
"""

from __future__ import annotations

import contextlib
import os
import platform
import struct
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.cloud.backend import BackendError
from lab.machines.hosts import Host

LIBRARY, PRELOAD = "usr/local/lib/lab-clock.so", "etc/ld.so.preload"
HERE = "run/lab-clock"  # /run is empty when systemd starts: that is how it starts without the library
AT_BOOT = "etc/tmpfiles.d/lab-clock.conf"
MACHINE = "x86_64"
WORD = struct.Struct("<q")

# Symbol to code; TO_WORD is the distance from the next instruction to the word. Kept registers: rdi and rsi are the arguments, also over a system call.
TO_WORD = b"WORD"
CODE = {
    "clock_gettime": (
        b"\xb8\xe4\x00\x00\x00"  # mov eax, 228
        b"\x0f\x05"  # syscall
        b"\x85\xc0"  # test eax, eax
        b"\x75\x16"  # jne failed
        b"\x85\xff"  # test edi, edi: CLOCK_REALTIME
        b"\x74\x05"  # je wall
        b"\x83\xff\x05"  # cmp edi, 5: CLOCK_REALTIME_COARSE
        b"\x75\x0a"  # jne done
        b"\x48\x8b\x05WORD"  # wall: mov rax, [word]
        b"\x48\x01\x06"  # add [rsi], rax
        b"\x31\xc0"  # done: xor eax, eax
        b"\xc3"  # ret
        b"\x83\xc8\xff"  # failed: or eax, -1; errno stays as it was
        b"\xc3"  # ret
    ),
    "gettimeofday": (
        b"\xb8\x60\x00\x00\x00"  # mov eax, 96
        b"\x0f\x05"  # syscall
        b"\x48\x85\xff"  # test rdi, rdi
        b"\x74\x0a"  # je done
        b"\x48\x8b\x0dWORD"  # mov rcx, [word]
        b"\x48\x01\x0f"  # add [rdi], rcx
        b"\xc3"  # done: ret
    ),
    "time": (
        b"\xb8\xc9\x00\x00\x00"  # mov eax, 201
        b"\x0f\x05"  # syscall
        b"\x48\x03\x05WORD"  # add rax, [word]
        b"\x48\x85\xff"  # test rdi, rdi
        b"\x74\x03"  # je done
        b"\x48\x89\x07"  # mov [rdi], rax
        b"\xc3"  # done: ret
    ),
}


def library(seconds: int) -> bytes:
    """The shared library: one segment that is only read, its last eight bytes are the word."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name in CODE)
    count = len(CODE) + 1
    hashes = struct.pack(f"<{3 + count}I", 1, count, 1, 0, *range(2, count), 0)  # one bucket: all symbols in a row
    headers = 64 + 3 * 56
    symbols_at = headers
    names_at = symbols_at + count * 24
    hashes_at = _aligned(names_at + len(names))
    dynamic_at = _aligned(hashes_at + len(hashes))
    # DT_HASH, DT_SYMTAB, DT_STRTAB, DT_STRSZ, DT_SYMENT, DT_NULL
    entries = ((4, hashes_at), (6, symbols_at), (5, names_at), (10, len(names)), (11, 24), (0, 0))
    dynamic = b"".join(struct.pack("<QQ", *entry) for entry in entries)
    code_at = dynamic_at + len(dynamic)
    word_at = _aligned(code_at + sum(map(len, CODE.values())))
    symbols, code = bytes(24), b""
    for name, text in CODE.items():
        at = code_at + len(code)
        symbols += struct.pack(
            "<IBBHQQ", names.index(b"\0" + name.encode() + b"\0") + 1, 0x12, 0, 1, at, len(text)
        )  # a global function
        code += text.replace(TO_WORD, struct.pack("<i", word_at - (at + text.index(TO_WORD) + 4)))
    size = word_at + WORD.size
    identity = b"\x7fELF" + bytes((2, 1, 1, 0)) + bytes(8)
    header = identity + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 3, 0, 0, 0)
    header += _segment(1, 5, 0, size, 4096)  # load all of it: read and execute
    header += _segment(2, 4, dynamic_at, len(dynamic), 8)
    header += _segment(0x6474E551, 6, 0, 0, 16)  # a stack that is not executable
    out = bytearray(size)
    for at, part in (
        (0, header),
        (symbols_at, symbols),
        (names_at, names),
        (hashes_at, hashes),
        (dynamic_at, dynamic),
        (code_at, code),
    ):
        out[at : at + len(part)] = part
    out[word_at:] = WORD.pack(seconds)
    return bytes(out)


def _segment(kind: int, flags: int, at: int, size: int, alignment: int) -> bytes:
    return struct.pack("<IIQQQQQQ", kind, flags, at, at, at, size, size, alignment)


def _aligned(number: int) -> int:
    return -(-number // 8) * 8


def set_off(hosts: Iterable[Host], seconds: int) -> None:
    """Their wall clocks are `seconds` ahead of the machine's from now on. A guest that runs without the library is rebooted, in order."""
    if platform.machine() != MACHINE:
        raise BackendError(
            f"clock: this machine is {platform.machine()}, wanted {MACHINE}: there is no library for another one, nothing was changed"
        )
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda host: _set_off(host, seconds), hosts))


def _set_off(host: Host, seconds: int) -> None:
    with host.lock:
        leader = host.leader()
        carries = leader is not None and Path(f"/proc/{leader}/root/{HERE}").exists()
        if carries:
            write_word(host.root / LIBRARY, seconds)
        else:
            for place in (LIBRARY, PRELOAD):
                (host.root / place).unlink(missing_ok=True)
            (host.root / LIBRARY).write_bytes(library(seconds))
            (host.root / PRELOAD).symlink_to(f"/{HERE}")
        (host.root / AT_BOOT).write_text(f"f+ /{HERE} 0644 root root - /{LIBRARY}\n")
        if leader is not None and not carries:
            host.reboot(hard=False)


def set_right(hosts: Iterable[Host]) -> None:
    """At once, of all that runs. The library goes with the next boot."""
    for host in hosts:
        with host.lock, contextlib.suppress(FileNotFoundError):  # a disk that was given away meanwhile
            write_word(host.root / LIBRARY, 0)
            (host.root / AT_BOOT).unlink()


def write_word(file: Path, seconds: int) -> None:
    """In place: programs have this very file mapped."""
    with file.open("r+b") as out:
        out.seek(-WORD.size, os.SEEK_END)
        out.write(WORD.pack(seconds))
