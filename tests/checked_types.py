"""Importing this has the types in hax_jax's signatures checked as tests call them.

jaxtyping checks shapes as well, for 25 times the time of a call and twice that of a
definition: pyproject.toml gives it the modules whose signatures have shapes.
"""

import beartype
import beartype.claw

beartype.claw.beartype_package(
    'hax_jax',
    conf=beartype.BeartypeConf(
        claw_is_pep526=False,  # variables within a function
        # Nearest to the function, as jaxtyping: a jit or a property is no function.
        claw_decor_place_func=beartype.BeartypeDecorPlace.FIRST,
    ),
)
