"""What a compiled program needs: memory, time to compile, collectives."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

from hax_jax.devices import collectives, xla_log


@dataclasses.dataclass(frozen=True)
class Compiled:
    """A program's needs on each device, in bytes, by the compiler's own figures.

    Arguments that are donated are outputs too: `shared_bytes` are in both.
    `rematerialized` are the arrays that `xla_log` found.
    """

    argument_bytes: int
    output_bytes: int
    shared_bytes: int
    temporary_bytes: int
    program_bytes: int
    seconds: float
    traffic: collectives.Found
    rematerialized: list[str]

    @property
    def peak_bytes(self) -> int:
        new = self.output_bytes - self.shared_bytes
        return self.argument_bytes + new + self.temporary_bytes + self.program_bytes


def measured(lowered: Any, *, num_devices: int, quiet: bool = False) -> Compiled:
    """Compiles a `jax.stages.Lowered`; the program is not kept.

    For several devices it is compiled anew, as a program from the compilation cache
    comes without XLA's warnings. `quiet` compiles for described devices: their
    programs are in no cache, and only errors are logged.
    """
    begin = time.perf_counter()
    if num_devices == 1 and not quiet:
        program, arrays = lowered.compile(), []
    else:
        with without_cache(), xla_log.rematerialized(quiet=quiet) as arrays:
            program = lowered.compile()
    seconds = time.perf_counter() - begin
    memory = program.memory_analysis()
    return Compiled(
        argument_bytes=memory.argument_size_in_bytes,
        output_bytes=memory.output_size_in_bytes,
        shared_bytes=memory.alias_size_in_bytes,
        temporary_bytes=memory.temp_size_in_bytes,
        program_bytes=memory.generated_code_size_in_bytes,
        seconds=seconds,
        traffic=collectives.found(program.as_text(), num_devices=num_devices),
        rematerialized=arrays,
    )


@contextlib.contextmanager
def without_cache() -> Iterator[None]:
    """Compiles anew what the compilation cache has."""
    before = jax.config.jax_enable_compilation_cache
    jax.config.update('jax_enable_compilation_cache', False)
    compilation_cache.reset_cache()  # JAX looks at the setting once
    try:
        yield
    finally:
        jax.config.update('jax_enable_compilation_cache', before)
        compilation_cache.reset_cache()
