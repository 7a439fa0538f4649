"""Pages of HTML: their text without navigation and footers; questions without labels.

    <script type="application/ld+json">{"@type": "FAQPage", …}</script>   schema.org
    <div itemtype="https://schema.org/Question">, its name, its acceptedAnswer
    <table><tr><th>Question</th><th>Answer</th></tr>…
    <dl><dt>Why?</dt><dd>So.</dd></dl>
    <details><summary>Why?</summary>So.</details>
    <h3>Why?</h3><p>So.</p>

Terms, summaries and headings are questions only where nearly all of a page's are, each
with its question mark: a glossary and an article have others. Headings that link to
another page, or stand above letters, are those of an index or of a column: no answer
is right below them.
"""

import dataclasses
import json
import re
from collections.abc import Iterator
from typing import Any

from data_pipeline.layouts import detection, heading_questions, html_text
from data_pipeline.markup import html_tree
from data_pipeline.pages import characters, page
from data_pipeline.rows import field_map

SOURCE = heading_questions.SOURCE
_DOCUMENT = re.compile(
    r'\s*(?:<\?xml[^>]*>\s*|<!--.*?-->\s*)*<(?:!doctype html|html|head|body)[\s>]',
    re.DOTALL | re.IGNORECASE,
)
_AROUND = ('nav', 'footer', 'aside')
_ROLES = ('navigation', 'contentinfo', 'complementary')
_NAMED_AROUND = re.compile(
    r'(?:^|[\s_-])(?:footer|nav|navbar|navigation|sidebar|breadcrumbs?|colophon'
    r'|copyright|newsletter)(?:$|[\s_-])',
    re.IGNORECASE,
)
_COPYRIGHT = re.compile(
    r'\n\n(?:©|&copy;|\(c\) ?\d|copyright (?:©|\(c\)|\d{4}))[^\n]*'
    r'(?:\n+[^\n]{1,80}){0,6}\s*\Z',
    re.IGNORECASE,
)
_LABEL = re.compile(
    r'>\s*(?:(?P<answer>A|Answer|ANSWER)|Q|Question|QUESTION)(?:</\w+>)?\s*[:.](?=[\s<])'
)
_MOST_AROUND = 0.4  # of a page's words: more is no navigation
_FEWEST_TERMS = 2  # of lists and details that are questions
_HEADINGS = ('h1', 'h2', 'h3', 'h4', 'h5', 'h6')


@dataclasses.dataclass(frozen=True)
class _Pair:
    line: int
    question: str
    answer: str


@dataclasses.dataclass
class View:
    """A page as its text, without what stands around; `around` is the number of words.

    `found` is the page's pairs where it has questions without labels.
    """

    text: str
    around: int
    found: page.Page | None = None


def opens_document(text: str) -> bool:
    """Whether a text begins as a whole page of HTML."""
    return bool(_DOCUMENT.match(text))


def view(text: str, *, file: str) -> View:
    """The text of a page of HTML, and its pairs if it has no labels that make any."""
    root = html_tree.root(text)
    cuts = [*_around(root, text), *_below_labels(root, text)]
    shown, _ = html_text.plain(_without(text, cuts))
    whole, _ = html_text.plain(text)
    cut = _COPYRIGHT.sub('', shown)
    shown = shown if detection.detect(shown[len(cut) :]) else cut
    around = max(0, len(whole.split()) - len(shown.split()))
    if detection.detect(shown):
        return View(shown, around)
    return View(shown, around, _questions(_Source(root, text, cuts), file=file))


def _around(root: html_tree.Node, text: str) -> list[tuple[int, int]]:
    """The places of navigation, side bars and footers, which hold no labelled pairs."""
    most = _MOST_AROUND * len(html_text.plain(text)[0].split())
    made: list[tuple[int, int]] = []
    for node in root.walk():
        if made and node.start < made[-1][1]:
            continue
        names = f'{node.attributes.get("id", "")} {node.attributes.get("class", "")}'
        is_around = node.tag in _AROUND or node.attributes.get('role') in _ROLES
        is_named = node.tag not in ('html', 'body', 'main', 'article', 'p')
        if not is_around and not (is_named and _NAMED_AROUND.search(names)):
            continue
        shown = _shown(text[node.inner : node.inner_end])
        if len(shown.split()) <= most and not detection.detect(shown):
            made.append((node.start, node.end))
    return made


def _below_labels(root: html_tree.Node, text: str) -> list[tuple[int, int]]:
    """The place below the last labelled answer from a heading on: other articles.

    None where there is a heading among the pairs too.
    """
    labels = [match.start() for match in _LABEL.finditer(text)]
    answers = [match.start() for match in _LABEL.finditer(text) if match['answer']]
    if not answers:
        return []
    starts = sorted(node.start for node in root.of(*_HEADINGS))
    if any(labels[0] < start < answers[-1] for start in starts):
        return []
    return next(([(start, len(text))] for start in starts if start > answers[-1]), [])


def _without(text: str, cuts: list[tuple[int, int]]) -> str:
    parts, at = [], 0
    for start, end in sorted(cuts):
        parts.append(text[at : max(at, start)])
        at = max(at, end)
    return '\n'.join([*parts, text[at:]])


def _shown(inner: str) -> str:
    """The text of an element's content."""
    text, _ = html_text.plain(f'<div>{inner}</div>')
    return characters.clean(text)


def _questions(source: '_Source', *, file: str) -> page.Page | None:
    """The page of the first kind of questions that it has; None without any."""
    kinds = (_linked_data, _microdata, _tables, _lists, _details, _headings)
    pairs = next(filter(None, (kind(source) for kind in kinds)), [])
    if not pairs:
        return None
    found = page.Page(file)
    for pair in pairs:
        found.counts[f'{SOURCE} questions'] += 1
        texts = (pair.question, page.QUESTION), (pair.answer, page.ANSWER)
        pieces = [page.Piece(pair.line, text, kind) for text, kind in texts]
        found.pieces += pieces
        if pair.question and pair.answer:
            found.add(pair.question, pair.answer, source=SOURCE, line=pair.line)
        else:
            reason = f'{SOURCE} questions unanswered'
            found.drop(pair.line, pair.question, reason, pieces)
    for line, heading in source.left_out:
        found.unknown.append((line, heading, 'left out: it is no question'))
    return found


@dataclasses.dataclass
class _Source:
    """A page: its elements, and the places that are no part of its text.

    `left_out` gets (line, text) of each heading that is no question.
    """

    root: html_tree.Node
    text: str
    cuts: list[tuple[int, int]]
    left_out: list[tuple[int, str]] = dataclasses.field(default_factory=list)

    def between(self, start: int, end: int) -> str:
        """The text of a part of the page."""
        within = [(s - start, e - start) for s, e in self.cuts if start <= s < e <= end]
        return _shown(_without(self.text[start:end], within))

    def of(self, node: html_tree.Node) -> str:
        """The text of an element."""
        return self.between(node.inner, node.inner_end)


def _linked_data(source: _Source) -> list[_Pair]:
    """The questions of schema.org's FAQPage and QAPage in JSON-LD."""
    made = []
    for node in source.root.of('script'):
        if node.attributes.get('type', '').lower() != 'application/ld+json':
            continue
        try:
            value = json.loads(source.text[node.inner : node.inner_end])
        except (ValueError, RecursionError):
            source.left_out.append((node.line, 'JSON-LD that is damaged'))
            continue
        made += [_Pair(node.line, *each) for each in _asked(value)]
    return made


def _asked(value: Any) -> Iterator[tuple[str, str]]:
    """(question, accepted answer) of each Question within a value of JSON-LD."""
    if isinstance(value, list):
        for each in value:
            yield from _asked(each)
    if not isinstance(value, dict):
        return
    kinds = value.get('@type')
    answer = value.get('acceptedAnswer')
    answer = answer[0] if isinstance(answer, list) and answer else answer
    if 'Question' in (kinds if isinstance(kinds, list) else [kinds]):
        name = value.get('name') or value.get('text')
        text = answer.get('text') if isinstance(answer, dict) else None
        if isinstance(name, str) and isinstance(text, str):
            yield _shown(name), _shown(text)
        return
    for each in value.values():
        yield from _asked(each)


def _microdata(source: _Source) -> list[_Pair]:
    """The elements that are schema.org's Question, with an accepted answer."""
    made = []
    for node in source.root.walk():
        if not node.attributes.get('itemtype', '').endswith('schema.org/Question'):
            continue
        names = [e for e in node.walk() if e.attributes.get('itemprop') == 'name']
        answers = [
            e for e in node.walk() if e.attributes.get('itemprop') == 'acceptedAnswer'
        ]
        texts = [
            e
            for answer in answers[:1]
            for e in answer.walk()
            if e.attributes.get('itemprop') == 'text'
        ]
        if names and texts:
            made.append(_pair(names[0], texts[0], source))
    return made


def _tables(source: _Source) -> list[_Pair]:
    """The rows of tables whose header names a question's column and an answer's."""
    made = []
    for table in source.root.of('table'):
        if table.of('table'):
            continue
        rows = [
            [cell for cell in row.children if cell.tag in ('td', 'th')]
            for row in table.of('tr')
        ]
        filled = [row for row in rows if row]
        names = [source.of(e) for e in filled[0]] if filled else []
        if len(set(names)) < len(names) or not field_map.has_both(names):
            continue
        fields = field_map.of_row(dict.fromkeys(names, '…'))
        places = [
            [names.index(name) for name in fields.parts[target]] if fields else []
            for target in ('question', 'answer')
        ]
        for row in filled[1:]:
            if [len(each) for each in places] != [1, 1] or len(row) != len(names):
                source.left_out += [(e.line, source.of(e)) for e in row[:1]]
                continue
            (asked,), (answered,) = places
            made.append(_pair(row[asked], row[answered], source))
    return made


def _lists(source: _Source) -> list[_Pair]:
    """The terms of <dl> that are questions, with all texts below each."""
    pairs = []
    for each in source.root.of('dl'):
        terms: list[list[html_tree.Node]] = []
        for node in each.of('dt', 'dd'):
            if node.tag == 'dt':
                terms.append([node])
            elif terms:
                terms[-1].append(node)
        pairs += [
            _Pair(term.line, source.of(term), '\n\n'.join(source.of(e) for e in texts))
            for term, *texts in terms
        ]
    return _asking(pairs, source, fewest=_FEWEST_TERMS)


def _details(source: _Source) -> list[_Pair]:
    """The summaries of <details> that are questions."""
    pairs = []
    for node in source.root.of('details'):
        summaries = [each for each in node.children if each.tag == 'summary']
        if summaries:
            term = summaries[0]
            question = source.of(term)
            pairs.append(
                _Pair(term.line, question, source.between(term.end, node.inner_end))
            )
    return _asking(pairs, source, fewest=_FEWEST_TERMS)


def _headings(source: _Source) -> list[_Pair]:
    """The headings of the one level whose headings are questions, and what follows."""
    for level, tag in enumerate(_HEADINGS):
        closing = _HEADINGS[: level + 1]
        pairs = []
        nodes = source.root.of(tag)
        if any(map(_leads_away, nodes)):
            continue
        for node in nodes:
            start, end = _below(node, closing)
            question = source.of(node).rstrip('¶# \n')
            pairs.append(_Pair(node.line, question, source.between(start, end)))
        if made := _asking(pairs, source, fewest=heading_questions.FEWEST):
            return made
    return []


def _leads_away(heading: html_tree.Node) -> bool:
    """Whether a heading links to another page, where its answer is."""
    around = heading.parent is not None and heading.parent.tag == 'a'
    links = [*heading.of('a'), *([heading.parent] if around and heading.parent else [])]
    return any(e.attributes.get('href', '#')[:1] != '#' for e in links)


def _below(heading: html_tree.Node, closing: tuple[str, ...]) -> tuple[int, int]:
    """The place of what follows a heading in its section, up to the next heading."""
    node = heading
    while node.parent:
        siblings = node.parent.children
        following = siblings[siblings.index(node) + 1 :]
        if following and not _holds(following[0], closing):
            end = following[0].start
            for each in following:
                if each.tag == 'hr' or _holds(each, closing):
                    break
                end = each.end
            return node.end, end
        if following or len(siblings) > 1 or node.parent.tag in ('body', ''):
            break
        node = node.parent
    return heading.end, heading.end


def _holds(node: html_tree.Node, tags: tuple[str, ...]) -> bool:
    return node.tag in tags or bool(node.of(*tags))


def _asking(pairs: list[_Pair], source: _Source, *, fewest: int) -> list[_Pair]:
    """The pairs that are questions, if nearly all are; the others are left out."""
    filled = [pair for pair in pairs if pair.question]
    texts = [(pair.question, pair.answer) for pair in filled]
    if not heading_questions.are_asked(texts, fewest=fewest):
        return []
    source.left_out += [
        (pair.line, pair.question)
        for pair in filled
        if not heading_questions.is_question(pair.question)
    ]
    return [pair for pair in filled if heading_questions.is_question(pair.question)]


def _pair(asked: html_tree.Node, answered: html_tree.Node, source: _Source) -> _Pair:
    question, answer = (source.of(e) for e in (asked, answered))
    return _Pair(asked.line, question, answer)
