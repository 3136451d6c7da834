"""``gaard coefficients``: the two surfaces of G7 and G8, as a page."""

from pathlib import Path

from gaard.arguments import plain_parser

SUMMARY = "draw the weights a and b of the method gaa, as a page"


def main(words: list[str]) -> int:
    """Draw both surfaces and print where they are.

    Args:
        words: Behind ``gaard coefficients``.

    Returns:
        0.
    """
    parser = plain_parser("coefficients", "Draw the surfaces a(σ, η) and b(σ, η) of G7 and G8.")
    parser.add_argument("--out", default="figures", help="folder of the page")
    arguments = parser.parse_args(words)
    from gaard.report.page import write_coefficients

    print(write_coefficients(Path(arguments.out).expanduser()))
    return 0
