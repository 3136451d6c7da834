"""``gaard scenarios [NAME]``: each a proxy, a truth and a known hack."""

from gaard.arguments import plain_parser
from gaard.commands.terminal import show

SUMMARY = "list the scenarios for studying reward hacking, or show one in full"


def main(words: list[str]) -> int:
    """List the scenarios, or show one in full.

    Args:
        words: Behind ``gaard scenarios``.

    Returns:
        0.

    Raises:
        ConfigError: For a scenario that is not known.
    """
    parser = plain_parser("scenarios", "Scenarios that train and compare know by name (--scenario NAME).")
    parser.add_argument("name", nargs="?", type=str, help="one scenario, or path/to/file.py, in full")
    name = parser.parse_args(words).name
    from gaard.lab.catalogue import CATALOGUE, check_scenario_name

    if name is not None:
        check_scenario_name(name)
    from gaard.report.tables import scenario_table, scenarios_table

    if name is None:
        show(scenarios_table(CATALOGUE.values()))
    else:
        from gaard.lab.scenarios import find_scenario

        show(scenario_table(find_scenario(name)))
    return 0
