"""The prompt template as others ask for it: Jinja, and Ollama's Modelfile.

Both give `text.HEAD`, question, `text.TAIL`, and after an answer EOS, turn by turn, as
packed conversations and launch.chat have them. System turns are left out, as they are
of the training data; user turns that follow each other are one question.
"""

import json

from hax_jax.config import schema
from hax_jax.data import text
from hax_jax.formats import model_card

MODELFILE = 'Modelfile'
# `generation` marks what TRL's assistant_only_loss learns; it prints nothing.
JINJA = """\
{%- set turns = messages | rejectattr('role', 'in', ['system', 'developer']) | list -%}
{%- for turn in turns -%}
{%- set said = turn.content -%}
{%- if said is not string -%}
{%- set said = said | map(attribute='text') | join('\\n\\n') -%}
{%- endif -%}
{%- if turn.role == 'user' -%}
{{- HEAD if loop.first or turns[loop.index0 - 1].role != 'user' else '\\n\\n' -}}
{{- said | trim -}}
{{- TAIL if loop.last or turns[loop.index0 + 1].role != 'user' else '' -}}
{%- elif turn.role == 'assistant' -%}
{%- if loop.first or turns[loop.index0 - 1].role != 'user' -%}
{{- raise_exception('an answer must follow a question') -}}
{%- endif -%}
{%- generation -%}{{- (said | trim) + eos_token -}}{%- endgeneration -%}
{%- else -%}
{{- raise_exception('roles are user, assistant and system, not ' + turn.role) -}}
{%- endif -%}
{%- endfor -%}
"""
for _name, _literal in (('HEAD', text.HEAD), ('TAIL', text.TAIL)):
    JINJA = JINJA.replace(_name, json.dumps(_literal))

_OLLAMA = (
    '{{- range $i, $turn := .Messages }}'
    f'{{{{- if eq .Role "user" }}}}{{{{ {json.dumps(text.HEAD)} }}}}{{{{ .Content }}}}'
    f'{{{{ {json.dumps(text.TAIL)} }}}}'
    '{{- else if eq .Role "assistant" }}{{ .Content }}{{ EOS }}{{- end }}{{- end }}'
)


def modelfile(gguf_name: str, *, eos: str, n_positions: int) -> str:
    """Ollama's Modelfile for a GGUF file beside it: template, stop, sampling."""
    sampling = schema.SamplingConfig()
    parameters = {
        'stop': json.dumps(eos),
        'num_ctx': n_positions,
        'num_predict': model_card.max_new_tokens(n_positions),
        'temperature': sampling.temperature,
        'top_k': sampling.top_k,
        'top_p': sampling.top_p,
        'repeat_penalty': 1.0,  # launch.sample has none either
    }
    lines = [
        f'FROM ./{gguf_name}',
        'TEMPLATE """' + _OLLAMA.replace('EOS', json.dumps(eos)) + '"""',
        *(f'PARAMETER {name} {value}' for name, value in parameters.items()),
    ]
    return '\n'.join(lines) + '\n'
