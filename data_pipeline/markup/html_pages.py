"""Pages of HTML: their text without navigation and footers, and their questions."""

import dataclasses
import html
import re

from data_pipeline.faq import answer_buttons, questions
from data_pipeline.layouts import detection, html_text, labelled
from data_pipeline.markup import (
    html_buttons,
    html_controls,
    html_hidden,
    html_questions,
    html_source,
    html_tree,
    speakers,
)
from data_pipeline.pages import chat, page

_DOCUMENT = re.compile(
    r'\s*(?:<\?xml[^>]*>\s*|<!--.*?-->\s*)*<(?:!doctype html|html|head|body)[\s>]',
    re.DOTALL | re.IGNORECASE,
)
_DECLARED = re.compile(r'\A\s*<\?xml[^>]*>')
_AROUND = ('nav', 'footer', 'aside')
_ROLES = ('navigation', 'contentinfo', 'complementary')
_NAMED_AROUND = re.compile(
    r'(?:^|[\s_-])(?:(?:nav)?footer|nav|navbar|navheader|navigation|sidebar'
    r'|breadcrumbs?|colophon|copyright|footnotes|newsletter)(?:$|[\s_-])',
    re.IGNORECASE,
)
_LABEL = re.compile(
    r'>\s*(?:(?P<answer>A|Answer|ANSWER)|Q|Question|QUESTION)(?:[ #]?\d{1,4})?'
    r'(?:</\w+>)?\s*[:.](?=[\s<])'
)
# Of characters beyond ASCII: decoded, none of them is markup.
_ENTITY = re.compile(r'&#(?:[1-9]\d{2,6}|[xX]0{0,2}[1-9a-fA-F][0-9a-fA-F]{1,4});')
_TAGS = re.compile(r'(?:\s|<[^<>]*>|&nbsp;|\u00a0)*')
_QUESTION = re.compile(r'(?:Q|Question|QUESTION)(?:[ #]?\d{1,4})?(?:</\w+>)?\s*[:.：]')
# The first cell of a table's row, where it is a label without its colon.
_LABEL_CELL = re.compile(
    r'(<tr\b[^<>]*>\s*<t[dh]\b[^<>]*>(?:\s|<\w+>)*'
    r'(?P<word>Q|A|Ques|Ans|Question|Answer|QUESTION|ANSWER)(?:[ #]?\d{1,4})?)'
    r'(?=(?:\s|</\w+>)*</t[dh]>\s*<t[dh]\b)'
)
# A letter or a number in an element of its own, in front of the words of its line.
_ICON = re.compile(
    r'(?P<above><(?:h\d|p|div|dt|dd|summary|button|li|a|span)\b[^<>]*>\s*'
    r'<(?P<tag>span|i|b|em|strong|small|div)\b[^<>]*>\s*)(?P<said>[QA]|\d{1,3})'
    r'(?P<end>\s*</(?P=tag)>)(?=\s*(?:<(?:span|a|b|strong|em)\b[^<>]*>\s*)*[^\s<.:)])'
)
_TIMES = 3  # as many pairs of headings as of labels: the page's are the headings
_OF_WAYS = ('ul', 'p', 'div', 'center', 'table')
_LONGEST_WAYS = 1_500  # signs of a row of links, with their tags
_TAG = re.compile(r'<[^<>]*>')
_LINK = re.compile(r'<a\s[^<>]*>.*?</a>', re.DOTALL | re.IGNORECASE)
_WAY = re.compile(
    r'\W*(?:(?:table of )?contents'
    r'|(?:next|prev(?:ious)?|back|up)(?: (?:chapter|section|page))?'
    r'|home|top|index|back to (?:the )?top)\W*',
    re.IGNORECASE,
)
# What a row of links does with the text above it, and the sites that it names.
_SHARES = re.compile(
    r'\W*(?:share|tweet|e-?mail|print|save|like|reply|report|permalink)(?: this)?\W*',
    re.IGNORECASE,
)
_SITES = re.compile(
    r'\W*(?:facebook|twitter|x|pinterest|linkedin|reddit|whatsapp|tumblr)\W*',
    re.IGNORECASE,
)
# A saved live chat shows the picture that opens an answer; a copied one has its words.
_AVATAR = re.compile(r'<img\b[^<>]*\balt=["\']?avatar["\']?(?=[\s/>])[^<>]*>', re.I)
_ADVERT = re.compile(
    r'(?:story continues below )?advertisement|sponsored(?: content)?', re.IGNORECASE
)
_LONGEST_ADVERT = 300  # signs, with their tags
_MOST_AROUND = 0.4  # of a page's words: more is no navigation


@dataclasses.dataclass
class View:
    """A page as its text, without what stands around; `around` is the number of words.

    `found` is the page's pairs where it has questions without labels; `why_none` says
    what its headings lack. `buttons` is the number of those left out that show answers,
    `controls` that of others.
    """

    text: str
    around: int
    found: page.Page | None = None
    why_none: str = ''
    buttons: int = 0
    controls: int = 0


def opens_document(text: str) -> bool:
    """Whether a text begins as a whole page of HTML."""
    return bool(_DOCUMENT.match(text))


def view(text: str, *, file: str) -> View:
    """The text of a page of HTML, and its pairs if it has no labels that make any."""
    text = _DECLARED.sub('', _ENTITY.sub(_decoded, text))
    text, controls = html_controls.without(html_hidden.without(text))
    text, buttons = _without_buttons(text)
    made = _viewed(_with_answers(_with_colons(_with_signs(text))), file=file)
    made.buttons, made.controls = buttons, controls
    return made


def _without_buttons(text: str) -> tuple[str, int]:
    """A page with labels for what shows its answers, or without, if it has labels."""
    cuts = html_buttons.places(text)
    commands = [cut for cut in cuts if cut[2]]
    bare = html_buttons.replaced(text, commands, '')
    if cuts and labelled.kind(_shown(bare)[0].text):
        return bare, len(commands)
    return html_buttons.replaced(text, cuts, answer_buttons.LABEL), len(cuts)


def _viewed(text: str, *, file: str) -> View:
    if (titled := _with_titles(text)) != text:
        made, _ = _shown(titled)
        if detection.detect(made.text):
            return made
    made, source = _shown(text)
    layout = detection.detect(made.text)
    if layout == chat.SOURCE and _AVATAR.search(text):
        made, source = _shown(_AVATAR.sub('<p>avatar</p>', text))
    # A page's own elements tell where answers end better than its lines do.
    if layout in ('', html_questions.SOURCE, labelled.QA):
        made.found = html_questions.find(source, file=file)
        made.why_none = '' if made.found else html_questions.why_none(source)
    if made.found and layout == labelled.QA:
        few = detection.parse(made.text, layout=layout, file=file)
        # Labels may be an example within one of the answers.
        is_example = len(made.found.pairs) >= _TIMES * max(1, len(few.pairs))
        made.found = made.found if is_example else None
    if not made.found and not layout and (said := speakers.with_labels(text)) != text:
        return _shown(said)[0]
    if not made.found and layout == html_questions.SOURCE:
        titled, _ = _shown(_with_titles(text, are_all=True))
        return titled if detection.detect(titled.text) else made
    return made


def _shown(text: str) -> tuple[View, html_source.Source]:
    root = html_tree.root(text)
    cuts = [*_around(root, text), *_below_labels(root, text)]
    shown, _ = html_text.plain(html_source.without(text, cuts), of_page=True)
    whole, _ = html_text.plain(text, of_page=True)
    cut = html_questions.COPYRIGHT.sub('', shown)
    shown = shown if detection.detect(shown[len(cut) :]) else cut
    around = max(0, len(whole.split()) - len(shown.split()))
    return View(shown, around), html_source.Source(root, text, cuts)


def _with_colons(text: str) -> str:
    """A page with a colon behind the labels that are the first cells of its rows.

    Those of questions alone may be names of columns: 'Question', 'Answer'.
    """
    labels = [match['word'][0] for match in _LABEL_CELL.finditer(text)]
    return _LABEL_CELL.sub(r'\1:', text) if {*labels} == {'Q', 'A'} else text


def _with_signs(text: str) -> str:
    """A page with a sign behind the letters and numbers that open its texts as icons.

    <h3><span>Q</span>Why?</h3> -> 'Q: Why?'; numbers must count up from 0 or 1.
    """
    said = [match['said'] for match in _ICON.finditer(text)]
    numbers = [int(each) for each in said if each.isdigit()]
    first = numbers[0] if numbers else 0
    counts = first < 2 and numbers == [*range(first, first + len(numbers))]
    are_numbers = counts and len(numbers) >= questions.FEWEST
    are_letters = said.count('Q') >= 2 and said.count('A') in (0, said.count('Q'))

    def signed(match: re.Match[str]) -> str:
        is_number = match['said'].isdigit()
        if not (are_numbers if is_number else are_letters):
            return match[0]
        return (
            f'{match["above"]}{match["said"]}{"." if is_number else ":"}{match["end"]} '
        )

    return _ICON.sub(signed, text)


def _with_answers(text: str) -> str:
    """A page with a label for each answer without one, below a question's title.

    <h3>Q: Why?</h3><p>So.</p> beside <h3>Q: Who?</h3><p>A: Tom.</p>
    """
    if not any(match['answer'] for match in _LABEL.finditer(text)):
        return text
    nodes = sorted(html_tree.root(text).of(*html_questions.HEADINGS), key=_start)
    ends = [*(node.start for node in nodes), len(text)][1:]
    asked = [
        bool(_QUESTION.match(text, _TAGS.match(text, n.inner).end())) for n in nodes
    ]
    bare = [
        node.end
        for node, end, is_asked in zip(nodes, ends, asked, strict=True)
        if is_asked
        and not any(m['answer'] for m in _LABEL.finditer(text, node.end - 1, end))
        and html_source.shown(text[node.end : end])
    ]
    if not 0 < len(bare) < sum(asked):
        return text
    parts = [text[a:b] for a, b in zip([0, *bare], [*bare, len(text)], strict=True)]
    return '<p>A: </p>'.join(parts)


def _with_titles(text: str, *, are_all: bool = False) -> str:
    """A page with a Markdown heading's sign in each title above a labelled question.

    Or in all titles, where the items of lists are the questions.
    """
    if not are_all and not _QUESTION.search(text):
        return text
    below, parts, last = -1, [], len(text)
    nodes = sorted(html_tree.root(text).of(*html_questions.HEADINGS), key=_start)
    for node in reversed(nodes):
        end = _TAGS.match(text, node.end).end()
        is_above = are_all or end == below or bool(_QUESTION.match(text, end))
        opens = _TAGS.match(text, node.inner).end()
        if is_above and opens < node.inner_end and not _QUESTION.match(text, opens):
            parts += [text[opens:last], '## ']
            below = last = opens
    return ''.join([*parts, text[:last]][::-1])


def _start(node: html_tree.Node) -> int:
    return node.start


def _decoded(found: re.Match[str]) -> str:
    character = html.unescape(found[0])
    return found[0] if character.isascii() else character


def _around(root: html_tree.Node, text: str) -> list[tuple[int, int]]:
    """The places of navigation, side bars and footers, which hold no labelled pairs."""
    most = _MOST_AROUND * len(html_text.plain(text, of_page=True)[0].split())
    made: list[tuple[int, int]] = []
    for node in root.walk():
        if made and node.start < made[-1][1]:
            continue
        names = f'{node.attributes.get("id", "")} {node.attributes.get("class", "")}'
        is_around = node.tag in _AROUND or node.attributes.get('role') in _ROLES
        is_ways = node.tag in _OF_WAYS and _are_ways(text[node.start : node.end])
        is_named = node.tag not in ('html', 'body', 'main', 'article', 'p')
        markup = text[node.start : node.end]
        is_around = is_around or is_ways or _is_beside(node.tag, markup)
        is_around = is_around or (is_named and _NAMED_AROUND.search(names))
        if not is_around:
            continue
        shown = html_source.shown(text[node.inner : node.inner_end])
        if len(shown.split()) <= most and not detection.detect(shown):
            made.append((node.start, node.end))
    return made


def _is_beside(tag: str, markup: str) -> bool:
    """Whether an element is a picture with its words, or a place for advertisements."""
    if tag == 'figure':
        return '<img' in markup.lower()
    is_short = tag in _OF_WAYS and len(markup) <= _LONGEST_ADVERT
    return is_short and bool(_ADVERT.fullmatch(_TAG.sub('', markup).strip()))


def _are_ways(markup: str) -> bool:
    """Whether an element is a row of links: 'Prev | Next', 'Share | Facebook'."""
    if len(markup) > _LONGEST_WAYS or '<a ' not in markup.lower():
        return False
    links = [html.unescape(_TAG.sub('', each)) for each in _LINK.findall(markup)]
    rest = html.unescape(_TAG.sub('', _LINK.sub('', markup)))
    if re.search(r'\w', rest):
        return False
    others = [link for link in links if not _SHARES.fullmatch(link)]
    shares = len(others) < len(links) and all(map(_SITES.fullmatch, others))
    return shares or all(map(_WAY.fullmatch, links))


def _below_labels(root: html_tree.Node, text: str) -> list[tuple[int, int]]:
    """The place below the last labelled answer from a heading on: other articles.

    None where there is a heading among the pairs too, or further pairs are below it.
    """
    labels = [match.start() for match in _LABEL.finditer(text)]
    answers = [match.start() for match in _LABEL.finditer(text) if match['answer']]
    if not answers:
        return []
    starts = sorted(node.start for node in root.of(*html_questions.HEADINGS))
    if any(labels[0] < start < answers[-1] for start in starts):
        return []
    below = next((start for start in starts if start > answers[-1]), len(text))
    is_other = not detection.detect(html_source.shown(text[below:]))
    return [(below, len(text))] if is_other and below < len(text) else []
