"""Stage `clean`: undoes mojibake, HTML, labels, tails and Markdown; cuts if asked.

Entities, zero-width characters and kinds of spaces are left to characters.clean, which
every parser calls once: a second unescaping would turn a typed `&amp;lt;` into `<`.
"""

import functools
import re
import unicodedata

from data_pipeline import settings
from data_pipeline.faq import questions
from data_pipeline.layouts import html_text, label_forms
from data_pipeline.pages import (
    chat_grammar,
    crisis_lines,
    encoding,
    glued_topics,
    link_cards,
)
from data_pipeline.pair_stages import markdown_text, reasoning, stages
from hax_jax.data import records

# 'Edit:', 'EDIT 2 -', 'Update :', 'Edit' alone in its line, with marks before it.
_EDIT = re.compile(
    r'^[^\w\n]{0,6}(?:edit(?:ed)?|update|eta)[ \t]*(?:#?[ \t]?\d{1,2})?[^\w\n]{0,3}?'
    r'[ \t]*(?:[:;\-–—]|$)',
    re.IGNORECASE,
)
_SUMMARY = re.compile(r'^[^\w\n]{0,6}tl\W{0,2}dr\b', re.IGNORECASE)
# 'QUESTION:', '**Answer:**', 'Q:', '## Question' alone in its line; 'a: this, b: that'
# is a list.
_MARKS = r'[\s*_#>]{0,9}'
_LABEL_ENDS = r'[\s*_]{0,9}[:：][*_]{0,3}\s{0,9}'
_HEADING_ENDS = r'[ \t*_]{0,9}(?:\n\s{0,9}|$)'
_LABELS = {
    field: re.compile(
        rf'{_MARKS}(?:(?:(?i:{words})|{letters}){_LABEL_ENDS}|{field.upper()} [-–—] '
        rf'|(?<=[#*_])[ \t]{{0,9}}(?i:{words}){_HEADING_ENDS}'
        rf'|(?<=###)[ \t]?(?:{headings}):?[ \t]*(?:\n\s{{0,9}}|$))'
    )
    for field, words, letters, headings in (
        ('question', 'question', '[Qq]', 'Instruction|Prompt|Human|User'),
        ('answer', 'answer|revised[ _]response', 'A', 'Response|Assistant|Output'),
    )
}
# A prompt that asks for its answer: '…?\n\nANSWER:', '…?\n\n### Response:'
_ASKS_FOR_ANSWER = re.compile(
    r'\n(?:[ \t*_#>]{0,9}(?:(?i:answer)|A)[ \t*_]{0,9}:[ \t*_]{0,9}'
    r'|### ?(?:Response|Assistant|Output):?[ \t]{0,9})$'
)
_LONGEST_SEPARATOR = 20  # characters, with the blanks around it
_ASKING_ENDS = (':', 'Response', 'Assistant', 'Output')
# What trainers put around a text: it would be learned as text.
_TOKEN = (
    r'(?:<\|(?:im_start\|>[ \t]*(?:user|assistant)\b|(?:im_end|endoftext|eot_id'
    r'|begin_of_text|end_of_text|eom_id|user|assistant|prompter|end)\|>)'
    r'|<END[_ ]OF[_ ]SET>)'
)
# What a calculator is to work out, in front of the result: '<<16-3=13>>13' of GSM8K.
_CALCULATION = re.compile(r'<<(?! )[\d .,%$+*/()-]+=[\d .,%$/-]+(?<! )>>')
_TOKENS = re.compile(
    rf'^(?:\s{{0,9}}{_TOKEN})+\s{{0,9}}|\s{{0,9}}(?:{_TOKEN}\s{{0,9}})+$'
)
# Behind each prompt and each completion, as OpenAI's first guide to fine-tuning had it.
_SEPARATOR = re.compile(r'\s*\n[ \t]*(?:###|->)\s*$')
_STOP = re.compile(r'\s+(?:###|END)\s*$')
_ITEM = re.compile(
    r'\s{0,9}(?:[-*•]|\d{1,3}[.)])\s+\S'
)  # of a list: it ends no sentence
# '14 Likes', '3 replies', 'Upvote 7': alone in a line, or behind a sentence's end.
_COUNTABLE = r'(?:likes?|upvotes?|points?|repl(?:y|ies)|comments?|shares?)'
_COUNT_LINE = re.compile(
    rf'\d[\d,.]{{0,9}}[kK]?\s{_COUNTABLE}|{_COUNTABLE}:?\s\d[\d,.]{{0,9}}[kK]?'
    r'|\+\d{1,4}',
    re.IGNORECASE,
)
# A dash or a rule that nothing follows, and the name of a page to read next.
_NOTHING_SAID = re.compile(r'[-–—=*_~•·.|\s]+')
_NEXT_PAGE = re.compile(
    r'(?:related|read (?:more|next|also)|more(?= from)|you may also like)'
    r'(?: (?:stories|story|articles?|reading))?(?: (?:from|in|about) [^:.!?]{1,60})?'
    rf': ?\S.{{0,150}}|{glued_topics.RIGHTS}.{{0,150}}'
    r'|(?-i:Copyright(?: [A-Z][\w.&’-]*,?){1,6} (?:19|20)\d\d)\W*'
    r'|all rights reserved\.?'
    r'|(?:back|return) to (?:the )?top(?: of (?:the |this )?(?:page|list))?'
    r'(?:[^\w\s].{0,40})?\s*'
    rf'|{questions.OF_USE}\?(?:\W*(?:yes|no)\b)*\W*',
    re.IGNORECASE,
)
_LABEL_ALONE = re.compile(
    r'[*_#\s]{0,9}(?:QUESTION|ANSWER)[*_]{0,3}:[*_\s]{0,9}'
    r'|OVERSAMPLE_WEIGHT:\s{0,9}\d[\d.]{0,9}'
)
# [a]: https://a.example, and [^1]: the text of a note
_DEFINITION = re.compile(
    r'\[(?:[^\]^\s][^\]]*\]: <?(?:https?://|#|/|mailto:)\S+|\^[^\]\s]+\]: \S.*)'
)
# The buttons below a post, one or several in a line; no sentence ends in so little.
_BUTTONS = re.compile(
    r'(?:(?:likes?|reply|replies|share|report|comments?|save|upvote|downvote|permalink'
    r'|advertisement|(?:read|show|load) more)(?:\s*[·•|]\s*|\s+|$))+',
    re.IGNORECASE,
)
_COUNTED = re.compile(
    r'(?<=[.!?\u2026"\u201d\u2019)])[ \t]+(?:\d[\d,.]{0,9}[kK]? (?:likes?|upvotes?)'
    rf'|{chat_grammar.REACTIONS})\s*$',
    re.IGNORECASE,
)
_COUNTED_ENDS = re.compile(
    rf'(?:likes?|upvotes?|\d[km]?|{chat_grammar.SIGN})$', re.IGNORECASE
)


_LABELS_OF_BOTH = [
    stages.TextRule(
        'labels of both texts cut', label_forms.without_head, ('question', 'answer')
    )
]
_OPENS, _CLOSES, _STOPS = '[INST]', '[/INST]', '</s>'  # Llama 2's and Mistral's
_SYSTEM = '<<SYS>>', '<</SYS>>'
_SEPARATED = [
    stages.TextRule(
        'separator of prompts cut', functools.partial(mark.subn, ''), (field,)
    )
    for field, mark in (('question', _SEPARATOR), ('answer', _STOP))
]


def stage(chosen: settings.CleanSettings) -> stages.Stage:
    """The stage that cleans one pair; it removes Markdown from Reddit's pairs alone."""
    repairs, before, markdown, after = [], [], [], []
    if chosen.mojibake:
        repairs.append(stages.TextRule('mojibake repaired', encoding.repair))
    if chosen.reasoning:
        repairs.append(stages.TextRule('reasoning cut', reasoning.without, ('answer',)))
    if chosen.html:
        repairs.append(stages.TextRule('base64 cut', html_text.without_base64))
        repairs.append(stages.TextRule('HTML made plain text', html_text.plain_field))
    if chosen.labels:
        before.append(stages.TextRule('marks of trainers cut', without_tokens))
        before.append(
            stages.TextRule('calculations cut', without_calculations, ('answer',))
        )
        before.append(
            stages.TextRule('label QUESTION cut', without_question_label, ('question',))
        )
        before.append(
            stages.TextRule('label ANSWER cut', without_answer_label, ('answer',))
        )
    if chosen.tails:
        before.append(stages.TextRule('tail cut', without_tail, ('answer',)))
    if chosen.markdown:
        rule = stages.TextRule('Markdown made plain text', markdown_text.plain)
        markdown.append(rule)
    if not chosen.keep_edits:
        after.append(stages.TextRule('edits cut', without_edits))
    if not chosen.keep_summaries:
        after.append(stages.TextRule('summaries cut', without_summaries))

    def apply(pair: records.QaPair) -> stages.Outcome:
        of_reddit = records.kind(pair.source) == 'reddit'
        own = _of_both(pair, chosen) if chosen.labels else []
        rules = repairs + own + before + markdown * of_reddit + after
        return stages.rewrite(pair, rules)

    return stages.Stage('clean', apply)


def _of_both(
    pair: records.QaPair, chosen: settings.CleanSettings
) -> list[stages.TextRule]:
    """The rules for marks that mean something only where all texts have theirs.

    'Q. Why?' and 'A. So.': 'A. So.' alone may be a choice; so are 'Frage: Warum?' and
    'Antwort: Darum.'. 'Why?\\n\\n###\\n\\n' and 'So. END'.
    """
    turns = pair.exchanges
    texts = [(each.question, each.answer) for each in turns]
    if chosen.html and all(q[:1] == a[:1] == '<' for q, a in texts):
        texts = [(html_text.plain(q)[0], html_text.plain(a)[0]) for q, a in texts]
    if all(label_forms.open_both(*each) for each in texts):
        return _LABELS_OF_BOTH
    if all(_without_instruction(question)[1] for question, _ in texts):
        return _INSTRUCTED
    ends = (each.question[-_LONGEST_SEPARATOR:] for each in turns)
    return _SEPARATED if all(map(_SEPARATOR.search, ends)) else []


def _without_instruction(text: str) -> tuple[str, int]:
    """The text within '[INST] Why? [/INST]', and 1."""
    left = text.strip().removeprefix('<s>').lstrip()
    is_one = left.count(_OPENS) == left.count(_CLOSES) == 1
    if not (is_one and left.startswith(_OPENS) and left.endswith(_CLOSES)):
        return text, 0
    return left.removeprefix(_OPENS).removesuffix(_CLOSES).strip(), 1


def _without_system(text: str) -> tuple[str, int]:
    """The question of '<<SYS>> Be kind. <</SYS>> Why?', and 1."""
    opens, closes = _SYSTEM
    if not text.startswith(opens) or closes not in text:
        return text, 0
    return text.partition(closes)[2].strip(), 1


def _without_stop(text: str) -> tuple[str, int]:
    left = text.rstrip()
    is_there = left.endswith(_STOPS)
    return (left.removesuffix(_STOPS).rstrip(), 1) if is_there else (text, 0)


_INSTRUCTED = [
    stages.TextRule('marks of trainers cut', _without_instruction, ('question',)),
    stages.TextRule('system prompt cut', _without_system, ('question',)),
    stages.TextRule('marks of trainers cut', _without_stop, ('answer',)),
]


def without_tokens(text: str) -> tuple[str, int]:
    """A text without the marks of trainers at its ends, and whether it had some.

    'So.<|endoftext|>' -> 'So.'
    """
    if '|>' not in text and '<END' not in text:
        return text, 0
    left = _TOKENS.sub('', text)
    return (left, 1) if left and left != text else (text, 0)


def without_calculations(text: str) -> tuple[str, int]:
    """A text without what stands for a calculator, and how often.

    '<<2*3=6>>6' -> '6'
    """
    return _CALCULATION.subn('', text) if '<<' in text else (text, 0)


def without_question_label(text: str) -> tuple[str, int]:
    """A question without the labels that open it, and without a last ANSWER:."""
    left, times = _without_label(text, 'question')
    may_ask = left.rstrip(' *_').endswith(_ASKING_ENDS)
    if may_ask and (asks := _ASKS_FOR_ANSWER.search(left)):
        left, times = left[: asks.start()].rstrip(), times + 1
    return left, times


def without_answer_label(text: str) -> tuple[str, int]:
    """An answer without the labels that open it, and their number.

    '**ANSWER:** Yes.' -> 'Yes.'
    """
    return _without_label(text, 'answer')


def _without_label(text: str, field: str) -> tuple[str, int]:
    times = 0
    while match := _LABELS[field].match(text):
        text, times = text[match.end() :], times + 1
    return text, times


def without_tail(text: str) -> tuple[str, int]:
    """An answer without footers, counts, buttons and lone words in its last lines.

    All are left over from a page, and so are a link card below the line `image` and a
    label of the next text. Counts and buttons must stand below the end of a
    sentence, or below a list: 'Call this number:' may be followed by one. Crisis lines
    stay.

    'Leave him.\\n1125' -> 'Leave him.'; so 'Leave him. 88 Likes'.
    """
    if counted := _counted(text):
        left, times = without_tail(text[: counted.start()].rstrip())
        return left, times + 1
    lines = text.split('\n')
    end = link_cards.start_at_end(lines)
    while end > 1 and (
        _is_residue(lines[end - 1].strip())
        or (end < len(lines) and lines[end - 1].strip() in ('A', 'I'))  # above counts
    ):
        end -= 1
    above = '\n'.join(lines[:end]).rstrip()
    is_ended = (
        above.rstrip('*_').endswith(chat_grammar.SENTENCE_ENDS)
        or above.endswith(('```', '~~~', '|'))  # code, a table
        or unicodedata.category(above.rstrip('\ufe0f🏻🏼🏽🏾🏿')[-1:] or ' ')
        == 'So'  # a smiley
        or _ITEM.match(lines[end - 1])
    )
    if not is_ended:
        end, above = len(lines), text.rstrip()
        while (found := above.rpartition('\n'))[1] and chat_grammar.is_lone_word(
            found[2].strip()
        ):
            end, above = end - 1, found[0].rstrip()
    times = sum(bool(line.strip()) for line in lines[end:])
    return (above, times) if times and above else (text, 0)


def _counted(text: str) -> re.Match[str] | None:
    """A count of likes that ends the text; few texts end in its word."""
    if not _COUNTED_ENDS.search(text.rstrip()[-len('upvotes') :]):
        return None
    return _COUNTED.search(text)


def _is_residue(line: str) -> bool:
    if not line or _COUNT_LINE.fullmatch(line):
        return True
    if line[0].isupper() and _BUTTONS.fullmatch(line):
        return True
    if any(sign.fullmatch(line) for sign in (_NOTHING_SAID, _DEFINITION, _LABEL_ALONE)):
        return True
    if _NEXT_PAGE.fullmatch(line.lstrip('*_[(↑⬆▲^ \ufe0f')):
        return True
    return chat_grammar.is_left_over(line) and not crisis_lines.is_one(line)


def without_edits(text: str) -> tuple[str, int]:
    """The text without paragraphs that open with Edit: or Update:, and their number."""
    return _without(text, _EDIT)


def without_summaries(text: str) -> tuple[str, int]:
    """The text without paragraphs that open with TL;DR, and their number."""
    return _without(text, _SUMMARY)


def _without(text: str, mark: re.Pattern[str]) -> tuple[str, int]:
    """Cuts from each marked line to the next blank one.

    A mark alone in its line also removes the paragraph below it. A text that would
    then be empty stays unchanged.
    """
    kept: list[str] = []
    times = 0
    cutting = bare = False
    for line in text.split('\n'):
        if found := mark.match(line):
            times += 1
            cutting, bare = True, not line[found.end() :].strip(' *_:-')
        elif cutting and not line.strip():
            cutting = bare  # the paragraph below a bare mark goes too
            continue
        elif cutting:
            bare = False
        if not cutting:
            kept.append(line)
    left = re.sub(r'\n{3,}', '\n\n', '\n'.join(kept)).strip('\n')
    if not times or not left.strip():
        return text, 0
    return left, times
