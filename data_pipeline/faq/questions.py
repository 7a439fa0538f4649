"""What a question of a page is, and whether a page's headings are questions."""

import math
import re
from collections.abc import Sequence

SOURCE = 'faq'
FEWEST = 3  # headings that are questions
SHARE = 0.8  # of the texts of their level
# Of headings where this many ask, as 'Contact us' and 'License' are among them.
HEADINGS_SHARE, _MANY = 0.7, 5
ASK_NOTHING = f'{SOURCE} headings that ask nothing, left out'
_LONGEST = 300  # characters of a question in a heading
# Question marks of Latin, Chinese, Arabic and Greek, and the word that is Japan's.
_ASKS = re.compile(
    r'.*(?:[?？؟\u037e]|(?<=[\u0370-\u03ff]);|(?<=[\u3040-\u30ff])か。?)\W{0,3}',
    re.DOTALL,
)
MARKS = re.compile(r'[?？؟;\u037eか]')
# Whether a page was of use, as pages ask their reader.
OF_USE = (
    r'(?:was|is|did you find|have you found) (?:this|that|it|the)'
    r'(?: (?:page|article|answer|post|guide|section|topic|information))?'
    r' (?:page |answer )?(?:helpful|useful)(?: to you| for you)?'
)
# Questions of a page to its reader, which no text below answers.
_TO_READER = re.compile(
    rf'(?:{OF_USE}'
    r'|(?:still |do you |did you |have |got )*(?:any |more |other |further |a )*'
    r'questions?'
    r'|(?:still )?(?:need (?:more |further |some )?help|unsure|stuck)'
    r'|(?:not|did(?: not|n[’\']t)|can(?:not|[’\']t)) (?:you )?find(?:ing)? '
    r'(?:what|the answer|an answer|your (?:answer|question))\b.{0,40})\W*',
    re.IGNORECASE,
)
# What stands below a question in an index, a column, a quiz, an agenda and a poll, and
# the label of an answer further down.
_NO_ANSWER = re.compile(
    r'\A(?:dear|hi|hello)\b[^\n.!?]{0,40}[,:]'
    r'|\A(?:(?:asked )?by|posted)\b[^\n]{0,60}\n'
    r'|^(?!\s*(?:#|[-*+•] |\d{1,3}[.)] ))[^\n]*[?？]["”’\')*_]*[ \t]*(?:\n|\Z)'
    r'|\A(?:<details[^<>]*>\s*)?<summary[^\n]*[?？]'
    r'|\A(?:[-*+] |\d[.)] )?(?:\(?[a-d][.)]|\[[ x]?\]|\( ?\)|[☐□○])\s'
    r'|\A\(\d{1,3} (?:points?|marks?|pts)\)|^\(?b[:.)]\s'
    r'|^[>\s]*(?:[*_]{1,3}|#{1,6}\s+)?(?:the )?(?:answer|ans|solution)(?: key)?'
    r'[*_]{0,3}(?:\s?[:：]|\s*#*$)|\A[>\s]*\[![\w-]+\]'
    r'|\A[^\n]{0,60}[,(–—:-]\s*\d{1,3} ?(?:min(?:ute)?s?|m|h(?:ou)?rs?|h)\b\.?\)?\s*\Z'
    r'|\A\W*(?:yes|agree)\s?[/|]\s?(?:no|disagree)\b[^\n.!?]{0,40}\Z'
    r'|(?:\b(?:read|show|see) more|\bcontinue reading|…|\.{3})\W*(?:\]\([^)]*\)\W*)?\Z',
    re.IGNORECASE | re.MULTILINE,
)
_ITEM_ASKS = re.compile(r'\s*(?:[-*+•]|\d{1,3}[.)])\s.*[?？]["”’\')*_]*\s*')
_OTHERS = 0.3  # of the texts below headings: more show that they are no answers
# A picture, and a number: '❓ 7. ', 'Q7: ', '(7) ', '[A.7] ', '1.7. ', '7b. ', '7.'
# before a capital.
NUMBER = (
    r'(?:[\u2600-\u27bf\U0001f300-\U0001faff\ufe0f]+\s*)?'
    r'(?:(?:Q(?:uestion)?\.?\s?)?(?:\d{1,3}\.){0,2}\d{1,3}[a-z]?\s?\\?[.):](?:\s+|(?=(?-i:[A-Z])))'
    r'|\(\d{1,3}\)[.:]?\s+|\[(?:[A-Z]\.?)?\d{1,3}(?:\.\d{1,3}){0,3}\][.:]?\s+|Q[.:)]\s+'
    r'|(?:Q\.|Que\.?|Ques\.?|Question)\s?(?:No\.\s?|#\s?)?\d{1,3}(?:\s?[.):]|\s?--?|\s?[–—])?\s+'
    r'|Q\s?[#-]?\d{1,3}\s?(?:[.):]|--?|[–—])\s+)?'
)
# The number of a section, where most headings have one: '1.7 Why?'
_SECTION = re.compile(r'\d{1,3}(?:\.\d{1,3}){1,3}\s+(?=\S)')
LABEL = re.compile(
    r'(?:[*_]{1,3})?'
    r'(?:(?:the )?(?:answer|ans|a|reply|response)\s?\d{0,3}[*_]{0,3}\s?[:：]'
    r'|#{1,6}\s+(?:the )?(?:answer|ans|solution)\s*[:：]?\s*#*\s*(?:\n|\Z)'
    r'|(?:ans|sol)\s?\d{0,3}[.)])(?:[:–-]{1,2}(?=\s|\*))?[*_]{0,3}\s*',
    re.IGNORECASE,
)
_SPEAKER = re.compile(r'\W*(\w[\w .’\'-]{0,30})[*_]*:')


def is_question(text: str) -> bool:
    """Whether a heading, a term or a summary is a question, and none to the reader."""
    return (
        len(text) <= _LONGEST
        and (len(text.split()) > 1 or (len(text) > 3 and not text.isascii()))
        and bool(_ASKS.fullmatch(text))
        and not is_to_reader(text)
    )


def is_to_reader(text: str) -> bool:
    """Whether a page asks its reader: 'Was this helpful?', 'More questions?'"""
    return bool(_TO_READER.fullmatch(text))


def without_number(question: str) -> str:
    """'7. Why?' -> 'Why?'"""
    return re.sub(rf'\A{NUMBER}', '', question, flags=re.IGNORECASE)


def without_sections(headings: Sequence[str]) -> list[str]:
    """Headings without numbers of sections, if most have one: '1.7 Why?' -> 'Why?'

    One alone may be a version: '3.11 or 3.12?'
    """
    found = [_SECTION.match(heading) for heading in headings]
    numbers = {match[0].strip() for match in found if match}
    if len(numbers) < FEWEST or 2 * len(numbers) <= len(headings):
        return [*headings]
    return [
        heading[match.end() :] if match else heading
        for heading, match in zip(headings, found, strict=True)
    ]


def without_label(answer: str) -> str:
    """'**Answer:** No.' -> 'No.'"""
    found = LABEL.match(answer)
    return answer[found.end() :] if found else answer


def are_asked(
    pairs: Sequence[tuple[str, str]], *, fewest: int, share: float = SHARE
) -> bool:
    """Whether a share of (heading, text below it) are questions with their answers.

    Of few headings it is `SHARE` at least.
    """
    pairs = [pair for pair in pairs if not is_to_reader(pair[0])]
    asked = [pair for pair in pairs if is_question(pair[0])]
    different = len({question.casefold() for question, _ in asked})
    if different < fewest_of(len(pairs), different, fewest=fewest, share=share):
        return False
    answers = [without_label(answer) for _, answer in asked if answer]
    if _have_speaker([question for question, _ in asked]) or _have_speaker(answers):
        return False
    if len(answers) >= FEWEST and len(set(answers)) == 1:  # 'Write your thoughts here.'
        return False
    others = [answer for answer in answers if _is_none(answer)]
    return 2 * len(answers) >= len(asked) and len(others) < _OTHERS * len(answers)


def fewest_of(
    total: int, asked: int, *, fewest: int = FEWEST, share: float = HEADINGS_SHARE
) -> int:
    """How many of `total` headings must ask, where `asked` different ones do."""
    return max(fewest, math.ceil((share if asked >= _MANY else SHARE) * total))


def why_none(headings: Sequence[str], *, share: float = HEADINGS_SHARE) -> str:
    """How many headings of one level ask, and how many must; '' where under two do.

    For a page of which no question was read.
    """
    headings = [each for each in headings if not is_to_reader(each)]
    asked = {each for each in headings if is_question(each)}
    if len(asked) < 2:
        return ''
    needed = fewest_of(len(headings), len(asked), share=share)
    said = f' Of {len(headings)} headings of one level {len(asked)} ask'
    if len(asked) < needed:
        return f'{said}; {needed} must, each another question.'
    return f'{said}, but what stands below them is not read as their answers.'


def _is_none(text: str) -> bool:
    """Whether a text below a question shows that it is no answer; a list may ask."""
    lines = [line for line in text.split('\n') if line.strip()]
    items = sum(bool(_ITEM_ASKS.fullmatch(line)) for line in lines)
    return 2 * items > len(lines) or bool(_NO_ANSWER.search(text))


def _have_speaker(texts: Sequence[str]) -> bool:
    """Whether most texts open with one name and a colon, as those of a talk do."""
    names = [found[1] for text in texts if (found := _SPEAKER.match(text))]
    return len(names) > 0.5 * len(texts) and len(set(names)) < 0.5 * len(names)
