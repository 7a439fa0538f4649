"""Raw question-and-answer text to a packed dataset."""

from hax_jax.program import early_ctrl_c

early_ctrl_c.handle()
