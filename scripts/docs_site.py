"""Hooks of the documentation's site (mkdocs.yml): what Markdown on its own cannot say to MkDocs."""

import re
from typing import Any

OUT_OF_DOCS = re.compile(r"\[([^\]]*)\]\((\.\./[^)\s]+)\)")
ROLE = re.compile(r":(?:class|func|meth|attr|data|mod):(<code>)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links to files beside the docs folder lead somewhere in the repository and nowhere on the site: name the file."""
    return OUT_OF_DOCS.sub(lambda link: f"{link[1]} (`{link[2].replace('../', '').partition('#')[0]}`)", markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Docstrings say ``:class:`X```; a page says ``X``."""
    return ROLE.sub(r"\1", html)
