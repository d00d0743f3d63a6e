"""A virtual processor counting down under KVM: how many instructions a second does it do? Linux on x86-64 only."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import struct
import time

LOOPS = 20_000
INSTRUCTIONS_PER_LOOP = 2
CODE_AT = 0x1000
# 16-bit code: again: dec ecx; jnz again; hlt
CODE = bytes.fromhex("6649 75fc f4")

# Numbers of the kernel's interface (linux/kvm.h).
KVM_CREATE_VM = 0xAE01
KVM_GET_VCPU_MMAP_SIZE = 0xAE04
KVM_CREATE_VCPU = 0xAE41
KVM_SET_USER_MEMORY_REGION = 0x4020AE46
KVM_SET_TSS_ADDR = 0xAE47
KVM_RUN = 0xAE80
KVM_SET_REGS = 0x4090AE82
KVM_GET_SREGS = 0x8138AE83
KVM_SET_SREGS = 0x4138AE84
KVM_EXIT_HLT = 5
SIZE_OF_SREGS = 312
EXIT_REASON_OFFSET = 8
TSS_AT = 0x7FFBD000  # three pages that the guest does not use; some processors need them for 16-bit code


def measure() -> float:
    """Instructions per second of a loop under KVM. Raises OSError where KVM does not work."""
    kvm = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    machine = fcntl.ioctl(kvm, KVM_CREATE_VM, 0)
    memory = mmap.mmap(-1, 2 * mmap.PAGESIZE)
    memory[: len(CODE)] = CODE
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    fcntl.ioctl(machine, KVM_SET_TSS_ADDR, TSS_AT)
    region = struct.pack("<IIQQQ", 0, 0, CODE_AT, len(memory), address)
    fcntl.ioctl(machine, KVM_SET_USER_MEMORY_REGION, region)
    processor = fcntl.ioctl(machine, KVM_CREATE_VCPU, 0)
    shared = mmap.mmap(processor, fcntl.ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0))
    _start_at_code(processor)
    begin = time.perf_counter()
    fcntl.ioctl(processor, KVM_RUN, 0)
    seconds = time.perf_counter() - begin
    (reason,) = struct.unpack_from("<I", shared, EXIT_REASON_OFFSET)
    if reason != KVM_EXIT_HLT:
        raise OSError(f"the processor stopped for reason {reason} instead of halting")
    return LOOPS * INSTRUCTIONS_PER_LOOP / seconds


def _start_at_code(processor: int) -> None:
    """Flat real mode, instruction pointer at the code, the counter in ecx."""
    special = bytearray(SIZE_OF_SREGS)
    fcntl.ioctl(processor, KVM_GET_SREGS, special)
    # The code segment comes first: base (8 bytes), limit (4), selector (2). Only base and selector need to change.
    struct.pack_into("<Q", special, 0, 0)
    struct.pack_into("<H", special, 12, 0)
    fcntl.ioctl(processor, KVM_SET_SREGS, bytes(special))
    # rax rbx rcx rdx rsi rdi rsp rbp r8-r15 rip rflags (bit 1 is always set)
    registers = struct.pack("<18Q", 0, 0, LOOPS, *[0] * 13, CODE_AT, 2)
    fcntl.ioctl(processor, KVM_SET_REGS, registers)
