"""The marks of pictures and sounds in the texts of multimodal data sets."""

import re

MARK = '<image>'
# Where trainers put the mark of a picture or a sound: alone on a line, or at an end.
_MEDIA = re.compile(
    r'(?:\A|\n)[ \t]*{0}[ \t]*(?:\n|\Z)|\A\s*{0}|{0}\s*\Z'.format(
        r'<\|?(?:image|audio|video)(?:[ _]?\d+)?\|?>'
    )
)
_CODE = re.compile(r'```.*?(?:```|\Z)|`[^`\n]*`', re.DOTALL)


def holds_one(text: str) -> bool:
    """Whether a text has the mark of a picture, a sound or a video, outside of code."""
    return '<' in text and bool(_MEDIA.search(_CODE.sub('code', text)))
