"""Types of a config's numbers: the range that is accepted, and its words in an error.

    rank: ranges.CountOrOff = 0   # rank=-1 is not accepted; use 0 (off) or more.

`convert` reads both from the `msgspec.Meta`. A type that only one field
uses is written at that field.
"""

from typing import Annotated

import msgspec

MOST_LAYERS, MOST = 512, 2**20  # more is a mistake, and would be worked on for hours
Count = Annotated[int, msgspec.Meta(ge=1, description='1 or more')]
CountOrOff = Annotated[int, msgspec.Meta(ge=0, description='0 (off) or more')]
CountOrUnset = Annotated[int, msgspec.Meta(ge=0, description='0 (unset) or more')]
Size = Annotated[int, msgspec.Meta(ge=1, le=MOST, description=f'from 1 to {MOST:,}')]
SizeOrOff = Annotated[
    int, msgspec.Meta(ge=0, le=MOST, description=f'0 (off) or up to {MOST:,}')
]
SizeOrUnset = Annotated[
    int, msgspec.Meta(ge=0, le=MOST, description=f'0 (unset) or up to {MOST:,}')
]
LayersOrUnset = Annotated[
    int, msgspec.Meta(ge=0, le=MOST_LAYERS, description=f'0 (unset) to {MOST_LAYERS}')
]
Seed = Annotated[int, msgspec.Meta(ge=0, lt=2**32, description='from 0 to 2**32 - 1')]
Positive = Annotated[float, msgspec.Meta(gt=0, description='over 0.0')]
NumberOrOff = Annotated[float, msgspec.Meta(ge=0, description='0.0 (off) or more')]
NumberOrUnset = Annotated[float, msgspec.Meta(ge=0, description='0.0 (unset) or more')]
Share = Annotated[float, msgspec.Meta(ge=0, le=1, description='from 0.0 to 1.0')]
UnderOne = Annotated[
    float, msgspec.Meta(ge=0, lt=1, description='from 0.0 to under 1.0')
]
OverZero = Annotated[
    float, msgspec.Meta(gt=0, le=1, description='over 0.0 and up to 1.0')
]
OverZeroOrOff = Annotated[
    float, msgspec.Meta(gt=0, le=1, description='over 0.0 and up to 1.0 (off)')
]
