"""A config file from a config: what `--config=` takes as it is."""

from collections.abc import Sequence

from hax_jax.config import convert, schema


def text(run: schema.Config, *, said: Sequence[str]) -> str:
    """A file of Python whose `get_config()` gives `run`; `said` is its docstring."""
    lines = [line.replace('\\', '/').replace('"', "'") for line in said]
    fields = [
        f'    draft.{name} = {tuple(value) if isinstance(value, list) else value!r}'
        for name, (value, _) in convert.changed(run).items()
    ]
    return '\n'.join(
        [
            f'"""{lines[0]}',
            '',
            *lines[1:],
            '"""',
            '',
            'from hax_jax.config import convert',
            '',
            '',
            'def get_config():',
            '    draft = convert.draft()',
            *fields,
            '    return draft',
            '',
        ]
    )
