"""GPT-2's parameters by name: ours, and those of Hugging Face's torch model.

The head, where it is not tied, is `lm_head.embedding` [V, D], as `wte.embedding` is.
"""

from hax_jax import config


def parameter_shapes(model: config.ModelConfig) -> dict[str, tuple[int, ...]]:
    """Dotted path -> shape, of every parameter of a GPT-2 of these sizes.

    A vocabulary that is padded has its padded rows.
    """
    d, v = model.n_embd, model.num_table_rows
    shapes: dict[str, tuple[int, ...]] = {
        'wte.embedding': (v, d),
        'wpe.embedding': (model.n_positions, d),
        'ln_f.scale': (d,),
        'ln_f.bias': (d,),
    }
    if not model.tie_embeddings:
        shapes['lm_head.embedding'] = (v, d)
    for i in range(model.n_layer):
        for norm in ('ln_1', 'ln_2'):
            shapes[f'h.{i}.{norm}.scale'] = (d,)
            shapes[f'h.{i}.{norm}.bias'] = (d,)
        for layer, size_in, size_out in (
            ('attn.c_attn', d, 3 * d),
            ('attn.c_proj', d, d),
            ('mlp.c_fc', d, 4 * d),
            ('mlp.c_proj', 4 * d, d),
        ):
            shapes[f'h.{i}.{layer}.kernel'] = (size_in, size_out)
            shapes[f'h.{i}.{layer}.bias'] = (size_out,)
    return shapes


def ours(name: str) -> str:
    """`h.0.ln_1.weight` -> `h.0.ln_1.scale`; kernels are [in, out] on both sides."""
    module, _, kind = name.rpartition('.')
    if kind != 'weight':
        return name
    last = module.rpartition('.')[2]
    kinds = dict.fromkeys(('wte', 'wpe', 'lm_head'), 'embedding')
    kind = 'scale' if last.startswith('ln_') else kinds.get(last, 'kernel')
    return f'{module}.{kind}'
