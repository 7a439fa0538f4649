"""Questions without labels in pages of HTML.

    <script type="application/ld+json">{"@type": "FAQPage", …}</script>   schema.org
    <div itemtype="https://schema.org/Question">, its name, its acceptedAnswer
    <table><tr><th>Question</th><th>Answer</th></tr>…
    <div class="faq-question">I ask.</div><div class="faq-answer">So.</div>
    <dl><dt>Why?</dt><dd>So.</dd></dl>
    <details><summary>Why?</summary>So.</details>
    <h3>Why?</h3><p>So.</p>
    <button class="x">Why?</button><div>So.</div>, each question of one class
    <p><b>Why?</b> So.</p>

Terms, summaries, headings, the elements of a class and bold text are questions only
where nearly all of a page's are, each with its question mark: a glossary and an article
have others. Headings that link to another page, or stand above letters, are those of an
index or of a column: no answer is right below them.
"""

import bisect
import dataclasses
import itertools
import json
import re
from collections.abc import Callable, Collection, Iterator
from typing import Any

from data_pipeline.faq import questions
from data_pipeline.fields import field_map
from data_pipeline.markup import html_classes, html_source, html_tree
from data_pipeline.pages import glued_topics, page

SOURCE = questions.SOURCE
HEADINGS = ('h1', 'h2', 'h3', 'h4', 'h5', 'h6')
COPYRIGHT = re.compile(
    rf'\n\n{glued_topics.RIGHTS}[^\n]*'
    r'(?:\n+[^\n]{1,80}){0,6}\s*\Z',
    re.IGNORECASE,
)
_FEWEST_TERMS = 2  # of lists and details that are questions
_LONGEST = 2_000  # signs of an element of a class that is a question, with its tags
# A letter or a word above each text of a class, as a picture of it.
_Q, _A = (re.compile(rf'\A(?:{word})[.:]?\n+') for word in ('Q|Question', 'A|Answer'))
_TAGS = re.compile(r'<[^<>]*>')


@dataclasses.dataclass(frozen=True)
class _Pair:
    line: int
    question: str
    answer: str


def find(source: html_source.Source, *, file: str) -> page.Page | None:
    """The page of the first kind of questions that it has; None without any."""
    kinds = (_microdata, _tables, _named, _lists, _details, _headings, _classes, _bold)
    pairs = _linked_data(source)
    if pairs:
        pairs += _not_linked(pairs, source, kinds)
    else:
        pairs = next(filter(None, (kind(source) for kind in kinds)), [])
    if not pairs:
        return None
    found = page.Page(file)
    answers = [questions.without_label(pair.answer) for pair in pairs]
    bare = html_source.without_ways(answers)
    found.counts[f'{SOURCE} links up, left out'] += sum(
        a != b for a, b in zip(answers, bare, strict=True)
    )
    for pair, answer in zip(pairs, bare, strict=True):
        found.counts[f'{SOURCE} questions'] += 1
        answer = COPYRIGHT.sub('', answer)
        answer = glued_topics.without_site(answer) if pair is pairs[-1] else answer
        pair = dataclasses.replace(pair, answer=answer)
        texts = (pair.question, page.QUESTION), (pair.answer, page.ANSWER)
        pieces = [page.Piece(pair.line, text, kind) for text, kind in texts]
        found.pieces += pieces
        if pair.question and pair.answer:
            found.add(pair.question, pair.answer, source=SOURCE, line=pair.line)
        else:
            reason = f'{SOURCE} questions unanswered'
            found.drop(pair.line, pair.question, reason, pieces)
    for line, heading in source.left_out:
        found.counts[questions.ASK_NOTHING] += 1
        found.unknown.append((line, heading, 'left out: it is no question'))
    return found


def why_none(source: html_source.Source) -> str:
    """How many headings, terms or summaries of a page ask, and how many must.

    For a page without questions; '' where fewer than two of a kind ask.
    """
    for tag in (*HEADINGS, 'dt', 'summary'):
        share = questions.HEADINGS_SHARE if tag in HEADINGS else questions.SHARE
        texts = [source.heading(node) for node in source.root.of(tag)]
        if why := questions.why_none(texts, share=share):
            return why
    return ''


def _linked_data(source: html_source.Source) -> list[_Pair]:
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


def _not_linked(
    linked: list[_Pair],
    source: html_source.Source,
    kinds: tuple[Callable[[html_source.Source], list[_Pair]], ...],
) -> list[_Pair]:
    """The page's own questions that its JSON-LD lacks, of the kind that has all of its.

    A page may name in JSON-LD only those that a search engine is to show.
    """
    known = {each.question.casefold() for each in linked}
    for kind in kinds:
        before = len(source.left_out)
        pairs = kind(source)
        if known < {each.question.casefold() for each in pairs}:
            return [each for each in pairs if each.question.casefold() not in known]
        del source.left_out[before:]
    return []


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
            yield html_source.shown(name), html_source.shown(text)
        return
    for each in value.values():
        yield from _asked(each)


def _microdata(source: html_source.Source) -> list[_Pair]:
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


def _tables(source: html_source.Source) -> list[_Pair]:
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


def _named(source: html_source.Source) -> list[_Pair]:
    """The elements whose classes name them a question or its answer."""
    pairs = []
    for asked, answered in html_classes.pairs(source.root):
        texts = [source.of(each) for each in answered]
        question = source.of(asked).rstrip(html_source.SIGNS)
        pairs.append(_Pair(asked.line, question, '\n\n'.join(texts)))
    numbered = [questions.without_number(pair.question) for pair in pairs]
    if all(a != b.question for a, b in zip(numbered, pairs, strict=True)):
        pairs = [
            dataclasses.replace(pair, question=bare)
            for bare, pair in zip(numbered, pairs, strict=True)
        ]
    filled = [pair for pair in pairs if pair.question and pair.answer]
    if all(_Q.match(p.question) and _A.match(p.answer) for p in filled):
        pairs = [
            _Pair(p.line, _Q.sub('', p.question), _A.sub('', p.answer)) for p in pairs
        ]
    return pairs


def _lists(source: html_source.Source) -> list[_Pair]:
    """The terms that are questions, with all texts below each; some without a <dl>."""
    pairs = []
    lists = [each.of('dt', 'dd') for each in source.root.of('dl')]
    within = {id(node) for nodes in lists for node in nodes}
    alone = [e for e in source.root.of('dt', 'dd') if id(e) not in within]
    for nodes in (*lists, alone):
        terms: list[list[html_tree.Node]] = []
        for node in nodes:
            if node.tag == 'dt':
                terms.append([node])
            elif terms:
                terms[-1].append(node)
        pairs += [
            _Pair(term.line, source.of(term), '\n\n'.join(source.of(e) for e in texts))
            for term, *texts in terms
        ]
    return _asking(pairs, source, fewest=_FEWEST_TERMS)


def _details(source: html_source.Source) -> list[_Pair]:
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


def _headings(source: html_source.Source) -> list[_Pair]:
    """The headings of the one level whose headings are questions, and what follows."""
    for level, tag in enumerate(HEADINGS):
        closing = {id(e) for e in source.root.of(*HEADINGS[: level + 1])}
        nodes = source.root.of(tag)
        texts = [source.heading(node) for node in nodes]
        asked = [questions.without_number(each) for each in texts]
        if sum(map(questions.is_question, asked)) < questions.FEWEST:
            continue
        if html_source.lead_away(nodes, texts, source):
            continue
        pairs = [
            _Pair(node.line, question, source.between(*_below(node, closing)))
            for node, question in zip(nodes, texts, strict=True)
        ]
        share = questions.HEADINGS_SHARE
        if made := _asking(pairs, source, fewest=questions.FEWEST, share=share):
            return made
    return []


def _classes(source: html_source.Source) -> list[_Pair]:
    """The buttons, or the elements of one class, that are questions; what follows."""
    classes: dict[str, list[html_tree.Node]] = {}
    for node in source.root.walk():
        names = node.attributes.get('class', '').split()
        for name in dict.fromkeys(['button'] * (node.tag == 'button') + names):
            classes.setdefault(name, []).append(node)
    texts: dict[int, str] = {}  # of an element, by its id()
    for nodes in classes.values():
        raw = [source.text[node.inner : node.inner_end] for node in nodes]
        asking = sum('?' in text or '？' in text for text in raw)
        nested = any(a.end > b.start for a, b in itertools.pairwise(nodes))
        if (
            asking < max(questions.FEWEST, questions.SHARE * len(nodes))
            or nested
            or max(map(len, raw)) > _LONGEST
        ):
            continue
        for node in nodes:
            if id(node) not in texts:
                texts[id(node)] = source.heading(node)
        if html_source.lead_away(nodes, [texts[id(node)] for node in nodes], source):
            continue
        closing = {id(node) for node in nodes}
        pairs = []
        for node in nodes:
            answer = source.between(*_below(node, closing))
            pairs.append(_Pair(node.line, texts[id(node)], answer))
        if made := _asking(pairs, source, fewest=questions.FEWEST):
            return made
    return []


def _bold(source: html_source.Source) -> list[_Pair]:
    """The bold texts that open a block and are questions, each up to the next."""
    opening = [
        node
        for node in source.root.of('b', 'strong')
        if html_source.opens_block(node, source.text)
    ]
    texts = {id(node): source.of(node).rstrip(html_source.SIGNS) for node in opening}
    asked = [e for e in opening if questions.is_question(texts[id(e)])]
    if len(asked) < questions.FEWEST:
        return []
    if html_source.lead_away(asked, [texts[id(e)] for e in asked], source):
        return []
    ends = [
        node
        for node in opening
        if questions.is_question(texts[id(node)]) or _stands_alone(node, source)
    ]
    if len(opening) > 2 * len(ends):  # bold words, among them questions
        return []
    around = asked[0]
    while around.parent and not around.start <= asked[-1].start < around.end:
        around = around.parent
    closing = [*ends, *source.root.of(*HEADINGS, 'hr')]
    closing.sort(key=lambda node: node.start)
    starts = [node.start for node in closing]
    pairs = []
    for node in ends:
        if not around.start <= node.start < around.end:
            continue
        at = bisect.bisect_right(starts, node.start)
        below = closing[at] if at < len(closing) else None
        while below and below.parent and below.parent.start >= node.end:
            below = below.parent  # the block that it opens
        end = min(below.start if below else around.inner_end, around.inner_end)
        answer = source.between(node.end, end)
        pairs.append(_Pair(node.line, texts[id(node)], answer))
    # Numbers make bold texts headings.
    numbers = sum(questions.without_number(p.question) != p.question for p in pairs)
    are_headings = numbers >= questions.SHARE * len(pairs)
    share = questions.HEADINGS_SHARE if are_headings else questions.SHARE
    return _asking(pairs, source, fewest=questions.FEWEST, share=share)


def _stands_alone(node: html_tree.Node, source: html_source.Source) -> bool:
    """Whether its block ends behind an element that no colon announces: 'Type this:'"""
    above = source.text[max(0, node.start - html_source.BACK) : node.start]
    is_announced = _TAGS.sub('', above).rstrip().endswith(':')
    return not is_announced and html_source.ends_block(node, source.text)


def _below(heading: html_tree.Node, closing: Collection[int]) -> tuple[int, int]:
    """The place of what follows a heading in its section, up to the next heading.

    `closing` has the id() of each element that ends a section.
    """
    node = heading
    while node.parent:
        siblings = node.parent.children
        at = bisect.bisect_right(siblings, node.start, key=lambda each: each.start)
        following = siblings[at:]
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


def _holds(node: html_tree.Node, closing: Collection[int]) -> bool:
    return id(node) in closing or any(id(each) in closing for each in node.walk())


def _asking(
    pairs: list[_Pair],
    source: html_source.Source,
    *,
    fewest: int,
    share: float = questions.SHARE,
) -> list[_Pair]:
    """The pairs that are questions, if a share of all are; the others are left out."""
    filled = [pair for pair in pairs if pair.question]
    bare = [
        questions.without_number(html_source.bare(pair.question)) for pair in filled
    ]
    filled = [
        dataclasses.replace(pair, question=question)
        for pair, question in zip(filled, questions.without_sections(bare), strict=True)
    ]
    texts = [(pair.question, pair.answer) for pair in filled]
    if not questions.are_asked(texts, fewest=fewest, share=share):
        return []
    source.left_out += [
        (pair.line, pair.question)
        for pair in filled
        if not questions.is_question(pair.question)
    ]
    return [pair for pair in filled if questions.is_question(pair.question)]


def _pair(
    asked: html_tree.Node, answered: html_tree.Node, source: html_source.Source
) -> _Pair:
    question, answer = (source.of(e) for e in (asked, answered))
    return _Pair(asked.line, question, answer)
