"""Numbers from 0 to 99 in English words, and the numbers that stand in a text."""

import re

# fmt: off
ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)
# fmt: on
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def in_words(number: int) -> str:
    """A number in words, such as ``forty two``.

    Args:
        number: From 0 to 99.

    Returns:
        The words, parted by a space.

    Raises:
        ValueError: For another number.
    """
    if not 0 <= number <= 99:
        raise ValueError(f"number={number} is not from 0 to 99")
    if number < len(ONES):
        return ONES[number]
    tens, ones = divmod(number, 10)
    return TENS[tens - 2] + (f" {ONES[ones]}" if ones else "")


DIGITS = 4_300
NAMED = {in_words(number): number for number in range(100)}
_WORDS = "|".join(sorted(NAMED, key=len, reverse=True))  # the longest first: forty two before forty
_NUMBER = re.compile(rf"\d+|\b(?:{_WORDS})\b")


def numbers_in(text: str) -> list[int]:
    """The numbers of a text in order, in digits or in words from zero to ninety nine.

    Args:
        text: Any; capitals do not matter.

    Returns:
        The numbers, of their first 4,300 digits, the most that Python reads; ``[]`` where there is none.
    """
    return [
        NAMED[found] if found in NAMED else int(found.lstrip("0")[:DIGITS] or 0)
        for found in _NUMBER.findall(text.lower())
    ]
