"""Text that was read in the wrong encoding once, put right."""

import ftfy

# Only the repair of mojibake: ftfy can do more, which is clean.text's, or would change
# what people typed (quotes, wide letters) or lose letters (lossy sequences).
_MOJIBAKE_ALONE = ftfy.TextFixerConfig(
    unescape_html=False,
    remove_terminal_escapes=False,
    replace_lossy_sequences=False,
    fix_c1_controls=False,
    fix_latin_ligatures=False,
    fix_character_width=False,
    uncurl_quotes=False,
    fix_line_breaks=False,
    fix_surrogates=False,
    remove_control_chars=False,
    normalization=None,
)


def repair(text: str) -> tuple[str, int]:
    """The text without mojibake, and how many lines were changed.

    >>> repair('donâ€™t be naïve')
    ('don’t be naïve', 1)
    """
    if text.isascii():
        return text, 0
    lines = text.split('\n')
    repaired = [_repaired(line) for line in lines]
    times = sum(a != b for a, b in zip(lines, repaired, strict=True))
    return '\n'.join(repaired), times


def _repaired(line: str) -> str:
    fixed = line if line.isascii() else ftfy.fix_encoding(line, _MOJIBAKE_ALONE)
    return line if '\n' in fixed else fixed  # a line stays one
