"""Public crisis lines: numbers that are the advice itself, and no personal data.

Source: each service's own page, named beside its numbers; findahelpline.com lists more.
"""

import re

# Digits alone; a country's code or a leading 1 before them does not count.
_NUMBERS = """
988 8002738255 8007994889                988lifeline.org (US)
8886289454                               988lifeline.org, Spanish (US)
741741                                   crisistextline.org (US)
838255                                   veteranscrisisline.net (US)
8007997233 8007873224 88788              thehotline.org (US)
8663319474 22522                         loveisrespect.org (US)
8006564673                               rainn.org (US)
8006624357                               samhsa.gov (US)
8009855990                               samhsa.gov, disasters (US)
8664887386 678678                        thetrevorproject.org (US)
8775658860                               translifeline.org (US)
8004224453                               childhelphotline.org (US)
8007862929                               1800runaway.org (US)
8008435678                               missingkids.org (US)
8883737888 233733                        humantraffickinghotline.org (US)
8009312237                               nationaleatingdisorders.org (US)
8009444773 8338526262                    postpartum.net, mchb.hrsa.gov (US)
8447628483                               strongheartshelpline.org (US)
8009506264                               nami.org (US)
8002221222                               poison.org (US)
8004262537 8005224700                    ncpgambling.org (US)
8007842433                               1-800-SUICIDE, hopeline.com (US)
8334564566 45645                         988.ca (Canada)
8006686868 686868                        kidshelpphone.ca (Canada)
116123                                   samaritans.org (UK, Ireland)
08001111                                 childline.org.uk (UK)
08082000247                              nationaldahelpline.org.uk (UK)
0800585858                               thecalmzone.net (UK)
08000684141                              papyrus-uk.org (UK)
08085002222                              rapecrisis.org.uk (UK)
08088010327                              mensadviceline.org.uk (UK)
08009995428                              galop.org.uk (UK)
08088084994                              themix.org.uk (UK)
08088010677                              beateatingdisorders.org.uk (UK)
03001233393                              mind.org.uk (UK)
85258                                    giveusashout.org (UK)
1800247247                               pieta.ie (Ireland)
1800341900                               womensaid.ie (Ireland)
50808                                    textaboutit.ie (Ireland)
131114 0477131114                        lifeline.org.au (Australia)
1300224636                               beyondblue.org.au (Australia)
1800551800                               kidshelpline.com.au (Australia)
1800737732                               1800respect.org.au (Australia)
1300659467                               suicidecallbackservice.org.au (Australia)
1300789978                               mensline.org.au (Australia)
0800543354                               lifeline.org.nz (New Zealand)
1737                                     1737.org.nz (New Zealand)
116111                                   childhelplineinternational.org (Europe)
"""
_KNOWN = frozenset(
    number.lstrip('0')
    for line in _NUMBERS.split('\n')
    for number in line[:40].split()
    if number.isdigit()
)
_SHORTEST_AFTER_CODE = 6
_NUMBER = re.compile(r'\+?\(?\d[\d ().-]*')
_CODES = ('1', '44', '353', '61', '64')  # of the countries in the table


def is_one(number: str) -> bool:
    """Whether a text's digits are those of a crisis line, in any grouping.

    '1-800-273-8255', '+44 116 123' and '(800) 656.4673' are.
    """
    digits = re.sub(r'\D', '', number).lstrip('0')
    if digits in _KNOWN:
        return True
    # 988 is one, 1988 is not: a code stands before a longer number.
    rest = [digits.removeprefix(c).lstrip('0') for c in _CODES if digits.startswith(c)]
    return any(len(each) >= _SHORTEST_AFTER_CODE and each in _KNOWN for each in rest)


def is_named(line: str) -> bool:
    """Whether a number in a line is that of a crisis line: 'Text HOME to 741741'."""
    return any(map(is_one, _NUMBER.findall(line)))
