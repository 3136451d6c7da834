"""``gaard models list | fetch NAME``: the models that gaard knows by name."""

from gaard.arguments import plain_parser
from gaard.commands.terminal import show
from gaard.errors import ConfigError

SUMMARY = "list the models that gaard knows by name, or fetch one"


def main(words: list[str]) -> int:
    """List the models, or fetch one.

    Args:
        words: Behind ``gaard models``.

    Returns:
        0.

    Raises:
        ConfigError: For a fetch of nothing.
        ModelError: For a model that cannot be had.
    """
    parser = plain_parser("models", "Models that gaard knows by name.")
    parser.add_argument("action", choices=["list", "fetch"], help="what to do")
    parser.add_argument("name", nargs="?", type=str, help="alias, or any model name, to fetch")
    arguments = parser.parse_args(words)
    if arguments.action == "fetch" and arguments.name is None:
        raise ConfigError("gaard models fetch: name a model, such as smollm2-135m (gaard models list)")
    from gaard.models.fetching import fetch, list_models
    from gaard.report.tables import models_table

    if arguments.action == "list":
        show(models_table(list_models()))
    else:
        print(f"{arguments.name}: {fetch(arguments.name)}")
    return 0
