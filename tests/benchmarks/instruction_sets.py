"""The processor's vector instructions, and AVX2 imitated where there is AVX-512.

    ONLY_AVX2['ours'], ONLY_AVX2['torch']    what each side's environment needs
    hide_avx512()                            what our side needs beside it

An imitation is the same instructions on another core: caches, clocks and memory stay
this machine's. A Zen 4 core does a 512-bit instruction in two halves, so a float32
product is about as fast with either; an Intel core's is not.
"""

import ctypes
import os
import pathlib
import platform
from typing import Any

import numpy as np

# XLA's flag governs the code that LLVM emits; oneDNN has a variable of its own.
ONLY_AVX2 = {
    'ours': {'XLA_FLAGS': '--xla_cpu_max_isa=AVX2', 'ONEDNN_MAX_CPU_ISA': 'AVX2'},
    'torch': {
        'ATEN_CPU_CAPABILITY': 'avx2',
        'MKL_ENABLE_INSTRUCTIONS': 'AVX2',
        'ONEDNN_MAX_CPU_ISA': 'AVX2',
    },
}
_VECTORS = {'avx512f': 'AVX-512', 'avx2': 'AVX2', 'asimd': 'NEON', 'avx': 'AVX'}
_ASKED = b'_ZN3ynn24get_supported_arch_flagsEv'
_ANSWER = b'_ZZN3ynn24get_supported_arch_flagsEvE5flags'
_BELOW_AVX512 = 2**7 - 1  # ynnpack/base/arch.h: avx512f is 1 << 7, all before are older


def processor(cpuinfo: str | None = None) -> dict[str, Any]:
    """Name, widest vectors and usable cores, of /proc/cpuinfo's text or this machine.

    'AMD EPYC (family 25, model 17)', as a virtual machine often hides the generation:
    17 is Zen 4, family 25 with model 1 Zen 3.
    """
    if cpuinfo is None:
        path = pathlib.Path('/proc/cpuinfo')
        cpuinfo = path.read_text(encoding='utf-8') if path.exists() else ''
    values: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(':')
        values.setdefault(name.strip(), value.strip())
    name = values.get('model name') or platform.processor() or platform.machine()
    if 'cpu family' in values and 'model' in values:
        name += f' (family {values["cpu family"]}, model {values["model"]})'
    features = (values.get('flags') or values.get('Features', '')).split()
    widest = [width for feature, width in _VECTORS.items() if feature in features]
    if not widest and platform.machine() == 'arm64':
        widest = ['NEON']  # Apple has no /proc/cpuinfo, and each of its cores has it
    count = getattr(os, 'sched_getaffinity', None)
    cores = len(count(0)) if count else os.cpu_count()
    return {'name': name, 'vectors': (widest or ['unknown'])[0], 'cores': cores}


def hide_avx512() -> None:
    """Makes YNNPACK, which XLA multiplies with, take its AVX2 kernels.

    It asks the processor alone, once, and no flag governs it; so its answer is
    overwritten in this process. Call before the first product.

    Raises:
      RuntimeError: this jaxlib has no such answer.
    """
    import jaxlib.xla_client

    (path,) = pathlib.Path(jaxlib.__file__).parent.glob('libjax_common.so')
    asked, answer = _addresses(path, [_ASKED, _ANSWER])
    maps = pathlib.Path('/proc/self/maps').read_text(encoding='utf-8').splitlines()
    base = min(int(line.split('-')[0], 16) for line in maps if line.endswith(path.name))
    ask = ctypes.CFUNCTYPE(ctypes.c_uint64)(base + asked)
    ask()
    ctypes.c_uint64.from_address(base + answer).value &= _BELOW_AVX512
    if ask() > _BELOW_AVX512:
        raise RuntimeError(f'{path} still multiplies with AVX-512.')


def _addresses(path: pathlib.Path, names: list[bytes]) -> list[int]:
    """Where a 64-bit ELF library's symbol table says that `names` are."""
    library = np.memmap(path, np.uint8, mode='r')

    def number(start: int, size: int) -> int:
        return int.from_bytes(library[start : start + size].tobytes(), 'little')

    first, size, count = number(40, 8), number(58, 2), number(60, 2)
    sections = [first + size * i for i in range(count)]
    tables = [at for at in sections if number(at + 4, 4) == 2]  # SHT_SYMTAB
    if not tables:
        raise RuntimeError(f'{path} has no symbol table.')
    strings = sections[number(tables[0] + 40, 4)]
    start, length = number(strings + 24, 8), number(strings + 32, 8)
    text = library[start : start + length].tobytes()
    entry = np.dtype([('name', '<u4'), ('', '<u4'), ('value', '<u8'), ('', '<u8')])
    start, length = number(tables[0] + 24, 8), number(tables[0] + 32, 8)
    symbols = library[start : start + length].view(entry)
    found = []
    for name in names:
        place = text.find(b'\0' + name + b'\0') + 1
        values = symbols['value'][symbols['name'] == place]
        if not place or len(values) != 1:
            raise RuntimeError(f'{path} has no symbol {name.decode()}.')
        found.append(int(values[0]))
    return found
