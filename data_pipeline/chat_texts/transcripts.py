"""Turns of a chat that is one text, in the forms that chat templates give it.

<|im_start|>user Why?<|im_end|> <|im_start|>assistant So.<|im_end|>
<|start_header_id|>user<|end_header_id|> Why?<|eot_id|> and so on
<s>[INST] Why? [/INST] So. </s>
USER: Why? ASSISTANT: So.</s>              Vicuna; so do others with marks of their own
### Instruction: Why? ### Response: So.    with headings in lines of their own
Human: Why? Assistant: So.                 also User, Question, each below a break
[USER] Why? [ASSISTANT] So.                each below a break
[|Human|] Why? [|AI|] So.                  Baize
"""

import re
from typing import Any

_WORDS = {
    'user': 'human user instruction question prompt',
    'input': 'input',  # belongs to the instruction above it
    'assistant': 'assistant model response answer output',
    'system': 'system',
}
_ROLE_OF = {word: role for role, words in _WORDS.items() for word in words.split()}
_WORD = '|'.join(_ROLE_OF)
_ROLE_OF |= dict.fromkeys(['q', 'prompter', 'customer', 'patient', 'client'], 'user')
_ROLE_OF |= dict.fromkeys(
    ['a', 'bot', 'ai', 'chatbot', 'agent', 'doctor', 'therapist'], 'assistant'
)
_HEADING = re.compile(
    rf'(?:^|\n|(?<=\S)(?=###))###[ \t]?({_WORD})[ \t]?(?::|(?=\n))[ \t]?', re.IGNORECASE
)
# What chat templates put before a turn and behind it; segments hold it as text. The
# marks of one template are a text's; those of another are words in it.
_OPENS = (
    r'(?:<\|(?:begin_of_text|startoftext)\|>|<s>|<bos>|<BOS_TOKEN>'
    '|<｜begin▁of▁sentence｜>)'
)
_END = rf'|(?P<end>{{}}<\|(?:endoftext|end_of_text)\|>)|\A\s*{_OPENS}'
_TEMPLATES = tuple(
    re.compile(rf'(?:{_OPENS}\s*)?(?:{begins})' + _END.format(ends))
    for begins, ends in (
        (r'<\|im_start\|>\s*(?P<im>\w+)\n?', r'<\|im_end\|>|'),
        (r'<start_of_turn>\s*(?P<turn>\w+)\n?', '<end_of_turn>|'),
        (
            r'<\|start_header_id\|>(?P<header>\w+)<\|end_header_id\|>\n*',
            r'<\|eot_id\|>|',
        ),
        (
            r'<\|(?P<name>(?i:user|assistant|system|prompter|bot|human|question'
            r'|answer))\|>\n?',
            r'<\|end\|>|</s>|',
        ),
        (
            r'<\|START_OF_TURN_TOKEN\|><\|(?P<token>USER|CHATBOT|SYSTEM)_TOKEN\|>',
            r'<\|END_OF_TURN_TOKEN\|>|',
        ),
        (r'<｜(?P<wide>User|Assistant)｜>', '<｜end▁of▁sentence｜>|'),
        (r'\[\|(?P<baize>Human|AI)\|\][ \t]?', ''),
        (r'GPT4(?: Correct)? (?P<gpt>User|Assistant):', r'<\|end_of_turn\|>|'),
        (r'(?:(?<=\s)|(?<=</s>)|\A)(?P<capital>USER|ASSISTANT):(?=\s|\Z)', '</s>|'),
        (
            r'(?P<user>\[INST\]|<</SYS>>)|(?P<assistant>\[/INST\])'
            r'|(?P<system><<SYS>>)',
            '</s>|',
        ),
    )
)
_MAY_BE_TEMPLATE = re.compile(r'[<\[]|ASSISTANT:')
_BEGINS = re.compile(rf'\A\s*(?:{_OPENS}\s*)?')
_ANY_END = re.compile(
    _END[1:].format(r'<\|(?:im_end|eot_id|end)\|>|<end_of_turn>|</s>|')
)
# What trainers put behind a turn that a label opens, glued to it or to a sentence.
_SEAL = re.compile(
    r'(?:(?<=\S)|(?<=[.!?…"”’\')\]`*])[ \t]+|\s*\n\s*)'
    r'(?:</s>|<eos>|<\|(?:endoftext|end_of_text|im_end|end)\|>|<｜end▁of▁sentence｜>'
    r'|(?<=\n)###[ \t]?End\b)'
    r'\s*(?=(?:#{2,3} ?)?\w{1,11}:|\Z)'
)
# Text behind a mark in its line; '<eos>' and the like are none.
_IN_LINE = re.compile(r'[ \t]*(?:</?\|?\w{1,24}\|?>[ \t]*)*+\S')
# Words that do the same where there is no template's mark.
_ROLE_WORDS = re.compile(
    r'(?:^|\n)[ \t]*(?:(?:#{2,3} ?)?(?P<word>Human|User|Assistant|System)|'
    r'#{2,3} ?(?P<title>Instruction|Response|Input|Output)):[ \t]*\n?',
    re.IGNORECASE,
)
# The first of these that opens a text parts it; roles alone may be a line apart.
_LABELS = (
    *(
        re.compile(rf'(?:^\s*|{above})({user}|Assistant|System): ?')
        for above in (r'\n\n(?:### ?)?|(?<=\S)(?=###)### ?|(?:^\s*)### ?', r'\n')
        for user in ('Human', 'User')  # where one opens turns, the other is a word
    ),
    re.compile(r'(?:^\s*|\n)(Human|User|Bot|AI|Chatbot): ?'),
    re.compile(r'(?:^\s*|\n)(Customer|Agent): ?'),
    re.compile(r'(?:^\s*|\n)(Patient|Doctor|Client|Therapist): ?'),
    re.compile(r'(?:^\s*|\n)(Question|QUESTION|Answer|ANSWER):[ \t]?'),
    re.compile(r'(?:^\s*(?=Instruct)|\n)(Instruction|Input|Output|Response):[ \t]?'),
    re.compile(r'(?:^\s*|\n)(Q|A(?!.*\n[ \t]*B:)):[ \t]?', re.DOTALL),
    re.compile(r'(?:^\s*|\n)\[(User|USER|Human|HUMAN|Assistant|ASSISTANT)\]:?[ \t]?'),
)


def turns(text: str) -> list[tuple[str, str]]:
    """(role, what was said) of each turn; [] for a text without a question and answer.

    Text above the first turn, such as 'Below is an instruction …', is left out.
    """
    readers = [_by_template, _labelled]
    if any(pattern.match(text) for pattern in _LABELS):
        readers.reverse()  # a template's mark further on is a word
    for read in readers:
        said = [(role, each.strip()) for role, each in read(text)]
        roles = [role for role, each in said if each or role != 'assistant']
        asked = roles.index('user') if 'user' in roles else len(roles)
        if 'assistant' in roles[asked:]:
            return said
    return []


def opens(text: str) -> bool:
    """Whether a text begins with a turn: 'Human: Why?', not 'I wrote: USER: Why?'"""
    text = text.lstrip()
    forms = (_HEADING, *_LABELS)
    mark = next(
        (mark for mark in _template(text).finditer(text) if _role_of(mark)), None
    )
    is_template = mark is not None and not text[: mark.start()].strip()
    return is_template or any(form.match(text) for form in forms)


def opened(text: str) -> list[tuple[str, str]]:
    """(role, what was said) of a text that ends where an assistant is to answer.

    'Human: Why?\\n\\nAssistant:' -> [('user', 'Why?')]; [] for any other text. So ends
    '### Instruction: Why? ### Response:', and a chat template's prompt.
    """
    marks = [*_template(text).finditer(text)]
    if marks and not text[marks[-1].end() :].strip():
        said = _by_template(text)
    else:
        said = _labelled(text)
        if said and (said[-1][0] != 'assistant' or said.pop()[1].strip()):
            return []
    made = [(role, each.strip()) for role, each in said]
    return made if made and made[-1][0] == 'user' else []


def marks(text: str) -> list[tuple[re.Match[str], str]]:
    """The marks of the text's template, each with whose turn it opens or ''."""
    if _template(text) is _ANY_END:
        return []
    return [(mark, _role_of(mark)) for mark in _marks(text)]


def _by_template(text: str) -> list[tuple[str, str]]:
    """The turns between the marks of a chat template; [] where there are none."""
    made, role, at = [], '', 0
    for mark in _marks(text):
        made.append((role, text[at : mark.start()]))
        at = mark.end()
        if _role_of(mark) or mark['end']:
            role = _role_of(mark)
    made.append((role, text[at:]))
    return [(role, said) for role, said in made if role and said.strip()]


def _marks(text: str) -> list[re.Match[str]]:
    """The marks of the text's template, without those that are words of a turn.

    Text in the line of an end, as in 'The mark <|im_end|> ends it', makes it one; so
    does the lack of a [/INST] below a later [INST].
    """
    found = [*_template(text).finditer(text)]
    starts = [*(mark.start() for mark in found[1:]), len(text)]
    made: list[re.Match[str]] = []
    for mark, following in zip(found, starts, strict=False):
        is_end = bool(mark.groupdict().get('end'))
        goes_on = is_end and _IN_LINE.match(text, mark.end(), following)
        is_unanswered = mark[0].endswith('[INST]') and not text.count(
            '[/INST]', mark.end()
        )
        if not goes_on and not (is_unanswered and made):
            made.append(mark)
    return made


def _template(text: str) -> re.Pattern[str]:
    """The marks of the template of which a text has the first mark of a role."""
    first: dict[re.Pattern[str], int] = {}
    for template in _TEMPLATES if _MAY_BE_TEMPLATE.search(text) else ():
        roles = (mark for mark in template.finditer(text) if _role_of(mark))
        if (mark := next(roles, None)) is not None:
            first[template] = mark.start()
    return min(first, key=lambda each: first[each], default=_ANY_END)


def of_segments(value: Any) -> list[dict[str, Any]] | None:
    """The turns of segments, as axolotl writes them; None for any other value.

    [{"label": false, "text": "<s>[INST] Why? [/INST]"}, {"label": true, "text": "So."}]

    Whose turn a text is, a mark of a chat template says, or else a word such as
    Assistant:; without either, a label of false is the user's and one of true the
    assistant's. A label of false says that a text is not to be learned.

    An answer that is labelled false has the weight 0; one that is in part has a
    `train_detail` which says so.
    """
    if not isinstance(value, list) or not all(
        isinstance(each, dict) and {'label', 'text'} <= set(each) for each in value
    ):
        return None
    texts = [str(each['text'] or '') for each in value]
    # In a text to be learned, a template's mark may be the assistant's own word.
    labelled = sorted(zip(value, texts, strict=True), key=lambda e: bool(e[0]['label']))
    template = _template('\n'.join(text for _, text in labelled))
    if not _opens_turns(template, value, texts):
        template = _ANY_END
    is_template = template is not _ANY_END
    opening = _BEGINS.sub('', ''.join(texts))
    first = None if is_template else _ROLE_WORDS.match(opening)
    made: list[dict[str, Any]] = []
    role = ''  # whose turn the marks say it is
    for each, text in zip(value, texts, strict=True):
        is_learned = bool(each['label'])
        if is_learned and role != 'assistant':
            role = ''
        text = _BEGINS.sub('', text) if first else text
        found = [*template.finditer(text)]
        if first:
            words = _words_of(text, first, is_learned=is_learned)
            found = sorted([*found, *words], key=re.Match.start)
        at = 0
        for mark in [*found, None]:
            said = text[at : mark.start()] if mark else text[at:]
            speaker = role or ('assistant' if is_learned else 'user')
            _append(made, speaker, said, is_learned=is_learned)
            if mark:
                at = mark.end()
                opened = _role_of(mark)
                if opened or mark.groupdict().get('end'):
                    role = opened
                    made.append(_open_turn(''))  # the next text opens a turn
    return [_marked(turn) for turn in made if turn['labels']]


def _opens_turns(
    template: re.Pattern[str], value: list[dict[str, Any]], texts: list[str]
) -> bool:
    """Whether a template's mark opens a segment, or ends the text above the answer.

    Elsewhere, its marks are words of the texts.
    """
    opening = (template.match(text.lstrip()) for text in texts)
    if any(mark and _role_of(mark) for mark in opening):
        return True
    at = next((i for i, each in enumerate(value) if each['label']), len(texts))
    above = ''.join(texts[:at])
    ends = [mark.end() for mark in template.finditer(above)]
    return bool(ends) and not above[ends[-1] :].strip()


def _words_of(
    text: str, first: re.Match[str], *, is_learned: bool
) -> list[re.Match[str]]:
    """The words of roles in a segment that are written as the `first` of all.

    Where 'Human:' opens the first turn, 'User:' is a word of a text. In a text to be
    learned, a word such as User: is the assistant's own, unless it is the assistant's
    word and opens the text.
    """
    found = [
        word
        for word in _ROLE_WORDS.finditer(text)
        if _style(word) == _style(first) and not _is_other(word, first)
    ]
    if not is_learned:
        return found
    is_own = found and not found[0].start() and _role_of(found[0]) == 'assistant'
    return found[:1] if is_own else []


def _style(word: re.Match[str]) -> tuple[bool, bool]:
    """How a word of a role is written: in capitals, and with signs of a heading."""
    return (word['word'] or word['title']).isupper(), '#' in word[0]


def _is_other(word: re.Match[str], first: re.Match[str]) -> bool:
    """Whether a word is another one for the user than the `first`."""
    return _role_of(word) == _role_of(first) == 'user' and bool(
        word['word'] and first['word'] and word['word'].lower() != first['word'].lower()
    )


def _role_of(mark: re.Match[str]) -> str:
    """Whose turn a mark opens; '' for another mark."""
    for name, word in mark.groupdict().items():
        if word and name in ('user', 'assistant', 'system'):
            return name
        if word and name != 'end':
            role = _ROLE_OF.get(word.lower(), word.lower())
            return 'user' if role == 'input' else role
    return ''


def _open_turn(role: str) -> dict[str, Any]:
    return {'role': role, 'content': '', 'labels': set()}


def _append(
    made: list[dict[str, Any]], role: str, text: str, *, is_learned: bool
) -> None:
    """Adds a text to the last turn, or as a turn; blanks alone open none."""
    if text.strip():
        if not made or made[-1]['role'] != role:
            made.append(_open_turn(role))
        made[-1]['labels'].add(is_learned)
    if made and made[-1]['role'] == role:
        made[-1]['content'] += text


def _marked(turn: dict[str, Any]) -> dict[str, Any]:
    """A turn of segments with the fields that say what of it is learned."""
    labels = turn.pop('labels')
    if labels == {True} or turn['role'] == 'user':
        return turn
    if labels == {False}:
        return {**turn, 'weight': 0}
    return {**turn, 'train_detail': [{'train': label} for label in sorted(labels)]}


def _labelled(text: str) -> list[tuple[str, str]]:
    """The turns of a text with headings of roles, or with labels of them.

    Tokens that begin the text, or end a turn of it, are no words of one.
    """
    text = _SEAL.sub('\n\n', _BEGINS.sub('', text))
    above, *parts = _HEADING.split(text)
    if len(parts) > 2 and (not above.strip() or parts[0].lower() == 'instruction'):
        return _joined(parts)
    for pattern in _LABELS:
        if pattern.match(text):
            made = _joined(pattern.split(text)[1:])
            if {'user', 'assistant'} <= {role for role, _ in made}:
                return made
    return []


def _joined(parts: list[str]) -> list[tuple[str, str]]:
    """[word, text, word, text] as turns, an input joined to its instruction."""
    made: list[tuple[str, str]] = []
    for word, said in zip(parts[::2], parts[1::2], strict=True):
        role = _ROLE_OF[word.lower()]
        if role != 'input':
            made.append((role, said))
        elif made and said.strip():
            made[-1] = (made[-1][0], f'{made[-1][1].strip()}\n\n{said.strip()}')
    return made
