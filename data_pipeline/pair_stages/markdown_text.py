"""Reddit's Markdown as the text that a reader sees.

A Markdown parser finds the marks. Removes marks of emphasis, targets of links and
backslashes of escapes; keeps the rest character for character, with its lines, lists,
quotes and code. Keeps text that only looks like Markdown: `f***`, `[M](27)`,
`[Edit]: he called`, `don`t`.

    'I *do* [care](https://a.org) \\\\[F32\\\\]' -> 'I do care [F32]'
"""

import re
from collections.abc import Sequence

import markdown_it
from markdown_it import rules_inline, token
from markdown_it.rules_inline import backticks, state_inline

# A text without any of these has no Markdown.
_MARKS = re.compile(r'[*_`~\\\[]|>!|^ {0,3}(?:> ?|[-+] |\d+[.)] )*#', re.MULTILINE)
_SIGNS = ('*', '_', '`', '~', '\\', '[', '>!', '#')  # every match of it has one
_SPOILER = re.compile(r'>!(?=\S)((?:(?!\n\s*\n|>!|!<).)+?)!<', re.DOTALL)
_TARGET = re.compile(
    r'(?:[a-z][a-z\d+.-]*:|/|#|\?|www\.|[ru]/\w|[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}(?:/|$))',
    re.IGNORECASE,
)
_HEADING = re.compile(r'#{1,6}[ \t]+$')
_FENCE_ALONE = re.compile(r'[\s>]*(?:`{3,}|~{3,})\s*')
_CENSORED = re.compile(r'(?<![\w*])[^\W\d_]{1,3}$')
_FAR = 500  # characters; a run of f*** must not be compared with all before it
_OPENS_THREE = re.compile(r'(?<![\w*])\*{3}(?=[^\s*])')


def plain(text: str) -> tuple[str, int]:
    """The text without Markdown's marks, and 1 if it had any, else 0."""
    has_sign = any(sign in text for sign in _SIGNS)
    without = unmarked(text) if has_sign and _MARKS.search(text) else text
    return without, int(without != text)


def unmarked(text: str) -> str:
    """As `plain`, always by the parser."""
    source = _SPOILER.sub(r'\1', text)
    # The parser would split lines at \r too, and replace a zero byte.
    if '\r' in source or '\0' in source:
        return text
    lines: list[str | None] = list(source.split('\n'))
    for block in _PARSER.parse(source):
        if block.map is None:
            continue
        start, end = block.map
        if block.type == 'fence' and not block.info.strip():
            for i in {start, end - 1}:
                if _FENCE_ALONE.fullmatch(lines[i] or ''):
                    lines[i] = None
        if block.type == 'inline':
            lines[start:end] = _unmarked_block(block, source.split('\n')[start:end])
    return '\n'.join(line for line in lines if line is not None)


def _unmarked_block(block: token.Token, source: list[str]) -> list[str | None]:
    """The lines of a paragraph or heading, as many as before, without marks.

    Keeps the part before the text (a list's dash, a quote's sign, blanks).
    """
    content = block.content.split('\n')
    places = [line.rfind(part) for line, part in zip(source, content, strict=False)]
    if len(source) != len(content) or min(places) < 0:
        return list(source)
    heads = [line[:at] for line, at in zip(source, places, strict=True)]
    tails = [
        line[at + len(part) :]
        for line, at, part in zip(source, places, content, strict=True)
    ]
    heading = _HEADING.search(heads[0])
    if heading:
        heads[0], tails[0] = heads[0][: heading.start()], ''
    new = _text(block.children or []).split('\n')
    out: list[str | None] = [
        head + text + tail for head, text, tail in zip(heads, new, tails, strict=False)
    ]
    out[len(new) - 1 :] = [
        heads[len(out) - 1] + '\n'.join(new[len(out) - 1 :]) + tails[len(out) - 1]
    ]
    return out + [None] * (len(source) - len(out))


def _text(children: Sequence[token.Token]) -> str:
    parts = []
    for child in children:
        if child.type == 'image':
            parts.append(_text(child.children or []))
        elif child.type in ('softbreak', 'hardbreak'):
            parts.append('\n')
        else:  # text, code; opening and closing marks have no content
            parts.append(child.content)
    return ''.join(parts)


def _emphasis(state: state_inline.StateInline, silent: bool) -> bool:
    """CommonMark's rule, except that marks within a word or after f*** stay text."""
    marker = state.src[state.pos]
    if silent or marker not in '*_':
        return False
    start = state.pos
    scanned = state.scanDelims(start, marker == '*')
    end = start + scanned.length
    before, after = state.src[start - 1 : start], state.src[end : end + 1]
    within_word = (before.isalpha() and after.isalpha()) or (
        before.isdigit() and after.isdigit()
    )
    censored = (
        marker == '*'
        and scanned.length >= 3
        and _CENSORED.search(state.src, max(0, start - 5), start)
        and not _OPENS_THREE.search(state.src, max(0, start - _FAR), start)
    )
    if within_word or censored:
        state.append_pending(state.src[start:end])
        state.pos = end
        return True
    return rules_inline.emphasis.tokenize(state, silent)


def _code(state: state_inline.StateInline, silent: bool) -> bool:
    """CommonMark's rule, except that a backtick within a word is an apostrophe."""
    at = state.pos
    around = state.src[at - 1 : at] + state.src[at + 1 : at + 2]
    if state.src[at] != '`' or len(around) < 2 or not around.isalpha():
        return backticks.backtick(state, silent)
    if not silent:
        state.append_pending('`')
    state.pos += 1
    return True


def _parser() -> markdown_it.MarkdownIt:
    parser = markdown_it.MarkdownIt('commonmark', {'html': False})
    parser.enable('strikethrough')
    # `[Edit]: he` is no definition and text over `---` no heading. The reader of the
    # text has unescaped entities already; newlines stay where they are.
    parser.disable(['reference', 'lheading', 'entity', 'autolink', 'newline'])
    parser.disable(['html_block', 'html_inline'])
    parser.inline.ruler.at('emphasis', _emphasis)
    parser.inline.ruler.at('backticks', _code)
    parser.validateLink = lambda url: bool(_TARGET.match(url))
    return parser


_PARSER = _parser()
